"""What a service may do on NATS with its own secret, tried: its own facts out, its own places in, nothing else."""

import asyncio
import json

import msgspec
import pytest

from ops.streams import durable, lay_out, stream
from shared import clock, contracts
from shared.bus import Bus, Intake
from shared.consume import Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.keys import STREAMS, nats_door
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")

CAPTURED = "payments.payment.captured.v1"


@pytest.fixture
async def nats_of(stack):
    """A connection with a service's own rights, by its name, on freshly laid out streams."""
    opened = []

    async def connect(name):
        bus = Bus(stack.settings(None if name == "operator" else name), name)
        await bus.connect()
        opened.append(bus)
        return bus

    operator = await connect("operator")
    for known in await operator.js.streams_info():
        await operator.js.delete_stream(known.config.name)
    await lay_out(stack.settings())
    yield connect
    for bus in opened:
        await bus.close()


async def refused(bus, subject, body=b"{}"):
    """Whether NATS itself refuses to let this connection say something there."""
    bus.denied = ""
    await bus.client.publish(subject, body)
    for _ in range(100):
        if bus.denied:
            return subject.lower() in bus.denied.lower()
        await asyncio.sleep(0.01)
    return False


def said(body):
    return json.dumps(body).encode()


@pytest.mark.promise("T11")
async def test_a_service_can_neither_change_nor_make_nor_empty_a_stream(nats_of, stack):
    ads, operator = await nats_of("ads"), await nats_of("operator")
    before = [info.config for info in await operator.js.streams_info()]
    own = stream(stack.settings(), "ads")
    forging = {**own, "republish": {"src": "ads.>", "dest": CAPTURED}}
    shrunk = {**stream(stack.settings(), "payments"), "max_bytes": 1}
    for call, body in (
        ("STREAM.UPDATE.ADS", forging),
        ("STREAM.CREATE.ADS", forging),
        ("STREAM.CREATE.MORE", {**own, "name": "MORE", "subjects": ["more.>"]}),
        ("STREAM.UPDATE.PAYMENTS", shrunk),
        ("STREAM.PURGE.ADS", {}),
        ("STREAM.DELETE.ADS", {}),
        ("STREAM.MSG.DELETE.ADS", {"seq": 1}),
        ("STREAM.MSG.GET.PAYMENTS", {"seq": 1}),
        ("STREAM.SNAPSHOT.PAYMENTS", {"deliver_subject": "_INBOX_ads.x"}),
        ("STREAM.LIST", {}),
    ):
        for api in ("$JS.API", STREAMS):
            assert await refused(ads, f"{api}.{call}", said(body)), call
    assert [info.config for info in await operator.js.streams_info()] == before


@pytest.mark.promise("T11")
async def test_a_service_can_neither_make_nor_delete_nor_use_a_consumer_of_others(nats_of):
    ads, operator = await nats_of("ads"), await nats_of("operator")
    spying = {"stream_name": "PAYMENTS", "config": {**durable("spy", [CAPTURED]), "durable_name": "spy"}}
    for call, body in (
        ("CONSUMER.DELETE.PAYMENTS.ledger", {}),
        ("CONSUMER.DELETE.PAYMENTS.ads", {}),
        ("CONSUMER.DURABLE.CREATE.PAYMENTS.spy", spying),
        ("CONSUMER.CREATE.PAYMENTS.spy", spying),
        ("CONSUMER.CREATE.PAYMENTS", spying),
        ("CONSUMER.MSG.NEXT.PAYMENTS.ledger", {"batch": 1}),
        ("CONSUMER.INFO.PAYMENTS.ledger", {}),
        ("CONSUMER.PAUSE.PAYMENTS.ledger", {}),
    ):
        for api in ("$JS.API", STREAMS):
            assert await refused(ads, f"{api}.{call}", said(body)), call
    assert await operator.js.consumer_info("PAYMENTS", "ledger")


@pytest.mark.promise("T11")
async def test_a_service_publishes_no_fact_of_another_and_hears_no_answer_to_another(nats_of):
    ads, operator = await nats_of("ads"), await nats_of("operator")
    assert await refused(ads, CAPTURED)
    for subject in (
        "_INBOX.>",
        "_INBOX_payments.>",
        "_INBOX_operator.>",
        "payments.>",
        "ads.>",
        "$JS.>",
        ">",
    ):
        ads.denied = ""
        await ads.client.subscribe(subject)
        await ads.client.flush()
        await asyncio.sleep(0.05)
        assert f'Subscription to "{subject}"'.lower() in ads.denied.lower()
    assert (await operator.js.stream_info("PAYMENTS")).state.messages == 0


@pytest.mark.promise("T11")
async def test_what_nats_answers_is_led_into_no_stream_of_another(nats_of):
    ads, operator = await nats_of("ads"), await nats_of("operator")
    door = nats_door(ads.settings.nats_password, "ads")
    asked = [
        (f"{door}.order.signed.v1", b"{}"),  # acknowledged
        (f"{door}.order.signed.v1", b"{" * 2**20),  # refused
        (f"{STREAMS}.CONSUMER.INFO.PAYMENTS.ads", b""),
        (f"{STREAMS}.CONSUMER.MSG.NEXT.PAYMENTS.ads", said({"batch": 1, "no_wait": True})),
    ]
    for subject, body in asked:
        for reply in (CAPTURED, "payments.made.up", f"{door.replace('ads', 'payments', 1)}.made.up"):
            await ads.client.publish(subject, body, reply=reply)
    await ads.client.flush()
    assert not ads.denied, "NATS looks at no subject that an answer is to be led to"
    await ads.client.publish(f"{door}.order.signed.v1", b"{}", headers={"Nats-Trace-Dest": CAPTURED})

    async def answered():
        return (await operator.js.stream_info("ADS")).state.messages >= len(asked)

    await until(answered)
    assert (await operator.js.stream_info("PAYMENTS")).state.messages == 0


@pytest.mark.promise("T11")
async def test_what_nats_answers_is_no_call_of_jetstream(nats_of):
    """An answer that there is nothing has no body, as a call that deletes a stream: ads could have sent it there."""
    ads, operator = await nats_of("ads"), await nats_of("operator")
    door = nats_door(ads.settings.nats_password, "ads")
    for call in (
        "STREAM.DELETE.LEDGER",
        "CONSUMER.DELETE.PAYMENTS.ledger",
        "STREAM.LEADER.STEPDOWN.PAYMENTS",
    ):
        for api in ("$JS.API", STREAMS):
            nothing, reply = said({"batch": 1, "no_wait": True}), f"{api}.{call}"
            await ads.client.publish(f"{STREAMS}.CONSUMER.MSG.NEXT.PAYMENTS.ads", nothing, reply=reply)
            await ads.client.publish(f"{STREAMS}.CONSUMER.INFO.PAYMENTS.ads", b"", reply=reply)
    await ads.js.publish(f"{door}.order.signed.v1", b"{}")
    assert not ads.denied, "NATS looks at no subject that an answer is to be led to"
    await asyncio.sleep(0.5)
    assert await operator.js.stream_info("LEDGER")
    assert await operator.js.consumer_info("PAYMENTS", "ledger")


@pytest.mark.promise("T11")
async def test_what_enters_by_a_publishers_door_is_heard_by_its_public_subject_alone(nats_of, stack):
    payments, ledger, operator = [await nats_of(n) for n in ("payments", "ledger", "operator")]
    await payments.publish_each([(str(clock.new_id()), CAPTURED, b"{}") for _ in range(2)])
    place = await ledger.js.pull_subscribe_bind(durable="ledger", stream="PAYMENTS")
    heard = await place.fetch(2)
    told = json.dumps([[m.subject, m.reply, dict(m.header)] for m in heard]) + str(
        (await ledger.js.consumer_info("PAYMENTS", "ledger")).config
    )
    assert [m.subject for m in heard] == [CAPTURED] * 2
    door = nats_door(payments.settings.nats_password, "payments")
    assert door in str(stream(stack.settings(), "payments")["subjects"])
    assert door.removeprefix("payments.") not in told
    await payments.client.publish(CAPTURED, b"{}")
    await payments.client.flush()
    assert (await operator.js.stream_info("PAYMENTS")).state.messages == 2, "no fact enters beside the door"


@pytest.mark.promise("T11")
async def test_nobody_acknowledges_what_another_has_fetched(nats_of):
    ads, ledger, payments, operator = [await nats_of(n) for n in ("ads", "ledger", "payments", "operator")]
    await payments.publish_each([(str(clock.new_id()), CAPTURED, b"{}")])
    [message] = await (await ledger.js.pull_subscribe_bind(durable="ledger", stream="PAYMENTS")).fetch(1)
    *_, delivered, stored, nth, at, pending = message.reply.split(".")
    numbers = f"{delivered}.{stored}.{nth}.{at}.{pending}"
    for forged in (
        message.reply,
        f"$JS.ACK.PAYMENTS.ads.PAYMENTS.ledger.{numbers}",
        f"$JS.ACK.PAYMENTS.ledger.X.ads.{numbers}",
        f"$JS.ACK._.ads.PAYMENTS.ledger.{numbers}.x",
        f"$JS.ACK.PAYMENTS.ledger.PAYMENTS.ads.{stored}.{nth}.{at}",
    ):
        assert await refused(ads, forged, b"+ACK"), forged
    assert (await operator.js.consumer_info("PAYMENTS", "ledger")).num_ack_pending == 1
    await message.ack()

    async def acknowledged():
        return (await operator.js.consumer_info("PAYMENTS", "ledger")).num_ack_pending == 0

    await until(acknowledged)
    assert not ledger.denied


@pytest.mark.promise("T11")
async def test_a_fact_of_another_in_a_body_of_ones_own_is_parked_and_not_believed(nats_of, sample, stack):
    ads = await nats_of("ads")
    honest = withdrawn()
    forged = msgspec.json.encode(
        {
            **contracts.plain(withdrawn()),
            "type": "payments.invoice.closed.v1",
            "outcome": "paid",
            "seller": "ads",
        }
    )
    assert isinstance(contracts.decode(forged), contracts.payments.InvoiceClosed)
    await lay_out(stack.settings(), [sample.kit.consumer])
    await ads.publish_each(
        [
            (str(clock.new_id()), "ads.invoice.withdrawn.v1", forged),
            (str(honest.id), honest.subject(), contracts.encode(honest)),
        ]
    )
    running = asyncio.create_task(Intake(ads, sample.kit.database, sample.kit.consumer).run("ads"))

    async def parked():
        return bool(sample.seen) and bool(await sample.rows("SELECT * FROM retry WHERE state = 'parked'"))

    await until(parked)
    running.cancel()
    assert sample.seen == [honest]
    [row] = await sample.rows("SELECT error FROM retry")
    assert row.error == "It says payments.invoice.closed.v1 and came as ads.invoice.withdrawn.v1."


async def test_a_changed_subscription_is_applied_when_the_house_is_migrated(nats_of, stack):
    operator = await nats_of("operator")
    heard = (await operator.js.consumer_info("ADS", "payments")).config.filter_subjects
    nouns = (
        "credit.granted",
        "invoice.opened",
        "invoice.withdrawn",
        "money.declined",
        "money.taken",
        "refund.refused",
    )
    assert heard == [f"ads.{noun}.*" for noun in nouns]
    less = Consumer("payments")

    @less.on
    async def note(fact: InvoiceWithdrawn, tx: object) -> None:
        """Nothing else any more."""

    await lay_out(stack.settings(), [less])
    heard = (await operator.js.consumer_info("ADS", "payments")).config.filter_subjects
    assert heard == ["ads.invoice.withdrawn.*"]
