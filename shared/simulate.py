"""Years of business from a seed: six services in one process, a driven clock, real actions, facts pumped day by day."""

import asyncio
import json
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from importlib import import_module
from typing import Any
from zlib import crc32

import sqlalchemy as sa

from shared import agencies, clock, outbox
from shared.calendar import days, start_of
from shared.contracts import Fact
from shared.errors import Refused
from shared.house import House
from shared.settings import SERVICES, Settings

Progress = Callable[[int, int, str], None]
"""Told (days done, days in all, the day in words)."""

SELLERS = ("accounts", "ads", "subscriptions", "events")
COLLECTORS = ("payments", "ledger")

SUNDAY = 6
OPENING_HOUR = 8
CLOSING_HOUR = 23


class AlreadyLived(Refused):
    """The house has a history; a second one would not be the same books."""


@dataclass
class World:
    """What one flat's simulation works with: its house, the seed's randomness, and ids shared between flats."""

    house: House
    random: random.Random
    settings: Settings
    scale: float
    actors: dict[str, list[Any]]
    demo: dict[str, Any]
    end: date = date.max
    """The last day that will be lived; what is on sale then stays unsold where the demo needs it."""
    memory: dict[str, Any] = field(default_factory=dict)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    """Rings when the flat has said something."""


async def simulate(
    settings_of: Callable[[str], Settings],
    start: date,
    end: date,
    seed: int,
    progress: Progress,
    scale: float = 1.0,
) -> dict[str, Any]:
    """Live from one day to another; returns what newcomers need to sign in.

    Each service works with its own settings (`settings_of(name)`), on its own database, through its own actions.
    Raises AlreadyLived when the ledger holds entries.
    """
    actors: dict[str, list[Any]] = {}
    demo: dict[str, Any] = {}
    driven = clock.DrivenClock(start_of(start), seed)
    with clock.driven(driven):
        worlds = {
            name: World(
                house=_house(name, settings_of(name)),
                random=random.Random(crc32(f"{seed}:{name}".encode())),  # noqa: S311 - repeatable on purpose
                settings=settings_of(name),
                scale=scale,
                actors=actors,
                demo=demo,
                end=end,
            )
            for name in SERVICES
        }
        for world in worlds.values():
            outbox.listen(world.house.database.name, world.bell)
        try:
            await _refuse_second(worlds)
            for name, world in worlds.items():
                await _room(name).begin(world)
                await _pump(worlds)
            span = list(days(start, end))
            for n, day in enumerate(span, start=1):
                driven.move_to(max(driven.now(), start_of(day) + timedelta(hours=OPENING_HOUR)))
                await _live(worlds, day, driven)
                progress(n, len(span), f"{day:%d/%m/%Y}")
        finally:
            for world in worlds.values():
                outbox.unlisten(world.house.database.name, world.bell)
                await world.house.stop()
    return demo


def _house(name: str, settings: Settings) -> House:
    consumer = import_module(f"services.{name}.consumers").consumer
    agencies.listen(consumer)
    return House(name, settings, consumer, import_module(f"services.{name}.jobs").jobs, durable=False)


def _room(name: str) -> Any:
    return import_module(f"services.{name}.simulation")


async def _refuse_second(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        async with world.house.database.worker_tx() as tx:
            if await tx.scalar(sa.text("SELECT EXISTS (SELECT FROM fact_log)")):
                raise AlreadyLived("This house has a history already: simulate into an empty NGUONTHU_HOME.")


async def _live(worlds: dict[str, World], day: date, driven: clock.DrivenClock) -> None:
    """One day: the flats sell, then collect; after each, facts flow until quiet.

    On Sundays, at a month's end and on the last day the jobs run too: each catches up with what it missed.
    """
    for names in (SELLERS, COLLECTORS):
        for name in names:
            await _room(name).live_day(worlds[name], day)
        await _pump(worlds)
    if day.weekday() != SUNDAY and (day + timedelta(days=1)).day != 1 and day != worlds["ledger"].end:
        return
    driven.move_to(max(driven.now(), start_of(day) + timedelta(hours=CLOSING_HOUR)))
    for world in worlds.values():
        await world.house.jobs.run_all(world.house)
    await _pump(worlds)


async def _pump(worlds: dict[str, World]) -> None:
    """Move facts from every outbox that was written to, to every consumer, until nothing is left to say."""
    while said := [fact for world in worlds.values() for fact in await _take(world)]:
        for world in worlds.values():
            consumer, database = world.house.consumer, world.house.database
            if heard := [fact for fact in said if type(fact) in consumer.handlers]:
                await consumer.handle(database, heard)
                await consumer.again(database)


async def _take(world: World) -> list[Fact]:
    if not world.bell.is_set():
        return []
    async with world.house.database.worker_tx() as tx:
        facts = await outbox.archive(tx)
    if len(facts) < outbox.ARCHIVED_AT_ONCE:
        world.bell.clear()
    return facts


def write_demo(settings: Settings, demo: dict[str, Any]) -> None:
    """Keep the demo sign-ins and keys where `make up` and the sample newspaper look for them."""
    path = settings.home / "demo.json"
    path.write_text(json.dumps(demo, ensure_ascii=False, indent=2, default=str), encoding="utf-8")
    path.chmod(0o600)


def today() -> date:
    """The local day by the real clock."""
    from shared.calendar import local_day

    return local_day(clock.now())


def opening(day: date) -> datetime:
    return start_of(day) + timedelta(hours=OPENING_HOUR)
