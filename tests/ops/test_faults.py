"""Crashes at every step of a fact's way, in the product's own code; and bugs planted in it, which must be caught."""

import asyncio
import inspect
import random
import sys
import textwrap
from contextlib import asynccontextmanager
from contextvars import ContextVar
from functools import wraps
from uuid import UUID

import nats.errors
import psycopg
import pytest
import sqlalchemy as sa
from nats.aio.msg import Msg

from ops import streams
from shared import bus, consume, outbox
from shared.bulk import ForRows
from shared.bus import Bus, Intake, Relay
from shared.consume import Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.db import Database, Tx
from shared.errors import Waits
from tests.sample import withdrawn

pytestmark = pytest.mark.xdist_group("facts")

CRASH = 0.1
"""How likely a process ends right after a commit, or the line loses a fact or an acknowledgement."""

FACTS = 80

STEPS = (
    (Bus, "publish_batch", CRASH),
    (Bus, "publish_each", CRASH),
    (outbox, "forget", CRASH),
    (Consumer, "receive", CRASH),
    (Consumer, "_run", CRASH / 2),
    (Consumer, "_keep", CRASH / 2),
    (Msg, "ack", CRASH / 5),
)
"""What a process may end before, and after, and how likely."""

mortal: ContextVar[bool] = ContextVar("mortal", default=False)
"""Whether the task under way is a process of the product's, which may end at any time."""


class Crash(BaseException):
    """The process ended here: no code of its own learns of it."""


class Fate:
    """What breaks, and when, by a seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def strikes(self, chance=CRASH):
        return mortal.get() and self.random.random() < chance

    def crash(self, chance=CRASH):
        if self.strikes(chance):
            raise Crash

    def at(self, step, chance):
        """A step of the product before and after which a process may end."""

        @wraps(step)
        async def fateful(*args, **kwargs):
            self.crash(chance)
            done = await step(*args, **kwargs)
            self.crash(chance)
            return done

        return fateful

    def on_the_line(self, publish):
        """Publishing on a line that loses a fact, or only its acknowledgement."""

        @wraps(publish)
        async def lossy(*args):
            if self.strikes():
                raise nats.errors.TimeoutError
            await publish(*args)
            if self.strikes():
                raise nats.errors.TimeoutError

        return lossy

    def around(self, transaction):
        """A transaction right after whose commit a process may end."""

        @asynccontextmanager
        async def fateful(database):
            async with transaction(database) as tx:
                yield tx
            self.crash()

        return fateful


class Line:
    """A publisher, a relay, a stream, an intake, a consumer and its retries: the product's own, which end by chance."""

    def __init__(self, sample, fate, fails):
        self.sample, self.fate = sample, fate
        self.said: set = set()
        self.consumer = Consumer("ads")

        @self.consumer.on
        async def count(fact: InvoiceWithdrawn, tx: Tx) -> None:
            if fate.strikes(fails):
                raise RuntimeError("a bug that passes")
            if fate.strikes(fails):
                raise Waits("what comes later")
            await tx.execute(sa.text("INSERT INTO heard (fact, amount) VALUES (:id, 7)"), {"id": fact.id})

    async def write(self):
        """Transactions of one to four facts; some roll back, some commit after a later one."""
        while len(self.said) < FACTS:
            facts = [withdrawn() for _ in range(self.fate.random.randint(1, 4))]
            rolls_back = self.fate.random.random() < 0.2
            async with self.sample.kit.database.worker_tx() as tx:
                await outbox.emit(tx, *facts)
                await asyncio.sleep(self.fate.random.random() * 0.02)
                if rolls_back:
                    await tx.rollback()
            if not rolls_back:
                self.said |= {fact.id for fact in facts}

    async def write_late(self):
        """One transaction takes its number early and commits only after later ones were heard."""
        fact = withdrawn()
        async with self.sample.kit.database.worker_tx() as tx:
            await outbox.emit(tx, fact)
            number = await tx.scalar(sa.text("SELECT seq FROM outbox WHERE id = :id"), {"id": fact.id})
            for _ in range(200):
                if await self.sample.rows(
                    f"SELECT FROM heard JOIN fact_log ON id = fact WHERE seq > {number} LIMIT 1"
                ):
                    break
                await asyncio.sleep(0.05)
        self.said.add(fact.id)

    async def reborn(self, born):
        """A process that is started again whenever it ends."""
        mortal.set(True)
        while True:
            try:
                await born()
            except Crash:
                await asyncio.sleep(0)

    async def relay(self):
        await Relay(self.sample.kit.bus, self.sample.kit.database).run()

    async def intake(self):
        await Intake(self.sample.kit.bus, self.sample.kit.database, self.consumer).run("ads")

    async def retry(self):
        while True:
            await self.consumer.again(self.sample.kit.database)
            await asyncio.sleep(0.01)

    async def live(self, patience_s=60):
        """Run until nothing is on its way any more, or for a bounded number of looks; returns what was heard."""
        running = [asyncio.create_task(self.reborn(born)) for born in (self.relay, self.intake, self.retry)]
        await asyncio.gather(self.write_late(), self.write(), self.write())
        for _ in range(patience_s * 10):
            if not await self.under_way():
                break
            await asyncio.sleep(0.1)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        return [row.fact for row in await self.sample.rows("SELECT fact FROM heard")]

    async def under_way(self):
        """Whether a fact waits in the outbox, the stream or the retry table, or was in the hands of who crashed."""
        for table in ("outbox", "retry"):
            if await self.sample.rows(f"SELECT FROM {table} LIMIT 1"):
                return True
        lag = await Intake(self.sample.kit.bus, self.sample.kit.database, self.consumer).lag()
        return lag != {"ads": 0}


@pytest.fixture
async def line(sample, stack, monkeypatch):
    """A line by its seed, on fresh streams, with small batches, quick deliveries and no pauses between tries."""
    monkeypatch.setattr(streams, "ACK_WAIT_S", 0.2)
    for module, name, value in (
        (bus, "PART", 5),
        (consume, "BACKOFF_S", (0,) * 10_000),
        (consume, "WAIT_S", 0),
        (consume, "WAIT_MAX_S", 0),
    ):
        monkeypatch.setattr(module, name, value)
    operator = Bus(stack.settings(), "operator")
    await operator.connect()
    for stream in await operator.js.streams_info():
        await operator.js.delete_stream(stream.config.name)
    await streams.lay_out(stack.settings(), [sample.kit.consumer])
    await sample.kit.bus.connect()
    with psycopg.connect(stack.admin_url("sample_ads"), autocommit=True) as connection:
        connection.execute("SET ROLE ads_owner")
        connection.execute("CREATE TABLE heard (fact uuid NOT NULL, amount integer NOT NULL)")

    def begun(seed, batch=10, fails=0.08):
        monkeypatch.setattr(bus, "BATCH", batch)
        fate = Fate(seed)
        for owner, name, chance in STEPS:
            monkeypatch.setattr(owner, name, fate.at(getattr(owner, name), chance))
        monkeypatch.setattr(Bus, "_publish", fate.on_the_line(Bus._publish))
        monkeypatch.setattr(Database, "worker_tx", fate.around(Database.worker_tx))
        return Line(sample, fate, fails)

    yield begun
    await operator.close()


@pytest.fixture
def planted(monkeypatch):
    """`planted(Relay.publish_once, right, wrong)`: the product's function, in its place, with one thing wrong."""

    def plant(function, right, wrong):
        source = textwrap.dedent(inspect.getsource(function))
        assert source.count(right) == 1, f"{function.__qualname__} has changed: plant the bug anew"
        module, made = sys.modules[function.__module__], {}
        exec(source.replace(right, wrong), vars(module), made)  # noqa: S102 - ours
        *inside, name = function.__qualname__.split(".")
        owner = getattr(module, inside[0]) if inside else module
        monkeypatch.setattr(owner, name, made[name])

    return plant


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.promise("F3", "T1")
async def test_every_fact_is_heard_exactly_once_whatever_crashes(line, seed):
    run = line(seed)
    heard = await run.live()
    assert sorted(heard) == sorted(run.said), f"repeat with seed {seed}"


async def test_a_relay_without_message_ids_is_still_heard_once_thanks_to_the_inbox(line, planted):
    planted(bus._headers, '"Nats-Msg-Id": fact_id', '"Nats-Msg-Id": str(clock.new_id())')
    run = line(4)
    heard = await run.live()
    assert sorted(heard) == sorted(run.said)


class TestPlantedBugs:
    """The same run must fail for each of these, or it shows nothing."""

    async def test_ack_before_commit_is_caught(self, line, planted):
        handled = (
            "        await self.consumer.receive(self.database, [_received(message) for message in messages])\n"
            "    except BaseException:\n        await self._give_back(messages)\n        raise\n"
        )
        acked = (
            "    for message in messages:\n        self.given_back.pop(_place(message), None)\n"
            "        await message.ack()\n"
        )
        first = "        for message in messages:\n            await message.ack()\n"
        planted(Intake._fetch, handled + acked, first + handled)
        run = line(5, batch=1)
        assert len(set(await run.live())) < len(run.said)

    async def test_deleting_before_publishing_is_caught(self, line, planted):
        published = "    if len(rows) > 1 and "
        planted(
            Relay.publish_once, published, "    await self._settle(rows, [None] * len(rows))\n" + published
        )
        run = line(6, batch=1)
        assert len(set(await run.live())) < len(run.said)

    async def test_moving_what_was_not_acknowledged_is_caught(self, line, planted):
        planted(
            Relay._settle,
            "[row.seq for row, answer in answered if answer is None]",
            "[row.seq for row in rows]",
        )
        run = line(7, batch=1)
        assert len(set(await run.live())) < len(run.said)

    async def test_a_relay_that_remembers_the_last_number_is_caught(self, line, monkeypatch):
        last = "(SELECT coalesce(max(seq), 0) FROM fact_log)"
        following = f"SELECT * FROM outbox WHERE seq > {last} ORDER BY seq LIMIT :limit"
        monkeypatch.setattr(outbox, "NEXT", sa.text(following))
        run = line(8)
        heard = await run.live(patience_s=5)  # what it overlooked stays under way for ever
        assert len(set(heard)) < len(run.said)

    async def test_a_consumer_without_inbox_is_caught(self, line, monkeypatch):
        monkeypatch.setattr(
            consume,
            "_CLAIM",
            ForRows(
                "SELECT id AS fact_id, subject, false AS otherwise, CAST(:now AS timestamptz) FROM given",
                id=UUID,
                subject=str,
                digest=bytes,
            ),
        )
        run = line(9)
        heard = await run.live()
        assert len(heard) > len(run.said)

    async def test_a_retry_that_lets_go_before_it_has_handled_is_caught(self, line, planted):
        handled = "            await self._run("
        planted(Consumer._again, handled, "        async with database.worker_tx() as tx:\n" + handled)
        run = line(10, fails=0.3)
        assert len(set(await run.live())) < len(run.said)

    async def test_a_failure_that_is_not_kept_is_caught(self, line, planted):
        kept = "await self._keep(database, heard[0].came, error)"
        planted(Consumer._handle, kept, "pass")
        run = line(11, fails=0.3)
        assert len(set(await run.live())) < len(run.said)
