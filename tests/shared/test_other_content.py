"""An id says one thing: what bears a known one and says another is parked, and the same bytes again are silent."""

from datetime import date

import msgspec
import pytest

from ops import replay
from shared import clock, contracts, outbox
from shared.consume import BACKOFF_S, Consumer
from shared.contracts import SERVICES
from shared.contracts.accounts import AgencyRegistered
from shared.contracts.ads import InvoiceWithdrawn
from shared.contracts.events import ActRecorded
from shared.db import Tx
from tests.conftest import Flats
from tests.sample import withdrawn
from tests.shared.test_facts import later, say
from tests.shared.test_guards import held, received

pytestmark = pytest.mark.xdist_group("facts")

PARKED = "Another fact was handled under this id before, and it does not say the same."


def otherwise(fact, **said):
    """Another fact under the id of one."""
    return msgspec.structs.replace(fact, **(said or {"invoice": clock.new_id()}))


def whole():
    """A consumer that takes batches, and what it has handled."""
    consumer, seen = Consumer("ads"), []

    @consumer.on
    async def note(facts: list[InvoiceWithdrawn], tx: Tx) -> None:
        seen.extend(facts)

    return consumer, seen


class TestAKnownId:
    @pytest.mark.promise("F3", "L1")
    async def test_what_says_something_else_under_a_known_id_is_parked_at_once_and_the_same_bytes_are_silent(
        self, sample
    ):
        fact = withdrawn()
        other = otherwise(fact)
        await sample.kit.consumer.receive(sample.kit.database, [received(fact)])
        for _ in range(2):
            await sample.kit.consumer.receive(sample.kit.database, [received(fact), received(other)])
        assert sample.seen == [fact]
        [row] = await held(sample)
        assert (row.fact_id, row.state, row.attempts, row.error) == (fact.id, "parked", 1, PARKED)
        assert bytes(row.body) == contracts.encode(other)

    @pytest.mark.promise("F3")
    async def test_two_of_one_id_in_a_batch_that_do_not_say_the_same_are_one_handled_and_one_parked(
        self, sample
    ):
        consumer, seen = whole()
        fact, between = withdrawn(), withdrawn()
        batch = [received(fact), received(between), received(otherwise(fact)), received(fact)]
        await consumer.receive(sample.kit.database, batch)
        assert seen == [fact, between]
        assert [row.state for row in await held(sample)] == ["parked"]

    @pytest.mark.promise("F3")
    async def test_a_batch_goes_on_without_the_one_that_says_something_else(self, sample):
        consumer, seen = whole()
        fact, more = withdrawn(), [withdrawn() for _ in range(3)]
        await consumer.receive(sample.kit.database, [received(fact)])
        await consumer.receive(
            sample.kit.database, [received(one) for one in (more[0], otherwise(fact), *more)]
        )
        assert seen == [fact, *more]
        assert [row.error for row in await held(sample)] == [PARKED]

    async def test_a_field_that_nobody_here_knows_is_content_too(self, sample):
        fact = withdrawn()
        await sample.kit.consumer.receive(sample.kit.database, [received(fact), received(fact, tomorrow=1)])
        assert sample.seen == [fact]
        assert [row.error for row in await held(sample)] == [PARKED]


class TestWhatIsKept:
    @pytest.mark.promise("F3")
    async def test_of_two_that_wait_under_one_id_none_is_lost_the_first_is_handled_and_the_other_parked(
        self, sample
    ):
        fact = withdrawn("after-x")
        other = otherwise(fact)
        for one in (fact, other, fact):
            await sample.kit.consumer.receive(sample.kit.database, [received(one)])
        assert [(row.fact_id, row.state) for row in await held(sample)] == [(fact.id, "waiting")] * 2
        sample.here.add("after-x")
        await later(sample, 100)
        assert await sample.kit.consumer.again(sample.kit.database) == 1
        [row] = await held(sample)
        assert (bytes(row.body), row.state, row.error) == (contracts.encode(other), "parked", PARKED)
        assert len(await sample.rows("SELECT FROM thing")) == 1

    @pytest.mark.promise("F3")
    async def test_what_waits_is_parked_once_another_content_was_handled_under_its_id(self, sample):
        fact = withdrawn("after-x")
        other = otherwise(fact, reason="hold-expired")
        await sample.kit.consumer.receive(sample.kit.database, [received(fact), received(other)])
        assert [row.state for row in await held(sample)] == ["waiting"], (
            "the other one has nothing to wait for"
        )
        await later(sample, 100)
        assert await sample.kit.consumer.again(sample.kit.database) == 0
        [row] = await held(sample)
        assert (bytes(row.body), row.state, row.error) == (contracts.encode(fact), "parked", PARKED)

    @pytest.mark.promise("F3")
    async def test_an_unreadable_body_under_the_id_of_a_fact_that_waits_leaves_that_one_waiting(self, sample):
        fact = withdrawn("after-x")
        broken = received(fact)._replace(body=b"{")
        await sample.kit.consumer.receive(sample.kit.database, [received(fact), broken])
        assert sorted(row.state for row in await held(sample)) == ["parked", "waiting"]

    @pytest.mark.promise("F3")
    async def test_replayed_it_stays_refused_however_often_and_is_dropped_by_a_person_alone(
        self, sample, stack
    ):
        fact = withdrawn()
        await sample.kit.consumer.receive(sample.kit.database, [received(fact), received(otherwise(fact))])
        settings = sample.kit.settings
        for _ in range(len(BACKOFF_S) + 1):
            assert replay.again(settings, "ads", str(fact.id)) == 1
            assert await sample.kit.consumer.again(sample.kit.database) == 0
            [row] = replay.held(settings, "ads", ("parked",))
            assert row["error"] == PARKED
        assert len(replay.drop(settings, "ads", "it is a forgery", str(fact.id))) == 1
        await sample.kit.consumer.receive(sample.kit.database, [received(fact)])
        assert [row.state for row in await held(sample)] == ["dropped"]
        assert sample.seen == [fact]


class TestHandedOn:
    @pytest.mark.promise("F2", "F3")
    async def test_a_log_hands_on_the_same_bytes_to_nobody_and_other_bytes_to_be_parked(self, sample):
        fact = withdrawn()
        await say(sample, fact)
        async with sample.kit.database.worker_tx() as tx:
            await outbox.archive(tx)
        await sample.kit.consumer.receive(sample.kit.database, [received(fact)])
        settings, since = sample.kit.settings, replay.unhandled_since(clock.now())

        def handed_on():
            return replay.hand_on(settings, "ads", settings, "ads", since, ["ads.invoice.withdrawn"])

        assert handed_on() == 0
        await say(sample, otherwise(fact))
        async with sample.kit.database.worker_tx() as tx:
            await outbox.archive(tx)
        assert handed_on() == 1
        assert await sample.kit.consumer.again(sample.kit.database) == 0
        assert [row.error for row in await held(sample)] == [PARKED]
        assert handed_on() == 0, "it is held already"


@pytest.mark.promise("F3")
@pytest.mark.parametrize("service", SERVICES)
async def test_every_service_parks_what_says_something_else_under_a_known_id(service: str, flats: Flats):
    flat = await flats.start(service)
    fact = (
        ActRecorded(agency="bkh", actor=clock.new_id(), act="event.create")
        if service == "accounts"
        else AgencyRegistered(agency="bkh", name="BKH", kind="newspaper", active_from=date(2020, 1, 1))
    )
    await flat.receive(fact)
    await flat.receive(otherwise(fact, agency="tcnt"), fact)
    assert [(row.fact_id, row.state, row.error) for row in await flat.held()] == [(fact.id, "parked", PARKED)]
    told = (await flat.client.get("/health/ready")).json()["holds"]
    assert told == ["has parked 1 facts that it could not handle"]
