"""A flat that also listens on loopback, so that the simulator's own HTTP reaches it."""

import asyncio
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any

import pytest
import uvicorn

from tests.conftest import Flat, Flats

Serve = Callable[..., Awaitable[Flat]]


async def _answering(listening: socket.socket) -> None:
    """Wait for the first answer; the kernel keeps the question until the server takes it."""
    reader, writer = await asyncio.open_connection(*listening.getsockname())
    writer.write(b"GET /health/live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    await asyncio.wait_for(reader.read(), 10)
    writer.close()


@pytest.fixture(scope="session")
def door() -> Iterator[socket.socket]:
    """One port for the whole session, so that payments keeps its address."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


@pytest.fixture
async def serve(flats: Flats, door: socket.socket) -> AsyncIterator[Serve]:
    """Payments behind a real port, which is its base address."""
    running: list[tuple[uvicorn.Server, asyncio.Task[None]]] = []

    async def start(**changes: Any) -> Flat:
        listening = door.dup()
        base_url = f"http://127.0.0.1:{listening.getsockname()[1]}"
        flat = await flats.start("payments", base_url=base_url, **changes)
        server = uvicorn.Server(uvicorn.Config(flat.app, lifespan="off", log_config=None))
        running.append((server, asyncio.create_task(server.serve(sockets=[listening]))))
        await _answering(listening)
        return flat

    yield start
    for server, task in running:
        server.should_exit = True
        await task
