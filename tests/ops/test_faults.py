"""Crashes between every two steps of a fact's way, on the real servers; and planted bugs that must be caught."""

import asyncio
import random
from uuid import UUID

import nats.errors
import pytest
import sqlalchemy as sa

from ops import streams
from shared import consume, outbox
from shared.bulk import ForRows
from shared.bus import Bus, Intake, Relay
from shared.clock import now
from shared.consume import Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.db import Tx
from tests.sample import withdrawn

pytestmark = pytest.mark.xdist_group("facts")

CRASH = 0.35
FACTS = 120


class Crash(nats.errors.Error):
    """The process ended here."""


class Line:
    """A publisher, a relay, a stream, an intake and a consumer, all of which crash by chance."""

    def __init__(self, sample, bus, seed):
        self.sample, self.bus = sample, bus
        self.random = random.Random(seed)
        self.said: set = set()
        self.stop = False
        self.consumer = Consumer("ads")

        @self.consumer.on
        async def count(fact: InvoiceWithdrawn, tx: Tx) -> None:
            await tx.execute(sa.text("INSERT INTO heard (fact, amount) VALUES (:id, 7)"), {"id": fact.id})

    def maybe_crash(self, chance=CRASH):
        if self.random.random() < chance:
            raise Crash

    async def write(self):
        """Transactions of one to four facts; some roll back, some commit after a later one."""
        while len(self.said) < FACTS:
            facts = [withdrawn() for _ in range(self.random.randint(1, 4))]
            try:
                async with self.sample.kit.database.worker_tx() as tx:
                    await outbox.emit(tx, *facts)
                    await asyncio.sleep(self.random.random() * 0.02)
                    self.maybe_crash(0.2)
            except Crash:
                continue
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

    async def relay(self, kind):
        publish = self.bus.publish

        async def crashing(facts):
            self.maybe_crash()
            await publish(facts)
            self.maybe_crash()

        self.bus.publish = crashing
        relay = kind(self.bus, self.sample.kit.database)
        while not self.stop:
            try:
                await relay.publish_once()
            except Crash:
                relay = kind(self.bus, self.sample.kit.database)
            await asyncio.sleep(0.005)

    async def intake(self, kind):
        intake = kind(self.bus, self.sample.kit.database, self.consumer)
        intake.maybe_crash = self.maybe_crash
        async with intake._subscribed("ads") as subscription:
            while not self.stop:
                try:
                    await intake._fetch(subscription)
                except Crash:
                    await asyncio.sleep(0)

    async def live(self, relay=Relay, intake=None, patience_s=60):
        """Run until nothing is on its way any more, or for a bounded number of looks; returns what was heard."""
        running = [
            asyncio.create_task(self.relay(relay)),
            asyncio.create_task(self.intake(intake or CrashingIntake)),
        ]
        await asyncio.gather(self.write_late(), self.write(), self.write())
        for _ in range(patience_s * 10):
            if not await self.under_way():
                break
            await asyncio.sleep(0.1)
        self.stop = True
        await asyncio.gather(*running)
        return [row.fact for row in await self.sample.rows("SELECT fact FROM heard")]

    async def under_way(self):
        """Whether a fact waits in the outbox or the stream, or is in the hands of somebody who crashed with it."""
        if await self.sample.rows("SELECT FROM outbox LIMIT 1"):
            return True
        lag = await Intake(self.bus, self.sample.kit.database, self.consumer).lag()
        return lag != {"ads": 0}


class CrashingIntake(Intake):
    """Crashes after the commit and before the ack."""

    async def _fetch(self, subscription):
        messages = await fetched(subscription)
        if messages:
            self.maybe_crash()
            await self.consumer.handle(self.database, [await self._read(m) for m in messages])
            self.maybe_crash()
            for message in messages:
                await message.ack()


async def fetched(subscription):
    try:
        return await subscription.fetch(20, timeout=0.3)
    except TimeoutError:
        return []


class AckFirst(CrashingIntake):
    async def _fetch(self, subscription):
        messages = await fetched(subscription)
        for message in messages:
            await message.ack()
        if messages:
            self.maybe_crash()
            await self.consumer.handle(self.database, [await self._read(m) for m in messages])


class DeleteFirst(Relay):
    async def publish_once(self):
        async with self.database.worker_tx() as tx:
            rows = (await tx.execute(outbox.CLAIM, {"limit": 100})).all()
            await outbox.forget(tx, [row.seq for row in rows])
        if rows:
            await self.bus.publish([(str(row.id), row.subject, bytes(row.body)) for row in rows])
        return len(rows)


class Watermark(Relay):
    last = 0

    async def publish_once(self):
        async with self.database.worker_tx() as tx:
            found = sa.text(
                "SELECT seq, id, subject, body FROM outbox WHERE seq > :last ORDER BY seq LIMIT 100"
            )
            rows = (await tx.execute(found, {"last": Watermark.last})).all()
            if rows:
                await self.bus.publish([(str(row.id), row.subject, bytes(row.body)) for row in rows])
                await outbox.forget(tx, [row.seq for row in rows])
        Watermark.last = max([Watermark.last, *(row.seq for row in rows)])
        return len(rows)


class NewIds(Relay):
    """Forgets the message id, so that the stream cannot know a repeat; the inbox still does."""

    async def publish_once(self):
        async with self.database.worker_tx() as tx:
            rows = (await tx.execute(outbox.CLAIM, {"limit": 100})).all()
            if rows:
                await self.bus.publish(
                    [(f"{row.id}-{now().timestamp()}", row.subject, bytes(row.body)) for row in rows]
                )
                await outbox.forget(tx, [row.seq for row in rows])
        return len(rows)


@pytest.fixture
async def line(sample, stack, monkeypatch):
    monkeypatch.setattr(streams, "ACK_WAIT_S", 0.2)
    operator = Bus(stack.settings(), "operator")
    await operator.connect()
    for stream in await operator.js.streams_info():
        await operator.js.delete_stream(stream.config.name)
    await streams.lay_out(stack.settings(), [sample.kit.consumer])
    await sample.kit.bus.connect()
    async with sample.kit.database.worker_tx() as tx:
        await tx.execute(sa.text("SELECT 1"))
    import psycopg

    with psycopg.connect(stack.admin_url("sample_ads"), autocommit=True) as connection:
        connection.execute("SET ROLE ads_owner")
        connection.execute("CREATE TABLE heard (fact uuid NOT NULL, amount integer NOT NULL)")
    Watermark.last = 0
    yield lambda seed: Line(sample, sample.kit.bus, seed)
    await operator.close()


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.promise("F3")
async def test_every_fact_is_heard_exactly_once_whatever_crashes(line, seed):
    run = line(seed)
    heard = await run.live()
    assert sorted(heard) == sorted(run.said), f"repeat with seed {seed}"


async def test_a_relay_without_message_ids_is_still_heard_once_thanks_to_the_inbox(line):
    run = line(4)
    heard = await run.live(relay=NewIds)
    assert sorted(heard) == sorted(run.said)


class TestPlantedBugs:
    """The same run must fail for each of these, or it shows nothing."""

    async def test_ack_before_commit_is_caught(self, line):
        run = line(5)
        assert len(set(await run.live(intake=AckFirst))) < len(run.said)

    async def test_deleting_before_publishing_is_caught(self, line):
        run = line(6)
        assert len(set(await run.live(relay=DeleteFirst))) < len(run.said)

    async def test_a_relay_that_remembers_the_last_number_is_caught(self, line):
        run = line(7)
        heard = await run.live(relay=Watermark, patience_s=5)  # what it overlooked stays under way for ever
        assert len(set(heard)) < len(run.said)

    async def test_a_consumer_without_inbox_is_caught(self, line, monkeypatch):
        monkeypatch.setattr(
            consume,
            "_CLAIM",
            ForRows(
                "SELECT id AS fact_id, subject, CAST(:now AS timestamptz) FROM given", id=UUID, subject=str
            ),
        )
        run = line(8)
        heard = await run.live()
        assert len(heard) > len(run.said)
