"""Two who act at the same moment, one step at a time: who must wait is waited for, and no test sleeps on it."""

import asyncio
from typing import Any

import sqlalchemy as sa

from tests.conftest import Flat

_WAITING = sa.text(
    "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid "
    "WHERE NOT l.granted AND a.datname = current_database()"
)


async def until_waiting(flat: Flat, how_many: int = 1) -> None:
    """Go on once so many transactions of a flat wait for a lock that another one has."""
    for _ in range(500):
        async with flat.tx() as tx:
            if (await tx.scalar(_WAITING) or 0) >= how_many:
                return
        await asyncio.sleep(0.01)
    raise AssertionError("Nobody came to wait for a lock.")


async def both(*tasks: Any) -> None:
    """Let those who acted at once end; PostgreSQL's own word for a circle, where there is one, is the failure."""
    async with asyncio.timeout(20):
        await asyncio.gather(*tasks)
