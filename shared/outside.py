"""Nothing slow is done while a connection to the database is held: of these we have few.

Slow is the outside world, and what keeps a processor for longer than a page may take.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import wraps
from typing import Any, ParamSpec, TypeVar
from weakref import WeakKeyDictionary

from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine

P = ParamSpec("P")
T = TypeVar("T")

_held: WeakKeyDictionary[asyncio.Task[Any], int] = WeakKeyDictionary()
"""How many connections each task holds."""
_HOLDER = "holder"


class HeldInside(RuntimeError):
    """Something slow was called inside a transaction; a mistake of ours, never of a caller."""


def watch(engine: AsyncEngine) -> None:
    """Note from now on which task holds a connection of this engine."""
    event.listen(engine.sync_engine, "checkout", _taken)
    event.listen(engine.sync_engine, "checkin", _given_back)


def _taken(_connection: Any, record: Any, _proxy: Any) -> None:
    task = asyncio.current_task()
    if task is not None:
        record.info[_HOLDER] = task
        _held[task] = _held.get(task, 0) + 1


def _given_back(_connection: Any, record: Any) -> None:
    task = record.info.pop(_HOLDER, None)
    if task is not None:
        _held[task] -= 1


def outside(call: Callable[P, Awaitable[T]]) -> Callable[P, Awaitable[T]]:
    """Mark what is slow: read first, call it when the transaction is over, open another for what came of it.

    Raises HeldInside in a task that holds a connection.
    """

    @wraps(call)
    async def checked(*args: P.args, **kwargs: P.kwargs) -> T:
        task = asyncio.current_task()
        if task is not None and _held.get(task):
            raise HeldInside(f"{call.__qualname__} is called while a transaction is open.")
        return await call(*args, **kwargs)

    checked.is_outside = True  # type: ignore[attr-defined]
    return checked
