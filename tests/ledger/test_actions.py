"""Proofs of the books: verification finds what was altered, a rebuild comes to the same hashes."""

from datetime import date, timedelta
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from services.ledger.actions import rebuilding
from shared.calendar import start_of
from shared.db import database_url
from tests.ledger.test_rules import a_busy_month


async def lived(flats: Any, november: Any) -> Any:
    """A ledger that lived two months, with facts out of order."""
    flat = await flats.start("ledger")
    for n, fact in enumerate(reversed(a_busy_month())):
        november.move_to(start_of(date(2026, 12, 20) + timedelta(days=3 * n)) + timedelta(hours=9))
        await flat.receive(fact)
        await flat.tick()
    await flat.kit.consumer.again(flat.kit.database)
    november.move_to(start_of(date(2027, 1, 31)))
    await flat.kit.consumer.again(flat.kit.database)
    await flat.tick()
    assert await flat.held() == []
    return flat


async def hashes(flat: Any) -> list[bytes]:
    async with flat.tx() as tx:
        return [bytes(h) for h in await tx.scalars(sa.text("SELECT hash FROM entry ORDER BY id"))]


async def rebuilt(flats: Any) -> int:
    engine = create_async_engine(database_url(flats.settings(None), "ledger", "owner"))
    try:
        async with AsyncSession(engine) as tx, tx.begin():
            return await rebuilding.rebuild(tx)
    finally:
        await engine.dispose()


@pytest.mark.promise("L9")
async def test_a_rebuild_from_the_archive_gives_the_same_hashes(flats: Any, november: Any) -> None:
    flat = await lived(flats, november)
    before = await hashes(flat)
    november.move_to(start_of(date(2027, 3, 1)))
    assert await rebuilt(flats) > len(a_busy_month())
    assert await hashes(flat) == before
    async with flat.tx() as tx:
        assert (await rebuilding.verify(tx)).findings == ()
    # The rebuilt books go on as the old ones would have.
    await flat.tick()
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT day FROM reached")) == date(2027, 3, 1)


@pytest.mark.parametrize(
    ("change", "finding"),
    [
        ("UPDATE entry SET recorded_at = recorded_at + interval '1 second' WHERE kind = 'payment'", "hash"),
        ("UPDATE leg SET amount_vnd = amount_vnd * 2 WHERE line IS NOT NULL", "hash"),
        ("UPDATE part SET amounts[1] = 7", "hash"),
        ("DELETE FROM leg WHERE account = 'output_vat'", "balance"),
        ("DELETE FROM entry WHERE kind = 'refund'", "decided"),
        ("UPDATE rollup SET debit_vnd = debit_vnd + 1 WHERE account = 'revenue'", "rollup"),
    ],
)
async def test_verification_finds_what_was_altered_behind_the_databases_back(
    flats: Any,
    november: Any,
    stack: Any,
    change: str,
    finding: str,
) -> None:
    flat = await lived(flats, november)
    async with flat.tx() as tx:
        assert (await rebuilding.verify(tx)).findings == ()
    with psycopg.connect(stack.admin_url("test_ledger"), autocommit=True) as all_powerful:
        all_powerful.execute("SET session_replication_role = replica")
        assert all_powerful.execute(change).rowcount > 0
    async with flat.tx() as tx:
        found = await rebuilding.verify(tx)
    assert any(finding in text for text in found.findings), found.findings


@pytest.mark.promise("L9")
async def test_a_rebuild_that_differs_changes_nothing(flats: Any, november: Any, stack: Any) -> None:
    flat = await lived(flats, november)
    before = await hashes(flat)
    with psycopg.connect(stack.admin_url("test_ledger"), autocommit=True) as all_powerful:
        all_powerful.execute("SET session_replication_role = replica")
        all_powerful.execute(
            "UPDATE archive SET body = convert_to(replace(convert_from(body, 'UTF8'), '43200', '43201'), 'UTF8')"
        )
    with pytest.raises(rebuilding.Differs, match=r"refund\.completed"):
        await rebuilt(flats)
    assert await hashes(flat) == before
