"""V12: a day recognised over a million live lines, while the ledger goes on posting."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from datetime import date, timedelta

import psycopg
import sqlalchemy as sa

from bench.ledger import BATCH, capture, ledger
from bench.report import Row, figure
from services.ledger.actions.posting import post
from services.ledger.actions.recognising import reach
from shared import clock
from shared.calendar import local_day
from shared.db import Database

LINES, SHORT_LINES = 1_000_000, 100_000
DAYS, SHORT_DAYS = 3, 1
EVERY_S = BATCH / 1_000
"""A batch falls due so often: a thousand facts a second, as many as V6 sends."""
TRIES = 20
"""Each waits ten seconds for the writer's lock."""

# Copies of a line that posting wrote, each under ids of its own: a month of reading that began today.
_COPY = """
INSERT INTO line (id, agency, payee, seller, stream, invoice, counter, since, until, amount_vnd, through, seq, changes,
    state)
SELECT made.id, agency, payee, seller, stream, made.invoice, counter, since, until, amount_vnd, through, seq, changes,
    state
FROM (SELECT * FROM line LIMIT 1) AS one,
    (SELECT md5('line ' || n)::uuid AS id, md5('invoice ' || n)::uuid AS invoice
     FROM generate_series(1, %s) AS n) AS made
"""
_EARNED = sa.text("SELECT coalesce(sum(cardinality(lines)), 0) FROM part WHERE posted_on = :day")


def fill_lines(address: str, count: int) -> None:
    """So many live lines beside the one that was posted."""
    with psycopg.connect(address, autocommit=True) as database:
        database.execute(_COPY, [count])
        database.execute("ANALYZE line")


async def recognition(short: bool) -> list[Row]:
    """The day's job as it is; and how long a batch of facts waits for the books meanwhile."""
    count = SHORT_LINES if short else LINES
    took: list[float] = []
    waits: list[float] = []
    ended = "to its end"
    async with ledger() as (stack, kit):
        async with kit.database.worker_tx() as tx:
            await post(tx, [capture()])
        fill_lines(stack.admin_url("ledger"), count)
        for n in range(SHORT_DAYS if short else DAYS):
            async with posting_on(kit.database, waits):
                await asyncio.sleep(2 * EVERY_S)
                day = local_day(clock.now()) + timedelta(days=n + 1)
                began = time.perf_counter()
                try:
                    took.append(await recognised(kit.database, day, count))
                except sa.exc.DBAPIError as error:
                    print(f"Not recognised: {error.orig}")
                    took.append(time.perf_counter() - began)
                    ended = "broken off by the database's time limits"
                    break
    what = f"recognition of a day with {count:,} live lines while 1,000 facts/s are posted, {ended}"
    return [
        figure("V12", what, took, "s", 5),
        figure(
            "V12b", "a batch of facts meanwhile, from due to posted, the slowest", [max(waits)], "s", None
        ),
    ]


async def recognised(database: Database, day: date, count: int) -> float:
    """Seconds in which every line earned its day."""
    started = time.perf_counter()
    async with database.worker_tx() as tx:
        await reach(tx, day)
    seconds = time.perf_counter() - started
    async with database.worker_tx() as tx:
        assert await tx.scalar(_EARNED, {"day": day}) > count
    return seconds


@contextlib.asynccontextmanager
async def posting_on(database: Database, waits: list[float]) -> AsyncIterator[None]:
    """Post a batch whenever one is due, and note how long each took from then; the last is waited for."""
    over = asyncio.Event()

    async def posting() -> None:
        began, n = time.perf_counter(), 0
        while not over.is_set():
            due, n = began + n * EVERY_S, n + 1
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            await _posted(database)
            waits.append(time.perf_counter() - due)

    task = asyncio.create_task(posting())
    try:
        yield
    finally:
        over.set()
        await task


async def _posted(database: Database) -> None:
    """Post a batch: again where the books were locked for longer than a connection waits, as a consumer would."""
    made = [capture() for _ in range(BATCH)]
    for left in reversed(range(TRIES)):
        try:
            async with database.worker_tx() as tx:
                await post(tx, made)
        except sa.exc.DBAPIError:
            if not left:
                raise
        else:
            return
