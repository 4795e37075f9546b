"""One process of a service leads: it relays facts and runs the jobs; the others stand by and take over."""

import asyncio
import contextvars
import os
import secrets
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import NullPool

from shared import clock
from shared.db import database_url
from shared.errors import Refused
from shared.fence import FENCE, LOCK, NoLongerLeads, go_on, term
from shared.patience import connect
from shared.settings import Settings

log = structlog.get_logger()

LOOK_S = 0.5
"""How often the leader looks for work that others left to it, and finds out whether it still leads."""

LEASE_S = 12
"""So long after the leader's last look PostgreSQL ends its session by itself: it is frozen, or cut off. What it had
open in a transaction ends earlier (`idle_in_transaction_session_timeout` of the worker's role)."""

STAND_BY_S = 1.0

ENDS_S = 8.0
"""How long work may take to end that was told to; what still goes on then ends with its process."""

LEAVES_S = 15.0
"""How long a process may take to leave that was told to."""

UNLED_S = 30.0
"""A take-over is over by then, also from who froze; who has seen no leader for so long tells of it."""

Session = psycopg.AsyncConnection[Any]
Look = Callable[[Session], Awaitable[None]]
Work = Callable[[], Coroutine[Any, Any, Any]]


async def heartbeat(session: Session) -> None:
    """A look that sees nothing but that the session lives."""
    await session.execute("SELECT 1")


class ServiceRuns(Refused):
    """The service is running, and what was asked for needs it at rest."""


class Leader:
    """Holds the lock for as long as its session lives; what leads ends when the session does."""

    def __init__(self, settings: Settings, service: str) -> None:
        # A connection of its own: taken from the pool, locks and work would wait for each other.
        self._engine = create_async_engine(
            database_url(settings, service, "worker"),
            poolclass=NullPool,
            connect_args={"async_creator_fn": connect},
        )
        self._service = service
        self.leading = False
        self._led_at_s = clock.monotonic_s()

    @property
    def unled_s(self) -> float:
        """For how long this process has not seen that somebody leads, itself or another."""
        return clock.monotonic_s() - self._led_at_s

    @asynccontextmanager
    async def standing_in(self) -> AsyncIterator[None]:
        """Lead in the service's place, so that it neither runs nor starts meanwhile. Raises ServiceRuns."""
        async with self._engine.connect() as session:
            await session.execution_options(isolation_level="AUTOCOMMIT")
            if not await _locked(session, LOCK):
                raise ServiceRuns(f"The service {self._service} is running: stop all services first.")
            yield

    async def run(self, work: Work, look: Look = heartbeat) -> None:
        """Lead whenever nobody else does, for ever; `look` is done again and again beside the work.

        It is given the leader's own session, outside of transactions and past SQLAlchemy: one statement there costs
        a fraction of a transaction of its own. An error of the work itself is passed on.
        """
        while True:
            go_on()
            try:
                async with self._engine.connect() as session:
                    await session.execution_options(isolation_level="AUTOCOMMIT")
                    if number := await self._begun(session):
                        plain = (await session.get_raw_connection()).driver_connection
                        await self._lead(number, cast("Session", plain), work, look)
            except (OSError, sa.exc.SQLAlchemyError, psycopg.Error) as error:
                log.warning("leader's session ended", error=str(error)[:200])
            await asyncio.sleep(STAND_BY_S)

    async def _begun(self, session: AsyncConnection) -> int | None:
        """The number of a new term of office; None while somebody else leads, or still ends what it had begun."""
        if not await _locked(session, LOCK):
            self._led_at_s = clock.monotonic_s()
            return None
        await session.execute(sa.text(f"SET idle_session_timeout = '{LEASE_S}s'"))
        number = secrets.randbits(31) or 1
        await session.execute(sa.text("SELECT pg_advisory_lock(:key, :term)"), {"key": LOCK, "term": number})
        if not await _locked(session, FENCE):
            return None
        await session.execute(sa.text("SELECT pg_advisory_unlock(:key)"), {"key": FENCE})
        return number

    async def _lead(self, number: int, session: Session, work: Work, look: Look) -> None:
        context = contextvars.copy_context()
        context.run(term.set, number)
        task = asyncio.create_task(work(), context=context)
        self.leading = True
        try:
            while not (await asyncio.wait([task], timeout=LOOK_S))[0]:
                await look(session)
                self._led_at_s = clock.monotonic_s()
        finally:
            self.leading = False
            ended_by_itself = task.done()
            await self._ended(task)
        if ended_by_itself:
            _pass_on(task)

    async def _ended(self, task: asyncio.Task[Any]) -> None:
        """End the work that led, or else the process: what goes on writes nothing any more, and does nothing either."""
        task.cancel()
        _, going_on = await asyncio.wait([task], timeout=ENDS_S)
        if going_on:
            leave(f"what {self._service} led has not ended")
        elif not task.cancelled() and (error := task.exception()) is not None:
            log.info("what led has ended", error=repr(error)[:200])


def _pass_on(task: asyncio.Task[Any]) -> None:
    """Raise what the work raised, unless it was that somebody else leads."""
    try:
        task.result()
    except* NoLongerLeads:
        log.warning("somebody else leads")


async def _locked(session: AsyncConnection, key: int) -> bool:
    return bool(await session.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": key}))


def leave(why: str) -> None:
    """End this process, so that its supervisor starts it anew: in order if that is possible, and else without."""
    log.critical("leaving", why=why)
    end = threading.Timer(LEAVES_S, os._exit, [1])
    end.daemon = True
    end.start()
    signal.raise_signal(signal.SIGTERM)
