"""What one running service holds: settings, database, bus, Redis, files; doors find it at `app.state.kit`."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from datetime import timedelta

import sqlalchemy as sa
import structlog
from redis.asyncio import Redis

from shared import clock, counters, revocations
from shared.bus import Bus, Intake, Relay
from shared.consume import VERSION, Consumer, is_being_cancelled
from shared.db import Database
from shared.files import Files
from shared.jobs import Jobs, Scheduled
from shared.leader import Leader, Session
from shared.presence import Presence
from shared.settings import Settings

log = structlog.get_logger()

_WAITING = (
    "SELECT EXISTS (SELECT FROM outbox WHERE aside = '') AS facts, "
    "EXISTS (SELECT FROM retry WHERE state <> 'parked' AND next_at <= %(now)s) AS retries"
)
"""Beside an idle flat this is all that asks the database for facts, twice a second."""


class Kit:
    """One service's belongings, opened at start and closed at stop."""

    def __init__(
        self,
        service: str,
        settings: Settings,
        consumer: Consumer,
        jobs: "Jobs[Kit]",
        *,
        durable: bool = True,
    ) -> None:
        self.service = service
        self.settings = settings
        self.consumer = consumer
        self.jobs = jobs
        self.database = Database(settings, service, durable=durable)
        self.redis: Redis = Redis.from_url(
            counters.address(settings, service),
            decode_responses=False,
            socket_timeout=1,
            socket_connect_timeout=1,
        )
        self.files = Files(settings, service)
        self.bus = Bus(settings, service)
        self.leader = Leader(settings, service)
        self.relay = Relay(self.bus, self.database)
        self.intake = Intake(self.bus, self.database, consumer)
        self.presence = Presence(self.bus, consumer)
        self.retry_due = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        """Start what runs behind the web, where this process is to run it."""
        if self.settings.background:
            task = asyncio.create_task(self._background(), name="background")
            task.add_done_callback(_leave_when_broken)
            self._tasks.append(task)

    async def _background(self) -> None:
        await self.bus.connect()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch_bus())
            group.create_task(self.presence.keep_looking())
            group.create_task(self.leader.run(self._lead, self._look))
            for source in self.consumer.sources():
                group.create_task(self.intake.run(source))

    async def _lead(self) -> None:
        """What one process of the service does for all: relay and jobs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.relay.run())
            group.create_task(self._retry())
            for job in (*FLAT_JOBS, *self.jobs.scheduled):
                group.create_task(self.jobs.loop(self, job))

    async def _look(self, session: Session) -> None:
        """Wake who has work: facts that another process wrote, and facts that are to be tried again."""
        facts, retries = await (await session.execute(_WAITING, {"now": clock.now()})).fetchone() or (
            False,
            False,
        )
        if facts:
            self.relay.rung.set()
        if retries:
            self.retry_due.set()

    async def _retry(self) -> None:
        """Try again what is due in the retry table, for ever; at first what a version before ours could not read.

        A failure is logged, the next look wakes it again.
        """
        turn: Callable[[Database], Awaitable[object]] = self.consumer.wake
        while True:
            try:
                await turn(self.database)
            except Exception:
                if is_being_cancelled():
                    raise
                log.exception("retry failed")
            else:
                turn = self.consumer.again
            await self.retry_due.wait()
            self.retry_due.clear()

    async def _watch_bus(self) -> None:
        await self.bus.closed.wait()
        raise ConnectionError("The connection to NATS closed for good.")

    async def stop(self) -> None:
        """Stop fetching, let the batch in hand finish, then close."""
        self.intake.stopping = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.bus.close()
        await self.redis.aclose()
        await self.database.close()

    async def waits_for(self) -> list[str]:
        """What keeps the service from being ready, in words; empty when it is ready."""
        missing = []
        try:
            async with self.database.worker_tx() as tx:
                await tx.connection()
        except Exception as error:  # noqa: BLE001 - any failure means the same here
            missing.append(f"PostgreSQL: {str(error).splitlines()[0]}")
        if self.settings.background:
            if not self.bus.connected:
                missing.append("NATS: not connected")
            if self.bus.denied:
                missing.append(f"NATS: {self.bus.denied}")
            missing += [f"NATS: {what}" for what in self.presence.away]
        return missing


async def _forget(kit: Kit) -> None:
    """Drop what nothing can reach any more: answers after a week, handled ids after the streams' 90 days, sessions."""
    now = clock.now()
    async with kit.database.worker_tx() as tx:
        await tx.execute(
            sa.text("DELETE FROM idempotency WHERE created_at < :then"), {"then": now - timedelta(days=7)}
        )
        await tx.execute(
            sa.text("DELETE FROM inbox WHERE handled_at < :then"), {"then": now - timedelta(days=100)}
        )
        await revocations.forget(tx)


_LATE = sa.text(
    "SELECT count(*) FILTER (WHERE since < :since AND waits_for <> :version) AS late, "
    "count(*) FILTER (WHERE waits_for = :version) AS newer FROM retry WHERE state <> 'parked'"
)


async def _alarm(kit: Kit) -> None:
    """Tell of facts that have waited for more than an hour, which are never parked, and of those of a newer version."""
    async with kit.database.worker_tx() as tx:
        held = (
            await tx.execute(_LATE, {"since": clock.now() - timedelta(hours=1), "version": VERSION})
        ).one()
    if held.late:
        log.error("facts wait for more than an hour", service=kit.service, facts=held.late)
    if held.newer:
        log.error("facts of a newer version wait for an upgrade", service=kit.service, facts=held.newer)


FLAT_JOBS: tuple[Scheduled[Kit], ...] = (
    Scheduled("forget", 3600, _forget),
    Scheduled("alarm", 300, _alarm),
)


def _leave_when_broken(task: asyncio.Task[None]) -> None:
    """A service whose facts no longer flow must not look alive: it stops, and its supervisor starts it anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("background broke", error=repr(error))
        signal.raise_signal(signal.SIGTERM)
