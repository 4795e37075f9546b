"""Streams and consumers that go missing while the house runs: told at once, made anew, all they held heard once."""

import asyncio
import shutil

import msgspec
import pytest
import sqlalchemy as sa

from ops import mending
from ops.streams import lay_out
from shared import outbox
from shared.bus import Bus, Intake, Relay
from shared.consume import Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.db import Tx
from shared.jobs import Jobs
from shared.kit import UNSAID_S, Kit
from shared.settings import Settings
from tests.ops.test_cli import nguonthu
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")


class Line:
    """Two flats with NATS between them: ads says, and payments hears what is noted here instead of acted upon."""

    def __init__(self, ads, payments, settings, stack):
        self.ads, self.payments, self.settings, self.stack = ads, payments, settings, stack
        self.heard = []
        self.consumer = Consumer("payments")
        self.consumer.on(self.note)
        at_work = msgspec.structs.replace(payments.kit.settings, background=True)
        self.kit = Kit("payments", at_work, self.consumer, Jobs("payments"))
        self.ads_bus = Bus(ads.kit.settings, "ads")
        self.relay = Relay(self.ads_bus, ads.kit.database)
        self.intake = Intake(self.kit.bus, payments.kit.database, self.consumer)
        self.operator = Bus(settings, "operator")

    async def note(self, fact: InvoiceWithdrawn, tx: Tx) -> None:
        self.heard.append(fact.id)

    async def open(self):
        for bus in (self.operator, self.ads_bus, self.kit.bus):
            await bus.connect()
        for known in await self.operator.js.streams_info():
            await self.operator.js.delete_stream(known.config.name)
        await lay_out(self.settings, [self.consumer])
        return self

    async def say(self, count):
        facts = [withdrawn() for _ in range(count)]
        async with self.ads.tx() as tx:
            await outbox.emit(tx, *facts)
        return [fact.id for fact in facts]

    async def hear(self):
        """Handle what the stream has, once."""
        async with self.intake._subscribed("ads") as place:
            await self.intake._fetch(place)

    async def mend(self):
        return await asyncio.to_thread(mending.mend, self.settings, [self.consumer])

    async def gaps(self):
        return [gap.what for gap in await mending.gaps(self.settings, [self.consumer])]

    async def wipe(self):
        """NATS loses all it kept, as with a disk that was lost, and starts again with nothing."""
        self.stack.kill("nats")
        shutil.rmtree(self.stack.home / "nats" / "store")
        self.stack.restart("nats")
        for bus in (self.operator, self.ads_bus, self.kit.bus):
            await until(lambda bus=bus: self.reaches(bus))

    async def reaches(self, bus):
        try:
            await bus.client.flush(1)
        except Exception:  # noqa: BLE001 - it is still away
            return False
        return bus.connected

    async def close(self):
        await self.kit.stop()
        await self.ads_bus.close()
        await self.operator.close()


@pytest.fixture
async def line(flats, stack):
    made = await Line(
        await flats.start("ads"), await flats.start("payments"), flats.settings(None), stack
    ).open()
    yield made
    await made.close()


@pytest.mark.promise("F3")
async def test_what_a_wiped_nats_held_and_nobody_had_heard_arrives_once(line):
    said = await line.say(2)
    await line.relay.publish_once()
    await line.hear()
    said += await line.say(3)
    assert await line.relay.publish_once() == 3, "it is in the stream and in the log, and nobody has heard it"
    await line.wipe()
    said += await line.say(1)
    with pytest.raises(Exception, match=r"(?s).*"):
        await line.relay.publish_once()
    done = await line.mend()
    assert done[-1] == "3 facts handed on"
    assert "stream ADS is missing: made anew" in done
    assert await line.relay.publish_once() == 1
    await line.hear()
    await line.consumer.again(line.payments.kit.database)
    assert sorted(line.heard) == sorted(said)
    assert await line.gaps() == []
    assert await line.mend() == []


@pytest.mark.promise("F3")
async def test_one_stream_that_was_deleted_is_made_anew_and_the_others_are_left_alone(line):
    said = await line.say(2)
    await line.relay.publish_once()
    kept = (await line.operator.js.stream_info("LEDGER")).created
    await line.operator.js.delete_stream("ADS")
    assert await line.gaps() == ["stream ADS is missing"]
    assert await line.mend() == ["stream ADS is missing: made anew", "2 facts handed on"]
    await line.consumer.again(line.payments.kit.database)
    assert sorted(line.heard) == sorted(said)
    assert (await line.operator.js.stream_info("LEDGER")).created == kept


@pytest.mark.promise("F3")
async def test_a_consumer_that_was_deleted_is_made_and_bound_again_and_hears_nothing_twice(line):
    said = await line.say(2)
    await line.relay.publish_once()
    running = asyncio.create_task(line.intake.run("ads"))
    await until(lambda: asyncio.sleep(0, len(line.heard) == 2))
    await line.operator.js.delete_consumer("ADS", "payments")
    said += await line.say(2)
    await line.relay.publish_once()
    assert await line.gaps() == ["consumer payments of stream ADS is missing"]
    assert await line.mend() == ["consumer payments of stream ADS is missing: made anew"]
    await until(lambda: asyncio.sleep(0, len(line.heard) == 4))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert sorted(line.heard) == sorted(said)


@pytest.mark.promise("F3")
async def test_readiness_tells_what_is_missing_now_and_not_only_at_the_beginning(line):
    waits = line.kit.presence
    await waits.look()
    assert waits.away == []
    for remove, named in (
        (
            lambda: line.operator.js.delete_consumer("ADS", "payments"),
            "consumer payments of stream ADS is missing",
        ),
        (lambda: line.operator.js.delete_stream("ADS"), "stream ADS is missing"),
        (lambda: line.operator.js.delete_stream("PAYMENTS"), "stream PAYMENTS is missing or has no leader"),
    ):
        await remove()
        await waits.look()
        assert waits.away == [named]
        assert f"NATS: {named}" in await line.kit.waits_for()
        await line.mend()
        await waits.look()
        assert waits.away == []
    assert not line.kit.bus.denied, "a service looks with its own rights"
    assert (await line.operator.js.stream_info("PAYMENTS")).state.messages == 0, (
        "a look leaves nothing behind"
    )


@pytest.mark.promise("F3")
async def test_readiness_tells_of_facts_that_nobody_takes(line):
    [fact] = await line.say(1)
    kit = line.ads.kit
    kit.settings = msgspec.structs.replace(kit.settings, background=True)

    async def told():
        return [sign for sign in await kit.waits_for() if sign.startswith("relay: facts wait for ")]

    assert await told() == []
    async with line.ads.tx() as tx:
        await tx.execute(
            sa.text("UPDATE outbox SET occurred_at = occurred_at - make_interval(secs => :s) WHERE id = :id"),
            {"id": fact, "s": UNSAID_S},
        )
    assert len(await told()) == 1
    await line.relay.publish_once()
    assert await told() == []


async def test_a_look_at_a_nats_that_is_away_says_nothing_of_streams(line):
    await line.kit.bus.client.close()
    await line.kit.presence.look()
    assert line.kit.presence.away == []


@pytest.mark.promise("F3")
def test_who_keeps_mending_says_once_that_it_cannot_and_goes_on(monkeypatch):
    class Enough(Exception):
        """The test has seen it."""

    looks, told = iter(range(4)), []

    def rest(_: float) -> None:
        if next(looks) == 3:
            raise Enough

    async def away(*_: object) -> list[mending.Gap]:
        raise ConnectionRefusedError("nobody there")

    monkeypatch.setattr(mending.time, "sleep", rest)
    monkeypatch.setattr(mending, "gaps", away)
    with pytest.raises(Enough):
        mending.keep(Settings(), told.append)
    assert told == ["Nothing can be mended now: nobody there"]


async def test_who_is_cut_off_while_handing_on_finds_the_stream_missing_still(line, monkeypatch):
    said = await line.say(1)
    await line.relay.publish_once()
    await line.operator.js.delete_stream("ADS")
    with monkeypatch.context() as patch:
        patch.setattr(mending, "lay_out", None)
        with pytest.raises(TypeError):
            await line.mend()
    assert await line.gaps() == ["stream ADS is missing"]
    await line.mend()
    await line.consumer.again(line.payments.kit.database)
    assert line.heard == said
    async with line.payments.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM retry")) == 0


def test_who_mends_by_hand_hears_in_one_sentence_that_nats_does_not_answer(stack):
    told = nguonthu("streams", "mend", **{**stack.env(), "NGUONTHU_NATS_URL": "nats://127.0.0.1:1"})
    assert told.returncode == 1
    assert told.stdout == ""
    assert told.stderr.splitlines() == ["✗ NATS cannot be mended: it does not answer", "  nguonthu status"]
