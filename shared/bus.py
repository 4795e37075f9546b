"""JetStream carries facts between services: the relay out, the fetch loop in. Streams come from `streams.py`."""

import asyncio
import contextlib
import json
import math
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any, cast
from uuid import NAMESPACE_OID, UUID, uuid5

import msgspec
import nats.errors
import nats.js.errors
import sqlalchemy as sa
import structlog
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.client import JetStreamContext

from shared import clock, outbox
from shared.consume import Consumer
from shared.contracts import envelope
from shared.db import Database
from shared.fence import go_on, is_ending
from shared.kept import Received
from shared.keys import OPERATOR, STREAMS, nats_door
from shared.settings import Settings

log = structlog.get_logger()

BATCH = 500
"""Facts a relay publishes or a consumer fetches at once."""

PART = 50
"""Facts that are published each by itself before what was acknowledged of them is moved to the log."""

PUBLISH_TIMEOUT_S = 2.0
POLL_S = 5.0
"""How long a relay rests that nobody rings: who commits facts in its process does, and the leader's look does."""
ACK_WAIT_S = 30.0
MAX_ACK_PENDING = 2 * BATCH
DELIVERED = 2
"""So often may a fact come that nobody gave back: a process ends now and then with something in its hands."""

TOO_LARGE = (10054, 10097)
"""JetStream's errors for a message, or its headers, that are larger than the stream takes."""

UNSENDABLE = (nats.errors.MaxPayloadError, msgspec.MsgspecError, UnicodeError)
"""What is raised for a fact of which no message can be made."""

Told = tuple[str, str, bytes]
"""What is published: id, subject and body."""


class NeverTaken(Exception):
    """A fact that NATS will not take however often it is told, with the reason."""


class _Client(Client):
    """The client of nats-py, which would stop reading, and say nothing, at a subject that is no UTF-8."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Msg:
        legible = subject.decode(errors="replace").encode()
        return cast("Msg", super()._build_message(sid, legible, reply, data, headers))


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
        options: dict[str, Any] = {"reconnect_time_wait": 0.5}
        if self.settings.nats_password:
            options |= {"user": self.service, "password": self.settings.nats_password}
        while self.client is None:
            client = _Client()
            try:
                await client.connect(
                    self.settings.nats_url.split(","),
                    name=self.service,
                    # What others are answered is not for us to hear, and the other way round.
                    inbox_prefix=f"_INBOX_{self.service}",
                    ping_interval=5,
                    max_outstanding_pings=2,
                    max_reconnect_attempts=-1,
                    connect_timeout=2,
                    error_cb=self._on_error,
                    closed_cb=self._on_closed,
                    **options,
                )
            except (OSError, nats.errors.Error) as error:
                log.info("nats is not there yet", error=str(error))
                await asyncio.sleep(0.5)
            else:
                self.client = client

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
                async with asyncio.timeout(2):
                    await self.client.close()
            except (TimeoutError, OSError, nats.errors.Error) as error:
                log.info("nats closed hard", error=str(error))

    async def ask(self) -> None:
        """Return once NATS answers. Raises nats.errors.Error where it does not."""
        if self.client is None or not self.connected:
            raise nats.errors.ConnectionClosedError
        await self.client.flush(int(PUBLISH_TIMEOUT_S))

    async def publish_batch(self, facts: Sequence[Told]) -> bool:
        """Publish some facts as one: all acknowledged when this returns true, unknown when it raises.

        False where none of them is taken: the stream knows one already (a retry), or does not take it. Which and why
        is answered to who publishes each by itself.
        """
        try:
            return await self._publish_batch(facts)
        except UNSENDABLE:
            return False

    async def _publish_batch(self, facts: Sequence[Told]) -> bool:
        if self.client is None:
            raise nats.errors.ConnectionClosedError
        batch, last = str(clock.new_id()), len(facts)
        for n, (fact_id, subject, body) in enumerate(facts, start=1):
            headers = _headers(fact_id, subject, body)
            headers |= {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(n)}
            if n < last:
                await self.client.publish(self.entered(subject), body, headers=headers)
                continue
            headers["Nats-Batch-Commit"] = "1"
            answer = await self.client.request(
                self.entered(subject), body, timeout=PUBLISH_TIMEOUT_S, headers=headers
            )
            return "error" not in json.loads(answer.data)
        return True

    async def publish_each(self, facts: Sequence[Told]) -> list[BaseException | None]:
        """Publish each by itself, all at once: what became of it, None where it was acknowledged.

        On a line of long ways they take one way there and back together. NeverTaken will not pass; all else may.
        """
        return await asyncio.gather(*(self._publish(*fact) for fact in facts), return_exceptions=True)

    async def _publish(self, fact_id: str, subject: str, body: bytes) -> None:
        try:
            headers = _headers(fact_id, subject, body)
            await self.js.publish(self.entered(subject), body, timeout=PUBLISH_TIMEOUT_S, headers=headers)
        except nats.js.errors.APIError as error:
            if error.err_code in TOO_LARGE:
                raise NeverTaken(error.description) from error
            raise
        except UNSENDABLE as error:
            raise NeverTaken(str(error)) from error

    def entered(self, subject: str) -> str:
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

    async def run(self) -> None:
        """Publish for ever. Any failure leaves the facts in the outbox and is tried again."""
        outbox.listen(self.database.name, self.rung)
        try:
            while True:
                go_on()
                self.rung.clear()
                try:
                    if await self.publish_once() == BATCH:
                        continue
                    async with asyncio.timeout(POLL_S):
                        await self.rung.wait()
                except TimeoutError:
                    continue
                except (OSError, sa.exc.SQLAlchemyError, nats.errors.Error) as error:
                    if is_ending(error):
                        raise
                    log.warning("relay pauses", error=str(error)[:300] or type(error).__name__)
                    await asyncio.sleep(0.2 + random.random() * 0.3)  # noqa: S311 - jitter
        finally:
            outbox.unlisten(self.database.name, self.rung)

    async def publish_once(self) -> int:
        """Publish the next facts and move them to the log; returns how many those were.

        No transaction is open meanwhile. Whoever ends between publishing and moving publishes again, with the same ids:
        the stream knows them, and after ten minutes the inbox of who hears them does. What was acknowledged is moved
        even where the rest has to wait.
        """
        async with self.database.worker_tx() as tx:
            rows = (await tx.execute(outbox.NEXT, {"limit": BATCH})).all()
        if not rows:
            return 0
        if len(rows) > 1 and await self.bus.publish_batch(_told(rows)):
            await self._settle(rows, [None] * len(rows))
        else:
            for first in range(0, len(rows), PART):
                part = rows[first : first + PART]
                await self._settle(part, await self.bus.publish_each(_told(part)))
        return len(rows)

    async def _settle(self, rows: Sequence[sa.Row[Any]], answers: Sequence[BaseException | None]) -> None:
        """Move what was acknowledged, set aside what will never be. Raises what else was answered."""
        answered = list(zip(rows, answers, strict=True))
        never = {row.seq: str(answer) for row, answer in answered if isinstance(answer, NeverTaken)}
        async with self.database.worker_tx() as tx:
            await outbox.forget(tx, [row.seq for row, answer in answered if answer is None])
            await outbox.set_aside(tx, never)
        for row, answer in answered:
            if row.seq in never:
                log.error("fact set aside", fact=str(row.id), subject=row.subject, error=str(answer))
            elif answer is not None:
                raise answer


def _told(rows: Sequence[sa.Row[Any]]) -> list[Told]:
    return [(str(row.id), row.subject, bytes(row.body)) for row in rows]


class Intake:
    """Fetches facts from the streams that a service listens to and hands them to its consumer."""

    def __init__(self, bus: Bus, database: Database, consumer: Consumer) -> None:
        self.bus = bus
        self.database = database
        self.consumer = consumer
        self.stopping = False
        self.given_back: Counter[tuple[str, int]] = Counter()
        """How often this process gave back what it could not handle for a moment."""

    async def lag(self) -> dict[str, float]:
        """Facts not yet handled, by source: waiting in the stream or in somebody's hands. NaN while NATS is away."""
        sources = self.consumer.sources()
        return dict(zip(sources, await asyncio.gather(*map(self._lag, sources)), strict=True))

    async def _lag(self, source: str) -> float:
        try:
            info = await self.bus.js.consumer_info(source.upper(), self.consumer.service)
        except (nats.errors.Error, TimeoutError):
            return math.nan
        return (info.num_pending or 0) + (info.num_ack_pending or 0)

    async def run(self, source: str) -> None:
        """Fetch for ever from one stream."""
        while not self.stopping:
            go_on()
            try:
                async with self._subscribed(source) as subscription:
                    while not self.stopping:
                        go_on()
                        await self._fetch(subscription)
            except (OSError, sa.exc.SQLAlchemyError, nats.errors.Error, TimeoutError) as error:
                if is_ending(error):
                    raise
                log.info("intake pauses", source=source, error=str(error)[:300] or type(error).__name__)
                await asyncio.sleep(0.3 + random.random() * 0.4)  # noqa: S311 - jitter

    @asynccontextmanager
    async def _subscribed(self, source: str) -> AsyncIterator[JetStreamContext.PullSubscription]:
        """Bind to the service's own consumer of a stream, both of which the operator has made."""
        stream, durable = source.upper(), self.consumer.service
        await self.bus.js.consumer_info(stream, durable)  # binding asks nobody whether it is there
        subscription = await self.bus.js.pull_subscribe_bind(durable=durable, stream=stream)
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
        try:
            for message in [message for message in messages if self._haunts(message)]:
                await self.consumer.set_apart(self.database, _received(message))
                await message.ack()
                messages.remove(message)
            await self.consumer.receive(self.database, [_received(message) for message in messages])
        except BaseException:
            await self._give_back(messages)
            raise
        for message in messages:
            self.given_back.pop(_place(message), None)
            await message.ack()

    def _haunts(self, message: Msg) -> bool:
        """Whether it was in somebody's hands so often, and not given back by us, that it may end whoever takes it."""
        return message.metadata.num_delivered - self.given_back[_place(message)] > DELIVERED

    async def _give_back(self, messages: Sequence[Msg]) -> None:
        """Let them be fetched again at once: what is neither acknowledged nor given back is nobody's for a while."""
        with contextlib.suppress(nats.errors.Error):
            for message in messages:
                self.given_back[_place(message)] += 1
                await message.nak()


def _place(message: Msg) -> tuple[str, int]:
    """Where a message stands: its stream, and its number there."""
    return message.metadata.stream, message.metadata.sequence.stream


def _received(message: Msg) -> Received:
    """What a message brought. One that bears no id of ours gets one from what it says, the same whenever it comes."""
    try:
        named = UUID((message.headers or {}).get("Nats-Msg-Id", ""))
    except ValueError:
        named = uuid5(NAMESPACE_OID, f"{message.subject} {sha256(message.data).hexdigest()}")
    return Received(named, message.subject, message.data)
