"""A bounded load generator: N connections keep one request in flight each, for a fixed time."""

import asyncio
import time
from dataclasses import dataclass, field


@dataclass
class Load:
    """What a run saw: answers, answers by status, and each one's latency in seconds."""

    seconds: float
    statuses: dict[int, int] = field(default_factory=dict)
    latencies_s: list[float] = field(default_factory=list)

    @property
    def per_second(self) -> float:
        return len(self.latencies_s) / self.seconds

    def percentile_ms(self, share: float) -> float:
        ranked = sorted(self.latencies_s)
        return 1000 * ranked[min(len(ranked) - 1, int(share * len(ranked)))] if ranked else 0.0


class _Connection(asyncio.Protocol):
    """One keep-alive connection; reads answers by Content-Length, which is all our servers send."""

    def __init__(self, load: Load, requests: list[bytes], stop_at: float, pause_s: float) -> None:
        self.load, self.requests, self.stop_at, self.pause_s = load, requests, stop_at, pause_s
        self.next = 0
        self.buffer = b""
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._send()

    def _send(self) -> None:
        self.sent_at = time.perf_counter()
        self.transport.write(self.requests[self.next % len(self.requests)])
        self.next += 1

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
        self.buffer = body[length:]
        now = time.perf_counter()
        status = int(head[9:12])
        self.load.statuses[status] = self.load.statuses.get(status, 0) + 1
        self.load.latencies_s.append(now - self.sent_at)
        if now >= self.stop_at:
            self.transport.close()
        elif self.pause_s:
            asyncio.get_running_loop().call_later(self.pause_s, self._send)
        else:
            self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self.done.done():
            if error:
                self.done.set_exception(error)
            else:
                self.done.set_result(None)


def request(method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None) -> bytes:
    """The bytes of one HTTP/1.1 request."""
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost"]
    if body:
        lines += [f"Content-Length: {len(body)}", "Content-Type: application/json"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


async def run(
    port: int, requests: list[bytes], *, seconds: float, connections: int = 16, pause_s: float = 0.0
) -> Load:
    """Put load on a server of ours on loopback, and stop by itself."""
    load = Load(seconds)
    stop_at = time.perf_counter() + seconds
    loop = asyncio.get_running_loop()
    made = []
    for n in range(connections):
        share = requests[n % len(requests) :] + requests[: n % len(requests)]
        _, protocol = await loop.create_connection(
            lambda share=share: _Connection(load, share, stop_at, pause_s), "127.0.0.1", port
        )
        made.append(protocol.done)
    await asyncio.wait_for(asyncio.gather(*made), seconds + 10)
    return load
