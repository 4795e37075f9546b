"""Facts that no honest sender sends: they end, block and silence nobody, and what else is said is heard."""

import asyncio

import pytest
import sqlalchemy as sa

from shared import clock, contracts
from shared.bus import Intake
from shared.contracts.payments import InvoiceClosed
from shared.keys import nats_door
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")


@pytest.mark.promise("T1")
async def test_a_fact_under_the_id_of_anothers_keeps_that_one_from_nobody(sample):
    said = withdrawn()
    truth = InvoiceClosed(id=said.id, agency="bkh", invoice=clock.new_id(), outcome="paid", seller="ads")
    await sample.kit.consumer.handle(sample.kit.database, [said, said])
    async with sample.kit.database.worker_tx() as tx:
        await tx.execute(sa.text("DELETE FROM thing"))
    await sample.kit.consumer.handle(sample.kit.database, [said, truth])
    assert sample.seen == [said, truth]


async def test_a_fact_whose_refusal_names_what_postgresql_cannot_keep_is_kept(sample):
    sample.failing = {"b\0d"}
    await sample.kit.consumer.handle(sample.kit.database, [withdrawn("b\0d")])
    [kept] = await sample.rows("SELECT state, error FROM retry")
    assert (kept.state, "cannot handle b?d" in kept.error) == ("retry", True)


@pytest.mark.promise("T1")
async def test_no_bytes_that_a_publisher_sends_end_or_block_who_hears_it(line):
    sample, bus, _ = line
    fact, subject = withdrawn(), "ads.invoice.withdrawn.v1"
    body = contracts.encode(fact)
    hostile = [
        body[:-1] + b',"more":' + b"[" * 5000 + b"]" * 5000 + b"}",
        body.replace(b"bkh", b"b\xffh"),
        b"[" * 100_000,
    ]
    door = nats_door(bus.settings.nats_password, "ads") + subject.removeprefix("ads")
    # The empty one is last: NATS takes it for the end of what was fetched, and brings the rest half a minute later.
    for sent in (*hostile, body, b""):
        headers = {"Nats-Msg-Id": "no id at all"} if sent is hostile[0] else None
        await bus.js.publish(door, sent, headers=headers)
    running = asyncio.create_task(Intake(bus, sample.kit.database, sample.kit.consumer).run("ads"))

    async def parked():
        rows = await sample.rows("SELECT * FROM retry WHERE state = 'parked'")
        return bool(sample.seen) and len(rows) == len(hostile) + 1

    await until(parked, 20)
    assert not running.done()
    running.cancel()
    assert sample.seen == [fact]
