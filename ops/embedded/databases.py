"""One database a service and three roles for it, none of which can pass row-level security."""

import time
from collections.abc import Iterable

import psycopg
from psycopg import sql

from shared.contracts import SERVICES
from shared.keys import postgres_password
from shared.settings import MONEY_CONNECTIONS, BadSetting, Settings

LINE = {
    "tcp_keepalives_idle": "10s",
    "tcp_keepalives_interval": "5s",
    "tcp_keepalives_count": "3",
    "tcp_user_timeout": "15s",
    "client_connection_check_interval": "2s",
}
"""How the server finds out that a client has gone, or is cut off: it then ends what that one had begun."""

LIMITS = {
    "owner": {"lock_timeout": "10s"},
    "web": {
        "statement_timeout": "15s",
        "lock_timeout": "5s",
        "idle_in_transaction_session_timeout": "30s",
        **LINE,
    },
    "worker": {
        "statement_timeout": "60s",
        "lock_timeout": "10s",
        "idle_in_transaction_session_timeout": "10s",
        **LINE,
    },
}
"""What a role may wait for; migrations may run long but must not queue behind others' locks for long.

A worker's open transaction ends before its frozen leader loses the lock (`LEASE_S` in `shared/leader.py`).
"""


OPERATORS = 5
"""Connections of an owner: migrations take one each, and another may wait for it."""

SESSIONS = 2
"""What a process holds outside of its pools: the session in which it leads or stands by, and that of its glances."""

NOT_THEIRS = ("postgres", "template1")
"""Databases of the server itself, in which no service has anything to do."""


def room(settings: Settings) -> dict[str, int]:
    """So many connections may a service's roles hold: enough for its processes, and never all that there are."""
    web, worker = (
        size + MONEY_CONNECTIONS for size in (settings.web_connections, settings.worker_connections)
    )
    return {
        "owner": OPERATORS,
        "web": settings.processes * web,
        "worker": settings.processes * (worker + SESSIONS),
    }


def bootstrap_databases(admin_url: str, settings: Settings, databases: Iterable[str] = SERVICES) -> None:
    """Make each database with its roles, or put them right where they already exist. Raises BadSetting.

    A database belongs to the service whose name follows its last underscore, so that `test_ads` is used by
    `ads_owner`, `ads_web` and `ads_worker`. Tables get their rights in the migrations.
    """
    names = list(databases)
    most = room(settings)
    with psycopg.connect(admin_url, autocommit=True) as db:
        _check(db, sum(most.values()))
        for service in dict.fromkeys(map(_service, names)):
            for role, limits in LIMITS.items():
                password = postgres_password(settings.operator_secret, service, role)
                _make_role(db, f"{service}_{role}", password, most[role], limits)
        for name in NOT_THEIRS:
            db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
        known = {row[0] for row in db.execute("SELECT datname FROM pg_database")}
        for name in names:
            service = _service(name)
            if name not in known:
                db.execute(
                    sql.SQL("CREATE DATABASE {} OWNER {}").format(
                        sql.Identifier(name), sql.Identifier(f"{service}_owner")
                    )
                )
            _close(db, name, service)
    for name in names:
        _open_schema(admin_url, name)


def clone_database(admin_url: str, template: str, name: str) -> None:
    """Make (or make anew) a database as a copy of another; nobody may be connected to the template."""
    service = _service(name)
    with psycopg.connect(admin_url, autocommit=True) as db:
        db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))
        db.execute(
            sql.SQL("CREATE DATABASE {} TEMPLATE {} OWNER {} STRATEGY FILE_COPY").format(
                sql.Identifier(name), sql.Identifier(template), sql.Identifier(f"{service}_owner")
            )
        )
        _close(db, name, service)


def drop_databases(admin_url: str, databases: Iterable[str] = SERVICES) -> None:
    """Remove the databases with all they hold."""
    with psycopg.connect(admin_url, autocommit=True) as db:
        for name in databases:
            db.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


def wait_for_postgres(admin_url: str, limit_s: float = 30) -> None:
    """Return once the server answers. Raises TimeoutError with its last word."""
    end = time.monotonic() + limit_s
    while True:
        try:
            with psycopg.connect(admin_url, connect_timeout=2) as db:
                db.execute("SELECT 1")
        except psycopg.OperationalError as error:
            if time.monotonic() > end:
                raise TimeoutError(f"PostgreSQL does not answer: {error}") from error
            time.sleep(0.05)
        else:
            return


def _service(database: str) -> str:
    return database.rsplit("_", 1)[-1]


def _check(db: psycopg.Connection[tuple[object, ...]], most: int) -> None:
    """Raises BadSetting where the connections of one service would be all that the server has for any."""
    row = db.execute(
        "SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int"
    ).fetchone()
    if row is None or most >= int(str(row[0])):
        raise BadSetting(
            f"NGUONTHU_PROCESSES and the connections of each let one service hold {most} connections, and PostgreSQL "
            f"has {row and row[0]} for all: raise its max_connections, or let a service have fewer."
        )


def _make_role(
    db: psycopg.Connection[tuple[object, ...]], role: str, password: str, most: int, limits: dict[str, str]
) -> None:
    exists = db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", (role,)).fetchone()
    command = "ALTER ROLE {} {}" if exists else "CREATE ROLE {} {}"
    rights = sql.SQL(
        "LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEDB NOCREATEROLE NOREPLICATION CONNECTION LIMIT {} PASSWORD {}"
    ).format(sql.Literal(most), sql.Literal(password))
    db.execute(sql.SQL(command).format(sql.Identifier(role), rights))
    for name, value in limits.items():
        db.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(
                sql.Identifier(role), sql.Identifier(name), sql.Literal(value)
            )
        )


def _close(db: psycopg.Connection[tuple[object, ...]], name: str, service: str) -> None:
    """Only the service's own roles may connect."""
    roles = sql.SQL(", ").join(sql.Identifier(f"{service}_{role}") for role in LIMITS)
    db.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(sql.Identifier(name)))
    db.execute(sql.SQL("GRANT CONNECT ON DATABASE {} TO {}").format(sql.Identifier(name), roles))


def _open_schema(admin_url: str, name: str) -> None:
    service = _service(name)
    owner, web, worker = (sql.Identifier(f"{service}_{role}") for role in LIMITS)
    with psycopg.connect(admin_url, dbname=name, autocommit=True) as db:
        db.execute(sql.SQL("ALTER SCHEMA public OWNER TO {}").format(owner))
        db.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
        db.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(web, worker))
