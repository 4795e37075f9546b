"""The pay page and the bank behind it say what is so, also when time has run out or something went back."""

from datetime import timedelta
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from services.payments.rules.refunds import State, given_up, is_owed
from shared import clock
from tests.conftest import Flats
from tests.payments import a_credit, an_invoice, at_bank, link, notify, paid, press_pay, withdrawn
from tests.payments.test_pages import DESK, agree, post, sign_in


@pytest.mark.promise("P10")
async def test_the_bank_says_that_the_time_is_over_and_offers_no_paying_any_more(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    bank = await press_pay(flat, invoice)
    assert "Trả tiền" in (await flat.client.get(bank)).text
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=1), 1)):
        shown = (await flat.client.get(bank)).text
        assert "quá thời gian chờ thanh toán" in shown
        assert "Trả tiền" not in shown
        params = {name: values[0] for name, values in parse_qs(urlsplit(bank).query).items()}
        form = {"terminal": params["vnp_TmnCode"], "reference": params["vnp_TxnRef"], "choice": "pay"}
        chosen = await flat.client.post("/gateway/vnpay-sim/bank", data=form)
    assert "vnp_ResponseCode=11" in chosen.headers["location"], "who presses it all the same has not paid"


async def test_after_a_deduction_the_page_shows_what_is_left_and_never_the_whole_below_it(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    await flat.receive(a_credit(invoice, 9_000, 900))
    unpaid = (await flat.client.get(link(flat.kit.settings, invoice))).text
    for words in ("Còn lại sau giảm trừ", "-9.900\xa0₫", "<strong>89.100\xa0₫</strong>", "<h1>89.100\xa0₫"):
        assert words in unpaid, words
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 10_000, 1_000))
    shown = (await flat.client.get(link(flat.kit.settings, invoice))).text
    for words in ("Đã nhận tiền", "nhận đủ 89.100\xa0₫", "-20.900\xa0₫", "<strong>78.100\xa0₫</strong>"):
        assert words in shown, words
    assert "Tổng cộng" not in shown


@pytest.mark.promise("P1")
@pytest.mark.parametrize("is_over", [False, True])
async def test_of_money_that_the_bank_held_and_gave_back_the_page_says_how_much_and_not_that_none_went(
    flats: Flats, *, is_over: bool
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    address = link(flat.kit.settings, invoice)
    assert "Ngân hàng đã giữ tiền" in (await flat.client.get(address)).text
    sign_in(flats, flat, bkh=["finance"])
    async with flat.tx() as tx:
        attempt = await tx.scalar(sa.text("SELECT id FROM attempt"))
    if is_over:
        await flat.receive(withdrawn(invoice))
    assert await post(flat, f"{DESK}/held/{attempt}", choice="no") == 303
    await agree(flats, flat, "held")
    shown = (await flat.client.get(address)).text
    assert "VNPAY báo đã trả lại bạn 99.000\xa0₫" in shown
    for words in ("bạn chưa mất tiền", "Ngân hàng không thực hiện", "Ngân hàng đã giữ tiền"):
        assert words not in shown, words
    assert ("Trả lần nữa" in shown) is not is_over
    assert (
        "VNPAY reports that 99.000\xa0₫ was given back" in (await flat.client.get(f"{address}&lang=en")).text
    )


@pytest.mark.promise("P1")
async def test_money_for_what_was_called_off_meanwhile_is_no_thank_you_until_its_seller_has_answered(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    await flat.receive(withdrawn(invoice))
    assert await notify(flat, query) == "00"
    address = link(flat.kit.settings, invoice)
    shown = (await flat.client.get(address)).text
    assert "99.000\xa0₫ cho phiếu mà bên bán đã rút lại" in shown
    for words in ("Cảm ơn bạn", "Tiếp tục", "paid=yes"):
        assert words not in shown, words
    await flat.receive(a_credit(invoice, 90_000, 9_000))
    shown = (await flat.client.get(address)).text
    assert "đang trên đường về" in shown
    assert "bên bán đã rút lại" not in shown


@pytest.mark.promise("P1")
async def test_money_that_came_while_the_time_ran_out_is_thanked_for(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(expires_at=clock.now() + timedelta(minutes=5))
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(minutes=6), 1)):
        await flat.receive(withdrawn(invoice))
        assert await notify(flat, query) == "00"
        assert "Cảm ơn bạn" in (await flat.client.get(link(flat.kit.settings, invoice))).text


def test_what_is_asked_for_anew_follows_one_rule_for_one_refund_and_for_a_query_of_many() -> None:
    for by_credit in (True, False):
        for cause in ("person", "credit", "declined"):
            owed = is_owed(by_credit, cause)
            assert owed == (by_credit or cause == "declined")
            for state in get_args(State):
                waits = given_up(state, owed)
                assert waits == (state == "failed" or (state == "rejected" and owed))
    columns = given_up(sa.column("state"), is_owed(sa.column("credit").is_not(None), sa.column("cause")))
    assert " OR " in str(columns)
    assert " AND " in str(columns)
