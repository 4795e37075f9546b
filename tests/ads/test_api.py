"""The main job over HTTP: book, upload, review, pay, serve, count."""

from uuid import uuid4

import pytest

from shared.contracts.ads import CreditGranted, DeliveryRecorded, InvoiceOpened, InvoiceWithdrawn
from tests.ads.builders import (
    READER,
    Advertiser,
    a_line,
    a_live_order,
    a_rate_card,
    an_image,
    an_order,
    decide,
    ops_headers,
    paid,
    path_of,
    review,
    today,
)


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


@pytest.fixture
def advertiser(flats, flat):
    return Advertiser(flats, flat)


async def test_the_rate_card_is_public(flat):
    placements = (await flat.client.get("/api/ads/v1/placements?agency=bkh")).json()
    assert [p["code"] for p in placements] == ["home-top", "article-mid", "article-bottom"]
    assert placements[1]["rates"] == [{"pricing": "cpm", "price_vnd": 45_000, "valid_from": "2024-01-01"}]


async def test_a_booking_is_priced_by_its_rate_and_never_above_its_budget(advertiser):
    answer = await advertiser.post("/orders", an_order(a_line(budget_vnd=4_500_044, sections=["du-lich"])))
    assert answer.status_code == 201, answer.text
    order = answer.json()
    line = order["line_items"][0]
    assert (line["goal"], line["net_vnd"], line["vat_vnd"]) == (100_000, 4_500_000, 360_000)
    assert (order["total_vnd"], order["status"], order["pay_url"]) == (4_860_000, "draft", None)


async def test_the_same_key_books_once(advertiser):
    first = await advertiser.post("/orders", an_order(), key="k-12345678")
    again = await advertiser.post("/orders", an_order(), key="k-12345678")
    assert first.json() == again.json()
    assert len((await advertiser.get("/orders")).json()["items"]) == 1
    assert (await advertiser.post("/orders", an_order(name="Khác"), key="k-12345678")).status_code == 422


async def test_an_order_goes_from_booking_to_the_reader_and_its_delivery_to_the_ledger(
    flats, flat, advertiser
):
    order = (await advertiser.post("/orders", an_order())).json()
    creative = (await advertiser.upload(order["id"], an_image())).json()
    assert creative["status"] == "waiting"
    order = (await advertiser.post(f"/orders/{order['id']}/submit")).json()
    assert order["status"] == "review"
    assert await decide(flat, "article-mid") == []
    approved = await review(flats, flat, creative["id"])
    assert approved.json()["status"] == "approved", approved.text
    order = (await advertiser.get(f"/orders/{order['id']}")).json()
    assert order["status"] == "payment"
    [invoice] = await flat.facts()
    assert isinstance(invoice, InvoiceOpened)
    assert invoice.total_vnd == order["total_vnd"]
    assert f"/pay/{invoice.invoice}?" in order["pay_url"]

    await flat.receive(paid(invoice))
    [told] = await flat.facts()
    assert (told.template, told.params["path"]) == ("ads.order-paid", f"/advertise/orders/{order['id']}")
    await flat.app.state.server.refresh()
    assert (await advertiser.get(f"/orders/{order['id']}")).json()["status"] == "live"

    [ad] = await decide(flat, "article-mid", "home-top")
    assert (ad["placement"], ad["width"], ad["height"], ad["label"]) == ("article-mid", 300, 250, "Quảng cáo")
    image = await flat.client.get(path_of(ad["creative_url"]))
    assert image.headers["content-type"] == "image/png"
    assert "immutable" in image.headers["cache-control"]
    for address in (ad["impression_url"], ad["viewable_url"]):
        seen = await flat.client.post(path_of(address), headers=READER)
        assert (seen.status_code, seen.headers["x-counted"]) == (204, "yes")
    click = await flat.client.get(path_of(ad["click_url"]), headers=READER)
    assert (click.status_code, click.headers["location"]) == (302, "https://bienkhanhhoa.example.vn/he")

    line = (await advertiser.get(f"/orders/{order['id']}")).json()["line_items"][0]
    assert (line["impressions"], line["viewables"], line["clicks"]) == (1, 1, 1)
    await flat.tick()
    await flat.tick()
    [delivered] = await flat.facts()
    assert isinstance(delivered, DeliveryRecorded)
    assert (str(delivered.line), delivered.quantity, delivered.on) == (line["id"], 1, today())


async def test_strangers_find_nothing(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()
    stranger = Advertiser(flats, flat)
    for path in (f"/orders/{order['id']}", f"/orders/{order['id']}/delivery"):
        assert (await stranger.get(path)).status_code == 404
    assert (await stranger.post(f"/orders/{order['id']}/submit")).status_code == 404
    assert (await stranger.post(f"/orders/{order['id']}/cancel")).status_code == 404
    assert (await stranger.upload(order["id"], an_image())).status_code == 404
    assert (await stranger.get("/orders")).json()["items"] == []
    creative = (await advertiser.upload(order["id"], an_image())).json()
    await advertiser.post(f"/orders/{order['id']}/submit")
    body = {"verdict": "refused", "reason": "x"}
    other = await flat.client.post(
        f"/api/ads/v1/creatives/{creative['id']}/review", json=body, headers=ops_headers(flats, "tcnt")
    )
    assert other.status_code == 404
    own = await advertiser.post(f"/creatives/{creative['id']}/review", body)
    assert own.status_code == 403


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"budget_vnd": "5e3"}, 400),
        ({"budget_vnd": 4.5e6}, 400),
        ({"budget_vnd": -1}, 400),
        ({"budget_vnd": 100}, 422),
        ({"placements": ["nowhere"]}, 422),
        ({"placements": []}, 400),
        ({"sections": ["chung-khoan"]}, 422),
        ({"starts_on": "2020-01-01"}, 422),
        ({"ends_on": "2020-01-01"}, 422),
        ({"ends_on": "2099-01-01"}, 422),
        ({"starts_on": "yesterday"}, 400),
        ({"pricing": "cpc"}, 400),
        ({"discount": 1}, 400),
    ],
)
async def test_a_wrong_line_is_refused_clearly(advertiser, change, status):
    answer = await advertiser.post("/orders", an_order(a_line(**change)))
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert (await advertiser.get("/orders")).json()["items"] == []


async def test_an_order_has_a_name_that_can_be_read(advertiser):
    answer = await advertiser.post("/orders", {**an_order(), "name": "   "})
    assert (answer.status_code, "$.name" in answer.json()["detail"]) == (400, True)


async def test_an_upload_names_the_field_that_is_missing_or_unknown(advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    image = {"file": ("a.png", an_image(), "image/png")}
    for data, files, field in (
        ({"click_url": "https://x.vn/"}, {"other": image["file"]}, "file"),
        ({}, image, "click_url"),
        ({"click_url": "https://x.vn/", "alt": "x"}, image, "alt"),
    ):
        answer = await advertiser.post(f"/orders/{order}/creatives", data=data, files=files)
        assert (answer.status_code, answer.json()["field"]) == (400, field)


async def test_only_real_images_of_the_right_size_are_taken_and_no_others_kept(flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" width="300" height="250"><script>alert(1)</script></svg>'
    for content, status in (
        (svg, 422),
        (b"", 422),
        (an_image()[:60], 422),
        (an_image(301, 250), 422),
        (an_image(3000, 2500), 413),
        (b"\0" * 3_000_000, 413),
    ):
        answer = await advertiser.upload(order, content)
        assert answer.status_code == status, answer.text
    for url in (
        "javascript:alert(1)",
        "https://",
        "https://a b.vn/",
        "https://u:p@x.vn/",
        "//x.vn",
        "ftp://x.vn",
    ):
        assert (await advertiser.upload(order, an_image(), url)).status_code == 422, url
    no_form = await advertiser.post(f"/orders/{order}/creatives", {"file": "x"})
    assert no_form.status_code == 415
    assert (await advertiser.upload(str(uuid4()), an_image())).status_code == 404
    assert (await advertiser.get(f"/orders/{order}")).json()["creatives"] == []
    kept = flat.kit.settings.home / "files" / "ads"
    assert [path for path in kept.rglob("*") if path.is_file()] == []


async def test_the_same_creative_twice_is_one_and_is_drawn_anew(flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    hidden = an_image(kind="JPEG") + b"<script>"
    first = (await advertiser.upload(order, hidden)).json()
    again = (await advertiser.upload(order, hidden)).json()
    assert first["id"] == again["id"]
    shown = await flat.client.get(path_of(first["preview_url"]))
    assert shown.headers["content-type"] == "image/jpeg"
    assert b"<script>" not in shown.content
    assert (await flat.client.get(path_of(first["preview_url"]).split("?")[0])).status_code == 404


async def test_a_refused_creative_is_replaced_and_then_paid(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    assert (await advertiser.post(f"/orders/{order}/submit")).status_code == 409
    first = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    assert (await review(flats, flat, first, "refused")).status_code == 422
    assert (await review(flats, flat, first, "approved", checks=[])).status_code == 422
    assert (await review(flats, flat, first, "refused", reason="Chữ quá nhỏ")).status_code == 200
    assert (await review(flats, flat, first)).status_code == 409
    shown = (await advertiser.get(f"/orders/{order}")).json()
    assert (shown["status"], shown["creatives"][0]["reason"]) == ("refused", "Chữ quá nhỏ")
    second = (await advertiser.upload(order, an_image(colour="navy"))).json()["id"]
    assert (await advertiser.get(f"/orders/{order}")).json()["status"] == "review"
    await review(flats, flat, second)
    assert (await advertiser.get(f"/orders/{order}")).json()["status"] == "payment"


async def test_a_cancelled_order_credits_what_was_not_delivered(flats, flat, advertiser):
    order = await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    for _ in range(8):
        [ad] = await decide(flat, "article-mid")
        await flat.client.post(path_of(ad["impression_url"]), headers=READER)
    cancelled = (await advertiser.post(f"/orders/{order['id']}/cancel")).json()
    assert cancelled["status"] == "cancelled"
    delivered, credit = await flat.facts()
    assert isinstance(delivered, DeliveryRecorded)
    assert isinstance(credit, CreditGranted)
    assert (delivered.quantity, credit.lines[0].net_vnd, credit.lines[0].vat_vnd) == (8, 44_640, 3_571)
    await flat.app.state.server.refresh()
    assert await decide(flat, "article-mid") == []
    assert (await advertiser.post(f"/orders/{order['id']}/cancel")).status_code == 409


async def test_an_order_cancelled_before_payment_withdraws_its_invoice(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    await review(flats, flat, creative)
    await advertiser.post(f"/orders/{order}/cancel")
    invoice, withdrawn = await flat.facts()
    assert isinstance(withdrawn, InvoiceWithdrawn)
    await flat.receive(paid(invoice))  # the money came all the same: it is credited whole
    [credit] = await flat.facts()
    assert isinstance(credit, CreditGranted)
    assert credit.lines[0].net_vnd == invoice.lines[0].net_vnd


async def test_rights_at_one_agency_or_to_read_do_not_reach_further(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    mixed = flats.token(id=uuid4(), roles={"bkh": ["finance"], "tcnt": ["ad_ops"]})
    auditor = flats.token(id=uuid4(), roles={"bkh": ["auditor"]})
    for token, seen in ((mixed, 404), (auditor, 200)):
        headers = {"authorization": f"Bearer {token}", "idempotency-key": str(uuid4())}
        body = {"verdict": "refused", "reason": "x"}
        answers = (
            await flat.client.get(f"/api/ads/v1/orders/{order}", headers=headers),
            await flat.client.post(f"/api/ads/v1/orders/{order}/cancel", headers=headers),
            await flat.client.post(f"/api/ads/v1/creatives/{creative}/review", json=body, headers=headers),
        )
        assert answers[0].status_code == seen
        assert answers[1].status_code == 404
        assert answers[2].status_code in (403, 404)


async def test_odd_bytes_are_refused_and_are_no_fault(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    staff = {"authorization": f"Bearer {flats.token(id=uuid4(), roles={'bkh': ['ad_ops']})}"}
    get, post = flat.client.get, flat.client.post
    upload = f"/api/ads/v1/orders/{order}/creatives"
    keyed = {**advertiser.headers, "idempotency-key": "k-odd-bytes"}
    answers = [
        await advertiser.post("/orders", an_order(name="a\x00b")),
        await advertiser.post("/orders", an_order(a_line(name="\x00"))),
        await advertiser.post("/orders", an_order(), key="k\x7f-1234567"),
        await review(flats, flat, creative, "refused", reason="\x00"),
        await get("/api/ads/v1/placements?agency=%00"),
        await get("/api/ads/v1/orders?cursor=%00", headers=advertiser.headers),
        await get("/api/ads/v1/orders?cursor=AAAA", headers=advertiser.headers),
        await get("/advertise/orders?cursor=AAAA", headers=advertiser.headers),
        await get("/desk/ads/orders?cursor=AAAA", headers=staff),
        await get("/desk/ads/orders/not-an-id", headers=staff),
        await get("/creatives/%00", headers=READER),
        await get("/creatives/" + "0" * 64, headers=READER),
        await get("/b/decide?agency=bkh&p=%00&section=%FF&v=%00", headers=READER),
        await get("/b/decide", headers=READER),
        await get("/b/", headers=READER),
        await get("/b/x/y", headers=READER),
        await post(upload, headers={**keyed, "content-type": "multipart/form-data"}, content=b"x"),
        await post(
            upload, headers={**keyed, "content-type": "multipart/form-data; boundary=b"}, content=b"--b"
        ),
        await post(upload, headers={**keyed, "content-type": "text/plain"}, content=b"x"),
        await post(upload, headers=keyed, files={"file": ("a.png", b"x" * 9_000_000)}),
        await post(upload, headers=keyed, data={"file": "x", "click_url": "https://x.vn"}),
    ]
    assert [a.status_code for a in answers if a.status_code >= 500] == []
    answered = [n for n, a in enumerate(answers) if a.status_code < 400]
    assert answered == [13]  # slots that nobody sells
