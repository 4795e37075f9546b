"""Many rows go to the database in one statement and come back as they were."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any
from uuid import UUID

import psycopg
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql import ARRAY, dialect
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Mapped, mapped_column
from sqlalchemy.schema import CreateTable

from shared import clock, db
from shared.bulk import ForRows, insert_many
from shared.db import Tx

AT = datetime(2026, 11, 27, 3, 0, 0, 1, tzinfo=UTC)


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class ThingRow(Base):
    """A column of each kind that the house has."""

    __tablename__ = "all_kinds"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    seq: Mapped[int] = mapped_column(sa.Identity(always=True))
    text: Mapped[str]
    maybe: Mapped[str | None]
    amount_vnd: Mapped[int]
    small: Mapped[int] = mapped_column(sa.SmallInteger)
    flag: Mapped[bool]
    day: Mapped[date | None]
    at: Mapped[datetime]
    raw: Mapped[bytes | None]
    texts: Mapped[list[str]]
    ids: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid))
    told: Mapped[dict[str, Any] | None]
    note: Mapped[str] = mapped_column(server_default="ours")


def a_thing(**changes: Any) -> dict[str, Any]:
    plain = {
        "id": clock.new_id(),
        "text": "",
        "maybe": None,
        "amount_vnd": 0,
        "small": 0,
        "flag": False,
        "day": None,
        "at": AT,
        "raw": None,
        "texts": [],
        "ids": [],
        "told": None,
    }
    return {**plain, **changes}


@pytest.fixture
async def things(sample, stack) -> AsyncIterator[Any]:
    with psycopg.connect(stack.admin_url("sample_ads"), autocommit=True) as admin:
        admin.execute("SET ROLE ads_owner")
        admin.execute(str(CreateTable(ThingRow.__table__).compile(dialect=dialect())))
    return sample.kit.database.worker_tx


async def kept(tx: Tx, *names: str) -> list[dict[str, Any]]:
    """What stands in the table, in the order in which it was written."""
    columns = [ThingRow.__table__.c[name] for name in names or a_thing()]
    rows = await tx.execute(sa.select(*columns).order_by(ThingRow.seq))
    return [dict(row._mapping) for row in rows]


LETTERS = st.characters(exclude_categories=("Cs",), exclude_characters="\0")
"""PostgreSQL keeps every character but NUL."""
TEXT = st.text(LETTERS) | st.sampled_from(
    ["NULL", "null", "{}", '{"a",b}', "\\", '\\"', "\\x00", "a\nb\t", ":given", "%s"]
)
INSTANTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC))  # noqa: DTZ001 - Hypothesis adds it
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=6,
)
THINGS = st.fixed_dictionaries(
    {
        "id": st.uuids(),
        "text": TEXT,
        "maybe": st.none() | TEXT,
        "amount_vnd": st.integers(-(2**63), 2**63 - 1),
        "small": st.integers(-(2**15), 2**15 - 1),
        "flag": st.booleans(),
        "day": st.none() | st.dates(),
        "at": INSTANTS,
        "raw": st.none() | st.binary(),
        "texts": st.lists(TEXT, max_size=4),
        "ids": st.lists(st.uuids(), max_size=3),
        "told": st.none() | st.dictionaries(TEXT, JSON, max_size=3),
    }
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(rows=st.lists(THINGS, max_size=5, unique_by=lambda row: row["id"]))
async def test_whatever_is_written_comes_back_as_it_was_and_in_its_order(things, rows):
    async with things() as tx:
        await tx.execute(sa.delete(ThingRow))
        await insert_many(tx, ThingRow, rows)
        assert await kept(tx) == rows


async def test_quotes_backslashes_braces_commas_and_line_ends_are_letters_like_any_others(things):
    said = [
        "'; DROP TABLE all_kinds; --",
        '"',
        "\\",
        "\\\\",
        "{a,b}",
        "a,b",
        "\r\n\t\x01\x7f",
        "Nguồn Thu 🦆",
        "NULL",
        "",
    ]
    async with things() as tx:
        await insert_many(
            tx, ThingRow, [a_thing(text=word, maybe=word, texts=[word, *said]) for word in said]
        )
        assert [row["text"] for row in await kept(tx)] == said
        assert [row["maybe"] for row in await kept(tx)] == said
        assert [row["texts"] for row in await kept(tx)] == [[word, *said] for word in said]


async def test_what_is_left_out_is_the_tables_default(things):
    async with things() as tx:
        await insert_many(tx, ThingRow, [a_thing()])
        assert await kept(tx, "note") == [{"note": "ours"}]


async def test_no_rows_are_no_statement(things):
    async with things() as tx:
        assert await insert_many(tx, ThingRow, [], returning=("id",)) == []
        assert await kept(tx) == []


async def test_twenty_thousand_rows_are_written_in_their_order(things):
    rows = [a_thing(text=str(n), amount_vnd=-n) for n in range(20_000)]
    async with things() as tx:
        await insert_many(tx, ThingRow, rows)
        assert await kept(tx, "text", "amount_vnd") == [
            {"text": str(n), "amount_vnd": -n} for n in range(20_000)
        ]


async def test_a_known_row_stays_as_it_is_and_only_new_ones_are_told(things):
    first, second = a_thing(text="first"), a_thing(text="second")
    async with things() as tx:
        await insert_many(tx, ThingRow, [first])
        told = await insert_many(
            tx, ThingRow, [{**first, "text": "late"}, second], once=True, returning=("id",)
        )
        assert [row.id for row in told] == [second["id"]]
        assert [row["text"] for row in await kept(tx)] == ["first", "second"]


async def test_a_known_row_fails_the_statement_unless_it_was_said_what_then(things):
    row = a_thing()
    async with things() as tx:
        await insert_many(tx, ThingRow, [row])
        with pytest.raises(IntegrityError, match="all_kinds_pkey"):
            async with tx.begin_nested():
                await insert_many(tx, ThingRow, [a_thing(), row])
        assert len(await kept(tx)) == 1


async def test_a_known_row_takes_what_is_added_and_what_replaces_and_keeps_the_rest(things):
    row = a_thing(amount_vnd=10, text="old", small=1)
    async with things() as tx:
        await insert_many(tx, ThingRow, [row])
        again = {**row, "amount_vnd": 5, "text": "new", "small": 2}
        await insert_many(tx, ThingRow, [again], adding=("amount_vnd",), replacing=("text",))
        assert await kept(tx, "amount_vnd", "text", "small") == [
            {"amount_vnd": 15, "text": "new", "small": 1}
        ]


async def test_a_row_of_other_columns_than_the_first_is_refused_and_nothing_is_written(things):
    for wrong in ({**a_thing(), "note": "theirs"}, {k: v for k, v in a_thing().items() if k != "text"}):
        async with things() as tx:
            with pytest.raises(ValueError, match="are asked"):
                await insert_many(tx, ThingRow, [a_thing(), wrong])
            assert await kept(tx) == []


async def test_a_column_that_the_table_has_not_is_refused(things):
    async with things() as tx:
        with pytest.raises(KeyError, match="colour"):
            await insert_many(tx, ThingRow, [a_thing(colour="red")])


async def test_a_letter_that_the_database_does_not_keep_is_refused_by_it(things):
    async with things() as tx:
        with pytest.raises(DBAPIError, match="unsupported Unicode escape sequence"):
            await insert_many(tx, ThingRow, [a_thing(text="a\0b")])


async def test_a_number_too_large_for_its_column_is_refused(things):
    async with things() as tx:
        with pytest.raises(DBAPIError, match="out of range"):
            await insert_many(tx, ThingRow, [a_thing(amount_vnd=2**63)])


def test_what_json_does_not_carry_exactly_is_refused_before_it_runs():
    for kind in (sa.Float(), sa.Numeric(), ARRAY(sa.LargeBinary()), ARRAY(sa.Float())):
        with pytest.raises(TypeError, match="does not carry exactly"):
            ForRows("SELECT x FROM given", x=kind)


async def test_a_statement_joins_the_rows_that_it_is_given_with_those_of_the_house(things):
    rows = [a_thing(text=str(n), amount_vnd=100 * n) for n in range(3)]
    change = ForRows(
        "UPDATE all_kinds SET amount_vnd = amount_vnd + n, at = :at FROM given "
        "WHERE all_kinds.id = given.id AND given.sure RETURNING all_kinds.text, since, given.raw",
        id=UUID,
        n=int,
        sure=bool,
        since=datetime,
        raw=bytes,
    )
    later = AT + timedelta(days=1)
    async with things() as tx:
        await insert_many(tx, ThingRow, rows)
        asked = [
            {"id": row["id"], "n": n, "sure": n != 1, "since": AT, "raw": b"\0\xff"}
            for n, row in enumerate(rows)
        ]
        told = (await change.run(tx, asked, at=later)).all()
        assert sorted((row.text, row.since, bytes(row.raw)) for row in told) == [
            ("0", AT, b"\0\xff"),
            ("2", AT, b"\0\xff"),
        ]
        assert await kept(tx, "amount_vnd", "at") == [
            {"amount_vnd": 0, "at": later},
            {"amount_vnd": 100, "at": AT},
            {"amount_vnd": 202, "at": later},
        ]


async def test_a_statement_over_no_rows_changes_nothing(things):
    change = ForRows("UPDATE all_kinds SET text = 'x' FROM given WHERE all_kinds.id = given.id", id=UUID)
    async with things() as tx:
        await insert_many(tx, ThingRow, [a_thing(text="old")])
        await change.run(tx, [])
        assert await kept(tx, "text") == [{"text": "old"}]
