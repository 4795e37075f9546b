"""How long PostgreSQL may keep silent: what does not answer is given up, and its connection with it."""

import asyncio
from collections.abc import Generator
from typing import Any, Final, TypeVar

import psycopg
from psycopg.waiting import wait_async

LOOK_S: Final = 3.0
"""For what stands outside of transactions (a ping, a look, the leader's beat), and for a rollback."""

STATEMENT_S: Final = {"web": 17.0, "worker": 65.0}
"""For a statement of each role: somewhat longer than the server lets it run (`LIMITS` in `ops/embedded/databases.py`),
so that a server that lives says itself what took too long."""

GRACE_S: Final = 0.3
"""An answer may lie there unread, where our own loop was held for longer than the limit."""

LINE: Final[dict[str, Any]] = {
    "connect_timeout": 5,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""How a client finds out that nobody is at the other end any more."""

T = TypeVar("T")


class Connection(psycopg.AsyncConnection[Any]):
    """Closes itself when a call is cancelled or not answered in time; nobody gets it again.

    The server ends what a closed connection has left behind (`client_connection_check_interval`). To ask it to would
    be one more call to wait for.
    """

    patience_s: float = LOOK_S
    _rolls_back = False

    async def wait(
        self,
        gen: Generator[Any, Any, T],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> T:
        limit_s = LOOK_S if self._autocommit or self._rolls_back else self.patience_s
        try:
            try:
                return await wait_async(gen, self.pgconn.socket, interval, timeout or limit_s)
            except psycopg.errors._WaitTimeout:  # noqa: SLF001 - psycopg's own has no public name
                return await wait_async(gen, self.pgconn.socket, interval, GRACE_S)
        except psycopg.errors._WaitTimeout:  # noqa: SLF001
            self.pgconn.finish()
            raise psycopg.OperationalError(f"PostgreSQL has not answered for {limit_s:.0f} s.") from None
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise

    async def rollback(self) -> None:
        self._rolls_back = True
        try:
            await super().rollback()
        finally:
            self._rolls_back = False


async def connect(address: str = "", patience_s: float = LOOK_S, **kwargs: Any) -> Connection:
    """Connect, waiting so long for each answer inside a transaction."""
    made = await Connection.connect(address, **{**LINE, **kwargs})
    made.patience_s = patience_s
    return made
