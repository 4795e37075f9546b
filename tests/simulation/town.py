"""Six flats in one process on a driven clock: facts move only when told, anything may fall over in between."""

import asyncio
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path
from typing import Any, Self

import msgspec
import psycopg
import sqlalchemy as sa
from psycopg import sql
from psycopg.rows import namedtuple_row

from ops.embedded import Stack, bootstrap_databases
from ops.migrate import migrate
from ops.simulation import World
from services.payments import gateways
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as bank
from shared import agencies, clock, outbox
from shared.consume import Consumer
from shared.contracts import SERVICES, Fact
from shared.db import Database, Tx
from shared.errors import Refused
from shared.kit import Kit
from shared.settings import Settings

AGENCY = "bkh"
START = datetime(2026, 12, 20, 2, tzinfo=UTC)
"""Before a year in which the rate of VAT changes."""


Eye = psycopg.Connection[Any]


class Killed(BaseException):
    """The process was killed before its transaction could commit."""


class Mortal(Database):
    """A database whose process may be killed: the transaction then never commits."""

    left: int | None = None
    """How many transactions it still commits before; None for as many as it likes."""

    @asynccontextmanager
    async def worker_tx(self) -> AsyncIterator[Tx]:
        async with super().worker_tx() as tx:
            yield tx
            if self.left is not None:
                self.left -= 1
                if self.left < 0:
                    raise Killed


class Flat:
    """One service: its kit, and the facts that are on their way to it."""

    def __init__(self, name: str, settings: Settings) -> None:
        self.name = name
        self.consumer: Consumer = import_module(f"services.{name}.consumers").consumer
        agencies.listen(self.consumer)
        self.kit = Kit(name, settings, self.consumer, import_module(f"services.{name}.jobs").jobs)
        self.kit.database = self.database = Mortal(settings, name, durable=False)
        self.bell = asyncio.Event()
        outbox.listen(self.database.name, self.bell)
        self.inbox: list[Fact] = []
        self.away = False
        """Whether it hears nothing and does nothing by the clock."""

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Tx]:
        async with self.database.worker_tx() as tx:
            yield tx


class Town:
    """The six flats, one run's chance and clock, the bank, and what was done so far."""

    def __init__(self, flats: dict[str, Flat], eyes: dict[str, Eye], seed: int) -> None:
        self.flats = flats
        self.eyes = eyes
        """Connections that see every row of a flat, for the truths."""
        self.random = random.Random(seed)
        self.clock = clock.DrivenClock(START + timedelta(days=self.random.randint(0, 15)), seed)
        self.silent = False
        """Whether VNPay's server answers nothing."""
        self.told: list[str] = []
        self.actors: dict[str, list[Any]] = {}
        self.things: dict[str, Any] = {}

    def world(self, name: str) -> World:
        """What the simulated history's own functions work with."""
        kit = self.flats[name].kit
        return World(
            kit=kit, random=self.random, settings=kit.settings, scale=0.01, actors=self.actors, demo={}
        )

    def tell(self, text: str) -> None:
        self.told.append(f"{clock.now():%d/%m %H:%M:%S} {text}")

    async def collect(self) -> int:
        """Take what was said out of every outbox and put it before whom it concerns; returns how many facts."""
        found = 0
        for flat in self.flats.values():
            if flat.bell.is_set():
                async with flat.tx() as tx:
                    said = await outbox.archive(tx)
                flat.bell.clear()
                found += len(said)
                for fact in said:
                    self.carry(fact)
        return found

    def carry(self, fact: Fact) -> None:
        for flat in self.flats.values():
            if type(fact) in flat.consumer.handlers:
                flat.inbox.append(fact)

    async def hear(
        self, flat: Flat, most: int | None = None, *, shuffled: bool = False, twice: bool = False
    ) -> None:
        """Hand a flat some of what is on its way to it, in or out of order; `twice` keeps it on its way."""
        if shuffled:
            self.random.shuffle(flat.inbox)
        batch = flat.inbox[:most]
        if not batch:
            return
        await flat.consumer.handle(flat.database, batch)
        if not twice:
            del flat.inbox[: len(batch)]

    async def ask_bank(self, settings: Settings, body: dict[str, str]) -> dict[str, Any]:
        """VNPay's server: silent, or answering and then losing its answer, or well."""
        if self.silent:
            raise gateways.Unanswered("silent")
        async with self.flats["payments"].tx() as tx:
            answer = dict(await bank.answer(tx, vnpay.terminals(settings.vnpay_terminals), body))
        if self.things.get("loses answers") and self.random.random() < 0.5:
            raise gateways.Unanswered("lost")
        return answer


class Ground:
    """Six databases that are made once and emptied for each run."""

    def __init__(self, stack: Stack, home: Path) -> None:
        self.stack = stack
        self.home = home
        self.eyes: dict[str, Eye] = {}
        self._emptied: dict[str, str] = {}
        self._flats: dict[str, Flat] = {}
        prefix = "town_"
        bootstrap_databases(
            stack.admin_url("postgres"),
            stack.settings(),
            [prefix + name for name in SERVICES],
        )
        for name in SERVICES:
            migrate(stack.settings(), name, prefix + name)
            eye = psycopg.connect(stack.admin_url(prefix + name), autocommit=True, row_factory=namedtuple_row)
            self.eyes[name], self._emptied[name] = eye, _truncation(eye)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for eye in self.eyes.values():
            eye.close()

    def flats(self) -> dict[str, Flat]:
        """The six flats as they begin a run; their engines serve all runs of one event loop."""
        if not self._flats:
            self._flats = {name: Flat(name, self._settings(name)) for name in SERVICES}
        for flat in self._flats.values():
            flat.inbox, flat.away, flat.database.left = [], False, None
            flat.bell.clear()
        return self._flats

    async def close(self) -> None:
        for flat in self._flats.values():
            outbox.unlisten(flat.database.name, flat.bell)
            await flat.kit.stop()
        self._flats = {}

    def _settings(self, name: str) -> Settings:
        given = {"database_prefix": "town_", "background": False, "home": self.home, "worker_connections": 3}
        return msgspec.structs.replace(self.stack.settings(name), **given)

    def clear(self) -> None:
        for name, statement in self._emptied.items():
            self.eyes[name].execute(statement)


def _truncation(admin: Eye) -> str:
    """SQL that empties every table in which migrations left nothing."""
    tables = admin.execute(
        "SELECT c.oid::regclass::text FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace "
        "AND c.relkind IN ('r', 'p') AND NOT c.relispartition"
    ).fetchall()
    empty = [
        name
        for (name,) in tables
        if not admin.execute(sql.SQL("SELECT EXISTS (SELECT FROM {})").format(sql.SQL(name))).fetchone()[0]  # type: ignore[index,arg-type]
    ]
    return f"TRUNCATE {', '.join(empty)} RESTART IDENTITY"


@contextmanager
def at_the_bank(town: Town) -> Iterator[None]:
    """Let requests to VNPay reach the town's own bank."""
    token = gateways.wire.set(town.ask_bank)
    try:
        yield
    finally:
        gateways.wire.reset(token)


async def any_row(tx: Tx, town: Town, row: Any, *where: Any) -> Any:
    """A row by chance. Raises Nothing where there is none."""
    key = row.__table__.primary_key.columns
    found = list(await tx.scalars(sa.select(row).where(*where).order_by(*key)))
    if not found:
        raise Nothing("There is nothing to do this to.")
    return town.random.choice(found)


class Nothing(Refused):
    """The deed has nothing that it could be done to."""
