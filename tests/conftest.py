"""Fixtures: the real PostgreSQL, NATS and Redis of the wheels, and six databases for each test worker."""

import asyncio
import os
import re
from collections import defaultdict
from collections.abc import AsyncIterator, Generator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import msgspec
import psycopg
import pytest
import structlog
from litestar import Litestar
from redis.asyncio import Redis
from sqlalchemy.engine import URL
from sqlalchemy.ext.asyncio import AsyncEngine

from ops.embedded import Stack, bootstrap_databases, clone_database
from ops.migrate import migrate
from shared import auth, counters, db
from shared.contracts import Fact
from shared.db import Tx
from shared.keys import OPERATOR
from shared.kit import Kit
from shared.outbox import archive
from shared.settings import Settings
from tests.shared.browser import browser, one_chromium
from tests.shared.homes import a_folder, in_memory

__all__ = ["browser", "one_chromium"]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """CI forbids skips: a skipped test is a promise that nobody looked at."""
    report = yield
    if report.skipped and os.environ.get("FORBID_SKIPS") and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
    return report


def pytest_configure() -> None:
    """What is logged is read with a failure alone; to draw a traceback with its variables takes seconds."""
    plain = structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)
    structlog.configure(processors=[*structlog.get_config()["processors"][:-1], plain])


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name long or random parameters by their argument: the workers must agree on every test's name."""
    random_or_long = isinstance(val, str) and (
        len(val) > 40 or re.search(r"[0-9a-f]{8}-[0-9a-f]{4}-|\.ey|^e30", val)
    )
    return argname if random_or_long else None


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """One embedded stack a test worker; in memory, since no test with this fixture cuts the power."""
    with a_folder(in_memory()) as home, Stack(home, say=lambda *_: None, durable=False) as stack:
        with psycopg.connect(stack.admin_url(), autocommit=True) as admin:
            # The passwords are random, so that stretching them protects nobody, and each test opens some sessions.
            admin.execute("ALTER SYSTEM SET scram_iterations = 1")
            admin.execute("SELECT pg_reload_conf()")
        yield stack


@pytest.fixture(scope="session", autouse=True)
def engines() -> Iterator[None]:
    """An engine whose database was closed serves the next one of its address: it knows the SQL that it compiled."""
    make, close = db._engine, db.Database.close
    resting: dict[Any, list[AsyncEngine]] = defaultdict(list)
    taken: dict[AsyncEngine, Any] = {}

    def take(url: URL, size: int, *, durable: bool) -> AsyncEngine:
        left = resting[url, size, durable]
        engine = left.pop() if left else make(url, size, durable=durable)
        taken[engine] = (url, size, durable)
        return engine

    async def give_back(database: db.Database) -> None:
        await close(database)
        for engine in database.engines & taken.keys():
            resting[taken.pop(engine)].append(engine)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(db, "_engine", take)
        patch.setattr(db.Database, "close", give_back)
        yield


class Templates:
    """A migrated template database for each service, made when a test first asks for it."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._made: set[str] = set()

    def name(self, service: str) -> str:
        name = f"template_{service}"
        if name not in self._made:
            settings = self.stack.settings()
            bootstrap_databases(self.stack.admin_url("postgres"), settings, [name])
            migrate(settings, service, name)
            self._made.add(name)
        return name


@pytest.fixture(scope="session")
def templates(stack: Stack) -> Templates:
    return Templates(stack)


@dataclass
class Flat:
    """One service under test: its app, its kit, and a client that speaks to it."""

    app: Litestar
    kit: Kit
    client: httpx.AsyncClient

    @asynccontextmanager
    async def tx(self) -> AsyncIterator[Tx]:
        async with self.kit.database.worker_tx() as tx:
            yield tx

    async def facts(self) -> list[Fact]:
        """Take the facts out of the outbox, oldest first."""
        async with self.tx() as tx:
            return await archive(tx)

    async def receive(self, *facts: Fact) -> None:
        """Hand facts to the service as the bus would, which brings it only what it hears."""
        heard = [fact for fact in facts if type(fact) in self.kit.consumer.handlers]
        await self.kit.consumer.handle(self.kit.database, heard)

    async def tick(self) -> None:
        """Run every job once."""
        await self.kit.jobs.run_all(self.kit)

    async def held(self) -> list[Any]:
        """Rows of the retry table."""
        import sqlalchemy as sa

        async with self.tx() as tx:
            return list((await tx.execute(sa.text("SELECT * FROM retry"))).all())


class Running:
    """An app's lifespan in a task of its own: pytest sets fixtures up and tears them down in different tasks."""

    def __init__(self, app: Litestar) -> None:
        self.app = app
        self._stop = asyncio.Event()
        self._started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        try:
            async with self.app.lifespan():
                self._started.set_result(None)
                await self._stop.wait()
        except BaseException as error:
            if not self._started.done():
                self._started.set_exception(error)
            raise

    async def started(self) -> None:
        await self._started

    async def stop(self) -> None:
        self._stop.set()
        await self._task


_resting: dict[Any, Litestar] = {}
"""Stopped apps by their service and what was changed: wiring one costs more than most tests, and it starts anew."""


class Flats:
    """Starts services against fresh databases, on demand."""

    def __init__(self, stack: Stack, templates: Templates, tmp_path: Path) -> None:
        self.stack = stack
        self.templates = templates
        self.tmp_path = tmp_path
        self._open: list[tuple[Any, Running, httpx.AsyncClient]] = []

    def settings(self, service: str | None, **changes: Any) -> Settings:
        given = {
            "database_prefix": "test_",
            "background": False,
            "home": self.tmp_path,
            "web_connections": 6,
            **changes,
        }
        return msgspec.structs.replace(self.stack.settings(service), **given)

    async def start(self, service: str, **changes: Any) -> Flat:
        """A service on a database of its own; relay, consumers and jobs run only when the test says so."""
        clone_database(self.stack.admin_url("postgres"), self.templates.name(service), f"test_{service}")
        settings, wired = self.settings(service, **changes), (service, *sorted(changes.items()))
        app = _resting.pop(wired, None) or import_module(f"services.{service}.app").create_app(settings)
        app.state.settings = settings
        running = Running(app)
        await running.started()
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
        client = httpx.AsyncClient(
            transport=transport, base_url="http://localhost:8080", follow_redirects=False
        )
        self._open.append((wired, running, client))
        return Flat(app, app.state.kit, client)

    async def close(self) -> None:
        for wired, running, client in reversed(self._open):
            await client.aclose()
            await running.stop()
            _resting[wired] = running.app

    def token(self, **principal: Any) -> str:
        """A page token for a person, made as accounts makes it."""
        return auth.Signer(self.stack.settings("accounts")).page_token(
            auth.Principal(kind="person", **principal)
        )

    def key(self, **principal: Any) -> str:
        """An API key, made as accounts makes it."""
        from datetime import timedelta

        from shared import clock

        signer = auth.Signer(self.stack.settings("accounts"))
        return signer.api_key(auth.Principal(kind="key", **principal), clock.now() + timedelta(hours=1))


@pytest.fixture
async def flats(stack: Stack, templates: Templates, tmp_path: Path) -> AsyncIterator[Flats]:
    """`flat = await flats.start("ads")`. No test inherits what another one counted."""
    made = Flats(stack, templates, tmp_path)
    async with Redis.from_url(counters.address(stack.settings(), OPERATOR)) as redis:
        await redis.flushdb()
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
def superuser(stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A connection beyond row-level security, for looking behind the services."""
    with psycopg.connect(stack.admin_url("postgres"), autocommit=True) as connection:
        yield connection
