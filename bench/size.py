"""How the books behave as they grow: `make size` posts until ten million entries stand, and measures on the way."""

import argparse
import asyncio
import sys
import time
from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import Any

import sqlalchemy as sa

from bench.ledger import BATCH, ledger, posting_rate
from services.ledger.actions.recognising import reach
from services.ledger.queries import books, journal
from services.ledger.queries.proof import verify
from shared import clock
from shared.calendar import local_day
from shared.db import Database

STOPS = (100_000, 300_000, 1_000_000, 3_000_000, 10_000_000)
HEADS = (
    "entries",
    "posting /s",
    "verify entries/s",
    "trial balance ms",
    "journal ms",
    "a day s",
    "bytes an entry",
)

_COUNT = sa.text("SELECT count(*) FROM entry")
_SIZE = sa.text("SELECT pg_database_size(current_database())")


async def measured(most: int) -> None:
    """Post until each stop, and write a row of the table there. Raises AssertionError for books that are not sound."""
    print("| " + " | ".join(HEADS) + " |\n|" + "---|" * len(HEADS), flush=True)
    async with ledger() as (_, kit):
        day = local_day(clock.now())
        for stop in (stop for stop in STOPS if stop <= most):
            rate = 0.0
            while (count := int(await _value(kit.database, _COUNT))) < stop:
                rate = await posting_rate(kit.database, min(20 * BATCH, stop - count), BATCH)
            started = time.perf_counter()
            async with kit.database.worker_tx() as tx:
                proof = await verify(tx)
            proven = proof.entries / (time.perf_counter() - started)
            assert not proof.findings, proof.findings[:3]
            day += timedelta(days=1)
            balanced = partial(books.trial_balance, codes=["bkh"], on=day)
            listed = partial(journal.entries, codes=["bkh"], wanted=journal.Wanted())
            row = (
                f"{count:,}",
                f"{rate:,.0f}",
                f"{proven:,.0f}",
                f"{1000 * await _seconds(kit.database, balanced):,.1f}",
                f"{1000 * await _seconds(kit.database, listed):,.1f}",
                f"{await _seconds(kit.database, partial(reach, today=day)):,.1f}",
                f"{int(await _value(kit.database, _SIZE)) / count:,.0f}",
            )
            print("| " + " | ".join(row) + " |", flush=True)


async def _value(database: Database, statement: sa.TextClause) -> Any:
    async with database.worker_tx() as tx:
        return await tx.scalar(statement)


async def _seconds(database: Database, work: Callable[[Any], Awaitable[Any]]) -> float:
    async with database.worker_tx() as tx:
        started = time.perf_counter()
        await work(tx)
        return time.perf_counter() - started


def main() -> int:
    words = argparse.ArgumentParser(prog="python -m bench.size", description=__doc__)
    words.add_argument("most", nargs="?", type=int, default=STOPS[-1], help="entries at which to stop")
    asyncio.run(measured(words.parse_args().most))
    return 0


if __name__ == "__main__":
    sys.exit(main())
