"""A refund whose seller is silent ends by one person at the desk; what the seller says later is honoured, and once."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from uuid import UUID

import pytest

from services.payments import jobs
from services.payments.rules.refunds import StillWithSeller
from shared import clock
from shared.contracts import subscriptions
from shared.contracts.payments import ActRecorded
from shared.observe import UNANSWERED
from tests.conftest import Flat, Flats
from tests.payments import a_credit, a_line, an_invoice, one, paid, told
from tests.payments.test_pages import DESK, post, sign_in
from tests.payments.test_refunds import books, wanted

pytestmark = pytest.mark.promise("P7")


@contextmanager
def an_hour_later() -> Iterator[None]:
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(minutes=61), 7)):
        yield


async def dropped(flats: Flats, flat: Flat, invoice: subscriptions.InvoiceOpened, amount_vnd: int) -> UUID:
    """A refund that the desk has stopped waiting for; nothing is kept of its payment."""
    refund = await wanted(flat, await paid(flat, invoice), amount_vnd)
    with an_hour_later():
        sign_in(flats, flat, bkh=["finance"])
        assert await post(flat, f"{DESK}/refunds/{refund}/end") == 303
    assert await books(flat) == [("dropped", amount_vnd)]
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 0
    return refund


async def test_a_refund_whose_seller_is_silent_for_an_hour_ends_by_one_person_and_is_in_the_trail(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    refund = await wanted(flat, await paid(flat, an_invoice(a_line(100_000, 0))), 60_000)
    await flat.facts()
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/refunds/{refund}/end") == 409, "its seller has an hour"
    assert "Thôi chờ" not in (await flat.client.get(f"{DESK}/refunds")).text
    with an_hour_later():
        sign_in(flats, flat, bkh=["finance_approver"])
        assert await post(flat, f"{DESK}/refunds/{refund}/end") == 403
        assert "Thôi chờ</button>" not in (await flat.client.get(f"{DESK}/refunds")).text
        sign_in(flats, flat, bkh=["finance"])
        shown = (await flat.client.get(f"{DESK}/refunds")).text
        assert "Thôi chờ</button>" in shown
        assert "Thôi chờ bên bán trả lời về 60.000" in shown
        assert await post(flat, f"{DESK}/refunds/{refund}/end") == 303
        assert await post(flat, f"{DESK}/refunds/{refund}/end") == 409
        await jobs.alarm_unanswered(flat.kit)
        assert UNANSWERED.labels("refunds")._value.get() == 0
    (act,) = await told(flat, ActRecorded)
    assert (act.act, act.about, act.details) == ("refund.drop", refund, {"amount_vnd": 60_000})
    assert await one(flat, "SELECT state, refunding_vnd FROM refund JOIN capture ON true") == ("dropped", 0)


async def test_a_credit_that_comes_after_the_end_sends_what_was_asked_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await dropped(flats, flat, invoice, 60_000)
    credit = a_credit(invoice, 60_000, refund=refund)
    await flat.receive(credit, credit)
    assert await books(flat) == [("due", 60_000)]
    assert await one(flat, "SELECT refunding_vnd, ended_at FROM refund JOIN capture ON true") == (
        60_000,
        None,
    )
    assert await flat.held() == []


async def test_a_refusal_that_comes_after_the_end_says_why_and_sends_nothing(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await dropped(flats, flat, invoice, 60_000)
    refused = subscriptions.RefundRefused(
        agency="bkh", refund=refund, invoice=invoice.invoice, reason="overcredited"
    )
    await flat.receive(refused)
    assert await books(flat) == [("refused", 60_000)]
    assert await one(flat, "SELECT response, refunding_vnd FROM refund JOIN capture ON true") == (
        "overcredited",
        0,
    )


async def test_until_its_seller_has_answered_nothing_else_is_asked_of_that_sale_so_that_nothing_goes_twice(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await dropped(flats, flat, invoice, 40_000)
    capture = await one(flat, "SELECT id FROM capture")
    with pytest.raises(StillWithSeller):
        await wanted(flat, capture, 40_000)
    await flat.receive(a_credit(invoice, 40_000, refund=refund))
    await wanted(flat, capture, 10_000)
    assert await books(flat) == [("due", 40_000), ("approved", 10_000)]


async def test_what_its_seller_credited_by_itself_before_the_end_goes_at_the_end_and_not_again_later(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await wanted(flat, await paid(flat, invoice), 60_000)
    await flat.receive(a_credit(invoice, 100_000))
    assert await books(flat) == [("approved", 60_000), ("due", 40_000)]
    with an_hour_later():
        sign_in(flats, flat, bkh=["finance"])
        assert await post(flat, f"{DESK}/refunds/{refund}/end") == 303
    assert await books(flat) == [("dropped", 60_000), ("due", 40_000), ("due", 60_000)]
    await flat.receive(a_credit(invoice, 0, refund=refund))
    assert await books(flat) == [("refused", 60_000), ("due", 40_000), ("due", 60_000)]
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 100_000


@pytest.mark.promise("T12")
async def test_what_was_dropped_and_may_still_go_counts_in_the_sum_for_two_persons(flats: Flats) -> None:
    flat = await flats.start("payments")
    first = an_invoice(a_line(15_000_000, 0))
    refund = await dropped(flats, flat, first, 15_000_000)
    second = an_invoice(a_line(15_000_000, 0), buyer=first.buyer)
    await wanted(flat, await paid(flat, second), 15_000_000)
    await flat.receive(a_credit(first, 15_000_000, refund=refund))
    assert await books(flat) == [("due", 15_000_000), ("asked", 15_000_000)]
