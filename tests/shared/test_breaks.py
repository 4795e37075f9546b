"""A fact whose handling ends its own connection to the database stops nobody else, and is parked like any other."""

import asyncio
import contextlib
import os
import signal

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from shared import db
from shared.consume import BACKOFF_S, Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.db import Database, Tx
from shared.jobs import Jobs
from shared.kit import Kit
from tests.cut import line_to
from tests.sample import withdrawn
from tests.shared.test_facts import later, until
from tests.shared.test_guards import held

pytestmark = [pytest.mark.xdist_group("facts"), pytest.mark.promise("F3", "T7")]


async def ended(tx: Tx) -> None:
    """By its own statement, as a fault in the server ends a session."""
    await tx.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def idle(tx: Tx) -> None:
    """It thinks for longer than a transaction may be left open."""
    await tx.execute(sa.text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
    await asyncio.sleep(0.3)
    await tx.execute(sa.text("SELECT 1"))


async def endless(tx: Tx) -> None:
    """Its statement takes longer than one may."""
    await tx.execute(sa.text("SET LOCAL statement_timeout = '50ms'"))
    await tx.execute(sa.text("SELECT pg_sleep(10)"))


BAD = {"ended": ended, "idle": idle, "endless": endless}


@pytest.fixture
def listening(stack):
    """Makes consumers that do by the reason of a fact what is bad, and else note the fact."""

    async def crash(tx: Tx) -> None:
        """It brings its backend down, and with that all sessions of the server, which recovers what is on the disk."""
        number = await tx.scalar(sa.text("SELECT pg_backend_pid()"))
        async with await psycopg.AsyncConnection.connect(stack.admin_url(), autocommit=True) as superuser:
            await superuser.execute("CHECKPOINT")
        os.kill(number, signal.SIGKILL)
        await tx.execute(sa.text("SELECT 1"))

    def make(*, whole: bool = False, **more) -> Consumer:
        consumer, kinds = Consumer("ads"), {**BAD, "crash": crash, **more}

        async def one(fact: InvoiceWithdrawn, tx: Tx) -> None:
            if fact.reason in kinds:
                await kinds[fact.reason](tx)
            await tx.execute(
                sa.text("INSERT INTO thing (id, agency) VALUES (:id, :agency)"),
                {"id": fact.id, "agency": fact.agency},
            )

        async def many(facts: list[InvoiceWithdrawn], tx: Tx) -> None:
            for fact in facts:
                await one(fact, tx)

        consumer.on(many if whole else one)
        return consumer

    return make


async def tried(sample, consumer) -> None:
    """Have what is held tried until it has failed once more; a turn that loses its connection is no try yet."""
    [before] = await held(sample)
    await later(sample, 1000)
    for _ in range(4):
        with contextlib.suppress(sa.exc.OperationalError):
            await consumer.again(sample.kit.database)
        [row] = await held(sample)
        if row.attempts > before.attempts:
            return
    raise AssertionError("It fails for ever, and nobody counts.")


@pytest.mark.parametrize("whole", [False, True], ids=["one by one", "whole batches"])
@pytest.mark.parametrize("bad", [*BAD, "crash"])
async def test_the_good_facts_of_its_batch_are_handled_and_it_is_kept_with_one_failure(
    sample, listening, bad, whole
):
    consumer, poison = listening(whole=whole), withdrawn(bad)
    await consumer.handle(sample.kit.database, [withdrawn(), poison, withdrawn()])
    assert len(await sample.rows("SELECT FROM thing")) == 2
    [row] = await held(sample)
    assert (row.fact_id, row.state, row.attempts) == (poison.id, "retry", 1)


@pytest.mark.parametrize("bad", BAD)
async def test_it_is_parked_after_as_many_failures_as_any_other_and_hinders_nobody_meanwhile(
    sample, listening, bad
):
    consumer = listening()
    await consumer.handle(sample.kit.database, [withdrawn(bad)])
    for _ in BACKOFF_S:
        await consumer.handle(sample.kit.database, [withdrawn()])
        await tried(sample, consumer)
    [row] = await held(sample)
    assert (row.state, row.attempts) == ("parked", len(BACKOFF_S) + 1)
    assert len(await sample.rows("SELECT FROM thing")) == len(BACKOFF_S)


async def test_one_that_brings_the_whole_server_down_is_counted_by_who_leads_again_after_it(
    sample, listening
):
    consumer = listening()
    await consumer.handle(sample.kit.database, [withdrawn("crash")])
    await later(sample, 1000)
    flat = Kit("ads", sample.kit.settings, consumer, Jobs("ads"))

    async def counted():
        with contextlib.suppress(sa.exc.OperationalError):
            return [row.attempts for row in await held(sample)] == [2]
        return False

    running = asyncio.create_task(flat.leader.run(flat._lead, flat._look))
    await until(counted, 60)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await flat.stop()


@pytest.mark.parametrize("again", [False, True], ids=["when it comes", "when it is tried again"])
async def test_a_database_that_is_away_for_all_is_nobodys_failure(sample, listening, monkeypatch, again):
    monkeypatch.setattr(db, "ANSWERS_S", 0.5)
    fact, times = withdrawn("cut"), 4
    async with line_to(sample.kit.settings.postgres_url) as (line, url):
        far = Database(msgspec.structs.replace(sample.kit.settings, postgres_url=url), "ads")

        async def cut(_tx: Tx) -> None:
            if times:
                line.cut()

        consumer = listening(cut=cut)
        if again:
            sample.failing = {"cut"}
            await sample.kit.consumer.handle(sample.kit.database, [fact])
        while times:
            await later(sample, 1000)
            with pytest.raises(sa.exc.OperationalError):
                await (consumer.again(far) if again else consumer.handle(far, [fact]))
            with pytest.raises(sa.exc.OperationalError):
                await consumer.again(far)
            line.mend()
            times -= 1
            assert [row.attempts for row in await held(sample)] == [1] * again
        await far.close()


async def test_one_misfortune_is_forgotten_when_the_fact_has_been_handled(sample, listening):
    left, seen = [2], []

    async def unlucky(tx: Tx) -> None:
        seen.append(tx)
        if left[0]:
            left[0] -= 1
            await ended(tx)

    consumer = listening(unlucky=unlucky)
    await consumer.handle(sample.kit.database, [withdrawn(), withdrawn("unlucky")])
    assert await held(sample) == []
    assert not consumer.broke
    assert len(await sample.rows("SELECT FROM thing")) == 2
