"""A flat may live its history aside, in a process of its own: the others work meanwhile."""

import asyncio
import contextlib
import gc
import multiprocessing
import signal
from collections.abc import Awaitable, Callable, Iterator
from datetime import date, datetime
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, Self
from uuid import UUID

import msgspec

YOUNG = (20_000, 50, 100)
"""What was loaded stays, what is made dies young: a collector of garbage that looks often costs a fifth."""


class Told(msgspec.Struct):
    """One act of the flat: which, on what day, at what instant, and the facts that have come for it, encoded."""

    act: str
    day: date
    instant: datetime
    facts: list[bytes]
    actors: dict[str, list[UUID]] = {}
    """Who takes part in the life by now."""
    asked: bool = False
    """Whether what came of it is waited for."""


class Said(msgspec.Struct):
    """What came of an act: the instant at which it was over, and the facts that the flat said, encoded."""

    instant: datetime
    facts: list[bytes]


class EndedEarly(Exception):
    """The process aside broke off; its own words are on standard error."""


class Aside:
    """Tells another process what its flat is to do, in order; it may fall behind by as much as a pipe holds.

    `play(told, *given)` is a function of a module: the other process imports it and runs it to its end. Leaving the
    block waits until all that was told is done, and raises EndedEarly where it was not.
    """

    def __init__(self, play: Callable[..., Awaitable[None]], *given: Any) -> None:
        spawn = multiprocessing.get_context("spawn")
        hearing, self._line = spawn.Pipe()
        self._process = spawn.Process(target=_run, args=(hearing, play, given), daemon=True)
        self._process.start()
        hearing.close()

    async def __aenter__(self) -> Self:
        return self

    async def tell(self, told: Told) -> None:
        try:
            await asyncio.to_thread(self._line.send_bytes, msgspec.msgpack.encode(told))
        except BrokenPipeError as error:
            raise EndedEarly(f"It did not live to see {told.day}.") from error

    async def ask(self, told: Told) -> Said:
        """Tell what is to be done, and wait for what came of it."""
        told.asked = True
        await self.tell(told)
        try:
            answer = await asyncio.to_thread(self._line.recv_bytes)
        except (EOFError, OSError) as error:
            raise EndedEarly(f"It did not live to see the end of {told.day}.") from error
        return msgspec.msgpack.decode(answer, type=Said)

    async def __aexit__(
        self, kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self._line.close()
        if kind is not None:
            self._process.kill()
        await asyncio.to_thread(self._process.join)
        if kind is None and self._process.exitcode:
            raise EndedEarly(f"It ended with status {self._process.exitcode}.")


def _run(line: Connection, play: Callable[..., Any], given: tuple[Any, ...]) -> None:
    import uvloop

    signal.signal(
        signal.SIGINT, signal.SIG_IGN
    )  # whoever tells is interrupted too, and then nothing more is told
    gc.freeze()
    gc.set_threshold(*YOUNG)
    uvloop.run(play(Hearing(line), *given))


class Hearing:
    """What the process aside is told, and its way to answer."""

    def __init__(self, line: Connection) -> None:
        self._line = line

    def __iter__(self) -> Iterator[Told]:
        with contextlib.suppress(EOFError):
            while True:
                yield msgspec.msgpack.decode(self._line.recv_bytes(), type=Told)

    def answer(self, said: Said) -> None:
        """Say what came of what was asked."""
        self._line.send_bytes(msgspec.msgpack.encode(said))
