"""The simulated years of events: the demo has what the guide promises, and every count has its cause."""

import random
from collections import Counter
from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation import events as simulation
from shared import clock, contracts
from shared.calendar import days, start_of
from shared.contracts.events import InvoiceOpened
from tests.conftest import Flat, Flats
from tests.events import a_capture


async def live(flats: Flats, first: date, last: date, scale: float = 0.1) -> tuple[Flat, Counter[str], World]:
    """Live from one day to another; whoever is asked to pay pays at once."""
    flat = await flats.start("events")
    seen: Counter[str] = Counter()
    with clock.driven(clock.DrivenClock(start_of(first), 7)) as driven:
        assert isinstance(driven, clock.DrivenClock)
        world = World(
            kit=flat.kit,
            random=random.Random(7),
            settings=flat.kit.settings,
            scale=scale,
            actors={"sponsors": [uuid4() for _ in range(12)], "readers": [uuid4() for _ in range(50)]},
            demo={},
            end=last,
        )
        await simulation.begin(world)
        for day in days(first, last):
            driven.move_to(max(driven.now(), start_of(day) + timedelta(hours=8)))
            await simulation.live_day(world, day)
            await pay(flat, seen)
            driven.move_to(max(driven.now(), start_of(day) + timedelta(hours=23)))
            await flat.tick()
            await pay(flat, seen)
    return flat, seen, world


async def pay(flat: Flat, seen: Counter[str]) -> None:
    while facts := await flat.facts():
        opened = [fact for fact in facts if isinstance(fact, InvoiceOpened)]
        for fact in opened:
            seen[f"{fact.occurred_at:%Y-%m} {fact.collect}"] += 1
        await flat.receive(*[a_capture(f.invoice, f.lines, f.agency, collect=f.collect) for f in opened])
        assert await flat.held() == []


async def rows(flat: Flat, query: str) -> list[Any]:
    async with flat.tx() as tx:
        return list((await tx.execute(sa.text(query))).all())


async def test_the_open_night_run_has_three_gold_packages_left_and_every_count_has_its_cause(
    flats: Flats,
) -> None:
    flat, _, _ = await live(flats, date(2026, 8, 1), date(2026, 11, 23))
    (gold,) = await rows(
        flat,
        "SELECT s.* FROM sellable s JOIN event e ON e.id = s.event JOIN package p ON p.id = s.id "
        "WHERE slug = 'nha-trang-night-run-2026' AND tier = 'gold'",
    )
    assert (gold.capacity, gold.held, gold.sold, gold.price_vnd) == (3, 0, 0, 200_000_000)
    (asked,) = await rows(
        flat, "SELECT count(*) AS n FROM sale WHERE kind = 'instalment' AND opened_at >= '2026-11-01'"
    )
    assert asked.n > 0, "second halves are asked for ahead of the run"
    (recount,) = await rows(flat, "SELECT DISTINCT differences FROM recount")
    assert recount.differences == []
    (open_holds,) = await rows(
        flat, "SELECT count(*) AS n FROM hold WHERE sold_at IS NULL AND freed_at IS NULL"
    )
    assert open_holds.n == 0


async def test_children_come_to_the_day_of_books_for_nothing_and_without_an_invoice(flats: Flats) -> None:
    flat, _, _ = await live(flats, date(2026, 2, 8), date(2026, 4, 12), scale=0.05)
    orders = await rows(
        flat,
        "SELECT sale.id, sale.paid_at, count(bib) AS bibs, count(*) AS tickets FROM sale "
        "JOIN registration r ON r.id = sale.of JOIN entrant e ON e.registration = r.id "
        "WHERE sale.total_vnd = 0 GROUP BY sale.id",
    )
    assert orders
    assert all(order.paid_at and order.bibs == order.tickets for order in orders)
    asked = await rows(flat, "SELECT body FROM fact_log WHERE subject = 'events.invoice.opened.v1'")
    said = {str(contracts.decode(row.body).invoice) for row in asked}
    assert said
    assert not said & {str(order.id) for order in orders}
