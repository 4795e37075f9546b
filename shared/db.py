"""One service's PostgreSQL: engines, transactions that carry their tenants, and the tables every service has."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from contextvars import ContextVar
from datetime import datetime
from functools import cache, partial
from pathlib import Path
from typing import Any, ClassVar
from uuid import UUID

import sqlalchemy as sa
from psycopg.rows import namedtuple_row
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.engine import URL, make_url
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import DeclarativeBase

from shared import clock, fence
from shared.errors import BadInput, NotAllowed, NotFound
from shared.keys import postgres_password
from shared.outside import watch
from shared.patience import STATEMENT_S, Connection, connect
from shared.settings import MONEY_CONNECTIONS, Settings

ANSWERS_S = 10.0
"""So long may a server take that ended all its sessions, since one of them broke, until it serves again."""

LOOKS_AGAIN_S = 0.2

for_money: ContextVar[bool] = ContextVar("for_money", default=False)
"""Whether what runs now answers on a path of money: then no crowd has taken the connection that it needs."""

Tx = AsyncSession
"""A transaction under way: actions and queries take it, doors open and commit it."""


class Base(DeclarativeBase):
    """What types the columns of all flats have.

    A flat's own base adds its `metadata`: six flats live in one process, and more than one has a table `invoice`.
    """

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        str: sa.Text,
        int: sa.BigInteger,
        datetime: sa.DateTime(timezone=True),
        list[str]: ARRAY(sa.Text),
        list[Any]: JSONB,
        list[dict[str, Any]]: JSONB,
        dict[str, Any]: JSONB,
    }


def database_url(settings: Settings, service: str, role: str, database: str = "") -> URL:
    """The address of a service's database for one of its roles: `web`, `worker`, or the operator's way, `owner`."""
    password = (
        postgres_password(settings.operator_secret, service, role)
        if role == "owner"
        else settings.postgres_password
    )
    return make_url(settings.postgres_url).set(
        drivername="postgresql+psycopg",
        username=f"{service}_{role}",
        password=password,
        database=database or settings.database_prefix + service,
    )


class Database:
    """Two doors to one database: `web` sees the agencies of its token, `worker` sees all of them."""

    def __init__(self, settings: Settings, service: str, *, durable: bool = True) -> None:
        """`durable=False` commits without waiting for the disk: for a run that a crash would start over anyway."""
        self.service = service
        url = database_url(settings, service, "web")
        self.name = url.database or ""
        self._web = Pools(url, settings.web_connections, durable=durable)
        url = database_url(settings, service, "worker")
        self._worker = Pools(url, settings.worker_connections, durable=durable)
        self._worker_url = url
        self._glancing = asyncio.Lock()
        self._session: Connection | None = None

    @property
    def web(self) -> AsyncEngine:
        return self._web.engine

    @property
    def worker(self) -> AsyncEngine:
        return self._worker.engine

    @property
    def engines(self) -> set[AsyncEngine]:
        """All of them, those of money too."""
        return {engine for pools in (self._web, self._worker) for engine in (pools.usual, pools.money)}

    @asynccontextmanager
    async def web_tx(self, agencies: Iterable[str] = (), *own: UUID | None) -> AsyncIterator[Tx]:
        """Open a transaction that acts at these agencies, and sees their rows, its own, and what is public."""
        async with AsyncSession(self.web, expire_on_commit=False) as tx, tx.begin():
            tx.info[ACTS_AT] = frozenset(agencies)
            await enter(tx, agencies, *own)
            yield tx

    @asynccontextmanager
    async def worker_tx(self) -> AsyncIterator[Tx]:
        """Open a transaction for facts and jobs, which work for every agency. Raises NoLongerLeads in leading work."""
        async with AsyncSession(self.worker, expire_on_commit=False) as tx, tx.begin():
            await fence.check(tx)
            yield tx

    async def glance(self, statement: str, values: dict[str, Any] | None = None) -> Any:
        """The first row of a look at what is committed, as a worker sees it: for who looks every second.

        It is taken in a session of its own, outside of transactions and past SQLAlchemy, for a tenth of what opening
        one costs; the statement is psycopg's: `%(now)s`. A look whose session has broken raises, and the next one
        has another.
        """
        async with self._glancing:
            if self._session is None or self._session.closed:
                url = self._worker_url.set(drivername="postgresql").render_as_string(hide_password=False)
                self._session = await connect(url, autocommit=True, row_factory=namedtuple_row)
            return await (await self._session.execute(statement, values)).fetchone()

    async def version(self, name: str) -> int:
        """A version's number, at a glance."""
        row = await self.glance("SELECT number FROM version WHERE name = %(name)s", {"name": name})
        return row.number if row else 0

    async def answers(self) -> bool:
        """Whether a worker's connection answers, at once or within some seconds: a server that broke begins anew."""
        end_s = clock.monotonic_s() + ANSWERS_S
        while True:
            try:
                async with self.worker.connect() as connection:
                    await connection.execute(sa.text("SELECT 1"))
            except (OSError, sa.exc.SQLAlchemyError):
                if clock.monotonic_s() > end_s:
                    return False
                await asyncio.sleep(LOOKS_AGAIN_S)
            else:
                return True

    async def close(self) -> None:
        for engine in self.engines:
            await engine.dispose()
        if self._session is not None:
            await self._session.close()


class Pools:
    """One role's connections: the usual ones, and those of money."""

    def __init__(self, url: URL, size: int, *, durable: bool) -> None:
        self.usual = _engine(url, size, durable=durable)
        self.money = _engine(url, MONEY_CONNECTIONS, durable=durable)

    @property
    def engine(self) -> AsyncEngine:
        """Where what runs now takes its connection from."""
        return self.money if for_money.get() else self.usual


def _engine(url: URL, size: int, *, durable: bool) -> AsyncEngine:
    role = str(url.username).rpartition("_")[2]
    engine = create_async_engine(
        url,
        pool_size=size,
        max_overflow=0,
        pool_timeout=10,
        pool_pre_ping=durable,
        connect_args={
            "async_creator_fn": partial(connect, patience_s=STATEMENT_S[role]),
            **({} if durable else {"options": "-c synchronous_commit=off"}),
        },
    )
    watch(engine)
    return engine


SHUTS_DOWN = "57P"
"""How the codes of a server begin that ends, or has not begun."""


def is_away(error: Exception) -> bool:
    """Whether an error says that the database is away, or has no connection left: no fault of what was being done.

    What the server refuses carries a code of SQL; that it shuts down does, too.
    """
    if isinstance(error, sa.exc.TimeoutError):
        return True
    if not isinstance(error, sa.exc.OperationalError | sa.exc.InterfaceError):
        return False
    code = getattr(error.orig, "sqlstate", None)
    return error.connection_invalidated or code is None or code.startswith(SHUTS_DOWN)


def is_lost(error: Exception) -> bool:
    """Whether a connection was lost, or the server gave none: its own fault, or that of what it was asked to do."""
    return is_away(error) and not isinstance(error, sa.exc.TimeoutError)


WAITED_IN_VAIN = frozenset({"55P03", "40P01", "40001"})
"""Codes for a lock that took longer than one waits, a circle of locks, and a row changed meanwhile.

Not for a statement that ran into its own limit (57014): that is the longer one, so that what waits never gets there.
"""


def is_busy(error: Exception) -> bool:
    """Whether an error says that something which others have was waited for in vain: no fault of who waited."""
    return isinstance(error, sa.exc.DBAPIError) and getattr(error.orig, "sqlstate", None) in WAITED_IN_VAIN


async def enter(tx: Tx, agencies: Iterable[str], *own: UUID | None) -> None:
    """Set whose rows the rest of the transaction sees: those of agencies, and those under ids that are one's own.

    `provide_tx` calls it with what the door's right reaches; a page reached by a signed link, or by something
    public, calls it with the one agency that the link or the public row names. The setting ends with the transaction.
    """
    codes = sorted(agencies)
    if any("," in code for code in codes):
        raise BadInput("No agency's code has a comma.")
    tx.info[SEES] = codes
    await tx.execute(
        sa.text("SELECT set_config('app.agencies', :agencies, true), set_config('app.own', :own, true)"),
        {"agencies": ",".join(codes), "own": ",".join(str(key) for key in own if key is not None)},
    )


async def see_also(tx: Tx, key: UUID) -> None:
    """Let the rest of the transaction also see what is this id's own: to write to somebody, never to read it out."""
    await tx.execute(
        sa.text(
            "SELECT set_config('app.own', concat_ws(',', nullif(current_setting('app.own', true), ''), "
            "CAST(:key AS text)), true)"
        ),
        {"key": str(key)},
    )


def seen(tx: Tx) -> list[str]:
    """The agencies whose rows a request's transaction sees."""
    codes: list[str] = tx.info[SEES]
    return codes


def check_seen(tx: Tx, agency: str) -> None:
    """Raises NotFound where a row is public, or names its agency, and is none of those whose rows one works with."""
    if unseen(tx, [agency]):
        raise NotFound("There is no such thing in the agencies that you work for.")


def check_acts_at(tx: Tx, agency: str) -> None:
    """Raises NotAllowed unless the right by which the transaction was opened is held at the agency itself.

    A worker's transaction acts everywhere; seeing what an agency absorbed gives no right to begin something there.
    """
    held = tx.info.get(ACTS_AT)
    if held is not None and agency not in held:
        raise NotAllowed(f"You have no such right at {agency[:64]}.")


def unseen(tx: Tx, codes: Iterable[str]) -> list[str]:
    """Those of some agencies whose rows the transaction does not see; of a worker's, none."""
    known = tx.info.get(SEES)
    return [] if known is None else sorted({*codes} - {*known})


_BUMP = sa.text(
    "INSERT INTO version (name, number) VALUES (:name, 1) "
    "ON CONFLICT (name) DO UPDATE SET number = version.number + 1 RETURNING number"
)


async def version(tx: Tx, name: str) -> int:
    """A version's number: it rises whenever what it is the version of has changed."""
    return await tx.scalar(sa.text("SELECT number FROM version WHERE name = :name"), {"name": name}) or 0


async def bump(tx: Tx, name: str) -> int:
    """Raise a version. Its row stays locked until the commit, so that numbers become visible in their order."""
    return int((await tx.execute(_BUMP, {"name": name})).scalar_one())


async def locked(tx: Tx, row: type[Base], key: object) -> Any:
    """Read one row and lock it until the end of the transaction; None where there is none.

    Who only refers to it by a foreign key goes on: two who had referred to it first and want it then never meet.
    """
    keys = key if isinstance(key, tuple) else (key,)
    return await tx.scalar(_locking(row), {f"key_{n}": value for n, value in enumerate(keys)})


@cache
def _locking(row: type[Base]) -> sa.Select[Any]:
    """The statement of `locked`, made once for each kind of row: making it costs as much as its answer."""
    keys = sa.inspect(row).primary_key
    return (
        sa.select(row)
        .where(*(key == sa.bindparam(f"key_{n}", type_=key.type) for n, key in enumerate(keys)))
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )


ACTS_AT, SEES = "acts_at", "sees"
"""Where a request's transaction keeps at which agencies its caller holds the door's right, and whose rows it sees."""

FLAT_TABLES = (
    "outbox",
    "fact_log",
    "inbox",
    "retry",
    "idempotency",
    "agency",
    "revoked",
    "version",
    "turn",
    "sale",
)
"""Tables that every service has; the migrations of a service make them by `flat_ddl`."""


def flat_ddl(service: str) -> list[str]:
    """SQL for the tables that every service has, in order; run by the service's owner in its first migration."""
    text = (Path(__file__).parent / "flat.sql").read_text(encoding="utf-8")
    return [part.strip() for part in text.replace("{service}", service).split("\n\n\n") if part.strip()]


def secure_ddl(
    service: str, table: str, *, person: str = "", public: bool = False, scope: str = ""
) -> list[str]:
    """SQL that puts a table under row-level security.

    The web role sees rows whose `agency` is in its scope (or that meet `scope`, an SQL condition, where a table
    has no such column), rows whose `person` column names an id of its own, and, when the table is public, may read all.
    """
    mine = scope or "agency = ANY (string_to_array(current_setting('app.agencies', true), ','))"
    if person:
        mine = f"({mine} OR {person}::text = ANY (string_to_array(current_setting('app.own', true), ',')))"
    made = [
        f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY",
        f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY",
        f"CREATE POLICY {table}_web ON {table} TO {service}_web USING ({mine}) WITH CHECK ({mine})",
        f"CREATE POLICY {table}_worker ON {table} TO {service}_worker, {service}_owner USING (true) WITH CHECK (true)",
    ]
    if public:
        made.append(f"CREATE POLICY {table}_public ON {table} FOR SELECT TO {service}_web USING (true)")
    return made


def versions_ddl(service: str) -> list[str]:
    """SQL that lets a service's requests raise versions: for those whose pages change what snapshots are made of."""
    return [f"GRANT INSERT, UPDATE ON version TO {service}_web"]


def append_only_ddl(service: str, table: str) -> list[str]:
    """SQL that takes the right to change or delete rows from both roles of a service."""
    return [f"REVOKE UPDATE, DELETE, TRUNCATE ON {table} FROM {service}_web, {service}_worker"]
