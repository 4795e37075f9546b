"""Nothing that happened in a sandbox reaches the books."""

import json
from typing import Any

import pytest
import sqlalchemy as sa

from ops import contracts as export
from services.ledger.consumers import consumer
from shared import contracts
from tests.ledger.builders import a_line, captured, opened

BOOKS = ("archive", "entry", "leg", "rollup", "line", "book", "retry")
GOLDEN = json.loads((export.FOLDER.parent / "golden.json").read_text(encoding="utf-8"))


async def counted(flat: Any) -> dict[str, int]:
    async with flat.tx() as tx:
        return {table: await tx.scalar(sa.text(f"SELECT count(*) FROM {table}")) for table in BOOKS}


def in_sandbox(value: Any) -> Any:
    """The same fact, said by the sandbox of each agency that it names."""
    if isinstance(value, list):
        return [in_sandbox(each) for each in value]
    if isinstance(value, dict):
        return {
            key: f"{each}-sandbox" if key == "agency" else in_sandbox(each) for key, each in value.items()
        }
    return value


@pytest.mark.promise("L1")
@pytest.mark.parametrize("subject", sorted(kind.subject() for kind in consumer.handlers))
async def test_a_fact_of_a_sandbox_leaves_no_trace_in_the_books(flat, subject):
    before = await counted(flat)
    await flat.receive(contracts.decode(json.dumps(in_sandbox(GOLDEN[subject])).encode()))
    assert await counted(flat) == before


async def test_a_fact_of_a_sandbox_holds_up_none_of_those_that_come_with_it(flat):
    before = await counted(flat)
    await flat.receive(
        captured(a_line(500_000, agency="bkh-sandbox"), agency="bkh-sandbox"),
        captured(a_line(250_000)),
        opened(a_line(500_000, agency="bkh-sandbox"), agency="bkh-sandbox"),
    )
    after = await counted(flat)
    assert (after["archive"], after["line"]) == (before["archive"] + 1, before["line"] + 1)


async def test_the_database_refuses_an_entry_of_a_sandbox(flat):
    async with flat.tx() as tx:
        for table in ("entry", "line"):
            with pytest.raises(sa.exc.IntegrityError, match=f"{table}_real"):
                async with tx.begin_nested():
                    await tx.execute(
                        sa.text(
                            f"INSERT INTO {table} SELECT (jsonb_populate_record(r, :new)).* FROM {table} r LIMIT 1"
                        ),
                        {"new": json.dumps({"agency": "bkh-sandbox"})},
                    )
