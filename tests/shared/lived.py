"""A house in which all six services lived a week, and a visitor to each of them: there is something to steal."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psycopg
import pytest

from ops.embedded import Stack, clone_database
from ops.simulation import simulate
from shared import clock
from shared.calendar import local_day
from shared.contracts import SERVICES
from tests.conftest import Flats, Templates
from tests.shared.visitor import Visitor


@pytest.fixture(scope="session")
def lived(stack: Stack, templates: Templates, tmp_path_factory: Any) -> Any:
    """Databases in which all six services lived a week."""
    home: Path = tmp_path_factory.mktemp("lived")

    def settings(service: str) -> Any:
        return msgspec.structs.replace(stack.settings(service), database_prefix="lived_", home=home)

    for service in SERVICES:
        clone_database(stack.admin_url(), templates.name(service), f"lived_{service}")
    end: date = local_day(clock.now()) - timedelta(days=1)
    asyncio.run(simulate(settings, end - timedelta(days=7), end, 7, lambda *_: None, scale=0.3))

    class Lived(Templates):
        def name(self, service: str) -> str:
            return f"lived_{service}"

    return Lived(stack)


@pytest.fixture
async def house(lived: Templates, stack: Stack, tmp_path: Path) -> AsyncIterator[Flats]:
    made = Flats(stack, lived, tmp_path)
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture(params=SERVICES)
async def visitor(request: pytest.FixtureRequest, house: Flats, stack: Stack) -> Visitor:
    return Visitor(await house.start(request.param), stack)


@pytest.fixture
def books(visitor: Visitor, stack: Stack) -> Iterator[psycopg.Connection[Any]]:
    """A look into the database past row-level security."""
    with psycopg.connect(stack.admin_url(visitor.flat.kit.database.name), autocommit=True) as db:
        yield db
