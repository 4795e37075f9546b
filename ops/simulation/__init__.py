"""Years of business from a seed: six services, a driven clock, real actions, facts pumped day by day."""

import asyncio
import json
import random
from collections.abc import Callable, Iterable, Mapping
from contextlib import AsyncExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from importlib import import_module
from typing import Any
from zlib import crc32

import sqlalchemy as sa

from ops.keys import SELLERS
from ops.simulation.aside import Aside, Hearing, Said, Told
from shared import agencies, clock, contracts, outbox
from shared.calendar import days, start_of
from shared.contracts import SERVICES, Fact
from shared.errors import Refused
from shared.kit import Kit
from shared.settings import Settings

Progress = Callable[[int, int, str], None]
"""Told (days done, days in all, the day in words)."""

NEWCOMERS = ("accounts",)
COLLECTORS = ("payments", "ledger")
LISTENERS = ("accounts", "ledger")
"""Who answers no fact with another: they hear a day's facts in the evening."""
ASIDE = "ledger"
"""Whom nobody hears and nobody meets: it lives in a process of its own, a little behind the others."""
BESIDE = "ads"
"""Who has most to do while others have something to do: it lives in a process of its own, in step with the others."""

SUNDAY = 6
OPENING_HOUR = 8
CLOSING_HOUR = 23
NEVER = datetime.max.replace(tzinfo=UTC)


class AlreadyLived(Refused):
    """The house has a history; a second one would not be the same books."""


@dataclass
class World:
    """What one flat's simulation works with: its kit, the seed's randomness, and ids shared between flats."""

    kit: Kit
    random: random.Random
    settings: Settings
    scale: float
    actors: dict[str, list[Any]]
    demo: dict[str, Any]
    end: date = date.max
    """The last day that will be lived; what is on sale then stays unsold where the demo needs it."""
    until: datetime = NEVER
    """The present: today is lived only up to here, for nothing in a house is dated in the future."""
    memory: dict[str, Any] = field(default_factory=dict)
    bell: asyncio.Event = field(default_factory=asyncio.Event)
    """Rings when the flat has said something."""
    heard: list[Fact] = field(default_factory=list)
    """Facts on their way to the flat."""
    said: list[Fact] = field(default_factory=list)
    """Facts that the flat has said in a process of its own."""


class Clocks(clock.Clock):
    """A driven clock a flat: flats that work side by side take no instants and no ids from each other."""

    flat: ContextVar[str] = ContextVar("flat", default="")

    def __init__(self, start: datetime, seed: int) -> None:
        self.own = {
            name: clock.DrivenClock(start, crc32(f"{seed}:clock:{name}".encode())) for name in ("", *SERVICES)
        }

    def now(self) -> datetime:
        return self.own[self.flat.get()].now()

    def random_bits(self, bits: int) -> int:
        return self.own[self.flat.get()].random_bits(bits)

    def micros(self) -> int:
        return self.own[self.flat.get()].micros()

    def chance(self) -> float:
        return self.own[self.flat.get()].chance()

    def meet(self) -> None:
        """Bring every flat to where the foremost is: what it said has been said for all."""
        self.move_to(max(own.now() for own in self.own.values()))

    def move_to(self, instant: datetime) -> None:
        for own in self.own.values():
            own.move_to(max(instant, own.now()))


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
    When the last day is today it is lived up to now.
    Raises AlreadyLived when the house has a history, ServiceRuns while one of its services runs.
    """
    until = clock.now()
    clocks = Clocks(start_of(start), seed)
    actors: dict[str, list[Any]] = {}
    demo: dict[str, Any] = {}
    with clock.driven(clocks):
        worlds = {
            name: _world(name, settings_of(name), seed, scale, actors=actors, demo=demo, end=end, until=until)
            for name in SERVICES
        }
        for world in worlds.values():
            outbox.listen(world.kit.database.name, world.bell)
        try:
            async with AsyncExitStack() as standing_in:
                for world in worlds.values():
                    await standing_in.enter_async_context(world.kit.leader.standing_in())
                await _refuse_second(worlds)
                asides = {
                    name: await standing_in.enter_async_context(
                        Aside(_live_aside, name, settings_of(name), seed, scale, start, until)
                    )
                    for name in (ASIDE, BESIDE)
                }
                town = Town(worlds, clocks, until, asides)
                await town.begin(start)
                span = list(days(start, end))
                for n, day in enumerate(span, start=1):
                    await town.live(day, last=day == end)
                    progress(n, len(span), f"{day:%d/%m/%Y}")
        finally:
            for world in worlds.values():
                outbox.unlisten(world.kit.database.name, world.bell)
                await world.kit.stop()
    return demo


async def _live_aside(
    told: Hearing, name: str, settings: Settings, seed: int, scale: float, start: date, until: datetime
) -> None:
    """What a process aside does: one act after the other, and it tells what the flat says where that is asked."""
    clocks = Clocks(start_of(start), seed)
    Clocks.flat.set(name)
    with clock.driven(clocks):
        world = _world(name, settings, seed, scale, actors={}, demo={}, until=until)
        try:
            for step in told:
                clocks.move_to(step.instant)
                world.actors.update(step.actors)
                world.heard += [contracts.decode(fact) for fact in step.facts]
                # In a task of its own, so that no act takes what follows for an answer to itself.
                await asyncio.create_task(ACTS[step.act](world, step.day))
                said: list[Fact] = []
                while facts := await _archived(world):
                    said += facts
                if step.asked:
                    told.answer(Said(clocks.own[name].instant, [contracts.encode(fact) for fact in said]))
        finally:
            await world.kit.stop()


def _world(name: str, settings: Settings, seed: int, scale: float, **shared: Any) -> World:
    own = random.Random(crc32(f"{seed}:{name}".encode()))  # noqa: S311 - repeatable on purpose
    return World(kit=_kit(name, settings), random=own, settings=settings, scale=scale, **shared)


class Town:
    """The six flats, their clocks, and the days they live."""

    def __init__(
        self, worlds: dict[str, World], clocks: Clocks, until: datetime, asides: Mapping[str, Aside]
    ) -> None:
        self.worlds = worlds
        self.clocks = clocks
        self.until = until
        self.asides = asides

    async def begin(self, day: date) -> None:
        """Make each flat's demo catalogue, one after the other: later ones meet the people of earlier ones."""
        for world in self.worlds.values():
            self.clocks.meet()
            # In no task of its own: payments sets for all days to come how it reaches the bank.
            await self._do(world, "begin", day)
            await self.pump(day)

    async def live(self, day: date, *, last: bool) -> None:
        """One day: people come, the flats sell, then collect; after each, facts flow until quiet.

        On Sundays, at a month's end and on the last day the jobs run too: each catches up with what it missed.
        """
        self._move_to(day, OPENING_HOUR)
        for names in (NEWCOMERS, SELLERS, COLLECTORS):
            await self._side_by_side((self.worlds[name] for name in names), "live_day", day)
            await self.pump(day, () if names == COLLECTORS else LISTENERS)
        if last or day.weekday() == SUNDAY or (day + timedelta(days=1)).day == 1:
            self._move_to(day, CLOSING_HOUR)
            await self._side_by_side(self.worlds.values(), "run_jobs", day)
            await self.pump(day)

    def _move_to(self, day: date, hour: int) -> None:
        self.clocks.move_to(min(start_of(day) + timedelta(hours=hour), self.until))

    async def pump(self, day: date, patient: Iterable[str] = ()) -> None:
        """Move facts from every outbox that was written to, to every consumer, until nothing is left to say.

        What is meant for the patient is kept for them: one large batch costs less than several small ones.
        """
        listening = [world for name, world in self.worlds.items() if name not in patient]
        while True:
            said = [fact for world in self.worlds.values() for fact in await _take(world)]
            for world in self.worlds.values():
                world.heard += [fact for fact in said if type(fact) in world.kit.consumer.handlers]
            hearing = [world for world in listening if world.heard]
            if not said and not hearing:
                return
            await self._side_by_side(hearing, "hear", day)

    async def _side_by_side(self, worlds: Iterable[World], act: str, day: date) -> None:
        """Let flats work at the same time: one thinks while another waits for its database."""
        self.clocks.meet()
        async with asyncio.TaskGroup() as group:
            for world in worlds:
                group.create_task(self._do(world, act, day))

    async def _do(self, world: World, act: str, day: date) -> None:
        name = world.kit.service
        Clocks.flat.set(name)
        if name not in self.asides:
            await ACTS[act](world, day)
            return
        facts, world.heard = [contracts.encode(fact) for fact in world.heard], []
        if name == ASIDE:
            await self.asides[name].tell(Told(act, day, clock.now(), facts))
            return
        own = self.clocks.own[name]
        said = await self.asides[name].ask(Told(act, day, own.instant, facts, world.actors))
        own.move_to(said.instant)
        world.said += [contracts.decode(fact) for fact in said.facts]


async def _begin(world: World, _day: date) -> None:
    await _room(world.kit.service).begin(world)


async def _live_day(world: World, day: date) -> None:
    await _room(world.kit.service).live_day(world, day)


async def _run_jobs(world: World, _day: date) -> None:
    await world.kit.jobs.run_all(world.kit)


async def _hear(world: World, _day: date) -> None:
    heard, world.heard = world.heard, []
    consumer, database = world.kit.consumer, world.kit.database
    await consumer.handle(database, heard)
    if consumer.kept:
        await consumer.again(database)
        async with database.worker_tx() as tx:
            consumer.kept = bool(await tx.scalar(sa.text("SELECT EXISTS (SELECT FROM retry)")))


ACTS = {"begin": _begin, "live_day": _live_day, "run_jobs": _run_jobs, "hear": _hear}


def _kit(name: str, settings: Settings) -> Kit:
    consumer = import_module(f"services.{name}.consumers").consumer
    agencies.listen(consumer)
    return Kit(name, settings, consumer, import_module(f"services.{name}.jobs").jobs, durable=False)


def _room(name: str) -> Any:
    return import_module(f"ops.simulation.{name}")


async def _refuse_second(worlds: dict[str, World]) -> None:
    for world in worlds.values():
        async with world.kit.database.worker_tx() as tx:
            if await tx.scalar(sa.text("SELECT EXISTS (SELECT FROM fact_log)")):
                raise AlreadyLived("This house has a history already: simulate into an empty NGUONTHU_HOME.")


async def _take(world: World) -> list[Fact]:
    if world.said:
        facts, world.said = world.said, []
        return facts
    if not world.bell.is_set():
        return []
    facts = await _archived(world)
    if len(facts) < outbox.ARCHIVED_AT_ONCE:
        world.bell.clear()
    return facts


async def _archived(world: World) -> list[Fact]:
    async with world.kit.database.worker.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        return await outbox.archive(connection)


def write_demo(settings: Settings, demo: dict[str, Any]) -> None:
    """Keep the demo sign-ins and keys where `make up` and the sample newspaper look for them."""
    path = settings.home / "demo.json"
    path.write_text(json.dumps(demo, ensure_ascii=False, indent=2, default=str), encoding="utf-8")
    path.chmod(0o600)


def today() -> date:
    """The local day by the real clock."""
    from shared.calendar import local_day

    return local_day(clock.now())
