"""Pages of advertisers and of ad operations."""

from uuid import uuid4

import pytest

from services.ads.queries import orders
from shared.contracts.ads import InvoiceOpened
from tests.ads.builders import Advertiser, a_live_order, a_rate_card, an_image, an_order, today

HTML = {"accept": "text/html"}


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


KNOWN = {"bkh": ["advertiser"]}


class Person:
    """Somebody with a browser: a page token, and the form's protection against other sites."""

    def __init__(self, flats, flat, **principal):
        self.flat = flat
        self.flat.client.cookies.set("nt_token", flats.token(id=uuid4(), **principal))

    async def get(self, path):
        return await self.flat.client.get(path, headers=HTML)

    async def post(self, path, data, **more):
        await self.get("/advertise")
        headers = {
            **HTML,
            "x-csrftoken": self.flat.client.cookies["nt_csrf"],
            "idempotency-key": str(uuid4()),
        }
        return await self.flat.client.post(path, data=data, headers=headers, **more)


async def test_everybody_sees_the_rate_card_in_both_languages(flat):
    page = await flat.client.get("/advertise", headers=HTML)
    assert "45.000\u00a0₫" in page.text
    assert (
        "script-src" in page.headers["content-security-policy"]
        or "default-src 'self'" in (page.headers["content-security-policy"])
    )
    english = await flat.client.get("/advertise?lang=en", headers=HTML)
    assert "Reach the people of Khánh Hòa" in english.text


async def test_who_is_not_signed_in_is_led_to_the_sign_in(flat):
    for path in ("/advertise/orders", "/advertise/new", "/desk/ads", "/desk/ads/orders"):
        answer = await flat.client.get(path, headers=HTML)
        assert (answer.status_code, answer.headers["location"][:14]) == (307, "/account/renew")


async def test_an_advertiser_books_uploads_and_is_asked_to_pay_on_pages(flats, flat):
    organisation = uuid4()
    person = Person(flats, flat, roles=KNOWN, organisation=organisation)
    form = {
        "placement": "bkh/article-mid/45000",
        "name": "Tuần lễ yến sào",
        "starts_on": str(today()),
        "ends_on": str(today()),
        "budget_vnd": "3.000.000",
        "sections": ["du-lich", "kinh-te"],
    }
    booked = await person.post("/advertise/new", form)
    assert booked.status_code == 303, booked.text
    order = booked.headers["location"]
    page = (await person.get(order)).text
    assert "Tuần lễ yến sào" in page
    assert "66.666" in page
    uploaded = await person.post(
        f"{order}/creatives",
        {"click_url": "https://yensao.example.vn"},
        files={"file": ("a.png", an_image(), "image/png")},
    )
    assert uploaded.status_code == 303, uploaded.text
    assert (await person.post(f"{order}/submit", {})).status_code == 303

    staff = Person(flats, flat, roles={"bkh": ["ad_ops"]})
    queue = (await staff.get("/desk/ads")).text
    assert "Tuần lễ yến sào" in queue
    creative = queue.split("/desk/ads/creatives/")[1].split("/")[0]
    checks = ["truthful", "allowed-goods", "no-imitation", "readable", "target-works"]
    approved = await staff.post(
        f"/desk/ads/creatives/{creative}/review", {"verdict": "approved", "checks": checks}
    )
    assert approved.status_code == 303, approved.text
    [invoice] = await flat.facts()
    assert isinstance(invoice, InvoiceOpened)
    assert invoice.buyer.id == organisation

    Person(flats, flat, roles=KNOWN, organisation=organisation)
    assert f"/pay/{invoice.invoice}?" in (await person.get(order)).text


BOOKING = {
    "placement": "bkh/article-mid/45000",
    "name": "Tuần lễ yến sào",
    "starts_on": str(today()),
    "ends_on": str(today()),
    "budget_vnd": "3.000.000",
    "sections": ["du-lich"],
}


@pytest.mark.parametrize(
    ("changed", "field", "sentence"),
    [
        ({"budget_vnd": "5"}, "budget_vnd", "Một dòng ít nhất 1.000 lượt hiển thị"),
        ({"budget_vnd": "5000.00"}, "budget_vnd", "không phải là số nguyên"),
        ({"starts_on": "2020-01-01"}, "starts_on", "đã qua"),
        ({"ends_on": ""}, "ends_on", "Đây không phải là ngày"),
    ],
)
async def test_a_refused_booking_comes_back_as_it_was_filled_in_with_the_reason_at_its_field(
    flats, flat, changed, field, sentence
):
    person = Person(flats, flat, roles=KNOWN, organisation=uuid4())
    refused = await person.post("/advertise/new", {**BOOKING, **changed})
    assert refused.status_code == 422
    assert 'value="Tuần lễ yến sào"' in refused.text
    assert '<input type="checkbox" name="sections" value="du-lich" checked>' in refused.text
    assert f'value="{ {**BOOKING, **changed}[field] }"' in refused.text
    at = refused.text.split(f'id="{field}-error"')[1].split("</span>")[0]
    assert sentence in at
    english = (await person.post("/advertise/new?lang=en", {**BOOKING, **changed})).text
    assert sentence not in english


async def test_the_booking_page_offers_only_where_the_organisation_is_registered_and_says_what_to_do(
    flats, flat
):
    await a_rate_card(flat, "tcnt")
    person = Person(flats, flat, roles=KNOWN, organisation=uuid4())
    page = (await person.get("/advertise/new?placement=tcnt/article-mid")).text
    assert 'value="bkh/article-mid/45000"' in page
    assert 'value="tcnt/' not in page
    assert 'href="/account/organisation?kind=advertiser&amp;next=/advertise/new"' in page
    assert "bkh" in page.split("Tổ chức của bạn đặt được ở nơi đã đăng ký:")[1].split("</p>")[0]


async def test_a_shop_owners_first_click_leads_to_registering_and_back_to_the_booking(flats, flat):
    owner = Person(flats, flat)
    answer = await owner.get("/advertise/new?placement=bkh/article-mid")
    assert answer.status_code == 303
    assert answer.headers["location"] == (
        "/account/organisation?kind=advertiser&next=%2Fadvertise%2Fnew%3Fplacement%3Dbkh%2Farticle-mid"
    )


async def test_a_refusal_without_a_reason_brings_the_queue_back_with_what_was_ticked(flats, flat):
    advertiser = Advertiser(flats, flat)
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    Person(flats, flat, roles=KNOWN, organisation=advertiser.organisation)
    owner = Person(flats, flat, roles=KNOWN, organisation=advertiser.organisation)
    wrong = await owner.post(
        f"/advertise/orders/{order}/creatives",
        {"click_url": "ftp://x"},
        files={"file": ("a.png", an_image(), "image/png")},
    )
    assert wrong.status_code == 422
    assert 'value="ftp://x"' in wrong.text
    assert "Trang đích phải bắt đầu bằng http://" in wrong.text
    # What the page no longer shows a form for is said all the same.
    cancelled = f"/advertise/orders/{order}/cancel"
    assert (await owner.post(cancelled, {})).status_code == 303
    again = await owner.post(cancelled, {})
    assert again.status_code == 409
    assert "Đơn này đã xong hoặc đã hủy." in again.text


async def test_other_agencies_staff_and_strangers_find_nothing(flats, flat):
    advertiser = Advertiser(flats, flat)
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    other = Person(flats, flat, roles={"tcnt": ["ad_ops"]})
    assert (await other.get(f"/desk/ads/orders/{order}")).status_code == 404
    assert "Hè Nha Trang" not in (await other.get("/desk/ads/orders")).text
    stranger = Person(flats, flat, roles=KNOWN, organisation=uuid4())
    assert (await stranger.get(f"/advertise/orders/{order}")).status_code == 404
    assert (await stranger.post(f"/advertise/orders/{order}/cancel", {})).status_code == 404
    assert (await stranger.get("/desk/ads")).status_code == 403
    reader = Person(flats, flat)
    assert (await reader.get("/advertise/orders")).headers["location"].startswith("/account/organisation?")


async def test_a_queue_that_is_cut_says_so_with_its_length(flats, flat, monkeypatch):
    for _ in range(2):
        advertiser = Advertiser(flats, flat)
        order = (await advertiser.post("/orders", an_order())).json()["id"]
        owner = Person(flats, flat, roles=KNOWN, organisation=advertiser.organisation)
        await owner.post(
            f"/advertise/orders/{order}/creatives",
            {"click_url": "https://yensao.example.vn"},
            files={"file": ("a.png", an_image(), "image/png")},
        )
        assert (await owner.post(f"/advertise/orders/{order}/submit", {})).status_code == 303
    staff = Person(flats, flat, roles={"bkh": ["ad_ops"]})
    assert "mẫu chờ lâu nhất" not in (await staff.get("/desk/ads")).text
    monkeypatch.setattr(orders.queue, "__defaults__", (1,))
    assert "Hiện 1 mẫu chờ lâu nhất trong 2;" in (await staff.get("/desk/ads")).text


async def test_a_form_from_another_site_is_refused(flats, flat):
    Person(flats, flat, roles=KNOWN, organisation=uuid4())
    answer = await flat.client.post("/advertise/new", data={"name": "x"}, headers=HTML)
    assert answer.status_code == 403


async def test_the_desk_shows_delivery_and_stops_a_creative(flats, flat):
    advertiser = Advertiser(flats, flat)
    order = await a_live_order(flats, flat, advertiser)
    staff = Person(flats, flat, roles={"bkh": ["ad_ops"]})
    page = (await staff.get("/desk/ads/orders")).text
    assert "0 / 100.000" in page
    creative = order["creatives"][0]["id"]
    stopped = await staff.post(
        f"/desk/ads/creatives/{creative}/review?back=order", {"verdict": "stopped", "reason": "Sai hàng"}
    )
    assert stopped.headers["location"] == f"/desk/ads/orders/{order['id']}"
    assert "Sai hàng" in (await staff.get(f"/desk/ads/orders/{order['id']}")).text


async def test_the_script_of_the_newspapers_is_small_and_cached(flat):
    import gzip

    script = await flat.client.get("/ads.js")
    assert script.headers["content-type"].startswith("text/javascript")
    assert "set-cookie" not in script.headers
    assert len(gzip.compress(script.content)) < 5 * 1024
