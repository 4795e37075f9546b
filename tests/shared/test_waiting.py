"""Who waits: nobody's backlog is before another's facts, what was woken goes first, and many are woken in parts."""

import asyncio
from datetime import timedelta

import pytest
import sqlalchemy as sa

from shared import clock, consume, contracts, waiting
from shared.consume import WAIT_S, Consumer, wait
from shared.contracts.ads import InvoiceWithdrawn
from shared.contracts.payments import InvoiceClosed
from shared.db import Tx
from shared.waiting import VERSION, Waking, arrived
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")

HOUR = timedelta(hours=1)


async def keep(sample, *facts, key="", ago=HOUR):
    """Put facts into the retry table that have been due for a while, and are as old."""
    async with sample.kit.database.worker_tx() as tx:
        for fact in facts:
            await tx.execute(
                sa.text(
                    "INSERT INTO retry (fact_id, subject, body, state, waits_for, since, next_at) "
                    "VALUES (:id, :subject, :body, 'waiting', :key, :then, :then)"
                ),
                {
                    "id": fact.id,
                    "subject": fact.subject(),
                    "body": contracts.encode(fact),
                    "key": key,
                    "then": clock.now() - ago,
                },
            )


async def come(sample, key):
    async with sample.kit.database.worker_tx() as tx:
        arrived(tx, key)


def closed():
    return InvoiceClosed(agency="bkh", invoice=clock.new_id(), seller="ads", outcome="expired")


async def again(sample):
    return await sample.kit.consumer.again(sample.kit.database)


@pytest.mark.promise("F3")
async def test_a_publishers_backlog_is_not_before_the_facts_of_another(sample, monkeypatch):
    monkeypatch.setattr(consume, "TURN", 4)
    await keep(sample, *[withdrawn("after-x") for _ in range(50)])
    late = [closed(), closed()]
    await keep(sample, *late, ago=timedelta(seconds=1))
    assert await again(sample) == 2
    assert [fact in late for fact in sample.seen] == [False, True, False, True]


@pytest.mark.promise("F3")
async def test_what_was_woken_goes_before_all_that_is_due_of_its_publisher(sample, monkeypatch):
    monkeypatch.setattr(consume, "TURN", 2)
    await keep(sample, *[withdrawn("after-x") for _ in range(20)])
    woken = [withdrawn("after-y"), withdrawn("after-y")]
    await keep(sample, *woken, key="after-y", ago=timedelta(seconds=1))
    sample.here.add("after-y")
    await come(sample, "after-y")
    assert await again(sample) == 2
    assert {fact.id for fact in sample.seen} == {fact.id for fact in woken}


async def test_what_is_woken_while_it_is_tried_in_vain_is_tried_again_at_once(sample, monkeypatch):
    await keep(sample, withdrawn("after-x"), key="after-x")
    kept = sample.kit.consumer._keep

    async def late(*given):
        if not sample.here:
            sample.here.add("after-x")
            await come(sample, "after-x")
        await kept(*given)

    monkeypatch.setattr(sample.kit.consumer, "_keep", late)
    assert [await again(sample), await again(sample)] == [0, 1]


async def test_what_a_fact_waits_for_anew_is_looked_for_soon_since_it_may_just_have_come(sample):
    await keep(sample, withdrawn("after-y"), key="after-x")
    began = clock.now()
    assert await again(sample) == 0
    [row] = await sample.rows("SELECT waits_for, since, next_at FROM retry")
    assert row.waits_for == "after-y"
    assert row.next_at - began < timedelta(seconds=10 * WAIT_S)
    assert began - row.since > HOUR / 2, "it is as old as it was"


async def test_a_fact_of_a_batch_that_waits_again_is_as_old_as_it_was_and_tried_as_seldom(sample):
    consumer, fact = Consumer("ads"), withdrawn()

    @consumer.on
    async def note(facts: list[InvoiceWithdrawn], tx: Tx) -> None:
        for each in facts:
            await wait(tx, each, "x")

    await keep(sample, fact, key="x", ago=HOUR / 2)
    began = clock.now()
    await consumer.again(sample.kit.database)
    [row] = await sample.rows("SELECT since, next_at FROM retry")
    assert began - row.since >= HOUR / 2
    assert row.next_at - began >= HOUR / 2


async def versions(sample, count):
    """Put many facts of a version of tomorrow into the retry table."""
    async with sample.kit.database.worker_tx() as tx:
        await tx.execute(
            sa.text(
                "INSERT INTO retry (fact_id, subject, body, state, waits_for, since, next_at) "
                "SELECT gen_random_uuid(), 'ads.invoice.withdrawn.v2', '', 'waiting', :key, :now, :then "
                "FROM generate_series(1, :count)"
            ),
            {"key": VERSION, "now": clock.now(), "then": clock.now() + HOUR, "count": count},
        )


WRITERS = "SELECT xmin::text AS writer, count(*) AS rows, max(next_at) AS latest FROM retry GROUP BY 1"
"""By the transaction that wrote them last, how many rows."""


@pytest.mark.promise("T5")
async def test_however_many_wait_for_a_newer_version_each_transaction_wakes_a_part_once(sample):
    parts = 100
    await versions(sample, parts * waiting.PART)
    waking = Waking()
    for done in range(1, 4):
        await waking.part(sample.kit.database)
        assert sum(row.latest <= clock.now() for row in await sample.rows(WRITERS)) == done
    while not waking.over:
        await waking.part(sample.kit.database)
    written = await sample.rows(WRITERS)
    assert [row.rows for row in written] == [waiting.PART] * parts
    assert all(row.latest <= clock.now() for row in written)
    anew = Waking()
    while not anew.over:
        await anew.part(sample.kit.database)
    assert {row.writer for row in await sample.rows(WRITERS)} == {row.writer for row in written}


@pytest.mark.promise("T5")
async def test_a_part_that_fails_is_woken_next_time_and_holds_up_no_other_fact(sample, monkeypatch):
    await versions(sample, 3)
    fact, part, fails = withdrawn(), Waking.part, [True]

    async def failing(self, database):
        if fails:
            raise OSError("it is away")
        await part(self, database)

    monkeypatch.setattr(Waking, "part", failing)
    await keep(sample, fact)
    running = asyncio.create_task(sample.kit._retry())

    async def handled():
        return [fact.id for fact in sample.seen] == [fact.id]

    try:
        await until(handled)
        before = await sample.rows("SELECT fact_id, next_at FROM retry ORDER BY fact_id")
        fails.clear()

        async def tried():
            return await sample.rows("SELECT fact_id, next_at FROM retry ORDER BY fact_id") != before

        await until(tried)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
