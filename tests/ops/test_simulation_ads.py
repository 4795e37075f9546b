"""The ads' part of a simulated history, on its own: accounts and payments are played by the test."""

import random
from datetime import date, timedelta
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation import ads as simulation
from shared import clock
from shared.calendar import days, start_of
from shared.contracts.ads import DeliveryRecorded, InvoiceOpened
from tests.ads.builders import decide, paid


async def lived(flats, first: date, last: date, scale: float = 1.0):
    flat = await flats.start("ads")
    actors = {"advertisers": [UUID(int=n) for n in range(1, 9)]}
    world = World(flat.kit, random.Random(7), flat.kit.settings, scale, actors, {})
    driven = clock.DrivenClock(start_of(first), 7)
    told = []
    with clock.driven(driven):
        await simulation.begin(world)
        for day in days(first, last):
            driven.move_to(start_of(day) + timedelta(hours=8))
            await simulation.live_day(world, day)
            driven.move_to(start_of(day) + timedelta(hours=23))
            await flat.tick()
            facts = await flat.facts()
            await flat.receive(*(paid(f) for f in facts if isinstance(f, InvoiceOpened)))
            told += facts
        await flat.app.state.server.refresh()
        yield_to = await decide(flat, "home-top", "article-mid", "article-bottom", "section-top")
    return flat, told, yield_to


async def test_a_season_of_orders_is_booked_paid_delivered_and_told_to_the_impression(flats):
    flat, told, ads = await lived(flats, date(2025, 4, 8), date(2025, 5, 12))
    invoices = [f for f in told if isinstance(f, InvoiceOpened)]
    assert {f.agency for f in invoices} == {"baokh", "ktv", "bkh", "tcnt"}
    goals = {line.id: line.earn.quantity for f in invoices for line in f.lines}
    delivered: dict[UUID, int] = {}
    for fact in told:
        if isinstance(fact, DeliveryRecorded):
            delivered[fact.line] = delivered.get(fact.line, 0) + fact.quantity
    assert delivered
    assert all(n <= goals[line] for line, n in delivered.items())
    assert sum(n == goals[line] for line, n in delivered.items()) > len(delivered) / 4
    async with flat.tx() as tx:
        counted = (await tx.execute(sa.text("SELECT line, sum(impressions) FROM rollup GROUP BY line"))).all()
    assert {line: int(n) for line, n in counted} == delivered
    assert [ad["placement"] for ad in ads] == ["home-top", "article-mid", "article-bottom", "section-top"]


async def test_the_same_seed_tells_the_same_facts(flats):
    _, first, _ = await lived(flats, date(2024, 1, 1), date(2024, 1, 10), scale=1.5)
    _, again, _ = await lived(flats, date(2024, 1, 1), date(2024, 1, 10), scale=1.5)
    assert [f.id for f in first] == [f.id for f in again]
