"""What no honest sender says to subscriptions: each is answered or left alone, and none of it buys a day."""

from datetime import timedelta

import pytest

from services.subscriptions.actions.subscriptions import cancel
from services.subscriptions.queries.periods import refund_offered
from shared import clock
from shared.calendar import local_day
from shared.contracts.payments import ChargebackOpened
from shared.contracts.subscriptions import CreditGranted, MessageRequested, MoneyDeclined, RefundRefused
from shared.selling import MONEY_COMES
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    a_package,
    asked_back,
    captured,
    closed,
    late,
    opened_fact,
    periods,
    subscribed,
)


async def a_flat_with_a_checkout(flats: Flats) -> Flat:
    flat = await flats.start("subscriptions")
    await subscribed(flat, clock.new_id(), *(await a_package(flat)))
    return flat


async def test_money_for_a_sale_that_never_was_is_declined_and_anothers_is_left_alone(flats: Flats) -> None:
    flat = await a_flat_with_a_checkout(flats)
    fact = await opened_fact(flat)
    await flat.receive(late(fact, offered_to="ads"), late(fact, invoice=None))
    assert await flat.facts() == []
    await flat.receive(late(fact, invoice=clock.new_id()))
    (declined,) = await flat.facts()
    assert isinstance(declined, MoneyDeclined)


@pytest.mark.parametrize("amount_vnd", [1, 48_999, 49_001])
async def test_late_money_of_another_amount_buys_nothing(flats: Flats, amount_vnd: int) -> None:
    flat = await a_flat_with_a_checkout(flats)
    fact = await opened_fact(flat)
    await flat.receive(closed(fact, "expired"), late(fact, amount_vnd=amount_vnd))
    (declined,) = await flat.facts()
    assert isinstance(declined, MoneyDeclined)
    assert declined.reason == "other-amount"
    assert await periods(flat) == []


async def test_a_refund_of_what_was_never_paid_is_refused_after_a_day(flats: Flats) -> None:
    time = clock.DrivenClock(clock.now(), 1)
    with clock.driven(time):
        flat = await a_flat_with_a_checkout(flats)
        await flat.receive(asked_back(await opened_fact(flat), 1))
        assert await flat.facts() == [], "the money may be on its way"
        time.move_to(clock.now() + MONEY_COMES)
        await flat.kit.consumer.again(flat.kit.database)
        (refused,) = await flat.facts()
    assert await flat.held() == []
    assert isinstance(refused, RefundRefused)
    assert refused.reason == "nothing-came"


async def test_a_close_that_comes_after_the_money_takes_no_day_away(flats: Flats) -> None:
    flat = await a_flat_with_a_checkout(flats)
    fact = await opened_fact(flat)
    await flat.receive(captured(fact), closed(fact, "expired"), closed(fact, "withdrawn"))
    await flat.receive(closed(fact, "returned"))
    (period,) = await periods(flat)
    assert period.until > period.start


async def test_money_that_comes_twice_for_one_invoice_begins_one_period(flats: Flats) -> None:
    flat = await a_flat_with_a_checkout(flats)
    fact = await opened_fact(flat)
    await flat.receive(captured(fact), captured(fact), captured(fact))
    assert len(await periods(flat)) == 1
    assert [type(told) for told in await flat.facts()] == [MessageRequested], "told once, too"


async def test_what_a_bank_took_back_does_not_go_back_a_second_time_by_cancelling(flats: Flats) -> None:
    flat, person = await flats.start("subscriptions"), clock.new_id()
    opened = await subscribed(flat, person, *(await a_package(flat)))
    fact = await opened_fact(flat)
    money = captured(fact)
    disputed = ChargebackOpened(
        agency="bkh",
        chargeback=clock.new_id(),
        payment=money.payment,
        invoice=fact.invoice,
        amount_vnd=fact.total_vnd,
    )
    await flat.receive(money, disputed)
    async with flat.tx() as tx:
        assert await refund_offered(tx, opened.subscription) == 0
        assert (await cancel(tx, opened.subscription, person=person, at_once=True)).credited_vnd == 0
    assert [said for said in await flat.facts() if isinstance(said, CreditGranted)] == []
    [period] = await periods(flat)
    assert period.until <= local_day(clock.now()) + timedelta(days=1)
