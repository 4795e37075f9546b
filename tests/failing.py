"""One of the things that are due cannot be done: the database forbids it, as it would what must never happen."""

from collections.abc import Awaitable, Callable
from typing import Any

import psycopg
import pytest

from shared.jobs import SomeFailed
from shared.kit import Kit
from tests.conftest import Flat, Flats


def forbid(flats: Flats, flat: Flat, table: str, unless: str, *values: Any) -> None:
    """Let a table take only rows that meet a condition, in which %s stands for a value."""
    with psycopg.connect(flats.stack.admin_url(flat.kit.database.name), autocommit=True) as owner:
        rule = psycopg.ClientCursor(owner).mogrify(unless, values)
        owner.execute(f"ALTER TABLE {table} ADD CONSTRAINT forbidden CHECK ({rule}) NOT VALID")  # type: ignore[arg-type]


async def fails_for(job: Callable[[Kit], Awaitable[None]], flat: Flat, *keys: Any, turns: int = 2) -> None:
    """Run a job that can do all but these things, and says so; twice, for the second turn finds them again."""
    for _ in range(turns):
        with pytest.raises(SomeFailed) as told:
            await job(flat.kit)
        assert told.value.keys == [*keys]
