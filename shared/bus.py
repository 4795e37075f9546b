"""JetStream carries facts between services: the relay out, the fetch loop in. Streams come from `streams.py`."""

import asyncio
import contextlib
import json
import math
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any
from uuid import UUID

import msgspec
import nats
import nats.errors
import nats.js.errors
import sqlalchemy as sa
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from shared import clock, contracts, outbox
from shared.consume import Consumer
from shared.contracts import Fact, envelope
from shared.db import Database
from shared.keys import OPERATOR, STREAMS, nats_door
from shared.settings import Settings

log = structlog.get_logger()

BATCH = 500
"""Facts a relay publishes or a consumer fetches at once."""

PUBLISH_TIMEOUT_S = 2.0
POLL_S = 5.0
"""How long a relay rests that nobody rings: who commits facts in its process does, and the leader's look does."""
ACK_WAIT_S = 30.0
MAX_ACK_PENDING = 2 * BATCH
KNOWN_ID_IN_BATCH = 10201
"""JetStream's error for an atomic batch in which one message id is known already."""
NO_STREAM = 10059
"""JetStream's error for a stream that does not exist."""


class Bus:
    """One connection of one service to NATS."""

    def __init__(self, settings: Settings, service: str) -> None:
        self.settings = settings
        self.service = service
        self.client: Client | None = None
        self._door = nats_door(settings.nats_password, service)
        self.denied = ""
        """The last permission error; the caller only sees a time-out, so readiness tells."""
        self.closed = asyncio.Event()

    @property
    def connected(self) -> bool:
        return self.client is not None and self.client.is_connected

    @property
    def js(self) -> JetStreamContext:
        if self.client is None:
            raise nats.errors.ConnectionClosedError
        inside = self.service == OPERATOR or not self.settings.nats_password
        return self.client.jetstream(timeout=PUBLISH_TIMEOUT_S, **({} if inside else {"prefix": STREAMS}))

    async def connect(self) -> None:
        """Connect, for as long as it takes; later breaks are mended by the client itself."""
        options: dict[str, Any] = {}
        if self.settings.nats_password:
            options |= {"user": self.service, "password": self.settings.nats_password}
        while self.client is None:
            try:
                self.client = await nats.connect(
                    self.settings.nats_url.split(","),
                    name=self.service,
                    # What others are answered is not for us to hear, and the other way round.
                    inbox_prefix=f"_INBOX_{self.service}",
                    ping_interval=5,
                    max_outstanding_pings=2,
                    max_reconnect_attempts=-1,
                    reconnect_time_wait=0.5,
                    connect_timeout=2,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    **options,
                )
            except (OSError, nats.errors.Error) as error:
                log.info("nats is not there yet", error=str(error))
                await asyncio.sleep(0.5)

    async def _on_error(self, error: Exception) -> None:
        text = str(error)
        if "permissions violation" in text.lower():
            self.denied = text
        log.warning("nats", error=text or type(error).__name__)

    async def _on_closed(self) -> None:
        self.closed.set()

    async def close(self) -> None:
        if self.client is not None:
            try:
                await asyncio.wait_for(self.client.close(), 2)
            except (TimeoutError, OSError, nats.errors.Error) as error:
                log.info("nats closed hard", error=str(error))

    async def publish(self, facts: Sequence[tuple[str, str, bytes]]) -> None:
        """Publish (id, subject, body) rows: all acknowledged when this returns, unknown when it raises.

        One atomic batch; where the server already knows one of the ids (a retry), one by one with the same ids.
        """
        if len(facts) > 1 and await self._publish_batch(facts):
            return
        for fact_id, subject, body in facts:
            headers = _headers(fact_id, subject, body)
            await self.js.publish(self._entered(subject), body, timeout=PUBLISH_TIMEOUT_S, headers=headers)

    async def _publish_batch(self, facts: Sequence[tuple[str, str, bytes]]) -> bool:
        if self.client is None:
            raise nats.errors.ConnectionClosedError
        batch = str(clock.new_id())
        last = len(facts)
        for n, (fact_id, subject, body) in enumerate(facts, start=1):
            headers = _headers(fact_id, subject, body)
            headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(n)}
            if n < last:
                await self.client.publish(self._entered(subject), body, headers=headers)
                continue
            headers["Nats-Batch-Commit"] = "1"
            answer = await self.client.request(
                self._entered(subject), body, timeout=PUBLISH_TIMEOUT_S, headers=headers
            )
            reply = json.loads(answer.data)
            if "error" not in reply:
                return True
            if reply["error"].get("err_code") == KNOWN_ID_IN_BATCH:
                return False
            raise nats.errors.Error(reply["error"]["description"])
        return False

    def _entered(self, subject: str) -> str:
        """Where a fact of this subject enters the service's stream."""
        return self._door + subject.removeprefix(self.service)


def _headers(fact_id: str, subject: str, body: bytes) -> dict[str, str]:
    """What NATS goes by to take a fact once, and what it is as a CloudEvent."""
    return {"Nats-Msg-Id": fact_id, **envelope.headers(fact_id, subject, body)}


class Relay:
    """Moves facts from the outbox to the stream, in order. The leader of a service runs it."""

    def __init__(self, bus: Bus, database: Database) -> None:
        self.bus = bus
        self.database = database
        self.rung = asyncio.Event()
        self.missing = ""
        """The service's own stream when it was not there at the last attempt; readiness names it."""

    async def run(self) -> None:
        """Publish for ever. Any failure leaves the facts in the outbox and is tried again."""
        outbox.listen(self.database.name, self.rung)
        try:
            while True:
                self.rung.clear()
                try:
                    if await self.publish_once() == BATCH:
                        continue
                    await asyncio.wait_for(self.rung.wait(), POLL_S)
                except TimeoutError:
                    continue
                except (OSError, sa.exc.SQLAlchemyError, nats.errors.Error) as error:
                    log.warning("relay pauses", error=str(error)[:300] or type(error).__name__)
                    await asyncio.sleep(0.2 + random.random() * 0.3)  # noqa: S311 - jitter
        finally:
            outbox.unlisten(self.database.name, self.rung)

    async def publish_once(self) -> int:
        """Publish one batch and move it to the log; returns its size."""
        async with self.database.worker_tx() as tx:
            rows = (await tx.execute(outbox.CLAIM, {"limit": BATCH})).all()
            if not rows:
                return 0
            try:
                await self.bus.publish([(str(row.id), row.subject, bytes(row.body)) for row in rows])
            except (nats.errors.NoRespondersError, nats.js.errors.NoStreamResponseError):
                self.missing = f"stream {self.bus.service.upper()}"
                raise
            self.missing = ""
            await outbox.forget(tx, [row.seq for row in rows])
        return len(rows)


class Intake:
    """Fetches facts from the streams that a service listens to and hands them to its consumer."""

    def __init__(self, bus: Bus, database: Database, consumer: Consumer) -> None:
        self.bus = bus
        self.database = database
        self.consumer = consumer
        self.waiting_for: dict[str, str] = {}
        """By source, what is not there yet; readiness names it."""
        self.stopping = False

    async def lag(self) -> dict[str, float]:
        """Facts not yet handled, by source: waiting in the stream or in somebody's hands. NaN while NATS is away."""
        found = dict.fromkeys(self.consumer.sources(), math.nan)
        for source in found:
            try:
                info = await self.bus.js.consumer_info(source.upper(), self.consumer.service)
            except (nats.errors.Error, TimeoutError):
                continue
            found[source] = (info.num_pending or 0) + (info.num_ack_pending or 0)
        return found

    async def run(self, source: str) -> None:
        """Fetch for ever from one stream."""
        self.waiting_for[source] = f"stream {source.upper()}"
        while not self.stopping:
            try:
                async with self._subscribed(source) as subscription:
                    while not self.stopping:
                        await self._fetch(subscription)
            except (OSError, sa.exc.SQLAlchemyError, nats.errors.Error, TimeoutError) as error:
                log.info("intake pauses", source=source, error=str(error)[:300] or type(error).__name__)
                await asyncio.sleep(0.3 + random.random() * 0.4)  # noqa: S311 - jitter

    @asynccontextmanager
    async def _subscribed(self, source: str) -> AsyncIterator[JetStreamContext.PullSubscription]:
        """Bind to the service's own consumer of a stream, both of which the operator has made."""
        stream, durable = source.upper(), self.consumer.service
        try:
            await self.bus.js.consumer_info(stream, durable)
        except nats.js.errors.NotFoundError as error:
            gone = f"consumer {durable} of stream {stream}"
            self.waiting_for[source] = f"stream {stream}" if error.err_code == NO_STREAM else gone
            raise
        subscription = await self.bus.js.pull_subscribe_bind(durable=durable, stream=stream)
        self.waiting_for.pop(source, None)
        try:
            yield subscription
        finally:
            with contextlib.suppress(nats.errors.Error):
                await subscription.unsubscribe()

    async def _fetch(self, subscription: JetStreamContext.PullSubscription) -> None:
        try:
            messages = await subscription.fetch(BATCH, timeout=5)
        except TimeoutError:
            return
        facts = [fact for message in messages if (fact := await self._read(message)) is not None]
        if facts:
            await self.consumer.handle(self.database, facts)
        for message in messages:
            await message.ack()

    async def _read(self, message: Msg) -> Fact | None:
        try:
            return _decoded(message)
        except msgspec.MsgspecError as error:
            log.error("fact cannot be read", subject=message.subject, error=str(error))  # noqa: TRY400
            async with self.database.worker_tx() as tx:
                await tx.execute(
                    sa.text(
                        "INSERT INTO retry (fact_id, subject, body, state, error, since, next_at) "
                        "VALUES (:id, :subject, :body, 'parked', :error, :now, :now) ON CONFLICT DO NOTHING"
                    ),
                    {
                        "id": _id_of(message),
                        "subject": message.subject,
                        "body": message.data,
                        "error": str(error).replace("\0", "?"),
                        "now": clock.now(),
                    },
                )
            return None


def _id_of(message: Msg) -> UUID:
    """The id that a message bears; a new one where it bears none, or a text that is none."""
    try:
        return UUID((message.headers or {}).get("Nats-Msg-Id", ""))
    except ValueError:
        return clock.new_id()


def _decoded(message: Msg) -> Fact:
    """The fact of a message. NATS guards subjects alone: a body could say what only another publisher may say."""
    fact = contracts.decode(message.data)
    if fact.subject() != message.subject:
        raise msgspec.ValidationError(f"It says {fact.subject()} and came as {message.subject}.")
    return fact
