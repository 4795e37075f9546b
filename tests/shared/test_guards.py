"""Each row guards itself: one unreadable, over-long, unnamed or unlucky fact stops nothing but itself."""

import asyncio
from datetime import timedelta

import msgspec
import nats.errors
import pytest
import sqlalchemy as sa

from ops import replay
from shared import bus as buses
from shared import clock, consume, contracts, kit, outbox
from shared.bus import Intake, Relay
from shared.consume import BACKOFF_S, Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.db import Tx
from shared.errors import TooLarge
from shared.kept import Received
from shared.keys import nats_door
from shared.waiting import VERSION, Waking
from tests.sample import withdrawn
from tests.shared.test_facts import later, say, until

pytestmark = pytest.mark.xdist_group("facts")

SUBJECT = InvoiceWithdrawn.subject()


def received(fact, **more):
    """A fact as a newer publisher would send it: with fields that we do not know."""
    body = msgspec.json.encode({**contracts.plain(fact), **more})
    return Received(fact.id, fact.subject(), body)


async def held(sample):
    return await sample.rows("SELECT * FROM retry ORDER BY since, fact_id")


class TestRetry:
    @pytest.mark.promise("F3")
    async def test_an_unreadable_fact_that_is_replayed_is_parked_again_and_the_others_are_tried(self, sample):
        sample.failing = {"bad"}
        broken, bad = Received(clock.new_id(), SUBJECT, b'{"type":'), withdrawn("bad")
        await sample.kit.consumer.receive(sample.kit.database, [broken, received(bad)])
        assert {row.state for row in await held(sample)} == {"parked", "retry"}
        async with sample.kit.database.worker_tx() as tx:  # as `nguonthu facts replay` does
            await tx.execute(sa.text("UPDATE retry SET state = 'retry', attempts = 0, next_at = since"))
        sample.failing = set()
        assert await sample.kit.consumer.again(sample.kit.database) == 1
        [row] = await held(sample)
        assert (row.fact_id, row.state, bytes(row.body)) == (broken.id, "parked", broken.body)
        assert "truncated" in row.error

    @pytest.mark.promise("F3")
    async def test_who_waited_five_times_and_then_fails_once_is_not_parked(self, sample):
        fact = withdrawn("after-x")
        await sample.kit.consumer.handle(sample.kit.database, [fact])
        for _ in range(len(BACKOFF_S) + 1):
            await later(sample, 100)
            await sample.kit.consumer.again(sample.kit.database)
        sample.here, sample.failing = {"after-x"}, {"after-x"}
        await later(sample, 100)
        await sample.kit.consumer.again(sample.kit.database)
        [row] = await held(sample)
        assert (row.state, row.attempts) == ("retry", 1)
        sample.failing = set()
        await later(sample, 100)
        assert await sample.kit.consumer.again(sample.kit.database) == 1

    async def test_what_waits_is_tried_more_seldom_the_longer_it_has_waited(self, sample):
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("after-x")])
        pauses = []
        for ago in (0, 20, 5000):
            async with sample.kit.database.worker_tx() as tx:
                then = {"then": clock.now() - timedelta(seconds=ago)}
                await tx.execute(sa.text("UPDATE retry SET since = :then, next_at = :then"), then)
            began = clock.now()
            await sample.kit.consumer.again(sample.kit.database)
            [row] = await held(sample)
            pauses.append(round((row.next_at - began).total_seconds()))
        assert pauses == [consume.WAIT_S, 20, 3600], "it is woken by what it waits for"

    async def test_what_waits_for_a_text_that_postgresql_cannot_keep_waits(self, sample):
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("after-\0"), withdrawn()])
        [row] = await held(sample)
        assert (row.state, row.waits_for) == ("waiting", "after-?")
        assert len(await sample.rows("SELECT FROM thing")) == 1


class TestWaitingIsNoFailure:
    def busy(self, *, whole):
        """A consumer that needs a lock, for which it waits a moment."""
        consumer = Consumer("ads")

        async def book(tx: Tx):
            await tx.execute(sa.text("SELECT set_config('lock_timeout', '50ms', true)"))
            await tx.execute(sa.text("SELECT pg_advisory_xact_lock(4711)"))

        async def one(fact: InvoiceWithdrawn, tx: Tx) -> None:
            await book(tx)

        async def many(facts: list[InvoiceWithdrawn], tx: Tx) -> None:
            await book(tx)

        consumer.on(many if whole else one)
        return consumer

    @pytest.mark.promise("F3")
    async def test_a_fact_that_waits_for_a_lock_in_vain_counts_no_failure_however_often(self, sample):
        consumer = self.busy(whole=False)
        async with sample.kit.database.worker_tx() as writer:
            await writer.execute(sa.text("SELECT pg_advisory_xact_lock(4711)"))
            await consumer.handle(sample.kit.database, [withdrawn()])
            for _ in range(len(BACKOFF_S) + 1):
                await later(sample, 100)
                await consumer.again(sample.kit.database)
            [row] = await held(sample)
            assert (row.state, row.attempts) == ("retry", 0)
        await later(sample, 100)
        assert await consumer.again(sample.kit.database) == 1

    @pytest.mark.promise("F3")
    async def test_a_batch_whose_only_writer_is_taken_comes_again_and_nothing_of_it_is_kept_or_counted(
        self, sample
    ):
        consumer = self.busy(whole=True)
        batch = [received(withdrawn()) for _ in range(3)]
        async with sample.kit.database.worker_tx() as writer:
            await writer.execute(sa.text("SELECT pg_advisory_xact_lock(4711)"))
            with pytest.raises(sa.exc.OperationalError, match="lock timeout"):
                await consumer.receive(sample.kit.database, batch)
        assert await held(sample) == []
        await consumer.receive(sample.kit.database, batch)
        assert len(await sample.rows("SELECT FROM inbox")) == len(batch)

    @pytest.mark.promise("F3")
    async def test_a_fact_that_comes_while_the_database_has_no_connection_left_comes_again(self, sample):
        consumer, full = Consumer("ads"), [True]

        @consumer.on
        async def note(fact: InvoiceWithdrawn, tx: Tx) -> None:
            if full:
                raise sa.exc.TimeoutError

        fact = withdrawn()
        with pytest.raises(sa.exc.TimeoutError):
            await consumer.handle(sample.kit.database, [fact])
        assert await held(sample) == []
        full.clear()
        await consumer.handle(sample.kit.database, [fact])
        assert len(await sample.rows("SELECT FROM inbox")) == 1


class TestBytes:
    @pytest.mark.promise("T5")
    @pytest.mark.parametrize("reason", ["bad", "after-x"])
    async def test_a_fact_that_is_kept_is_kept_as_it_came_with_fields_that_nobody_here_knows(
        self, sample, reason
    ):
        sample.failing = {"bad"}
        came = received(withdrawn(reason), tomorrow={"of": ["another", "version"]})
        await sample.kit.consumer.receive(sample.kit.database, [came, received(withdrawn())])
        [row] = await held(sample)
        assert bytes(row.body) == came.body
        await later(sample, 100)
        await sample.kit.consumer.again(sample.kit.database)
        [row] = await held(sample)
        assert bytes(row.body) == came.body

    @pytest.mark.promise("T5")
    async def test_a_fact_of_a_batch_that_waits_is_kept_as_it_came(self, sample):
        consumer = Consumer("ads")

        @consumer.on
        async def note(facts: list[InvoiceWithdrawn], tx: Tx) -> None:
            for fact in facts:
                await consume.wait(tx, fact, "x")

        came = received(withdrawn(), tomorrow=1)
        await consumer.receive(sample.kit.database, [came])
        assert [bytes(row.body) for row in await held(sample)] == [came.body]

    @pytest.mark.promise("T5")
    async def test_a_version_that_nobody_here_knows_waits_and_is_told_of(self, sample):
        came = Received(clock.new_id(), "ads.invoice.withdrawn.v2", b"what tomorrow's publishers say")
        await sample.kit.consumer.receive(sample.kit.database, [came, received(withdrawn())])
        for _ in range(len(BACKOFF_S) + 1):
            await later(sample, 10_000)
            await sample.kit.consumer.again(sample.kit.database)
        [row] = await held(sample)
        assert (row.fact_id, row.state, row.waits_for) == (came.id, "waiting", VERSION)
        assert bytes(row.body) == came.body
        assert len(sample.seen) == 1

    @pytest.mark.promise("T5")
    async def test_what_was_dropped_is_neither_tried_nor_told_of_any_more_and_comes_again_in_vain(
        self, sample, stack, monkeypatch
    ):
        tomorrow = received(withdrawn())._replace(subject="ads.invoice.withdrawn.v9")
        receive, told = sample.kit.consumer.receive, []
        await receive(sample.kit.database, [tomorrow])
        at_home = msgspec.structs.replace(stack.settings("ads"), database_prefix="sample_")
        assert replay.drop(at_home, "ads", "nobody hears it", subject=tomorrow.subject)
        await receive(sample.kit.database, [tomorrow])
        await Waking().part(sample.kit.database)
        await later(sample, 10_000)
        assert await sample.kit.consumer.again(sample.kit.database) == 0
        [row] = await held(sample)
        assert (row.state, bytes(row.body), row.attempts) == ("dropped", tomorrow.body, 0)
        assert row.error.endswith("nobody hears it")
        looked = await sample.kit.database.glance(kit._WAITING, {"now": clock.now()})
        assert not looked.retries, "nobody is woken for it"
        monkeypatch.setattr("shared.kit.log.error", lambda what, **_: told.append(what))
        async with sample.kit.database.worker_tx() as tx:
            await tx.execute(sa.text("UPDATE retry SET since = since - interval '1 day'"))
        await kit._alarm(sample.kit)
        assert told == []

    async def test_a_subject_that_only_a_newer_process_has_asked_for_is_not_taken_as_handled(self, sample):
        old, new = Consumer("ads"), sample.kit.consumer
        came = received(withdrawn())
        await old.receive(sample.kit.database, [came])
        assert await sample.rows("SELECT FROM inbox") == []
        assert await new.again(sample.kit.database) == 0, "it is not due"
        await Waking().part(sample.kit.database)
        assert await new.again(sample.kit.database) == 1
        assert [fact.id for fact in sample.seen] == [came.id]


class TestOutbox:
    @pytest.mark.promise("F3")
    async def test_a_fact_larger_than_nats_takes_is_refused_where_it_is_said(self, sample):
        with pytest.raises(TooLarge, match=r"ads.invoice.withdrawn.v1 has 1\d{6} bytes; 1000000 at the most"):
            await say(sample, withdrawn("x" * outbox.MAX_BYTES))
        fact = withdrawn("x" * (outbox.MAX_BYTES - 1000))
        await say(sample, fact)
        with pytest.raises(sa.exc.IntegrityError):
            async with sample.kit.database.worker_tx() as tx:
                await tx.execute(sa.text("UPDATE outbox SET body = body || body"))

    @pytest.mark.promise("F3")
    async def test_a_fact_that_nats_never_takes_is_set_aside_and_told_again_when_it_does(self, line):
        sample, bus, operator = line
        await resize(operator, 1000)
        large, facts = withdrawn("x" * 2000), [withdrawn() for _ in range(3)]
        await say(sample, facts[0], large, *facts[1:])
        assert await Relay(bus, sample.kit.database).publish_once() == 4
        [row] = await sample.rows("SELECT id, aside FROM outbox")
        assert (row.id, "message size exceeds" in row.aside) == (large.id, True)
        assert await Relay(bus, sample.kit.database).publish_once() == 0
        assert len(await sample.rows("SELECT FROM fact_log")) == 3
        await resize(operator, -1)
        async with sample.kit.database.worker_tx() as tx:  # as `nguonthu facts replay` does
            await tx.execute(sa.text("UPDATE outbox SET aside = ''"))
        assert await Relay(bus, sample.kit.database).publish_once() == 1
        assert await sample.rows("SELECT FROM outbox") == []

    async def test_a_row_of_which_no_message_can_be_made_is_set_aside(self, line):
        sample, bus, _ = line
        await say(sample, *[withdrawn() for _ in range(3)])
        async with sample.kit.database.worker_tx() as tx:
            await tx.execute(
                sa.text("UPDATE outbox SET body = '\\xff' WHERE seq = (SELECT min(seq) FROM outbox)")
            )
        assert await Relay(bus, sample.kit.database).publish_once() == 3
        assert [
            bytes(row.body) for row in await sample.rows("SELECT body FROM outbox WHERE aside <> ''")
        ] == [b"\xff"]
        assert len(await sample.rows("SELECT FROM fact_log")) == 2

    @pytest.mark.promise("F3", "T1")
    async def test_of_facts_one_of_which_is_known_what_was_acknowledged_is_moved_though_the_line_breaks(
        self, line, monkeypatch
    ):
        sample, bus, _ = line
        facts = [withdrawn() for _ in range(120)]
        await say(sample, *facts)
        known = facts[60]
        await bus.publish_each([(str(known.id), known.subject(), contracts.encode(known))])
        publish, sent = bus._publish, []

        async def breaking(*fact):
            sent.append(fact)
            if len(sent) in (30, 90):
                raise nats.errors.TimeoutError
            await publish(*fact)

        monkeypatch.setattr(bus, "_publish", breaking)
        relay, left = Relay(bus, sample.kit.database), []
        for _ in range(2):
            with pytest.raises(nats.errors.TimeoutError):
                await relay.publish_once()
            left.append(len(await sample.rows("SELECT FROM outbox")))
        assert left == [120 - buses.PART + 1, 120 - 2 * buses.PART + 2]
        await relay.publish_once()
        assert await sample.rows("SELECT FROM outbox") == []
        assert len(await sample.rows("SELECT DISTINCT id FROM fact_log")) == len(facts)

    @pytest.mark.promise("F3")
    async def test_no_transaction_is_open_while_facts_are_on_their_way(self, line, superuser, monkeypatch):
        sample, bus, _ = line
        await say(sample, withdrawn(), withdrawn())
        publish, open_ones = bus.publish_batch, []

        async def looked_at(facts):
            open_ones.append(
                superuser.execute(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = 'sample_ads' AND xact_start IS NOT NULL"
                ).fetchone()
            )
            return await publish(facts)

        monkeypatch.setattr(bus, "publish_batch", looked_at)
        await Relay(bus, sample.kit.database).publish_once()
        assert open_ones == [(0,)]


class TestOnTheStream:
    @pytest.mark.promise("F3", "T1")
    async def test_neither_a_subject_nor_a_header_that_is_no_text_ends_or_blocks_the_intake(self, line):
        sample, bus, _ = line
        door = nats_door(bus.settings.nats_password, "ads").encode()
        fact = withdrawn()
        body = contracts.encode(fact)
        await spoken(
            bus,
            (door + b".invoice.withdrawn.\xff\xfe", b"", body),
            (door + b".invoice.withdrawn.v1", b"Nats-Msg-Id: \xff\xfe\r\nce-\xff: x\r\n", b"{}"),
            (door + b".invoice.withdrawn.v1", b"Nats-Msg-Id: " + b"9" * 3000 + b"\r\n", b"[]"),
            (door + b".invoice.withdrawn.v1", b"", body),
        )
        running = asyncio.create_task(Intake(bus, sample.kit.database, sample.kit.consumer).run("ads"))

        async def all_there():
            return bool(sample.seen) and len(await held(sample)) == 3

        await until(all_there)
        assert sample.seen == [fact]
        assert sorted(row.state for row in await held(sample)) == ["parked", "parked", "waiting"]

        async def acknowledged():
            return (await Intake(bus, sample.kit.database, sample.kit.consumer).lag())["ads"] == 0

        await until(acknowledged)
        running.cancel()

    @pytest.mark.promise("F3")
    async def test_what_bears_no_id_of_ours_is_parked_once_however_often_it_comes(self, line, monkeypatch):
        sample, bus, _ = line
        door = nats_door(bus.settings.nats_password, "ads")
        await bus.js.publish(f"{door}.invoice.withdrawn.v1", b"{}", headers={"Nats-Msg-Id": "no id"})
        intake = Intake(bus, sample.kit.database, sample.kit.consumer)
        async with intake._subscribed("ads") as subscription:
            [message] = await subscription.fetch(1)
            for _ in range(2):
                await intake.consumer.receive(sample.kit.database, [buses._received(message)])
        assert len(await held(sample)) == 1

    @pytest.mark.promise("T5")
    async def test_a_version_of_tomorrow_is_heard(self, line):
        sample, bus, _ = line
        new = clock.new_id()
        await bus.publish_each(
            [(str(new), "ads.invoice.withdrawn.v2", b'{"type":"ads.invoice.withdrawn.v2"}')]
        )
        running = asyncio.create_task(Intake(bus, sample.kit.database, sample.kit.consumer).run("ads"))

        async def kept():
            return [(row.fact_id, row.waits_for) for row in await held(sample)] == [(new, VERSION)]

        await until(kept)
        running.cancel()


async def resize(operator, size):
    """Change how large a message the stream of ads takes."""
    config = (await operator.js.stream_info("ADS")).config
    await operator.js.update_stream(config, max_msg_size=size)


async def spoken(bus, *messages):
    """Send messages as bytes, past any client: (subject, headers, body)."""
    url = bus.settings.nats_url.split(",")[0].removeprefix("nats://")
    host, port = url.rsplit("@", 1)[-1].split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    given = {"user": "ads", "pass": bus.settings.nats_password, "verbose": False, "headers": True}
    writer.write(b"CONNECT " + msgspec.json.encode(given) + b"\r\n")
    for subject, headers, body in messages:
        head = b"NATS/1.0\r\n" + headers + b"\r\n"
        writer.write(b"HPUB %b %d %d\r\n%b%b\r\n" % (subject, len(head), len(head) + len(body), head, body))
    writer.write(b"PING\r\n")
    while b"PONG" not in (said := await reader.readline()):
        assert b"-ERR" not in said, said
    writer.close()
