"""One process of a service leads: it relays facts and runs the jobs; the others stand by and take over."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, cast

import psycopg
import sqlalchemy as sa
import structlog
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.db import database_url
from shared.errors import Refused
from shared.settings import Settings

log = structlog.get_logger()

LOCK = 7_001
"""Advisory lock that the leader of a service holds, in a session of its own."""

LOOK_S = 0.5
"""How often the leader looks for work that others left to it, and finds out whether it still leads."""

STAND_BY_S = 1.0

Session = psycopg.AsyncConnection[Any]
Look = Callable[[Session], Awaitable[None]]


async def heartbeat(session: Session) -> None:
    """A look that sees nothing but that the session lives."""
    await session.execute("SELECT 1")


class ServiceRuns(Refused):
    """The service is running, and what was asked for needs it at rest."""


class Leader:
    """Holds the lock for as long as its session lives; what leads ends when the session does."""

    def __init__(self, settings: Settings, service: str) -> None:
        # A connection of its own: taken from the pool, locks and work would wait for each other.
        self._engine = create_async_engine(database_url(settings, service, "worker"), poolclass=NullPool)
        self._service = service
        self.leading = False

    @asynccontextmanager
    async def standing_in(self) -> AsyncIterator[None]:
        """Lead in the service's place, so that it neither runs nor starts meanwhile. Raises ServiceRuns."""
        async with self._engine.connect() as session:
            await session.execution_options(isolation_level="AUTOCOMMIT")
            if not await session.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
                raise ServiceRuns(f"The service {self._service} is running: stop all services first.")
            yield

    async def run(self, work: Callable[[], Awaitable[None]], look: Look = heartbeat) -> None:
        """Lead whenever nobody else does, for ever; `look` is done again and again beside the work.

        It is given the leader's own session, outside of transactions and past SQLAlchemy: one statement there costs
        a fraction of a transaction of its own. An error of the work itself is passed on.
        """
        while True:
            try:
                async with self._engine.connect() as session:
                    await session.execution_options(isolation_level="AUTOCOMMIT")
                    if await session.scalar(sa.text("SELECT pg_try_advisory_lock(:key)"), {"key": LOCK}):
                        plain = (await session.get_raw_connection()).driver_connection
                        await self._lead(cast("Session", plain), work, look)
            except (OSError, sa.exc.SQLAlchemyError, psycopg.Error) as error:
                log.warning("leader's session ended", error=str(error)[:200])
            await asyncio.sleep(STAND_BY_S)

    async def _lead(self, session: Session, work: Callable[[], Awaitable[None]], look: Look) -> None:
        task = asyncio.ensure_future(work())
        self.leading = True
        try:
            while True:
                done, _ = await asyncio.wait([task], timeout=LOOK_S)
                if done:
                    task.result()
                    return
                await look(session)
        finally:
            self.leading = False
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
