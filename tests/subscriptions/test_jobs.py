"""One subscription that fails stops no other: each job of subscriptions does the rest in the same turn."""

from datetime import date

import sqlalchemy as sa

from services.subscriptions import jobs
from shared import clock
from shared.contracts.subscriptions import InvoiceOpened, InvoiceWithdrawn, MessageRequested
from tests.conftest import Flats
from tests.failing import fails_for, forbid
from tests.subscriptions.builders import a_package, at, captured, subscribed


async def test_a_subscription_that_cannot_be_renewed_stops_no_other(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(clock.DrivenClock(at(date(2026, 1, 31)), 1)) as driven:
        package = await a_package(flat)
        people = [clock.new_id() for _ in range(4)]
        for person in people:
            await subscribed(flat, person, *package, renewal=True)
        await flat.receive(
            *(captured(fact) for fact in await flat.facts() if isinstance(fact, InvoiceOpened))
        )
        await flat.facts()
        async with flat.tx() as tx:
            mine = list(await tx.scalars(sa.text("SELECT id FROM subscription ORDER BY id")))
        driven.move_to(at(date(2026, 2, 22)))
        forbid(flats, flat, "invoice", "subscription <> %s OR n = 0", mine[0])
        await fails_for(jobs.invite_renewals, flat, mine[0])
        said = await flat.facts()
        opened = [fact.invoice for fact in said if isinstance(fact, InvoiceOpened)]
        assert len(opened) == 3
        assert [fact.person for fact in said if isinstance(fact, MessageRequested)] == people[1:]

        driven.move_to(at(date(2026, 2, 27)))
        forbid(flats, flat, "outbox", "subject NOT LIKE '%%message%%' OR body NOT LIKE %s", f"%{people[2]}%")
        await fails_for(jobs.remind_of_renewals, flat, opened[1])
        told = [fact.person for fact in await flat.facts() if isinstance(fact, MessageRequested)]
        assert told == [people[1], people[3]]

        driven.move_to(at(date(2026, 3, 4)))
        forbid(flats, flat, "sale", "id <> %s OR withdrawn_at IS NULL", opened[2])
        await fails_for(jobs.expire_unpaid, flat, opened[2])
        gone = [fact.invoice for fact in await flat.facts() if isinstance(fact, InvoiceWithdrawn)]
        assert gone == opened[:2]
