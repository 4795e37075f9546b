"""Whatever a database dates after an instant, by table and column."""

from datetime import datetime
from typing import Any

import psycopg
from psycopg import sql

from shared.calendar import local_day

AHEAD = {
    "due_at", "due_on", "ends_on", "expires_at", "live_until", "next_at", "price.since", "sales_end_at", "start",
    "starts_at", "starts_on", "until", "valid_from",
}  # fmt: skip
"""Columns that speak of what is still to come: terms, flights, prices, events, the next try."""


def dated_after(db: psycopg.Connection[Any], instant: datetime) -> list[str]:
    """Columns that record what happened and hold a date later than the instant, or than its day."""
    columns = db.execute(
        "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema = 'public' "
        "AND data_type IN ('timestamp with time zone', 'date') ORDER BY 1, 2"
    ).fetchall()
    found = []
    for table, column, kind in columns:
        if AHEAD & {column, f"{table}.{column}"}:
            continue
        latest = sql.SQL("SELECT max({}) FROM {}").format(sql.Identifier(column), sql.Identifier(table))
        limit = local_day(instant) if kind == "date" else instant
        ((value,),) = db.execute(latest).fetchall()
        if value is not None and value > limit:
            found.append(f"{table}.{column}: {value}")
    assert len(columns) > len(found)
    return found
