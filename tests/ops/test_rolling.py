"""Old and new versions side by side, on the same streams and in the same database, while facts flow."""

import asyncio
import contextlib
from contextvars import ContextVar
from typing import Union

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from ops import streams
from ops.streams import lay_out
from shared import clock, consume, contracts, outbox
from shared.bus import Intake, Relay
from shared.consume import Consumer
from shared.contracts import Fact, base
from shared.contracts.ads import InvoiceWithdrawn, RefundRefused
from shared.db import Tx
from shared.jobs import Jobs
from shared.kit import Kit
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")

newer: ContextVar[bool] = ContextVar("newer", default=False)
"""Which version of the contracts the task under way was built with."""


class Noted(base.InvoiceWithdrawn, frozen=True, kw_only=True, tag=InvoiceWithdrawn.subject()):
    """The same fact and version, which has gained a field."""

    note: str = ""


class WithdrawnAnew(Fact, frozen=True, kw_only=True, tag="ads.invoice.withdrawn.v2"):
    """What could not be said by adding a field."""

    note: str


class Vocabulary(dict):
    """The contracts of two versions in one process: each task knows its own."""

    def __init__(self):
        super().__init__(contracts.ALL)
        self.tomorrow = {**contracts.ALL, Noted.subject(): Noted, WithdrawnAnew.subject(): WithdrawnAnew}
        self.known = {
            version: msgspec.json.Decoder(Union[tuple(kinds.values())])  # noqa: UP007 - built at run time
            for version, kinds in ((False, dict(self)), (True, self.tomorrow))
        }

    def get(self, subject, default=None):
        return (self.tomorrow if newer.get() else super()).get(subject, default)

    def decode(self, body):
        return self.known[newer.get()].decode(body)


@contextlib.asynccontextmanager
async def running(kit, *, new):
    """A whole process of a version: intake, and whatever leads."""
    newer.set(new)
    task = asyncio.create_task(kit._background())
    newer.set(False)
    try:
        yield
    finally:
        kit.intake.stopping = True
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await kit.bus.close()


def old_consumer():
    consumer = Consumer("ads")

    @consumer.on
    async def note(fact: InvoiceWithdrawn, tx: Tx) -> None:
        if fact.reason == "hard":
            raise RuntimeError("only the next version can do this")
        await tx.execute(sa.text("INSERT INTO thing (id, agency) VALUES (:id, 'old')"), {"id": fact.id})

    return consumer


def new_consumer():
    consumer = Consumer("ads")

    @consumer.on
    async def note(fact: Noted | WithdrawnAnew, tx: Tx) -> None:
        await tx.execute(
            sa.text("INSERT INTO thing (id, agency, note) VALUES (:id, 'new', :note)"),
            {"id": fact.id, "note": fact.note},
        )

    return consumer


class Load:
    """Somebody who says facts all the time, now of one version, now of the other."""

    def __init__(self, sample):
        self.sample, self.said, self.upgraded, self.stop = sample, [], False, False

    def facts(self):
        yield withdrawn()
        if self.upgraded:
            more = {"agency": "bkh", "invoice": clock.new_id()}
            yield Noted(**more, reason="easy", note="gained")
            yield Noted(**more, reason="hard", note="gained")
            yield WithdrawnAnew(agency="bkh", note="anew")

    async def run(self):
        while not self.stop:
            facts = list(self.facts())
            async with self.sample.kit.database.worker_tx() as tx:
                await outbox.emit(tx, *facts)
            self.said += facts
            await asyncio.sleep(0.01)


@pytest.mark.promise("T5", "T1")
async def test_a_rolling_upgrade_under_load_loses_and_doubles_nothing(line, stack, monkeypatch):
    sample, _, operator = line
    vocabulary = Vocabulary()
    monkeypatch.setattr(contracts, "ALL", vocabulary)
    monkeypatch.setattr(contracts, "decode", vocabulary.decode)
    monkeypatch.setattr(consume, "BACKOFF_S", (1,) * 100)
    load = Load(sample)
    old, new = (Kit("ads", sample.kit.settings, made(), Jobs("ads")) for made in (old_consumer, new_consumer))
    saying = asyncio.create_task(load.run())

    async def rows(sql):
        return await sample.rows(sql)

    async with contextlib.AsyncExitStack() as house:
        before = contextlib.AsyncExitStack()
        await before.enter_async_context(running(old, new=False))
        await until(lambda: rows("SELECT FROM thing LIMIT 1"))
        with psycopg.connect(
            stack.admin_url("sample_ads"), autocommit=True
        ) as owner:  # the migration expands
            owner.execute("SET lock_timeout = '10s'")
            owner.execute("ALTER TABLE thing ADD COLUMN note text NOT NULL DEFAULT ''")
        await lay_out(stack.settings(), [new.consumer])
        load.upgraded = True
        await until(lambda: rows("SELECT FROM retry WHERE waits_for = 'version' LIMIT 1"))
        await until(lambda: rows("SELECT FROM retry WHERE state = 'retry' LIMIT 1"))
        await house.enter_async_context(running(new, new=True))
        await until(lambda: rows("SELECT FROM thing WHERE agency = 'new' AND note = 'anew' LIMIT 1"))
        assert await rows("SELECT FROM thing WHERE agency = 'old' LIMIT 1"), "both work at the same time"
        await before.aclose()
        load.stop = True
        await saying

        async def all_done():
            intake = Intake(sample.kit.bus, sample.kit.database, new.consumer)
            left = await rows("SELECT FROM outbox LIMIT 1") + await rows("SELECT FROM retry LIMIT 1")
            return not left and (await intake.lag())["ads"] == 0

        await until(all_done, 30)
    heard = {row.id: row for row in await rows("SELECT id, agency, note FROM thing")}
    assert heard.keys() == {fact.id for fact in load.said}
    for fact in load.said:
        if isinstance(fact, WithdrawnAnew) or getattr(fact, "reason", "") == "hard":
            assert (heard[fact.id].agency, heard[fact.id].note) == ("new", fact.note), "kept as it came"
    for kit in (old, new):
        await kit.database.close()
        await kit.redis.aclose()


class TestHeardAnew:
    """A new version listens to more than the one before did."""

    def listening(self, heard, *kinds):
        consumer = Consumer("ads")
        for kind in kinds:

            async def note(fact, tx):
                heard.append(fact)

            note.__annotations__ = {"fact": kind}
            consumer.on(note)
        return consumer

    async def passed_on(self, sample, consumer):
        """Let the consumer handle what the stream and its retry table hold for it."""
        intake = Intake(sample.kit.bus, sample.kit.database, consumer)
        running = asyncio.create_task(intake.run("ads"))

        async def done():
            return (await intake.lag())["ads"] == 0

        await until(done)
        running.cancel()
        await consumer.again(sample.kit.database)

    @pytest.fixture
    async def widened(self, line, stack):
        """What two subjects said while one of them was heard; who hears both from now on; and the operator."""
        sample, bus, _ = line
        operator = msgspec.structs.replace(stack.settings(), database_prefix="sample_")
        fewer, heard = self.listening([], InvoiceWithdrawn), []
        await lay_out(operator, [fewer])
        refused = RefundRefused(agency="bkh", refund=clock.new_id(), invoice=clock.new_id(), reason="late")
        async with sample.kit.database.worker_tx() as tx:
            await outbox.emit(tx, refused, withdrawn())
        await Relay(bus, sample.kit.database).publish_once()
        await self.passed_on(sample, fewer)
        return sample, operator, refused, heard, self.listening(heard, InvoiceWithdrawn, RefundRefused)

    @pytest.mark.promise("T5")
    async def test_what_a_subject_said_before_it_was_heard_is_handed_on_once(self, widened):
        sample, operator, refused, heard, more = widened
        for _ in range(2):
            await lay_out(operator, [more])
            await self.passed_on(sample, more)
        assert heard == [refused]
        assert await sample.rows("SELECT FROM retry") == []

    @pytest.mark.promise("T5")
    async def test_what_is_owed_is_handed_on_by_the_next_migration_where_one_was_cut_off(
        self, widened, line, monkeypatch
    ):
        sample, operator, refused, heard, more = widened
        with monkeypatch.context() as cut, pytest.raises(ConnectionError):
            cut.setattr(streams, "hand_on", _cut_off)
            await lay_out(operator, [more])
        await lay_out(operator, [more])
        await self.passed_on(sample, more)
        assert heard == [refused]
        config = (await line[2].js.consumer_info("ADS", "ads")).config
        assert streams.OWED not in config.metadata


def _cut_off(*_, **__):
    raise ConnectionError
