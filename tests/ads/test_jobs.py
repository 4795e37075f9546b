"""One line, order or creative that fails stops no other: each job of ads does the rest in the same turn."""

from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.ads import jobs
from services.ads.actions import delivery
from shared.calendar import start_of
from shared.contracts.ads import CreditGranted, DeliveryRecorded, InvoiceOpened, InvoiceWithdrawn
from tests.ads.builders import (
    Advertiser,
    a_line,
    a_live_order,
    a_rate_card,
    an_image,
    an_order,
    paid,
    review,
    today,
)
from tests.failing import fails_for, forbid


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


async def keys(flat: Any, query: str) -> list[UUID]:
    async with flat.tx() as tx:
        return list(await tx.scalars(sa.text(query)))


async def change(flat: Any, statement: str) -> None:
    async with flat.tx() as tx:
        await tx.execute(sa.text(statement))


async def shown(flat: Any, lines: list[UUID]) -> None:
    async with flat.tx() as tx:
        found = sa.text("SELECT l.agency, l.organisation, c.id FROM line_item l, creative c LIMIT 1")
        agency, organisation, creative = (await tx.execute(found)).one()
        where = (creative, "article-mid", "", start_of(today()), agency, organisation)
        await delivery.add_totals(tx, [delivery.Total(line, *where, 10, 0, 0) for line in lines])


async def submitted(flat: Any, advertiser: Advertiser, agency: str = "bkh") -> UUID:
    """An order in review; returns its creative."""
    order = (await advertiser.post("/orders", an_order(agency=agency))).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    return UUID(creative)


async def test_a_line_that_cannot_be_settled_or_closed_stops_no_other(flats: Any, flat: Any) -> None:
    lines = [a_line(budget_vnd=45_000) for _ in range(3)]
    await a_live_order(flats, flat, Advertiser(flats, flat), *lines)
    broken, *others = await keys(flat, "SELECT id FROM line_item ORDER BY id")
    await shown(flat, [broken, *others])
    forbid(flats, flat, "settled", "line <> %s", broken)
    await fails_for(jobs.settle_delivery, flat, broken)
    assert [fact.line for fact in await flat.facts() if isinstance(fact, DeliveryRecorded)] == others
    # Its last account asks the same of it.
    await change(flat, "UPDATE line_item SET starts_on = starts_on - 30, ends_on = ends_on - 30")
    await fails_for(jobs.close_ended_lines, flat, broken)
    credits_ = [fact for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    assert [part.line for fact in credits_ for part in fact.lines] == others


async def test_an_order_that_cannot_expire_stops_no_other(flats: Any, flat: Any) -> None:
    advertiser = Advertiser(flats, flat)
    for _ in range(3):
        await review(flats, flat, str(await submitted(flat, advertiser)))
    opened = sorted(fact.invoice for fact in await flat.facts() if isinstance(fact, InvoiceOpened))
    await change(flat, "UPDATE sale SET expires_at = now() - interval '1 hour'")
    forbid(flats, flat, "sale", "id <> %s OR withdrawn_at IS NULL", opened[1])
    await fails_for(jobs.expire_unpaid, flat, opened[1])
    gone = [fact.invoice for fact in await flat.facts() if isinstance(fact, InvoiceWithdrawn)]
    assert gone == [opened[0], opened[2]]


async def test_in_the_sandbox_too_one_creative_or_line_that_fails_stops_no_other(
    flats: Any, flat: Any
) -> None:
    advertiser = Advertiser(flats, flat, "bkh-sandbox")
    waiting = sorted([await submitted(flat, advertiser, "bkh-sandbox") for _ in range(3)])
    forbid(flats, flat, "review", "creative <> %s", waiting[0])
    await fails_for(jobs.review_sandbox, flat, waiting[0])
    opened = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
    assert len(opened) == 2
    await flat.receive(*map(paid, opened))
    broken, other = sorted(fact.lines[0].id for fact in opened)
    forbid(flats, flat, "progress", "line <> %s", broken)
    await fails_for(jobs.deliver_sandbox, flat, broken)
    assert await keys(flat, "SELECT line FROM progress") == [other]
