"""Charts are drawn by Vega-Lite in a process of its own, so that its 100 MB and its slow start are not ours."""

import asyncio
import contextlib
import hashlib
import json
import sys
from asyncio import StreamReader, StreamWriter
from asyncio.subprocess import PIPE, Process
from collections import OrderedDict
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, cast

from litestar import Litestar

from shared.errors import Unavailable
from shared.outside import outside

DRAW = Path(__file__).parent / "draw.py"
"""Run by its path, so that nothing else of ours is imported there."""
DRAW_LIMIT_S = 20
REST_S = 60.0
"""After so long without a new chart the process ends, and gives its memory back."""
KEPT = 64
LONGEST_LINE = 8 * 1024 * 1024


class Drawer:
    """One process that draws, a chart after the other: it is started by the first and stays warm for the next.

    Equal charts that are asked for at once are drawn once; what was drawn lately is remembered by its content.
    """

    def __init__(self) -> None:
        self.drawn = 0
        """How many charts were not remembered."""
        self._kept: OrderedDict[bytes, bytes] = OrderedDict()
        self._turn = asyncio.Lock()
        self._process: Process | None = None
        self._end: asyncio.TimerHandle | None = None

    @outside
    async def draw(self, spec: dict[str, Any]) -> bytes:
        """An SVG of a Vega-Lite specification. Raises Unavailable."""
        text = json.dumps(spec, sort_keys=True).encode()
        key = hashlib.sha256(text).digest()
        if key not in self._kept:
            async with self._turn:
                if key not in self._kept:
                    self._kept[key] = await self._draw(text)
                    if len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
        self._kept.move_to_end(key)
        return self._kept[key]

    async def _draw(self, text: bytes) -> bytes:
        self.drawn += 1
        if self._end is not None:
            self._end.cancel()
        answered = False
        try:
            async with asyncio.timeout(DRAW_LIMIT_S):
                svg = await self._ask(text)
            answered = True
        except TimeoutError as error:
            raise Unavailable("The chart takes too long to draw.", retry_after_s=5) from error
        finally:
            if answered:
                self._end = asyncio.get_running_loop().call_later(REST_S, self.rest)
            else:
                # Whatever it still says would be taken for the answer to the next.
                await self.close()
        return svg

    async def _ask(self, text: bytes) -> bytes:
        """A line to the process, and the line that it answers."""
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                sys.executable, "-P", str(DRAW), stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE
            )
        cast("StreamWriter", self._process.stdin).write(text + b"\n")
        answer = await cast("StreamReader", self._process.stdout).readline()
        if not answer:
            raise RuntimeError("The process that draws charts ended; what it said is in the log.")
        svg: str = json.loads(answer)
        return svg.encode()

    def rest(self) -> None:
        """End the process; the next chart starts another."""
        process, self._process = self._process, None
        if process is not None and process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.kill()

    async def close(self) -> None:
        """End the process and wait until it has ended."""
        process = self._process
        self.rest()
        if process is not None:
            await process.wait()


@contextlib.asynccontextmanager
async def drawing(app: Litestar) -> AsyncIterator[None]:
    """Have a drawer at `app.state.drawer`, and leave no process behind."""
    app.state.drawer = Drawer()
    try:
        yield
    finally:
        await app.state.drawer.close()
