"""One statement for many rows: they travel as one JSON text, which msgspec writes and the database reads.

psycopg writes a list element by element in Python, which costs more than all the rest of a call.
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from shared.db import Base, Tx

Row = Mapping[str, Any]
Kind = TypeEngine[Any]

_KINDS: dict[type, Kind] = {
    UUID: sa.Uuid(),
    str: sa.Text(),
    int: sa.BigInteger(),
    bool: sa.Boolean(),
    bytes: sa.LargeBinary(),
    date: sa.Date(),
    datetime: sa.DateTime(timezone=True),
}
_EXACT = (sa.Uuid, sa.Text, sa.Integer, sa.Boolean, sa.Date, sa.DateTime, sa.JSON)
"""Types whose values come out of JSON as they went in."""


class ForRows:
    """A statement over rows that it is given: to it they are a table `given`, whose `nth` is their order."""

    def __init__(self, sql: str, **columns: type | Kind) -> None:
        """Raises TypeError for a type that JSON does not carry exactly."""
        kinds = {name: _KINDS[kind] if isinstance(kind, type) else kind for name, kind in columns.items()}
        sent = ", ".join(f"{name} {_sent(kind)}" for name, kind in kinds.items())
        read = ", ".join(_read(name, kind) for name, kind in kinds.items())
        given = (
            f"SELECT {read}, nth FROM ROWS FROM (json_to_recordset(CAST(:given AS json)) AS ({sent})) "  # noqa: S608 - ours
            f"WITH ORDINALITY AS sent ({', '.join(kinds)}, nth)"
        )
        self._columns = kinds.keys()
        self._statement = sa.text(f"WITH given AS ({given}) {sql}")

    async def run(self, tx: Tx, rows: Sequence[Row], **values: Any) -> sa.Result[Any]:
        """Raises ValueError for a row without one of the columns, or with another: the database would see NULL."""
        for row in rows:
            if row.keys() != self._columns:
                raise ValueError(f"A row has {', '.join(row)} where {', '.join(self._columns)} are asked.")
        given = msgspec.json.encode(rows).decode()
        return await tx.execute(self._statement, {"given": given, **values})


async def insert_many(
    tx: Tx,
    into: type[Base],
    rows: Sequence[Row],
    *,
    once: bool = False,
    adding: tuple[str, ...] = (),
    replacing: tuple[str, ...] = (),
    returning: tuple[str, ...] = (),
) -> Sequence[sa.Row[Any]]:
    """Write rows of the same columns, in their order; what they leave out is the table's default.

    Where a row is known already, it is left as it is with `once`, and with `adding` or `replacing` these columns of it
    change; else the statement fails. Returns columns of the rows that were written.
    """
    if not rows:
        return []
    insert = _insert(into, tuple(rows[0]), once, adding, replacing, returning)
    written = await insert.run(tx, rows)
    return written.all() if returning else []


@cache
def _insert(
    into: type[Base],
    names: tuple[str, ...],
    once: bool,  # noqa: FBT001 - as insert_many was asked
    adding: tuple[str, ...],
    replacing: tuple[str, ...],
    returning: tuple[str, ...],
) -> ForRows:
    table = into.metadata.tables[into.__tablename__]
    columns = ", ".join(names)
    changes = [f"{name} = {table.name}.{name} + excluded.{name}" for name in adding]
    changes += [f"{name} = excluded.{name}" for name in replacing]
    sql = f"INSERT INTO {table.name} ({columns}) SELECT {columns} FROM given ORDER BY nth"  # noqa: S608 - ours
    if changes:
        sql += (
            f" ON CONFLICT ({', '.join(table.primary_key.columns.keys())}) DO UPDATE SET {', '.join(changes)}"
        )
    elif once:
        sql += " ON CONFLICT DO NOTHING"
    if returning:
        sql += f" RETURNING {', '.join(returning)}"
    return ForRows(sql, **{name: table.c[name].type for name in names})


def _sent(kind: Kind) -> str:
    if isinstance(kind, sa.LargeBinary):
        return "text"
    if not isinstance(kind.item_type if isinstance(kind, sa.ARRAY) else kind, _EXACT):
        raise TypeError(f"{kind!r} has values that JSON does not carry exactly.")
    return kind.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]


def _read(name: str, kind: Kind) -> str:
    return f"decode({name}, 'base64') AS {name}" if isinstance(kind, sa.LargeBinary) else name
