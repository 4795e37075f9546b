"""An instalment is asked for in advance, owed from its event on, and taxed by the day of the one that comes first."""

import asyncio
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.events import jobs
from services.events.actions.catalogue import Details, edit_event
from services.events.queries import sponsorship
from services.events.rules.sponsorships import InstalmentTerms, tax_point
from services.events.tables import EventRow
from shared import clock
from shared.calendar import start_of
from shared.contracts.base import Fact, OnDate
from shared.contracts.events import (
    CreditGranted,
    EarningMoved,
    InvoiceOpened,
    InvoiceWithdrawn,
    OrderSigned,
)
from shared.money import split_after
from shared.sales import Sale, find
from tests.conftest import Flat, Flats
from tests.events import a_capture, a_package, a_refund, an_event
from tests.events.test_consumers import take

pytestmark = pytest.mark.promise("L4")

EVENT = date(2027, 1, 10)
DUE = date(2026, 12, 27)
"""Two weeks before the event, in the year of 8 %."""
GROSS_VND = 108_000_000


@pytest.fixture
def time() -> Iterator[clock.DrivenClock]:
    driven = clock.DrivenClock(start_of(date(2026, 11, 20)) + timedelta(hours=9), 1)
    with clock.driven(driven):
        yield driven


async def told(flat: Flat, *kinds: type[Fact]) -> list[Any]:
    return [fact for fact in await flat.facts() if isinstance(fact, kinds)]


async def signed(
    flat: Flat, *, starts_on: date = EVENT, hour: int = 18, days_before: int = 14
) -> InvoiceOpened:
    """A sponsor under contract, whose second half is due so many days before the event; returns the first invoice."""
    halves = [InstalmentTerms("Đợt 1", 50), InstalmentTerms("Đợt 2", 50, days_before)]
    package = a_package(instalments=halves)
    await an_event(flat, starts_at=start_of(starts_on) + timedelta(hours=hour), packages=[package])
    first = await take(flat)
    await flat.receive(a_capture(first.invoice, first.lines))
    return first


async def asked(flat: Flat, time: clock.DrivenClock, on: date, hour: int = 9) -> list[InvoiceOpened]:
    """What events asks for on a day."""
    time.move_to(start_of(on) + timedelta(hours=hour))
    await jobs.bill_instalments(flat.kit)
    return await told(flat, InvoiceOpened)


async def sale_of(flat: Flat, invoice: InvoiceOpened) -> Sale:
    async with flat.tx() as tx:
        return (await find(tx, [invoice.invoice]))[invoice.invoice]


async def move_event(flat: Flat, to: date) -> None:
    async with flat.tx() as tx:
        event = (await tx.scalars(sa.select(EventRow).with_for_update())).one()
        before = {name: getattr(event, name) for name in Details.__struct_fields__}
        await edit_event(tx, event, Details(**before | {"starts_at": start_of(to) + timedelta(hours=18)}))


async def test_what_is_due_before_its_event_is_asked_for_in_advance_and_owed_from_its_start_on(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    await flat.facts()
    (ahead,) = await asked(flat, time, DUE - timedelta(days=21))
    assert (ahead.collect, ahead.total_vnd) == ("prepaid", GROSS_VND)
    assert ahead.lines[0].vat_vnd == 8_000_000
    assert await asked(flat, time, EVENT, hour=17) == [], "the day has come, the event has not begun"
    (owed,) = await asked(flat, time, EVENT, hour=18)
    assert (owed.invoice, owed.number, owed.collect) == (ahead.invoice, ahead.number, "on_terms")
    assert (owed.due_at, owed.expires_at) == (ahead.due_at, ahead.expires_at)
    (line,) = owed.lines
    assert line.id == ahead.lines[0].id
    assert line.gross_vnd == GROSS_VND, "what was agreed stays"
    again = split_after(GROSS_VND, GROSS_VND, "standard", EVENT)
    assert (line.net_vnd, line.vat_vnd) == (again.net_vnd, again.vat_vnd) == (98_181_818, 9_818_182)
    assert await asked(flat, time, EVENT + timedelta(days=3)) == [], "once"


@pytest.mark.parametrize("days_before", [0, -10])
async def test_what_is_due_on_the_day_or_after_it_is_owed_from_that_day_on_and_due_when_it_was_agreed(
    flats: Flats, time: clock.DrivenClock, days_before: int
) -> None:
    flat = await flats.start("events")
    await signed(flat, days_before=days_before)
    await flat.facts()
    (ahead,) = await asked(flat, time, EVENT - timedelta(days=1))
    (owed,) = await asked(flat, time, EVENT, hour=18)
    assert (ahead.collect, owed.collect) == ("prepaid", "on_terms")
    assert owed.due_at == start_of(EVENT + timedelta(days=1 - days_before))


async def test_what_is_due_long_after_the_event_is_asked_for_and_owed_at_its_start(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat, days_before=-60)
    await flat.facts()
    assert await asked(flat, time, EVENT, hour=17) == []
    ahead, owed = await asked(flat, time, EVENT, hour=18)
    assert ahead.invoice == owed.invoice
    assert (ahead.collect, owed.collect, owed.lines[0].vat_vnd) == ("prepaid", "on_terms", 9_818_182)


async def test_what_was_paid_in_advance_keeps_the_rate_of_its_money_also_when_it_is_credited_after_the_new_year(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    (ahead,) = await asked(flat, time, DUE - timedelta(days=21))
    await flat.receive(a_capture(ahead.invoice, ahead.lines))
    assert await asked(flat, time, EVENT, hour=18) == [], "nothing is owed"
    await flat.receive(a_refund(ahead, 10_800_000))
    (back,) = await told(flat, CreditGranted)
    assert [(line.net_vnd, line.vat_vnd) for line in back.lines] == [(10_000_000, 800_000)]


async def test_what_is_owed_is_credited_by_the_rate_at_which_it_was_owed(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    first = await signed(flat, starts_on=date(2026, 12, 30))
    await flat.facts()
    await asked(flat, time, date(2026, 12, 1))
    (owed,) = await asked(flat, time, date(2026, 12, 30), hour=18)
    time.move_to(start_of(date(2027, 1, 20)))
    await flat.receive(a_refund(first))
    facts = await told(flat, CreditGranted, InvoiceWithdrawn)
    assert [fact.invoice for fact in facts if isinstance(fact, InvoiceWithdrawn)] == [owed.invoice]
    credits_ = {fact.invoice: fact.lines[0] for fact in facts if isinstance(fact, CreditGranted)}
    for invoice in (first, owed):
        back = credits_[invoice.invoice]
        assert (back.net_vnd, back.vat_vnd) == (100_000_000, 8_000_000), "eight, in the year of ten"


async def test_an_event_of_the_last_night_of_the_year_has_its_rate_though_we_come_late(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat, starts_on=date(2026, 12, 31), hour=23)
    await asked(flat, time, date(2026, 12, 20))
    (owed,) = await asked(flat, time, date(2027, 1, 2))
    assert (owed.collect, owed.lines[0].vat_vnd) == ("on_terms", 8_000_000)


async def test_of_an_event_that_gets_another_day_in_time_nothing_is_owed_on_the_old_one(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    (ahead,) = await asked(flat, time, DUE - timedelta(days=21))
    later = date(2028, 6, 1)
    await move_event(flat, later)
    (promised,) = await told(flat, OrderSigned)
    assert [line.earn for line in promised.lines] == [OnDate(later)], "nobody earns it on the old day"
    assert await asked(flat, time, EVENT, hour=18) == []
    time.move_to(start_of(date(2028, 5, 1)))
    await flat.tick()
    assert (await sale_of(flat, ahead)).waits, "it can be paid, however long that takes"
    (owed,) = [fact for fact in await asked(flat, time, later, hour=18) if fact.invoice == ahead.invoice]
    assert (owed.collect, owed.lines[0].earn) == ("on_terms", OnDate(later))


async def test_what_is_owed_stays_owed_where_its_event_gets_another_day_after_all(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    await asked(flat, time, DUE)
    (owed,) = await asked(flat, time, EVENT, hour=18)
    later = date(2027, 3, 1)
    await move_event(flat, later)
    moved = {fact.line: fact.earn for fact in await told(flat, EarningMoved)}
    assert moved[owed.lines[0].id] == OnDate(later)
    assert (await sale_of(flat, owed)).collect == "on_terms"
    assert await asked(flat, time, later, hour=18) == []


async def test_what_is_paid_in_advance_for_an_event_with_another_day_is_earned_on_that(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    (ahead,) = await asked(flat, time, DUE)
    later = date(2027, 3, 1)
    await move_event(flat, later)
    await flat.facts()
    await flat.receive(a_capture(ahead.invoice, ahead.lines))
    (moved,) = await told(flat, EarningMoved)
    assert (moved.line, moved.earn) == (ahead.lines[0].id, OnDate(later))


async def test_money_that_payments_took_before_it_heard_that_it_is_owed_has_paid_in_advance(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    (ahead,) = await asked(flat, time, DUE)
    (owed,) = await asked(flat, time, EVENT, hour=18)
    assert owed.lines[0].vat_vnd == 9_818_182
    await flat.receive(a_capture(ahead.invoice, ahead.lines))
    sale = await sale_of(flat, ahead)
    assert (sale.collect, sale.paid_at is not None) == ("prepaid", True)
    assert (sale.lines, sale.vat_vnd) == (ahead.lines, 8_000_000), (
        "as payments split it, and as it is credited"
    )


async def test_money_and_the_start_of_the_event_at_one_moment_leave_it_paid(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    (ahead,) = await asked(flat, time, DUE)
    time.move_to(start_of(EVENT) + timedelta(hours=18))
    await asyncio.gather(
        jobs.bill_instalments(flat.kit),
        flat.receive(a_capture(ahead.invoice, ahead.lines)),
        move_event(flat, EVENT),
    )
    sale = await sale_of(flat, ahead)
    assert (sale.collect, sale.paid_at is not None) == ("prepaid", True)
    assert await flat.held() == []


async def test_its_page_says_the_tax_of_what_comes_first_as_far_as_that_is_known(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    first = await signed(flat)
    async with flat.tx() as tx:
        key = await tx.scalar(sa.text("SELECT id FROM sponsorship"))

    async def shown() -> tuple[int, int]:
        async with flat.tx() as tx:
            part = (await sponsorship(tx, key)).instalments[1]
        return part.total_vnd, part.vat_vnd

    assert await shown() == (GROSS_VND, 8_000_000), "it is due in December"
    await flat.facts()
    await asked(flat, time, DUE)
    assert await shown() == (GROSS_VND, 8_000_000)
    time.move_to(start_of(date(2027, 1, 2)))
    assert await shown() == (GROSS_VND, 9_818_182), "and was not paid then"
    await asked(flat, time, EVENT, hour=18)
    assert await shown() == (GROSS_VND, 9_818_182)
    assert first.total_vnd == GROSS_VND


def test_the_tax_point_of_an_unpaid_instalment_is_its_due_day_or_today_and_never_after_the_event() -> None:
    assert tax_point(DUE, EVENT, date(2026, 11, 1)) == DUE
    assert tax_point(DUE, EVENT, date(2027, 1, 3)) == date(2027, 1, 3)
    assert tax_point(EVENT + timedelta(days=30), EVENT, date(2026, 11, 1)) == EVENT
    assert tax_point(DUE, EVENT, date(2027, 4, 1)) == EVENT


async def test_an_event_that_gets_another_day_at_the_moment_of_its_start_leaves_nothing_owed(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("events")
    await signed(flat)
    await asked(flat, time, DUE)
    time.move_to(start_of(EVENT) + timedelta(hours=18))
    later = start_of(date(2027, 3, 1))
    async with flat.tx() as tx, asyncio.TaskGroup() as group:
        event = (await tx.scalars(sa.select(EventRow).with_for_update())).one()
        before = {name: getattr(event, name) for name in Details.__struct_fields__}
        await edit_event(tx, event, Details(**before | {"starts_at": later}))
        group.create_task(jobs.bill_instalments(flat.kit))
        await asyncio.sleep(0.3)
        await tx.commit()
    assert await told(flat, InvoiceOpened) == []
