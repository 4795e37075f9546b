"""A line to a store that can be held (nothing passes), cut (it breaks, and nobody gets through) or slow."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit


class Line:
    """A loopback port behind which the store's own lies."""

    def __init__(self, port: int) -> None:
        self._behind = port
        self._passes = asyncio.Event()
        self._passes.set()
        self._cut = False
        self._delay_s = 0.0
        self._open: set[asyncio.StreamWriter] = set()
        self._ways: set[asyncio.Task[None]] = set()

    @property
    def port(self) -> int:
        return int(self._server.sockets[0].getsockname()[1])

    async def listen(self) -> None:
        self._server = await asyncio.start_server(self._take, "127.0.0.1", 0)

    def hold(self) -> None:
        """Let nothing pass any more: who connects finds somebody who says nothing."""
        self._passes.clear()

    def cut(self) -> None:
        """Break what is open, and turn away who connects."""
        self._cut = True
        for writer in self._open:
            writer.transport.abort()

    def slow(self, delay_s: float) -> None:
        """Let each piece arrive so much later, on its way there and on its way back."""
        self._delay_s = delay_s

    def mend(self) -> None:
        """Let everything pass again."""
        self._cut = False
        self._delay_s = 0.0
        self._passes.set()

    async def close(self) -> None:
        self.cut()
        self._server.close()
        for way in self._ways:
            way.cancel()
        await asyncio.gather(*self._ways, return_exceptions=True)

    async def _take(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open.add(writer)
        if self._cut:
            writer.transport.abort()
            return
        await self._passes.wait()
        with contextlib.suppress(OSError):
            there, back = await asyncio.open_connection("127.0.0.1", self._behind)
            self._open.add(back)
            for way in (self._pass_on(reader, back), self._pass_on(there, writer)):
                self._ways.add(asyncio.create_task(way))

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                await asyncio.sleep(self._delay_s)
                await self._passes.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()


@contextlib.asynccontextmanager
async def line_to(url: str) -> AsyncIterator[tuple[Line, str]]:
    """A line to the store at an address, and the address that goes through it."""
    port = urlsplit(url).port or 0
    line = Line(port)
    await line.listen()
    try:
        yield line, url.replace(f":{port}", f":{line.port}")
    finally:
        await line.close()
