"""Two who act at the same moment, one step at a time: who must wait is waited for, and no test sleeps on it."""

import asyncio

import sqlalchemy as sa

from tests.conftest import Flat

_WAITING = sa.text(
    "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE NOT l.granted AND a.datname = current_database()"
)


async def until_waiting(flat: Flat, how_many: int = 1, unless: asyncio.Task[None] | None = None) -> None:
    """Go on once so many transactions of a flat wait for a lock that another one has, or a task is done."""
    for _ in range(500):
        async with flat.tx() as tx:
            if (await tx.scalar(_WAITING) or 0) >= how_many or (unless is not None and unless.done()):
                return
        await asyncio.sleep(0.01)
    raise AssertionError("Nobody came to wait for a lock.")
