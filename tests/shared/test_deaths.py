"""A fact that ends the process which handles it is parked after some ends, and takes no other with it."""

import asyncio

import pytest

from shared import bus, contracts
from shared.bus import Intake
from shared.consume import DEATHS
from shared.kept import Received
from tests.sample import withdrawn
from tests.shared.test_facts import later, until

pytestmark = [pytest.mark.xdist_group("facts"), pytest.mark.promise("F3")]


class Death(BaseException):
    """The process is gone: nothing after it is done."""


@pytest.fixture
def deadly(sample, monkeypatch):
    """A consumer whose process dies of a reason; `anew` begins the next one, which remembers nothing."""
    handle = sample.kit.consumer._run

    async def run(tx, heard):
        if any(fact.reason == "deadly" for fact, _ in heard):
            raise Death
        await handle(tx, heard)

    monkeypatch.setattr(sample.kit.consumer, "_run", run)
    return sample


def anew(sample) -> None:
    sample.kit.consumer.begun = []
    sample.kit.consumer.broke.clear()


async def test_what_ends_each_process_that_tries_it_is_parked_and_the_others_are_handled(deadly):
    consumer, database = deadly.kit.consumer, deadly.kit.database
    good = [withdrawn() for _ in range(5)]
    bad = withdrawn("deadly")
    for fact in (*good[:2], bad, *good[2:]):
        await consumer.set_apart(database, received(fact))
    deaths = 0
    for _ in range(20):
        try:
            await consumer.again(database)
        except Death:
            deaths += 1
            anew(deadly)
    assert deaths == DEATHS
    assert {fact.id for fact in deadly.seen} == {fact.id for fact in good}
    [parked] = await deadly.rows("SELECT fact_id, state, error FROM retry")
    assert (parked.fact_id, parked.state) == (bad.id, "parked")
    assert f"ended {DEATHS} times in a row" in parked.error


async def test_an_end_that_the_process_survived_counts_for_nobody(deadly):
    consumer, database = deadly.kit.consumer, deadly.kit.database
    await consumer.set_apart(database, received(withdrawn("deadly")))
    for _ in range(2 * DEATHS):
        with pytest.raises(Death):
            await consumer.again(database)
    assert [row.state for row in await deadly.rows("SELECT state FROM retry")] == ["retry"]


async def test_a_fact_that_failed_and_was_written_down_ends_nobody(sample):
    sample.failing = {"bad"}
    consumer, database = sample.kit.consumer, sample.kit.database
    await consumer.set_apart(database, received(withdrawn("bad")))
    await consumer.again(database)
    [kept] = await sample.rows("SELECT state, attempts, begun FROM retry")
    assert (kept.state, kept.attempts, kept.begun) == ("retry", 1, 0)
    await later(sample, 10)
    await consumer.again(database)
    assert [row.attempts for row in await sample.rows("SELECT attempts FROM retry")] == [2]


async def test_what_comes_again_and_again_and_is_never_done_is_set_apart_and_the_rest_goes_on(
    line, monkeypatch
):
    sample, sender, _ = line
    haunting, good, taken = withdrawn("deadly"), withdrawn(), []
    receive = sample.kit.consumer.receive

    async def dies(database, fetched):
        taken.append([came.id for came in fetched])
        if haunting.id in taken[-1]:
            raise Death
        await receive(database, fetched)

    async def gone(self, messages):
        """Who is gone gives nothing back; the server lets it come again when its time is over."""
        for message in messages:
            await message.nak()

    monkeypatch.setattr(sample.kit.consumer, "receive", dies)
    monkeypatch.setattr(Intake, "_give_back", gone)
    await sender.publish_each(
        [(str(fact.id), fact.subject(), contracts.encode(fact)) for fact in (haunting, good)]
    )
    for _ in range(bus.DELIVERED):
        with pytest.raises(Death):
            await Intake(sender, sample.kit.database, sample.kit.consumer).run("ads")
    running = asyncio.create_task(Intake(sender, sample.kit.database, sample.kit.consumer).run("ads"))

    async def kept():
        return len(await sample.rows("SELECT * FROM retry")) == 2

    await until(kept)
    running.cancel()
    assert {row.fact_id for row in await sample.rows("SELECT fact_id FROM retry")} == {haunting.id, good.id}
    assert taken[bus.DELIVERED :] in ([], [[]]), "nobody took it in hand once more"


def received(fact):
    return Received(fact.id, fact.subject(), contracts.encode(fact))
