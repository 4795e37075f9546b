"""A bounded load generator: a closed loop, which finds the most a server can, and an open one, which readers are."""

import asyncio
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

READY_S = 10


@dataclass
class Load:
    """What a run saw: answers by status, and each one's latency in seconds."""

    seconds: float
    statuses: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)

    def note(self, status: int, latency_s: float) -> None:
        self.statuses[status] += 1
        self.latencies_s.append(latency_s)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ranked = sorted(self.latencies_s)
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


class Connection(asyncio.Protocol):
    """One keep-alive connection with a request in flight; reads answers by Content-Length, as our servers send."""

    def __init__(self, answered: Callable[["Connection", int], None]) -> None:
        self.answered = answered
        self.buffer = b""
        self.since = 0.0
        self.error: Exception | None = None
        self.closed = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def send(self, request: bytes, since: float) -> None:
        """Send a request whose latency counts from `since`."""
        self.since = since
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        head, split, body = self.buffer.partition(b"\r\n\r\n")
        if not split:
            return
        lowered = head.lower()
        at = lowered.find(b"content-length:")
        length = int(lowered[at + 15 :].split(b"\r\n", 1)[0]) if at >= 0 else 0
        if len(body) < length:
            return
        self.body, self.buffer = body[:length], body[length:]
        self.answered(self, int(head[9:12]))

    def connection_lost(self, error: Exception | None) -> None:
        self.error = error
        if not self.closed.done():
            self.closed.set_result(None)


async def connect(port: int, answered: Callable[[Connection, int], None]) -> Connection:
    loop = asyncio.get_running_loop()
    _, connection = await loop.create_connection(lambda: Connection(answered), "127.0.0.1", port)
    return connection


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """The bytes of one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def ask(port: int, asked: bytes) -> tuple[int, bytes]:
    """One request on a connection of its own; its status and body."""
    answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    def heard(_: Connection, status: int) -> None:
        if not answer.done():  # who gave up asking hears no more
            answer.set_result(status)

    connection = await connect(port, heard)
    connection.send(asked, 0.0)
    try:
        status = await asyncio.wait_for(answer, READY_S)
    finally:
        connection.transport.close()
    return status, connection.body


async def closed(port: int, requests: Sequence[bytes], *, seconds: float, connections: int = 16) -> Load:
    """Each connection sends its next request as soon as the last is answered: how much the server can at most."""
    load = Load(seconds)
    stop_at = time.perf_counter() + seconds
    n = 0

    def answered(connection: Connection, status: int) -> None:
        now = time.perf_counter()
        load.note(status, now - connection.since)
        if now >= stop_at:
            connection.transport.close()
        else:
            following(connection)

    def following(connection: Connection) -> None:
        nonlocal n
        n += 1
        connection.send(requests[n % len(requests)], time.perf_counter())

    made = [await connect(port, answered) for _ in range(connections)]
    for connection in made:
        following(connection)
    await _ended(made, seconds + READY_S)
    return load


async def opened(
    port: int, requests: Sequence[bytes], *, rate: float, seconds: float, connections: int = 64
) -> Load:
    """Requests fall due at a steady rate whatever the server does; latency counts from when each was due.

    While all connections wait for answers the requests queue here, and their time in the queue counts.
    """
    load = Load(seconds)
    idle: deque[Connection] = deque()
    due: deque[tuple[bytes, float]] = deque()

    def answered(connection: Connection, status: int) -> None:
        load.note(status, time.perf_counter() - connection.since)
        if due:
            connection.send(*due.popleft())
        else:
            idle.append(connection)

    made = [await connect(port, answered) for _ in range(connections)]
    idle.extend(made)
    began = time.perf_counter()
    total, n = int(rate * seconds), 0
    while n < total:
        while n < total and began + n / rate <= time.perf_counter():
            due.append((requests[n % len(requests)], began + n / rate))
            n += 1
        while due and idle:
            idle.popleft().send(*due.popleft())
        await asyncio.sleep(max(0.0, began + n / rate - time.perf_counter()))
    give_up = time.perf_counter() + 60
    while len(load.latencies_s) < total and time.perf_counter() < give_up:
        await asyncio.sleep(0.01)
    for connection in made:
        connection.transport.close()
    await _ended(made, READY_S)
    assert len(load.latencies_s) == total, f"{total - len(load.latencies_s)} requests were never answered"
    return load


async def _ended(made: Sequence[Connection], limit_s: float) -> None:
    await asyncio.wait_for(asyncio.gather(*(connection.closed for connection in made)), limit_s)
    for connection in made:
        if connection.error is not None:
            raise connection.error
