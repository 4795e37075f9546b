"""Who no longer leads writes nothing more, and who is told to end ends: what each piece of leading work asks first."""

import asyncio
from contextvars import ContextVar

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession

LOCK = 7_001
"""Advisory lock that the leader of a service holds, in a session of its own; and with its term as second key."""

FENCE = 7_002
"""Advisory lock that each transaction of leading work shares, and that a new leader must once have had alone: by then
whatever the one before it had begun has ended, and nothing of it begins any more."""

term: ContextVar[int | None] = ContextVar("term", default=None)
"""The number of the term of office in which the work under way leads; None for all other work."""

_HOLDS = sa.text(
    "SELECT pg_try_advisory_xact_lock_shared(:fence) AND EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' "
    "AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) "
    "AND classid = :lock AND objid = :term AND objsubid = 2)"
)


class NoLongerLeads(Exception):
    """The leader in whose name this works has lost its lock."""


async def check(tx: AsyncSession) -> None:
    """Raises NoLongerLeads in leading work whose leader has lost its lock; for all other work it does nothing."""
    number = term.get()
    if number is not None and not await tx.scalar(_HOLDS, {"fence": FENCE, "lock": LOCK, "term": number}):
        raise NoLongerLeads("Somebody else leads, or may: nothing is written.")


def is_ending(error: BaseException) -> bool:
    """Whether the work in which an error was caught is to end, so that the error must be let go.

    A cancellation may come as something else: the rollback that follows it fails on a connection that is dead, and
    that error takes its place. Whoever catches all kinds of errors, and goes on, asks this first.
    """
    task = asyncio.current_task()
    return isinstance(error, NoLongerLeads) or (task is not None and task.cancelling() > 0)


def go_on() -> None:
    """Raises CancelledError where the task is to end, and somebody on the way has kept that from it.

    `asyncio.wait_for` of Python 3.11 does, and so do libraries that use it. Whoever works for ever asks each turn.
    """
    task = asyncio.current_task()
    if task is not None and task.cancelling() > 0:
        raise asyncio.CancelledError
