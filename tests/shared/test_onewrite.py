"""What goes over the socket: an answer in one write, a stream piece by piece, and nothing out of order."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import uvicorn

from ops.serve import SERVER
from shared.onewrite import OneWrite

written: list[bytes] = []
go_on = asyncio.Event()


class Counting:
    """A transport that notes each write."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport

    def write(self, data: bytes) -> None:
        written.append(data)
        self._transport.write(data)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class Counted(OneWrite):
    def connection_made(self, transport: Any) -> None:
        super().connection_made(Counting(transport))  # type: ignore[arg-type]


async def app(scope: Any, receive: Any, send: Any) -> None:
    """`/plain`, `/stream` (its second piece waits for `go_on`), `/large` in pieces, `/broken`."""
    if scope["type"] == "lifespan":
        return
    path = scope["path"]
    if path == "/broken":
        raise RuntimeError("as asked")
    body = path.encode()
    headers = [] if path in ("/stream", "/large") else [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    if path == "/stream":
        await go_on.wait()
    for _ in range(200 if path == "/large" else 0):
        await send({"type": "http.response.body", "body": b"x" * 10_000, "more_body": True})
    await send({"type": "http.response.body", "body": body})


@contextlib.asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    written.clear()
    go_on.clear()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=0, lifespan="off", **SERVER | {"http": Counted, "loop": "auto"}
    )
    server = uvicorn.Server(config)
    config.load()
    server.lifespan = config.lifespan_class(config)
    await server.startup()
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        await server.shutdown()


def ask(path: str, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n".encode()


async def answer(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    """The head of the next answer, and as much of a body as it says."""
    head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
    length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
    return head, await asyncio.wait_for(reader.readexactly(int(length or 0)), 5)


def test_every_service_answers_in_one_write():
    assert SERVER["http"] is OneWrite


async def test_head_and_body_leave_in_one_write_and_the_connection_stays_open():
    async with connected() as (reader, writer):
        for _ in range(2):
            writer.write(ask("/plain"))
            head, body = await answer(reader)
            assert head.startswith(b"HTTP/1.1 200 OK")
            assert body == b"/plain"
    assert len(written) == 2


async def test_pipelined_requests_are_answered_in_their_order_in_a_write_each():
    async with connected() as (reader, writer):
        writer.write(ask("/one") + ask("/two") + ask("/three"))
        assert [(await answer(reader))[1] for _ in range(3)] == [b"/one", b"/two", b"/three"]
    assert len(written) == 3


async def test_the_head_of_a_stream_goes_out_before_its_first_piece_is_there():
    async with connected() as (reader, writer):
        writer.write(ask("/stream"))
        head, _ = await answer(reader)
        assert b"transfer-encoding: chunked" in head
        go_on.set()
        assert await asyncio.wait_for(reader.readuntil(b"0\r\n\r\n"), 5) == b"7\r\n/stream\r\n0\r\n\r\n"
    assert len(written) == 2


async def test_a_large_answer_arrives_whole_and_is_not_gathered_in_memory():
    async with connected() as (reader, writer):
        writer.write(ask("/large", more="Connection: close\r\n"))
        whole = await asyncio.wait_for(reader.read(), 5)
        assert whole.count(b"x") == 2_000_000
    assert max(map(len, written)) < 25_000


async def test_a_head_alone_goes_out_without_a_body():
    async with connected() as (reader, writer):
        writer.write(ask("/plain", "HEAD") + ask("/after"))
        assert (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)).startswith(b"HTTP/1.1 200")
        assert (await answer(reader))[1] == b"/after"


async def test_an_answer_that_closes_the_connection_is_sent_before_it_closes():
    async with connected() as (reader, writer):
        writer.write(ask("/plain", more="Connection: close\r\n"))
        assert (await asyncio.wait_for(reader.read(), 5)).endswith(b"\r\n\r\n/plain")
    assert len(written) == 1


async def test_a_fault_and_nonsense_are_answered_and_the_connection_closed():
    async with connected() as (reader, writer):
        writer.write(ask("/broken"))
        got = await asyncio.wait_for(reader.read(), 5)
        assert got.startswith(b"HTTP/1.1 500")
        assert got.endswith(b"Internal Server Error")
    async with connected() as (reader, writer):
        writer.write(b"nonsense\r\n\r\n")
        assert (await asyncio.wait_for(reader.read(), 5)).startswith(b"HTTP/1.1 400")
    assert len(written) == 1
