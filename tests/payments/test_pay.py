"""The pay page and the bank behind it say what is so, also when time has run out or something went back."""

from datetime import timedelta
from typing import get_args
from urllib.parse import parse_qs, urlsplit

import pytest
import sqlalchemy as sa

from services.payments.rules.refunds import State, given_up, is_owed
from shared import clock
from tests.conftest import Flats
from tests.payments import a_credit, an_invoice, link, paid, press_pay


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
