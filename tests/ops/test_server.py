"""A server at rest: it wakes for its clock alone, keeps its Date, and stops when it is told."""

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator

import uvicorn

from ops.serve import SERVER, TICK_S, RestingServer


class Counted(RestingServer):
    ticks = 0

    async def startup(self, sockets=None):
        await super().startup(sockets)
        self.up.set()

    async def on_tick(self, counter):
        self.ticks += 1
        return await super().on_tick(counter)


async def nothing(_scope, _receive, _send):
    """Nobody asks it anything."""


@contextlib.asynccontextmanager
async def at_rest(app=nothing) -> AsyncIterator[Counted]:
    """A server that serves, and at the end is told to stop: it has half a tick for it."""
    server = Counted(uvicorn.Config(app, port=0, lifespan="off", **SERVER | {"loop": "auto"}))
    server.up = asyncio.Event()
    running = asyncio.create_task(server._serve())
    await server.up.wait()
    await asyncio.sleep(0)
    try:
        yield server
    finally:
        server.handle_exit(signal.SIGTERM, None)
        await asyncio.wait_for(running, TICK_S / 2)


async def test_a_server_at_rest_wakes_for_its_clock_alone_and_stops_at_once_when_told():
    async with at_rest() as server:
        before = server.ticks
        await asyncio.sleep(2.5 * TICK_S)
        assert 1 <= server.ticks - before <= 3


async def test_the_date_of_its_answers_follows_the_clock():
    async with at_rest() as server:
        server.server_state.default_headers = [(b"date", b"long ago")]
        await asyncio.sleep(1.5 * TICK_S)
        assert server.server_state.default_headers[0] != (b"date", b"long ago")
