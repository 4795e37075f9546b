"""Frequency counters in Redis: one hash for each visitor and day, read for all requests of a loop's turn at once.

The client's own protocol code would cost more than the rest of a decision together, so these three commands are
written and their answers read here (RESP2).
"""

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from shared import clock

KEEP_S = 26 * 3600
ANSWER_S = 1.0
AGAIN_S = 1.0
"""While Redis is away a decision does not wait for it; it is tried again this often."""

Seen = Mapping[bytes, int]
Reply = Any
"""Text, a number, a list of replies, none, or a RedisSaid."""


class RedisSaid(Exception):
    """Redis refused a command."""


class Caps:
    """Reads and writes share one round trip a turn of the loop; while Redis is away nobody's caps are known."""

    def __init__(self, redis_url: str) -> None:
        self._url = redis_url
        self._reads: list[tuple[bytes, asyncio.Future[Seen | None]]] = []
        self._writes: list[bytes] = []
        self._flushing: asyncio.Task[None] | None = None
        self._wire: Wire | None = None
        self._again_s = 0.0

    async def seen(self, key: str) -> Seen | None:
        """How often a visitor saw each capped line on a day; none while Redis is away."""
        answer: asyncio.Future[Seen | None] = asyncio.get_running_loop().create_future()
        self._reads.append((command(b"HGETALL", key.encode()), answer))
        self._schedule()
        return await answer

    def add(self, key: str, lines: Iterable[bytes], *, new: bool) -> None:
        """Count lines as seen, with the next turn's reads; a new hash gets its end of life."""
        name = key.encode()
        self._writes += [command(b"HINCRBY", name, line, b"1") for line in lines]
        if new:
            self._writes.append(command(b"EXPIRE", name, b"%d" % KEEP_S))
        self._schedule()

    def close(self) -> None:
        if self._wire is not None:
            self._wire.close()

    def _schedule(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._reads or self._writes:
            reads, self._reads = self._reads, []
            writes, self._writes = self._writes, []
            replies = await self._ask([*writes, *(sent for sent, _ in reads)])
            for (_, waiting), found in zip(reads, replies[len(writes) :], strict=True):
                if not waiting.done():
                    waiting.set_result(counts_of(found))

    async def _ask(self, commands: list[bytes]) -> list[Reply]:
        nothing = [None] * len(commands)
        if self._wire is None and clock.monotonic_s() < self._again_s:
            return nothing
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._wire is None:
                    self._wire = await connect(self._url)
                return await self._wire.ask(commands)
        except (OSError, TimeoutError, RedisSaid, ValueError) as error:
            structlog.get_logger().warning("frequency caps not known", error=repr(error)[:200])
            self.close()
            self._wire, self._again_s = None, clock.monotonic_s() + AGAIN_S
            return nothing


def counts_of(reply: Reply) -> Seen | None:
    """A hash of numbers; none for any other reply, since an asker must never be left waiting."""
    try:
        return dict(zip(reply[::2], map(int, reply[1::2]), strict=True)) if isinstance(reply, list) else None
    except (TypeError, ValueError):
        return None


class Wire(asyncio.Protocol):
    """One connection with one group of commands under way."""

    def __init__(self) -> None:
        self._buffer = b""
        self._wanted = 0
        self._answer: asyncio.Future[list[Reply]] | None = None
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        replies, at = [], 0
        try:
            for _ in range(self._wanted):
                reply, at = parsed(self._buffer, at)
                replies.append(reply)
        except Incomplete:
            return
        self._buffer = self._buffer[at:]
        if self._answer is not None and not self._answer.done():
            self._answer.set_result(replies)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionResetError(str(exc or "Redis closed the connection.")))

    async def ask(self, commands: list[bytes]) -> list[Reply]:
        if self._transport is None or self._transport.is_closing():
            raise ConnectionResetError("Redis closed the connection.")
        self._wanted = len(commands)
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(b"".join(commands))
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


async def connect(redis_url: str) -> Wire:
    """Open a connection to `redis://[user:password@]host:port/db`. Raises OSError, RedisSaid."""
    url = urlsplit(redis_url)
    loop = asyncio.get_running_loop()
    _, wire = await loop.create_connection(
        Wire, url.hostname or "localhost", url.port or 6379, ssl=url.scheme == "rediss" or None
    )
    hello = []
    if url.password:
        names = [unquote(url.username).encode()] if url.username else []
        hello.append(command(b"AUTH", *names, unquote(url.password).encode()))
    if database := url.path.strip("/"):
        hello.append(command(b"SELECT", database.encode()))
    for reply in await wire.ask(hello) if hello else []:
        if isinstance(reply, RedisSaid):
            wire.close()
            raise reply
    return wire


class Incomplete(Exception):
    """More bytes are to come."""


def command(*words: bytes) -> bytes:
    """A command as an array of bulk strings."""
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(word), word) for word in words])


def parsed(buffer: bytes, at: int) -> tuple[Reply, int]:
    """One reply and the place behind it. Raises Incomplete."""
    end = buffer.find(b"\r\n", at)
    if end < 0:
        raise Incomplete
    kind, text, at = buffer[at : at + 1], buffer[at + 1 : end], end + 2
    if kind == b"$":
        size = int(text)
        if size < 0:
            return None, at
        if len(buffer) < at + size + 2:
            raise Incomplete
        return buffer[at : at + size], at + size + 2
    if kind == b"*":
        items = []
        for _ in range(int(text)):
            item, at = parsed(buffer, at)
            items.append(item)
        return items, at
    if kind == b":":
        return int(text), at
    return (RedisSaid(text.decode()) if kind == b"-" else text), at
