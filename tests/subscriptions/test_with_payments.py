"""Readers' money from the bank to the books: every fact comes from the flat that says it."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import pytest

from services.payments import gateways, jobs
from services.payments.actions.refunds import ask_refund
from services.payments.simulators import vnpay as simulator
from shared import clock
from shared.contracts.base import Period
from shared.contracts.payments import RefundCompleted
from shared.contracts.subscriptions import InvoiceOpened
from shared.settings import Settings
from tests.conftest import Flat, Flats
from tests.payments import KNOWN, at_bank, money_of, notify, one, paid
from tests.subscriptions.builders import a_package, at, driven, periods, sale_of, subscribed, taxed


async def talk(*flats: Flat) -> list[Any]:
    """Carry facts between flats until none has anything to say; returns them all."""
    said: list[Any] = []
    while heard := [fact for flat in flats for fact in await flat.facts()]:
        for flat in flats:
            await flat.receive(*[fact for fact in heard if type(fact) in flat.kit.consumer.handlers])
            assert await flat.held() == []
        said += heard
    return said


async def send_refunds(payments: Flat) -> None:
    """Send what is due, straight to the simulator of the bank."""

    async def straight(_: Settings, body: dict[str, str]) -> dict[str, Any]:
        async with payments.tx() as tx:
            return dict(await simulator.answer(tx, KNOWN, body))

    before = gateways.wire.set(straight)
    await jobs.send_refunds(payments.kit)
    gateways.wire.reset(before)


async def earned_on(ledger: Flat, asked: InvoiceOpened) -> tuple[date, date]:
    """The first and last day on which the books earn an invoice."""
    line = asked.lines[0].id
    since = await one(ledger, "SELECT since FROM line WHERE id = :id", id=line)
    return since, await one(ledger, "SELECT until FROM line WHERE id = :id", id=line)


async def a_checkout(subscriptions: Flat, person: UUID) -> InvoiceOpened:
    await taxed(subscriptions)
    await subscribed(subscriptions, person, *(await a_package(subscriptions, net_vnd=50_000)))
    (asked,) = await subscriptions.facts()
    assert isinstance(asked, InvoiceOpened)
    return asked


@pytest.mark.promise("S7")
async def test_access_paper_and_books_have_the_days_that_the_money_fixed(flats: Flats) -> None:
    subscriptions, payments, ledger = [
        await flats.start(name) for name in ("subscriptions", "payments", "ledger")
    ]
    with clock.driven(driven(at(date(2026, 12, 31), 23, 50))) as time:
        asked = await a_checkout(subscriptions, clock.new_id())
        time.move_to(at(date(2027, 1, 1), 0, 10))  # type: ignore[attr-defined]
        await paid(payments, asked)
        await talk(subscriptions, payments, ledger)
        (period,) = await periods(subscriptions)
        days = Period(date(2027, 1, 1), date(2027, 1, 31))
        assert (period.start, period.until) == (days.start, date(2027, 2, 1))
        assert await earned_on(ledger, asked) == (days.start, days.end)
        sale = await sale_of(subscriptions, asked.invoice)
        assert (sale.total_vnd, sale.vat_vnd, sale.paid_at is not None) == (54_000, 4_909, True)


@pytest.mark.promise("P7")
async def test_money_that_the_bank_tells_of_when_the_checkout_is_closed_buys_its_month_from_that_day(
    flats: Flats,
) -> None:
    subscriptions, payments, ledger = [
        await flats.start(name) for name in ("subscriptions", "payments", "ledger")
    ]
    with clock.driven(driven(at(date(2026, 3, 2)))) as time:
        asked = await a_checkout(subscriptions, clock.new_id())
        await payments.receive(asked)
        query = await at_bank(payments, asked)
        # The bank is silent: nobody can say any more how this attempt ended.
        await one(payments, "UPDATE attempt SET state = 'expired' RETURNING id")
        time.move_to(at(date(2026, 3, 2), 12))  # type: ignore[attr-defined]
        await subscriptions.tick()
        await talk(subscriptions, payments, ledger)
        assert (await sale_of(subscriptions, asked.invoice)).outcome == "withdrawn"
        time.move_to(at(date(2026, 3, 3)))  # type: ignore[attr-defined]
        assert await notify(payments, query) == "00"
        await talk(subscriptions, payments, ledger)
        (period,) = await periods(subscriptions)
        assert (period.start, period.until) == (date(2026, 3, 3), date(2026, 4, 3))
        assert await earned_on(ledger, asked) == (date(2026, 3, 3), date(2026, 4, 2))
        assert (await sale_of(subscriptions, asked.invoice)).paid_at is not None


@pytest.mark.promise("S8")
@pytest.mark.parametrize(
    ("amount_vnd", "until"),
    [(54_000, date(2026, 11, 10)), (36_000, date(2026, 11, 11)), (10_000, date(2026, 12, 1))],
    ids=["all", "the unused days", "an allowance"],
)
async def test_a_refund_of_the_desk_goes_through_the_seller_and_reaches_the_bank(
    flats: Flats, amount_vnd: int, until: date
) -> None:
    subscriptions, payments = [await flats.start(name) for name in ("subscriptions", "payments")]
    with clock.driven(driven(at(date(2026, 11, 1)))) as time:
        asked = await a_checkout(subscriptions, clock.new_id())
        await paid(payments, asked)
        await talk(subscriptions, payments)
        time.move_to(at(date(2026, 11, 10)))  # type: ignore[attr-defined]
        async with payments.tx() as tx:
            await ask_refund(tx, await money_of(payments, asked), amount_vnd, "goodwill", clock.new_id())
        await talk(subscriptions, payments)
        time.move_to(at(date(2026, 11, 10)) + timedelta(hours=1))  # type: ignore[attr-defined]
        await send_refunds(payments)
        said = await talk(subscriptions, payments)
    (back,) = [fact for fact in said if isinstance(fact, RefundCompleted)]
    assert back.amount_vnd == amount_vnd
    assert (await periods(subscriptions))[0].until == until
    assert (await sale_of(subscriptions, asked.invoice)).credited_vnd == amount_vnd
