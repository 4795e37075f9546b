"""What one running service holds: settings, database, bus, Redis, files; doors find it at `app.state.kit`."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from datetime import timedelta

import sqlalchemy as sa
import structlog
from redis.asyncio import Redis

from shared import clock, counters, held, revocations, turns
from shared.bus import Bus, Intake, Relay
from shared.consume import INBOX_KEEPS, Consumer
from shared.db import Database
from shared.fence import go_on, is_ending
from shared.files import Files
from shared.jobs import Jobs, Scheduled
from shared.leader import LOOK_S, UNLED_S, Leader, Session, leave
from shared.presence import Presence
from shared.settings import Settings
from shared.waiting import VERSION, Waking

log = structlog.get_logger()

_WAITING = (
    "SELECT EXISTS (SELECT FROM outbox WHERE aside = '') AS facts, "
    "EXISTS (SELECT FROM retry WHERE state IN ('retry', 'waiting') AND next_at <= %(now)s) AS retries"
)
"""Beside an idle flat this is all that asks the database for facts, twice a second."""

_OLDEST = sa.text("SELECT occurred_at FROM outbox WHERE aside = '' ORDER BY seq LIMIT 1")

UNSAID_S = 30.0
"""Facts that have waited for so long wait for something that is wrong, such as a stream that takes nothing."""

READY_S = 2.5
"""How long readiness waits for PostgreSQL."""

STOPS_S = 10.0
"""How long what runs behind the web may take to end when the service stops."""


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
        async with self.database.worker_tx() as tx:
            self.jobs.ended = await turns.begin(tx, clock.now())
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
        """Try again what is due in the retry table, for ever; meanwhile wake what a version before ours could not read.

        A failure is logged and holds up nothing else; the next look wakes it again.
        """
        waking = Waking()
        while True:
            go_on()
            await self._tried(waking.part)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if waking.over else LOOK_S):
                    await self.retry_due.wait()
            self.retry_due.clear()
            await self._tried(self.consumer.again)

    async def _tried(self, turn: Callable[[Database], Awaitable[object]]) -> None:
        try:
            await turn(self.database)
        except Exception as error:
            if is_ending(error):
                raise
            log.exception("retry failed")

    async def _watch_bus(self) -> None:
        await self.bus.closed.wait()
        raise ConnectionError("The connection to NATS closed for good.")

    async def stop(self) -> None:
        """Stop fetching, let the batch in hand finish, then close."""
        self.intake.stopping = True
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=STOPS_S)
        await self.bus.close()
        await self.redis.aclose()
        await self.database.close()

    async def waits_for(self) -> list[str]:
        """What keeps the service from being ready, in words; empty when it is ready."""
        missing = []
        # First, since who shows only a part must show this one: where nobody leads every job is late in the end.
        if self.settings.background and self.leader.unled_s > UNLED_S:
            missing.append(f"leader: nobody leads for {self.leader.unled_s:.0f} s; facts stay, jobs rest")
        try:
            async with asyncio.timeout(READY_S):
                missing += [
                    f"jobs: {job} has not ended a turn for {s:.0f} s" for job, s in await self._late()
                ]
                missing += await self._unsaid() if self.settings.background else []
        except Exception as error:  # noqa: BLE001 - any failure means the same here
            missing.append(f"PostgreSQL: {[*str(error).splitlines(), 'does not answer'][0]}")
        if self.settings.background:
            if not self.bus.connected:
                missing.append("NATS: not connected")
            if self.bus.denied:
                missing.append(f"NATS: {self.bus.denied}")
            missing += [f"NATS: {what}" for what in self.presence.away]
        return missing

    async def holds(self) -> list[str]:
        """What the service holds back of facts, in words, as last committed: it is ready all the same."""
        try:
            async with asyncio.timeout(READY_S), self.database.worker_tx() as tx:
                return held.words(await held.counts(tx))
        except (OSError, sa.exc.SQLAlchemyError):
            return []  # that PostgreSQL is away is told by what it waits for

    async def _unsaid(self) -> list[str]:
        """That facts of the service have waited to be published for longer than any takeover takes."""
        async with self.database.worker_tx() as tx:
            oldest = await tx.scalar(_OLDEST)
        waited_s = (clock.now() - oldest).total_seconds() if oldest else 0
        return [f"relay: facts wait for {waited_s:.0f} s to be published"] if waited_s > UNSAID_S else []

    async def rested_s(self) -> dict[str, float]:
        """For how many seconds each job has ended no turn, by its name."""
        async with self.database.worker_tx() as tx:
            return turns.rested_s(await turns.ended(tx), self.paces, clock.now())

    async def _late(self) -> list[tuple[str, float]]:
        """Jobs that have ended no turn for far longer than their pace, and for how many seconds."""
        rested = await self.rested_s()
        return [(job, rested[job]) for job in turns.late(rested, self.paces)]

    @property
    def paces(self) -> dict[str, float]:
        """How often each job is to run, by its name."""
        return {job.name: job.every_s for job in (*FLAT_JOBS, *self.jobs.scheduled)}


async def _forget(kit: Kit) -> None:
    """Drop what nothing can reach any more: answers after a week, handled ids that no stream holds, sessions."""
    now = clock.now()
    async with kit.database.worker_tx() as tx:
        await tx.execute(
            sa.text("DELETE FROM idempotency WHERE created_at < :then"), {"then": now - timedelta(days=7)}
        )
        await tx.execute(sa.text("DELETE FROM inbox WHERE handled_at < :then"), {"then": now - INBOX_KEEPS})
        await revocations.forget(tx)


_LATE = sa.text(
    "SELECT count(*) FILTER (WHERE since < :since AND waits_for <> :version) AS late, "
    "count(*) FILTER (WHERE waits_for = :version) AS newer FROM retry WHERE state IN ('retry', 'waiting')"
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


async def _note_turns(kit: Kit) -> None:
    """Write down when each job last ended a turn."""
    async with kit.database.worker_tx() as tx:
        await turns.note(tx, kit.jobs.ended)


FLAT_JOBS: tuple[Scheduled[Kit], ...] = (
    Scheduled("note_turns", turns.NOTED_S, _note_turns),
    Scheduled("forget", 3600, _forget),
    Scheduled("alarm", 300, _alarm),
)


def _leave_when_broken(task: asyncio.Task[None]) -> None:
    """A service whose facts no longer flow must not look alive: it stops, and its supervisor starts it anew."""
    if not task.cancelled() and (error := task.exception()) is not None:
        leave(f"background broke: {error!r}")
