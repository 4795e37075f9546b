"""Streams and their durable consumers, made by the operator alone when the house is migrated.

A service that may change its own stream can have the server republish its facts as another's; so none may.
"""

import asyncio
import json
from collections.abc import Iterable
from datetime import timedelta
from importlib import import_module
from typing import Any

import nats.errors
import structlog

from ops.keys import as_service
from ops.replay import hand_on
from shared import agencies
from shared.bus import ACK_WAIT_S, MAX_ACK_PENDING, Bus
from shared.consume import STREAM_KEEPS, Consumer
from shared.contracts import SERVICES, stem_of
from shared.keys import OPERATOR, nats_door, nats_password
from shared.settings import Settings

log = structlog.get_logger()

PATIENCE_S = 60
"""How long a cluster may take to elect its leaders before laying out is given up."""

OWED = "owed"
"""Under which a consumer's metadata names the subjects whose earlier facts are still to be handed on."""

OTHERWISE_MADE = 10058
"""JetStream's error for a stream that exists with another configuration."""

Json = dict[str, Any]


class NotLaidOut(Exception):
    """NATS refused a stream or a consumer; the sentence says which and why."""


def stream(settings: Settings, service: str) -> Json:
    """How a publisher's stream is kept. nats-py has no field for atomic batches, so this is the raw API's.

    What enters by the publisher's door is kept by its public subject; nothing else enters. Where NATS asks for no
    password, there is none to make a secret of.
    """
    secret = settings.nats_password and nats_password(settings.operator_secret, service)
    door = f"{nats_door(secret, service)}.>"
    return {
        "name": service.upper(),
        "subjects": [door],
        "subject_transform": {"src": door, "dest": f"{service}.>"},
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "num_replicas": settings.nats_replicas,
        "max_bytes": 2 * 1024**3,
        "max_age": STREAM_KEEPS // timedelta(microseconds=1) * 1000,
        "max_msgs": -1,
        "max_consumers": -1,
        "max_msg_size": 1024**2,
        "duplicate_window": 600 * 10**9,
        "allow_atomic": True,
        "deny_delete": True,
        "deny_purge": True,
        "compression": "none",
    }


def durable(service: str, subjects: list[str]) -> Json:
    """How a service's place in a stream is kept, and which of its facts it hears."""
    return {
        "durable_name": service,
        "deliver_policy": "all",
        "ack_policy": "explicit",
        "ack_wait": round(ACK_WAIT_S * 10**9),
        "max_deliver": -1,
        "max_ack_pending": MAX_ACK_PENDING,
        "filter_subjects": subjects,
    }


def consumers() -> list[Consumer]:
    """What each service listens to."""
    found = []
    for service in SERVICES:
        consumer: Consumer = import_module(f"services.{service}.consumers").consumer
        agencies.listen(consumer)
        found.append(consumer)
    return found


async def lay_out(settings: Settings, listening: Iterable[Consumer] | None = None) -> None:
    """Make every stream and consumer, or bring it up to date; safe to run twice. Raises NotLaidOut.

    `settings` are the operator's. A consumer that nobody needs any more stays: the version before may still run.
    """
    bus = Bus(settings, OPERATOR)
    try:
        async with asyncio.timeout(PATIENCE_S):
            await bus.connect()
        for service in SERVICES:
            config = stream(settings, service)
            await _made(bus, f"STREAM.CREATE.{config['name']}", config, f"STREAM.UPDATE.{config['name']}")
        for consumer in consumers() if listening is None else listening:
            for source in consumer.sources():
                await _subscribed(bus, settings, source, consumer)
    except TimeoutError as error:
        raise NotLaidOut(f"NATS at {settings.nats_url} does not answer within {PATIENCE_S} s.") from error
    finally:
        await bus.close()


async def _subscribed(bus: Bus, settings: Settings, source: str, consumer: Consumer) -> None:
    """Make a service's place in a stream, or change which subjects it hears.

    Of a subject that is new to a place NATS brings only what comes from then on: what was said before is handed on from
    the publisher's log. The place itself notes what is owed, so that nothing is forgotten when this is cut off.
    """
    service, name, filters = consumer.service, source.upper(), consumer.filters(source)
    found = (await ask(bus, f"CONSUMER.INFO.{name}.{service}", {})).get("config")
    stems = {stem_of(subject) for subject in filters}
    owed: set[str] = set()
    if found:
        before = {stem_of(subject) for subject in found.get("filter_subjects", ())}
        owed = (stems - before) | (stems & set(found.get("metadata", {}).get(OWED, "").split()))
    call = f"CONSUMER.DURABLE.CREATE.{name}.{service}"
    config = durable(service, filters)
    if owed:
        noted = config | {"metadata": {OWED: " ".join(sorted(owed))}}
        await _made(bus, call, {"stream_name": name, "config": noted})
        of, to = as_service(settings, source), as_service(settings, service)
        count = await asyncio.to_thread(hand_on, of, source, to, service, None, sorted(owed))
        log.info("newly heard facts are handed on", service=service, source=source, facts=count)
    await _made(bus, call, {"stream_name": name, "config": config})


async def _made(bus: Bus, call: str, body: Json, otherwise: str = "") -> None:
    """Ask JetStream for one thing until it is there: a cluster that has just started is still electing."""
    end = asyncio.get_running_loop().time() + PATIENCE_S
    while True:
        try:
            reply = await ask(bus, call, body)
            if otherwise and reply.get("error", {}).get("err_code") == OTHERWISE_MADE:
                reply = await ask(bus, otherwise, body)
        except (TimeoutError, nats.errors.Error) as error:
            reply = {"error": {"code": 503, "description": str(error) or type(error).__name__}}
        if "error" not in reply:
            return
        late = asyncio.get_running_loop().time() > end
        if late or bus.denied or reply["error"]["code"] != 503:  # noqa: PLR2004 - JetStream is not there yet
            raise NotLaidOut(f"{call}: {bus.denied or reply['error']['description']}")
        log.info("jetstream is not there yet", call=call, error=reply["error"]["description"])
        await asyncio.sleep(0.5)


async def ask(bus: Bus, call: str, body: Json, limit_s: float = 5) -> Json:
    """What JetStream answers to one call of its API."""
    if bus.client is None:
        raise nats.errors.ConnectionClosedError
    answer = await bus.client.request(f"$JS.API.{call}", json.dumps(body).encode(), timeout=limit_s)
    reply: Json = json.loads(answer.data)
    return reply
