"""The clock's door: functions that run again and again, jobs in the leading process of a service alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import structlog

from shared import outbox
from shared.db import Database, Tx

log = structlog.get_logger()

AT_ONCE = 500
"""How much of what is due a job does in one transaction."""

FIRST_RUN_S = 5.0
LAST_TURN_S = 5.0

Works = TypeVar("Works")
"""What a job works with: a flat's kit, which holds its jobs and so cannot be known here."""


Job = Callable[[Works], Awaitable[None]]


@dataclass(frozen=True)
class Scheduled(Generic[Works]):
    name: str
    every_s: float
    run: Job[Works]


class Jobs(Generic[Works]):
    """The jobs of one service; `@jobs.every(60)` registers one."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.scheduled: list[Scheduled[Works]] = []

    def every(self, seconds: float) -> Callable[[Job[Works]], Job[Works]]:
        """Register `async def job(kit)`: it opens its own transactions and is safe to run twice."""

        def register(job: Job[Works]) -> Job[Works]:
            self.scheduled.append(Scheduled(job.__name__, seconds, job))
            return job

        return register

    async def run_all(self, kit: Works) -> None:
        """Run each job once, now; the driven house and tests call this."""
        for job in self.scheduled:
            await run_one(kit, job)

    async def loop(self, kit: Works, job: Scheduled[Works]) -> None:
        """Run one job for ever, first soon after the start: a daily job must not wait for a day without restarts.

        A failure is logged and the next turn tries again.
        """
        pause_s = min(job.every_s, FIRST_RUN_S)
        while True:
            await asyncio.sleep(pause_s)
            pause_s = job.every_s
            try:
                await run_one(kit, job)
            except Exception:
                log.exception("job failed", job=job.name)


async def run_one(kit: Works, job: Scheduled[Works]) -> None:
    """Run a job once, under a correlation id of its own."""
    outbox.correlation.set(f"job:{job.name}:{outbox.now_id()}")
    await job.run(kit)


async def until_nothing_is_due(database: Database, batch: Callable[[Tx, int], Awaitable[int]]) -> None:
    """Do all that is due, a batch a transaction, until one is not full: an outage is made up in one go.

    `batch(tx, limit)` does at most `limit` things and returns how many; what it has done must not be due any more.
    """
    done = AT_ONCE
    while done >= AT_ONCE:
        async with database.worker_tx() as tx:
            done = await batch(tx, AT_ONCE)


@contextlib.asynccontextmanager
async def repeating(work: Callable[[], Awaitable[None]], every_s: float) -> AsyncIterator[None]:
    """Do the work again and again beside the body, in every process; a failure is logged, the next turn tries again.

    The turn in hand ends before the body is left: a connection that is broken off half-way stays open on the server.
    """
    stop = asyncio.Event()

    async def turns() -> None:
        while not stop.is_set():
            try:
                await work()
            except Exception as error:  # noqa: BLE001 - as said
                log.warning("turn failed", work=work.__qualname__, error=str(error)[:200])
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), every_s)

    task = asyncio.create_task(turns())
    try:
        yield
    finally:
        stop.set()
        _, late = await asyncio.wait([task], timeout=LAST_TURN_S)
        for one in late:
            one.cancel()
        await asyncio.gather(task, return_exceptions=True)
