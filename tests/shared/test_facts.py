"""Outbox, relay, stream, inbox, retry, wait, park: what a service says is heard once, whatever breaks between."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from ops.streams import lay_out
from shared import clock, contracts, outbox
from shared.bus import Intake, Relay
from shared.consume import BACKOFF_S, wait
from shared.leader import LOOK_S, Leader
from shared.waiting import arrived
from tests.sample import withdrawn

pytestmark = pytest.mark.xdist_group("facts")


async def say(sample, *facts):
    async with sample.kit.database.worker_tx() as tx:
        await outbox.emit(tx, *facts)


async def later(sample, seconds):
    """Make what is due in some seconds due now."""
    async with sample.kit.database.worker_tx() as tx:
        await tx.execute(
            sa.text("UPDATE retry SET next_at = next_at - :by"), {"by": timedelta(seconds=seconds)}
        )


async def until(condition, seconds=10):
    for _ in range(int(seconds / 0.05)):
        if await condition():
            return
        await asyncio.sleep(0.05)
    raise AssertionError("It did not happen in time.")


class TestOutbox:
    @pytest.mark.promise("F3")
    async def test_a_fact_of_a_rolled_back_transaction_was_never_said(self, sample):
        with pytest.raises(RuntimeError):
            async with sample.kit.database.worker_tx() as tx:
                await outbox.emit(tx, withdrawn())
                raise RuntimeError
        assert await sample.rows("SELECT * FROM outbox") == []

    async def test_a_fact_carries_the_correlation_of_the_work_that_led_to_it(self, sample):
        outbox.correlation.set("req-1")
        await say(sample, withdrawn())
        async with sample.kit.database.worker_tx() as tx:
            assert [fact.correlation for fact in await outbox.emitted(tx)] == ["req-1"]

    @pytest.mark.parametrize("part", ["", "_early", "_2026", "_2027", "_later"])
    @pytest.mark.parametrize(
        "change", ["UPDATE fact_log{} SET subject = 'x'", "DELETE FROM fact_log{}", "TRUNCATE fact_log{}"]
    )
    async def test_neither_requests_nor_jobs_change_what_was_published(self, sample, change, part):
        database = sample.kit.database
        for entered in (database.web_tx, database.worker_tx):
            with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
                async with entered() as tx:
                    await tx.execute(sa.text(change.format(part)))


class TestConsumer:
    @pytest.mark.promise("F3")
    async def test_the_same_fact_is_handled_once_however_often_it_comes(self, sample):
        fact = withdrawn()
        handle = sample.kit.consumer.handle
        await handle(sample.kit.database, [fact, fact])
        await handle(sample.kit.database, [fact])
        assert sample.seen == [fact]
        assert len(await sample.rows("SELECT * FROM thing")) == 1

    async def test_two_workers_with_the_same_fact_at_once_handle_it_once(self, sample):
        fact = withdrawn()
        handle = sample.kit.consumer.handle
        await asyncio.gather(*(handle(sample.kit.database, [fact]) for _ in range(4)))
        assert len(await sample.rows("SELECT * FROM thing")) == 1
        assert await sample.rows("SELECT * FROM retry") == []

    async def test_one_failing_fact_does_not_hold_up_its_batch_and_is_kept(self, sample):
        sample.failing = {"bad"}
        good, bad = withdrawn(), withdrawn("bad")
        await sample.kit.consumer.handle(sample.kit.database, [good, bad, withdrawn()])
        assert len(await sample.rows("SELECT * FROM thing")) == 2
        [kept] = await sample.rows("SELECT fact_id, state, error, attempts FROM retry")
        assert (kept.fact_id, kept.state) == (bad.id, "retry")
        assert "cannot handle bad" in kept.error

    async def test_a_fact_that_fails_for_a_while_is_tried_again_and_then_done(self, sample):
        sample.failing = {"bad"}
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("bad")])
        assert await sample.kit.consumer.again(sample.kit.database) == 0, "it is not due yet"
        sample.failing = set()
        await later(sample, BACKOFF_S[0])
        assert await sample.kit.consumer.again(sample.kit.database) == 1
        assert await sample.rows("SELECT * FROM retry") == []
        assert len(await sample.rows("SELECT * FROM thing")) == 1

    @pytest.mark.promise("F3")
    async def test_after_the_last_retry_a_fact_is_parked_with_its_error(self, sample):
        sample.failing = {"bad"}
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("bad")])
        for seconds in BACKOFF_S:
            await later(sample, seconds)
            await sample.kit.consumer.again(sample.kit.database)
        [parked] = await sample.rows("SELECT state, attempts, error FROM retry")
        assert (parked.state, parked.attempts) == ("parked", len(BACKOFF_S) + 1)
        assert "cannot handle bad" in parked.error
        seen = len(sample.seen)
        await later(sample, 10_000)
        assert await sample.kit.consumer.again(sample.kit.database) == 0
        assert len(sample.seen) == seen, "a parked fact waits for a person"

    @pytest.mark.promise("F3")
    async def test_a_fact_before_its_predecessor_waits_and_never_parks(self, sample):
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("after-x")])
        for _ in range(8):
            await later(sample, 100)
            await sample.kit.consumer.again(sample.kit.database)
        [waiting] = await sample.rows("SELECT state, waits_for FROM retry")
        assert (waiting.state, waiting.waits_for) == ("waiting", "after-x")

    async def test_the_arrival_of_the_predecessor_releases_the_waiting_fact_at_once(self, sample):
        await sample.kit.consumer.handle(sample.kit.database, [withdrawn("after-x")])
        sample.here.add("after-x")
        assert await sample.kit.consumer.again(sample.kit.database) == 0
        async with sample.kit.database.worker_tx() as tx:
            arrived(tx, "after-x")
        assert await sample.kit.consumer.again(sample.kit.database) == 1

    def test_two_handlers_for_one_fact_are_a_mistake(self, sample):
        with pytest.raises(ValueError, match="twice"):

            @sample.kit.consumer.on
            async def again(fact: contracts.ads.InvoiceWithdrawn, tx: object) -> None: ...


class TestOverNats:
    """The whole way, on the real server."""

    async def info(self, operator):
        return await operator.js.stream_info("ADS")

    @pytest.mark.promise("F3")
    async def test_facts_pass_in_order_and_move_from_the_outbox_to_the_log(self, line):
        sample, bus, operator = line
        facts = [withdrawn() for _ in range(700)]
        await say(sample, *facts)
        relay = Relay(bus, sample.kit.database)
        assert [await relay.publish_once() for _ in range(3)] == [500, 200, 0]
        assert (await self.info(operator)).state.messages == 700
        assert await sample.rows("SELECT * FROM outbox") == []
        assert [r.id for r in await sample.rows("SELECT id FROM fact_log ORDER BY seq")] == [
            f.id for f in facts
        ]
        intake = Intake(bus, sample.kit.database, sample.kit.consumer)
        running = asyncio.create_task(intake.run("ads"))

        async def all_seen():
            return len(sample.seen) >= 700

        await until(all_seen)
        running.cancel()
        assert sample.seen == facts

    @pytest.mark.promise("F3", "F11")
    async def test_a_fact_bears_the_headers_of_a_cloudevent_whether_it_goes_alone_or_in_a_batch(self, line):
        sample, bus, operator = line
        facts = [withdrawn() for _ in range(4)]
        for part in (facts[:1], facts[1:]):
            await say(sample, *part)
            await Relay(bus, sample.kit.database).publish_once()
        for n, fact in enumerate(facts, start=1):
            kept = await operator.js.get_msg("ADS", n)
            sent = {name.lower(): value for name, value in kept.headers.items()}
            assert (sent["ce-id"], sent["ce-type"]) == (str(fact.id), fact.subject())
            assert (sent["ce-source"], sent["ce-specversion"]) == ("/ads", "1.0")
            assert sent["content-type"] == "application/json"

    async def test_a_relay_that_dies_between_publishing_and_commit_says_nothing_twice(self, line):
        sample, bus, operator = line
        await say(sample, *[withdrawn() for _ in range(20)])
        async with sample.kit.database.worker_tx() as tx:
            rows = (await tx.execute(outbox.NEXT, {"limit": 10})).all()
        assert await bus.publish_batch([(str(r.id), r.subject, bytes(r.body)) for r in rows])
        relay = Relay(bus, sample.kit.database)
        assert await relay.publish_once() == 20
        assert (await self.info(operator)).state.messages == 20

    async def test_facts_wait_in_the_outbox_while_nats_is_away(self, line, stack):
        sample, bus, operator = line
        await say(sample, withdrawn())
        await operator.js.delete_stream("ADS")
        relay = Relay(bus, sample.kit.database)
        with pytest.raises(Exception, match=r"(?s).*"):
            await relay.publish_once()
        assert len(await sample.rows("SELECT * FROM outbox")) == 1
        await lay_out(stack.settings(), [])
        assert await relay.publish_once() == 1

    @pytest.mark.promise("F3")
    async def test_the_stream_is_made_as_the_house_promises(self, line):
        _, _, operator = line
        config = (await self.info(operator)).config
        assert (config.storage, config.discard, config.retention) == (
            "file",
            "new",
            "limits",
        )
        assert config.max_bytes > 0
        assert config.max_age == 90 * 86_400
        assert config.deny_delete
        assert config.deny_purge

    async def test_a_fact_that_cannot_be_read_is_parked_and_does_not_block(self, line):
        sample, bus, _ = line
        fact = withdrawn()
        await bus.publish_each(
            [
                (str(clock.new_id()), "ads.invoice.withdrawn.v1", b'{"type":"ads.invoice.withdrawn.v1"}'),
                (str(fact.id), fact.subject(), contracts.encode(fact)),
            ]
        )
        intake = Intake(bus, sample.kit.database, sample.kit.consumer)
        running = asyncio.create_task(intake.run("ads"))

        async def parked():
            return bool(sample.seen) and bool(await sample.rows("SELECT * FROM retry WHERE state = 'parked'"))

        await until(parked)
        running.cancel()
        assert sample.seen == [fact]

    async def test_a_relay_that_runs_publishes_what_is_said_at_once(self, line):
        sample, bus, operator = line
        running = asyncio.create_task(Relay(bus, sample.kit.database).run())
        await say(sample, withdrawn())

        async def gone():
            return not await sample.rows("SELECT * FROM outbox")

        await until(gone, 2)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        assert (await self.info(operator)).state.messages == 1


class TestLeader:
    async def test_one_process_leads_and_another_takes_over(self, sample):
        first, second = (Leader(sample.kit.settings, "ads") for _ in range(2))
        one = asyncio.create_task(first.run(asyncio.Event().wait))

        async def first_leads():
            return first.leading

        await until(first_leads)
        two = asyncio.create_task(second.run(asyncio.Event().wait))
        await asyncio.sleep(0.5)
        assert not second.leading
        one.cancel()
        await asyncio.gather(one, return_exceptions=True)

        async def second_leads():
            return second.leading

        await until(second_leads)
        two.cancel()
        await asyncio.gather(two, return_exceptions=True)

    async def test_a_leader_wakes_the_relay_for_facts_that_another_process_wrote(self, sample):
        kit = sample.kit
        running = asyncio.create_task(kit.leader.run(asyncio.Event().wait, kit._look))

        async def leads():
            return kit.leader.leading

        await until(leads)
        await asyncio.sleep(2 * LOOK_S)
        assert not kit.relay.rung.is_set()
        await say(sample, withdrawn())
        await asyncio.wait_for(kit.relay.rung.wait(), 2 * LOOK_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def test_a_leader_wakes_the_retry_when_a_fact_is_due_and_not_before(self, sample):
        kit, fact, tried = sample.kit, withdrawn(), asyncio.Event()

        async def again(_database):
            tried.set()

        kit.consumer.again = again
        async with kit.database.worker_tx() as tx:
            await wait(tx, fact, "somebody")

        async def work():
            await kit._retry()

        running = asyncio.create_task(kit.leader.run(work, kit._look))
        await asyncio.sleep(3 * LOOK_S)
        assert not tried.is_set()
        async with kit.database.worker_tx() as tx:
            arrived(tx, "somebody")
        await asyncio.wait_for(tried.wait(), 3 * LOOK_S)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    async def test_a_leader_whose_session_is_ended_stops_its_work_and_leads_again(self, sample, superuser):
        leader = Leader(sample.kit.settings, "ads")
        begun, ended = [], []

        async def work():
            begun.append(1)
            try:
                await asyncio.Event().wait()
            finally:
                ended.append(1)

        running = asyncio.create_task(leader.run(work))

        async def once():
            return len(begun) == 1

        await until(once)
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7001"
        )

        async def twice():
            return len(begun) == 2

        await until(twice)
        assert len(ended) == 1
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


class TestRows:
    async def test_row_level_security_holds_even_when_a_query_forgets(self, sample):
        async with sample.kit.database.worker_tx() as tx:
            for agency in ("bkh", "tcnt"):
                await tx.execute(
                    sa.text("INSERT INTO thing (id, agency) VALUES (:id, :agency)"),
                    {"id": clock.new_id(), "agency": agency},
                )
        async with sample.kit.database.web_tx(["bkh"]) as tx:
            assert list(await tx.scalars(sa.text("SELECT agency FROM thing"))) == ["bkh"]
        async with sample.kit.database.web_tx() as tx:
            assert list(await tx.scalars(sa.text("SELECT agency FROM thing"))) == []
        with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
            async with sample.kit.database.web_tx(["bkh"]) as tx:
                await tx.execute(
                    sa.text("INSERT INTO thing (id, agency) VALUES (:id, 'tcnt')"), {"id": clock.new_id()}
                )

    async def test_a_scope_does_not_leak_to_the_next_user_of_the_connection(self, sample):
        async with sample.kit.database.web_tx(["bkh"]) as tx:
            await tx.execute(
                sa.text("INSERT INTO thing (id, agency) VALUES (:id, 'bkh')"), {"id": clock.new_id()}
            )
        for _ in range(10):
            async with sample.kit.database.web.begin() as connection:
                assert (await connection.execute(sa.text("SELECT * FROM thing"))).all() == []

    async def test_a_person_sees_their_own_rows_in_any_agency(self, sample):
        person, other = clock.new_id(), clock.new_id()
        async with sample.kit.database.worker_tx() as tx:
            for who in (person, other):
                await tx.execute(
                    sa.text("INSERT INTO thing (id, agency, person) VALUES (:id, 'tcnt', :who)"),
                    {"id": clock.new_id(), "who": who},
                )
        async with sample.kit.database.web_tx([], person) as tx:
            assert list(await tx.scalars(sa.text("SELECT person FROM thing"))) == [person]
