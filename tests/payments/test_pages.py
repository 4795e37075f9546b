"""The pay page behind its signed link, and the desk with its queues."""

import asyncio
import re

import msgspec
import pytest
import sqlalchemy as sa

from shared import clock, links
from shared.contracts.payments import InvoiceClosed, PaymentCaptured
from tests.conftest import Flat, Flats
from tests.payments import (
    a_credit,
    a_line,
    an_invoice,
    at_bank,
    link,
    misbehave,
    notify,
    paid,
    paid_late,
    press_pay,
    state_of,
    told,
)

DESK = "/desk/payments"
ALL = ["finance", "finance_approver"]


def sign_in(flats: Flats, flat: Flat, **roles: list[str]) -> None:
    flat.client.cookies.set("nt_token", flats.token(id=clock.new_id(), roles=roles))


async def agree(flats: Flats, flat: Flat, act: str, choice: str = "yes") -> None:
    """Somebody else agrees to all that is proposed."""
    sign_in(flats, flat, bkh=["finance_approver"])
    async with flat.tx() as tx:
        waiting = sa.text("SELECT id FROM proposal WHERE act = :act AND decided_at IS NULL ORDER BY id")
        ids = list(await tx.scalars(waiting, {"act": act}))
    for proposal in ids:
        assert await post(flat, f"{DESK}/proposals/{proposal}", choice=choice) == 303


async def post(flat: Flat, path: str, **fields: str) -> int:
    """Send a form of the desk; returns the status."""
    await flat.client.get(DESK)
    form = {"_idempotency_key": clock.new_secret(), **fields}
    headers = {"x-csrftoken": flat.client.cookies["nt_csrf"], "accept": "text/html"}
    return (await flat.client.post(path, data=form, headers=headers)).status_code


async def test_the_pay_page_says_what_for_how_much_with_vat_and_has_one_button(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 8_000, title="Gói đọc báo <b>một tháng</b>"))
    await flat.receive(invoice)
    shown = await flat.client.get(link(flat.kit.settings, invoice))
    for expected in (
        "Phiếu yêu cầu thanh toán",
        "108.000\xa0₫",
        "8.000\xa0₫",
        invoice.number,
        "&lt;b&gt;một tháng",
    ):
        assert expected in shown.text
    assert shown.text.count("<button") == 1
    assert "Đây là mô phỏng" in shown.text
    english = await flat.client.get(link(flat.kit.settings, invoice) + "&lang=en")
    assert "Payment request" in english.text


async def test_the_queue_of_suspense_is_counted_whole_and_paged(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    from services.payments.pages import captures

    flat = await flats.start("payments")
    invoices = [an_invoice(a_line(50_000, 0)) for _ in range(3)]
    for invoice in invoices:
        await paid_late(flat, invoice)
    monkeypatch.setattr(captures, "PAGE", 2)
    sign_in(flats, flat, bkh=ALL)
    first = (await flat.client.get(f"{DESK}/suspense")).text
    assert '<span class="count">3</span>' in first
    (more,) = re.findall(r'href="([^"]+cursor=[^"]+)" rel="next"', first)
    second = (await flat.client.get(more.replace("&amp;", "&"))).text
    seen = {invoice.number for invoice in invoices if invoice.number in first}
    assert seen | {invoice.number for invoice in invoices if invoice.number in second} == {
        invoice.number for invoice in invoices
    }
    assert len(seen) == 2


async def test_an_old_link_shows_the_page_that_explains_and_pays_no_more(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    old = links.signed(flat.kit.settings, f"/pay/{invoice.invoice}", -1, agency="bkh", amount=1)
    shown = await flat.client.get(old)
    assert shown.status_code == 410
    assert "Đường dẫn trả tiền đã hết hạn" in shown.text
    assert invoice.number in shown.text
    assert "VNPAY-QR" not in shown.text
    pressed = await flat.client.post(old, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.status_code == 410
    assert "hãy xin đường dẫn mới" in pressed.text


async def test_a_link_that_is_not_signed_or_altered_leads_nowhere(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice, other = an_invoice(), an_invoice()
    await flat.receive(invoice, other)
    good = link(flat.kit.settings, invoice)
    for bad in (
        f"/pay/{invoice.invoice}",
        f"/pay/{invoice.invoice}?agency=bkh&amount=1",
        good.replace("agency=bkh", "agency=tcnt"),
        good.replace(str(invoice.invoice), str(other.invoice)),
        good[:-1],
        "/pay/not-an-id?sig=1",
    ):
        assert (await flat.client.get(bad)).status_code == 404, bad
        assert (await flat.client.get(bad.replace("?", "/live?", 1))).status_code == 404, bad
    await flat.client.get(good)
    pressed = await flat.client.post(
        f"/pay/{invoice.invoice}", headers={"x-csrftoken": flat.client.cookies["nt_csrf"]}
    )
    assert pressed.status_code == 404


async def test_a_link_to_an_invoice_that_is_not_here_yet_says_so_and_looks_again(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    address = link(flat.kit.settings, invoice)
    shown = await flat.client.get(address)
    assert "Đang chuẩn bị phiếu" in shown.text
    assert '<meta http-equiv="refresh"' in shown.text
    assert "<button" not in shown.text
    await flat.receive(invoice)
    assert "qua VNPAY" in (await flat.client.get(address)).text


async def test_a_link_of_one_agency_does_not_open_an_invoice_of_another(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(agency="tcnt")
    await flat.receive(invoice)
    address = links.signed(flat.kit.settings, f"/pay/{invoice.invoice}", 60, agency="bkh", amount=99_000)
    shown = await flat.client.get(address)
    assert invoice.number not in shown.text
    pressed = await flat.client.post(address, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.headers["location"] == address


async def test_the_return_shows_and_changes_nothing_even_when_it_says_paid(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    back = await flat.client.get(f"/gateway/vnpay/return?{query}")
    assert back.status_code == 303
    assert await state_of(flat, invoice) == (None, ["open"])
    assert await flat.facts() == []
    assert (await flat.client.get(f"/gateway/vnpay/return?{query}0")).status_code == 400
    assert await notify(flat, query) == "00"
    shown = await flat.client.get(back.headers["location"])
    assert "Đã nhận tiền" in shown.text
    assert f"{invoice.return_url}?paid=yes" in shown.text, "the seller, who may not have heard yet, says so"


async def test_the_live_address_tells_when_the_money_is_confirmed(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await paid(flat, invoice)
    told = await flat.client.get(link(flat.kit.settings, invoice).replace("?", "/live?", 1))
    assert told.headers["content-type"].startswith("text/event-stream")
    assert "Đã nhận tiền" in msgspec.json.decode(told.text.split("data:")[1].split("\r\n")[0])["pay-news"]


async def test_a_paid_invoice_cannot_be_paid_again(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await paid(flat, invoice)
    address = link(flat.kit.settings, invoice)
    pressed = await flat.client.post(address, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.headers["location"] == address
    assert await state_of(flat, invoice) == ("paid", ["paid"])


async def test_a_rail_that_the_agency_switched_off_is_not_offered(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    async with flat.tx() as tx:
        await tx.execute(
            sa.text(
                "INSERT INTO rail (agency, rail, switched_on, changed_at) VALUES ('bkh', 'vnpay', false, now())"
            )
        )
    shown = await flat.client.get(link(flat.kit.settings, invoice))
    assert "Chưa có cách trả trực tuyến" in shown.text
    address = link(flat.kit.settings, invoice)
    pressed = await flat.client.post(address, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.headers["location"] == address
    assert await state_of(flat, invoice) == (None, [])


async def test_held_money_is_decided_by_a_person_and_then_captured(flats: Flats) -> None:
    flat = await flats.start("payments")
    taken, given_back = an_invoice(), an_invoice()
    await flat.receive(taken, given_back)
    for invoice in (taken, given_back):
        assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    sign_in(flats, flat, bkh=["finance"])
    shown = await flat.client.get(f"{DESK}/held")
    assert taken.number in shown.text
    async with flat.tx() as tx:
        ids = dict((await tx.execute(sa.text("SELECT invoice, id FROM attempt"))).all())
    assert await post(flat, f"{DESK}/held/{ids[taken.invoice]}", choice="yes") == 303
    assert await post(flat, f"{DESK}/held/{ids[taken.invoice]}", choice="no") == 409
    assert await post(flat, f"{DESK}/held/{ids[given_back.invoice]}", choice="no") == 303
    await agree(flats, flat, "held")
    captured, closed = await told(flat, PaymentCaptured, InvoiceClosed)
    assert isinstance(closed, InvoiceClosed)
    assert captured.invoice == taken.invoice
    assert await state_of(flat, given_back) == (None, ["failed"])


async def test_a_large_refund_waits_for_another_person(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(40_000_000, 0))
    capture = await paid(flat, invoice)
    sign_in(flats, flat, bkh=ALL)
    asked = f"{DESK}/captures/{capture}/refunds"
    assert await post(flat, asked, amount_vnd="25.000.000", reason="Hủy hợp đồng") == 303
    async with flat.tx() as tx:
        refund = await tx.scalar(sa.text("SELECT id FROM refund WHERE state = 'asked'"))
    assert "cần người khác duyệt" in (await flat.client.get(f"{DESK}/refunds")).text
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 409
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 403
    sign_in(flats, flat, bkh=["finance_approver"])
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 303
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT state FROM refund")) == "approved"
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, asked, amount_vnd="15.000.001", reason="Quá số còn lại") == 409
    headers = {"x-csrftoken": flat.client.cookies["nt_csrf"]}
    form = {"amount_vnd": "15.000.001", "reason": "Quá số còn lại", "_idempotency_key": str(clock.new_id())}
    refused = (await flat.client.post(asked, data=form, headers=headers)).text
    assert 'value="15.000.001"' in refused
    assert 'value="Quá số còn lại"' in refused
    assert "Khoản này chỉ còn hoàn được nhiều nhất" in refused.split('id="amount_vnd-error"')[1]
    # The tab of the page is lit, not the link of the menu that leads to the desk.
    held = (await flat.client.get(f"{DESK}/held")).text
    assert re.search(rf'<nav class="tabs".*?href="{DESK}/held" aria-current="page"', held, re.DOTALL)
    assert await post(flat, asked, amount_vnd="5e3", reason="Sai số") == 422


async def test_every_page_of_the_desk_shows_in_both_languages(flats: Flats) -> None:
    flat = await flats.start("payments")
    sign_in(flats, flat, bkh=ALL)
    pages = [DESK, f"{DESK}/held", f"{DESK}/suspense", f"{DESK}/refunds"]
    for path in pages:
        assert (await flat.client.get(path)).status_code == 200
    invoice = an_invoice(a_line(40_000_000, 0))
    capture = await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 30_000_000), a_credit(invoice, 5_000))
    await notify(flat, "vnp_TmnCode=KHNEWS01&vnp_SecureHash=00")
    held = an_invoice()
    await flat.receive(held)
    await notify(flat, await at_bank(flat, held, "suspect"))
    async with flat.tx() as tx:
        await tx.execute(
            sa.text(
                "INSERT INTO refund SELECT gen_random_uuid(), agency, capture, 'person', NULL, NULL, 1, reason, "
                "'unclear', 'x', asked_by, NULL, asked_at, NULL, next_try_at, 0, '', '', NULL FROM refund LIMIT 1"
            )
        )
    for path in (*pages, f"{DESK}/captures/{capture}"):
        for lang in ("vi", "en"):
            shown = await flat.client.get(f"{path}?lang={lang}")
            assert shown.status_code == 200, (path, lang)
    assert "Bên bán giảm trừ" in (await flat.client.get(f"{DESK}/refunds?lang=vi")).text


@pytest.mark.parametrize(
    ("roles", "status"),
    [
        ({"bkh": ["ad_ops"]}, 403),
        ({"bkh": ["reader"]}, 403),
        ({"tcnt": ["finance"]}, 404),
        ({"bkh": ["auditor"]}, 200),
    ],
    ids=["another office", "a reader", "another agency", "the auditor"],
)
async def test_only_who_looks_after_the_money_of_an_agency_sees_it(
    flats: Flats, roles: dict[str, list[str]], status: int
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    capture = await paid(flat, invoice)
    sign_in(flats, flat, **roles)
    assert (await flat.client.get(f"{DESK}/captures/{capture}")).status_code == status
    assert await post(flat, f"{DESK}/captures/{capture}/refunds", amount_vnd="1000", reason="Thử") in (
        403,
        404,
    )


async def test_finance_in_one_agency_and_another_office_in_a_second_shows_the_first_alone(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    ours, theirs = an_invoice(agency="tcnt"), an_invoice(agency="bkh")
    await paid(flat, ours)
    capture = await paid(flat, theirs)
    sign_in(flats, flat, tcnt=ALL, bkh=["ad_ops"])
    shown = await flat.client.get(DESK)
    assert ours.number in shown.text
    assert theirs.number not in shown.text
    assert (await flat.client.get(f"{DESK}/captures/{capture}")).status_code == 404


async def test_the_bank_page_is_bannered_and_refuses_an_altered_request(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    bank = await press_pay(flat, invoice)
    shown = await flat.client.get(bank)
    assert "Đây là mô phỏng" in shown.text
    assert (await flat.client.get(bank.replace("vnp_Amount=", "vnp_Amount=1"))).status_code == 400
    await misbehave(flat, refuse=True)
    assert await notify(flat, await at_bank(flat, invoice)) == "00"
    assert await state_of(flat, invoice) == (None, ["failed"])


async def test_a_failed_refund_is_tried_anew_for_the_same_credit_and_only_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    await paid(flat, invoice)
    credit = a_credit(invoice, 40_000)
    await flat.receive(credit)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE refund SET state = 'failed'"))
        refund = await tx.scalar(sa.text("SELECT id FROM refund"))
    sign_in(flats, flat, bkh=["finance"])
    assert "Thử lại" in (await flat.client.get(f"{DESK}/refunds")).text
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 303
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 409
    assert "Thử lại" not in (await flat.client.get(f"{DESK}/refunds")).text
    async with flat.tx() as tx:
        rows = (await tx.execute(sa.text("SELECT state, credit FROM refund ORDER BY id"))).all()
    assert [tuple(row) for row in rows] == [("failed", credit.credit), ("due", credit.credit)]


async def test_finance_switches_a_way_of_paying_off_and_on_for_its_own_agency(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    sign_in(flats, flat, bkh=["finance"], tcnt=["auditor"])
    assert await post(flat, f"{DESK}/rails/tcnt", choice="no") == 403
    for choice, expected in (("no", "Chưa có cách trả trực tuyến"), ("yes", "qua VNPAY")):
        sign_in(flats, flat, bkh=["finance"], tcnt=["auditor"])
        assert await post(flat, f"{DESK}/rails/bkh", choice=choice) == 303
        await agree(flats, flat, "rail")
        assert expected in (await flat.client.get(link(flat.kit.settings, invoice))).text
    assert (await flat.client.get(f"{DESK}/rails")).status_code == 200


async def test_the_button_pressed_twice_at_once_begins_one_attempt(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    address = link(flat.kit.settings, invoice)
    await flat.client.get(address)
    headers = {"x-csrftoken": flat.client.cookies["nt_csrf"]}
    pressed = await asyncio.gather(*(flat.client.post(address, headers=headers) for _ in range(5)))
    assert len({answer.headers["location"] for answer in pressed}) == 1
    assert await state_of(flat, invoice) == (None, ["open"])


@pytest.mark.promise("T11")
async def test_one_sellers_key_opens_no_other_sellers_invoice(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    settings = flat.kit.settings
    for seller, status in (("subscriptions", 200), ("ads", 404)):
        address = links.pay_link(
            settings, seller, invoice.invoice, 60, agency="bkh", amount_vnd=invoice.total_vnd
        )
        assert (await flat.client.get(address)).status_code == status
        # The head alone: the stream itself goes on for minutes.
        assert (await flat.client.head(address.replace("?", "/live?"))).status_code == status
