"""The clock's door: functions that run again and again, jobs in the leading process of a service alone."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Concatenate, Generic, ParamSpec, TypeVar, TypeVarTuple

import sqlalchemy as sa
import structlog

from shared import clock, outbox
from shared.db import Database, Tx, is_away
from shared.fence import go_on, is_ending
from shared.observe import FAILING

log = structlog.get_logger()

AT_ONCE = 500
"""How much of what is due a job does in one transaction."""

FIRST_RUN_S = 5.0
LAST_TURN_S = 5.0

P = ParamSpec("P")
Row = TypeVarTuple("Row")
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
        self.ended: dict[str, datetime] = {}
        """When each job last ended a turn while this process led, or while the one before it did."""

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

    def rested(self, name: str) -> timedelta:
        """For how long a job has not run before the turn under way; nothing where nobody leads."""
        now = clock.now()
        return now - self.ended.get(name, now)

    async def loop(self, kit: Works, job: Scheduled[Works]) -> None:
        """Run one job for ever, first soon after the start: a daily job must not wait for a day without restarts.

        A failure is logged and the next turn tries again. A turn in which only some failed has ended all the same.
        """
        pause_s = min(job.every_s, FIRST_RUN_S)
        while True:
            go_on()
            await asyncio.sleep(pause_s)
            pause_s = job.every_s
            try:
                await run_one(kit, job)
            except Exception as error:
                if is_ending(error):
                    raise
                log.exception("job failed", job=job.name)
                if not isinstance(error, SomeFailed):
                    continue
            self.ended[job.name] = clock.now()


async def run_one(kit: Works, job: Scheduled[Works]) -> None:
    """Run a job once, under a correlation id of its own, and let the metric say what of it failed."""
    outbox.correlation.set(f"job:{job.name}:{outbox.now_id()}")
    try:
        await job.run(kit)
    except Exception as error:
        FAILING.labels(job.name).set(len(error.keys) if isinstance(error, SomeFailed) else 1)
        raise
    FAILING.labels(job.name).set(0)


class SomeFailed(Exception):
    """Of what was due some could not be done, for whatever reason; all the rest was."""

    def __init__(self, what: str, keys: Sequence[Any]) -> None:
        self.keys = keys
        super().__init__(f"{what} failed for {', '.join(str(key) for key in keys[:20])}; {len(keys)} in all.")


class Failures:
    """What failed in one turn of a job while the rest went on: each is logged at once, all are raised in the end."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.keys: list[Any] = []
        self._last: Exception | None = None

    @contextlib.contextmanager
    def kept(self, key: object) -> Iterator[None]:
        """Go on after the body with what follows, whatever it raises; not where the database is away."""
        try:
            yield
        except Exception as error:
            if is_away(error) or is_ending(error):
                raise
            self.keys.append(key)
            self._last = error
            log.exception("failed, the rest goes on", what=self.what, key=str(key))

    def tell(self) -> None:
        """Raises SomeFailed, from the last failure, where there was one."""
        if self.keys:
            raise SomeFailed(self.what, self.keys) from self._last


@dataclass
class Batch:
    """What one transaction takes of all that is due: the next after a key, or one alone."""

    after: Any = None
    alone: Any = None
    keys: list[Any] = field(default_factory=list)
    """What it took, in order."""

    async def take(self, tx: Tx, due: sa.Select[*Row]) -> Sequence[sa.Row[*Row]]:
        """Rows of a query whose first column is the key of what is due.

        A turn goes through the keys in their order, so that it ends, and sees each thing once, whatever came of it.
        """
        key = due.selected_columns.values()[0]
        if self.alone is not None:
            due = due.where(key == self.alone)
        if self.after is not None:
            due = due.where(key > self.after)
        rows = (await tx.execute(due.order_by(key).limit(AT_ONCE))).all()
        self.keys = [next(iter(row)) for row in rows]
        return rows


async def until_nothing_is_due(
    database: Database,
    do: Callable[Concatenate[Tx, Batch, P], Awaitable[None]],
    *args: P.args,
    **kwargs: P.kwargs,
) -> None:
    """Do all that is due, a batch a transaction, until one is not full: an outage is made up in one go.

    `do(tx, batch)` does what `batch.take` gives it. Where it raises, nothing of the batch is kept, and each of its
    things is done in a transaction of its own: who fails stops nobody. Raises SomeFailed when all others are done.
    """
    failures = Failures(do.__name__)
    batch = Batch()
    full = True
    while full:
        batch = Batch(after=batch.keys[-1] if batch.keys else None)
        try:
            async with database.worker_tx() as tx:
                await do(tx, batch, *args, **kwargs)
        except Exception as error:
            if is_away(error) or is_ending(error) or not batch.keys:
                raise
            for key in batch.keys:
                with failures.kept(key):
                    async with database.worker_tx() as tx:
                        await do(tx, Batch(alone=key), *args, **kwargs)
        full = len(batch.keys) >= AT_ONCE
    failures.tell()


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
                async with asyncio.timeout(every_s):
                    await stop.wait()

    task = asyncio.create_task(turns())
    try:
        yield
    finally:
        stop.set()
        _, late = await asyncio.wait([task], timeout=LAST_TURN_S)
        for one in late:
            one.cancel()
        await asyncio.gather(task, return_exceptions=True)
