"""The simulated readers, lived with payments that always come."""

import random
from datetime import date, timedelta

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation import subscriptions as simulation
from shared import clock
from shared.calendar import days, start_of
from shared.contracts.accounts import AgencySucceeded
from shared.contracts.subscriptions import InvoiceOpened, MessageRequested
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import captured, closed


async def live(flat: Flat, first: date, last: date, seed: int = 7, scale: float = 1.0) -> dict[str, int]:
    """Live some days and pay everything; returns how often each fact was said, and money by agency."""
    said: dict[str, int] = {}
    driven = clock.DrivenClock(start_of(first), seed)
    with clock.driven(driven):
        world = World(
            kit=flat.kit,
            random=random.Random(seed),
            settings=flat.kit.settings,
            scale=scale,
            actors={"readers": [clock.new_id() for _ in range(round(600 * scale))]},
            demo={},
        )
        await simulation.begin(world)
        await flat.receive(AgencySucceeded(agency="baokh", successor="bkh", on=simulation.MERGER))
        for day in days(first, last):
            driven.move_to(max(driven.now(), start_of(day) + timedelta(hours=8)))
            await simulation.live_day(world, day)
            await pay(flat, said)
            driven.move_to(start_of(day) + timedelta(hours=23))
            await flat.tick()
            await pay(flat, said)
    return said


async def pay(flat: Flat, said: dict[str, int]) -> None:
    facts = await flat.facts()
    for fact in facts:
        said[fact.subject()] = said.get(fact.subject(), 0) + 1
        if isinstance(fact, InvoiceOpened):
            said[fact.agency] = said.get(fact.agency, 0) + fact.total_vnd
    opened = [fact for fact in facts if isinstance(fact, InvoiceOpened)]
    if opened:
        await flat.receive(*(paid for fact in opened for paid in (captured(fact), closed(fact))))


async def test_readers_come_renew_leave_and_follow_the_merger(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    said = await live(flat, date(2025, 3, 1), date(2025, 6, 15), scale=0.6)
    assert said[InvoiceOpened.subject()] > 60
    assert said[MessageRequested.subject()] > 10
    assert said["baokh"] > 0
    assert said["bkh"] > 0
    assert said["tcnt"] > 0
    async with flat.tx() as tx:
        # Readers who bought at the newspaper before the merger renew at its heir, at the price they had.
        moved = await tx.scalar(
            sa.text(
                "SELECT count(*) FROM invoice i JOIN subscription s ON s.id = i.subscription "
                "JOIN price p ON p.id = s.price JOIN sale ON sale.id = i.id "
                "WHERE s.agency = 'baokh' AND sale.agency = 'bkh' AND i.n > 0 "
                "AND CAST(sale.lines -> 0 ->> 'net_vnd' AS bigint) = p.net_vnd"
            )
        )
    assert moved


async def test_the_same_seed_tells_the_same_story(flats: Flats) -> None:
    first = await live(await flats.start("subscriptions"), date(2025, 4, 20), date(2025, 5, 5))
    await flats.close()
    flats._open.clear()
    second = await live(await flats.start("subscriptions"), date(2025, 4, 20), date(2025, 5, 5))
    assert first == second
