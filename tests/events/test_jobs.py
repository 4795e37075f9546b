"""One sponsor, buyer or agency that fails stops no other: each job of events does the rest in the same turn."""

from datetime import timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.events import jobs
from shared import clock
from shared.contracts.events import InvoiceOpened, InvoiceWithdrawn, MessageRequested
from tests.conftest import Flat, Flats
from tests.events import DIGITAL_BANK, TELECOM, a_capture, a_package, an_event
from tests.events.test_consumers import past, run, take
from tests.failing import fails_for, forbid


@pytest.fixture
async def flat(flats: Flats) -> Flat:
    return await flats.start("events")


async def keys(flat: Flat, query: str) -> list[UUID]:
    async with flat.tx() as tx:
        return list(await tx.scalars(sa.text(query)))


async def test_an_instalment_that_cannot_be_invoiced_or_brought_to_mind_stops_no_other(
    flats: Flats, flat: Flat
) -> None:
    start = clock.now() + timedelta(days=60)
    await an_event(flat, starts_at=start, packages=[a_package(exclusive=False)])
    for industry in (DIGITAL_BANK, TELECOM, DIGITAL_BANK):
        fact = await take(flat, industry=industry)
        await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    later = "SELECT id FROM instalment WHERE position = 2 ORDER BY id"
    broken, *others = await keys(flat, later)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = current_date + 10 WHERE position = 2"))
    forbid(flats, flat, "instalment", "id <> %s OR invoice IS NULL", broken)
    await fails_for(jobs.bill_instalments, flat, broken)
    opened = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
    assert [fact.lines[0].id for fact in opened] == others

    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = current_date + 5 WHERE invoice IS NOT NULL"))
    silent, told = others
    forbid(flats, flat, "outbox", "body NOT LIKE %s", f"%{opened[0].return_url}%")
    await fails_for(jobs.remind_of_instalments, flat, silent)
    assert len([fact for fact in await flat.facts() if isinstance(fact, MessageRequested)]) == 1
    assert await keys(flat, "SELECT id FROM instalment WHERE position = 2 AND reminders > 0") == [told]


async def test_a_hold_that_cannot_end_stops_no_other(flats: Flats, flat: Flat) -> None:
    await an_event(flat)
    opened = sorted([(await run(flat, name)).invoice for name in ("An", "Bình", "Chi")])
    await past(flat)
    forbid(flats, flat, "sale", "id <> %s OR withdrawn_at IS NULL", opened[0])
    await fails_for(jobs.withdraw_expired, flat, opened[0])
    gone = [fact.invoice for fact in await flat.facts() if isinstance(fact, InvoiceWithdrawn)]
    assert gone == opened[1:]


async def test_an_agency_whose_stock_cannot_be_counted_stops_no_other(flats: Flats, flat: Flat) -> None:
    for agency in ("bkh", "nld", "tt"):
        await an_event(flat, agency=agency, slug=f"{agency}-run")
    forbid(flats, flat, "recount", "agency <> 'nld'")
    await fails_for(jobs.recount_stock, flat, "nld")
    assert await keys(flat, "SELECT agency FROM recount ORDER BY agency") == ["bkh", "tt"]
