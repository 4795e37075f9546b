"""The tables of the finance pages as CSV, for a spreadsheet."""

import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery

from services.ledger.api import bounded, may_read_books
from services.ledger.pages.books import as_day
from services.ledger.pages.growth import figures
from services.ledger.pages.labels import ONE_DAY
from services.ledger.queries import books
from shared.calendar import start_of
from shared.db import Tx

MOST = 10_000
"""Entries of one file; a longer span is asked for in parts."""


@get("/accounts.csv", guards=[may_read_books], include_in_schema=False)
async def export_accounts(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    on: FromQuery[str] = "",
    recorded: FromQuery[str] = "",
) -> Response[bytes]:
    known = as_day(recorded)
    balance = await books.trial_balance(
        tx,
        await books.scope(tx, agency),
        bounded(as_day(on)),
        start_of(bounded(known)) + ONE_DAY if known else None,
    )
    rows = [(a.code, a.account, a.name, a.debit_vnd, a.credit_vnd, a.balance_vnd) for a in balance.accounts]
    total = ("", "sum", "", balance.debit_vnd, balance.credit_vnd, balance.sum_vnd)
    heads = ("code", "account", "name", "debit_vnd", "credit_vnd", "balance_vnd")
    return as_csv("accounts", heads, [*rows, total])


@get("/entries.csv", guards=[may_read_books], include_in_schema=False)
async def export_entries(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    account: FromQuery[str] = "",
    stream: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
) -> Response[bytes]:
    wanted = books.Wanted(
        account=account,
        stream=stream,
        since=as_day(since) or date.min,
        until=as_day(until) or date.max,
        limit=MOST,
    )
    found = await books.entries(tx, await books.scope(tx, agency), wanted)
    rows = [
        (e.effective_on, e.recorded_at.isoformat(), e.agency, e.kind, e.amount_vnd, e.legs, e.id)
        for e in found[:MOST]
    ]
    heads = ("effective_on", "recorded_at", "agency", "kind", "amount_vnd", "legs", "entry")
    return as_csv("entries", heads, rows)


@get("/revenue.csv", guards=[may_read_books], include_in_schema=False)
async def export_revenue(
    tx: NamedDependency[Tx], agency: FromQuery[str] = "", on: FromQuery[date | None] = None
) -> Response[bytes]:
    found = await figures(tx, agency, on)
    rows = [(c.stream, c.agency, c.current_vnd, c.base_vnd) for c in found.cells]
    return as_csv("revenue", ("stream", "agency", "year_to_date_vnd", "same_days_last_year_vnd"), rows)


def as_csv(name: str, heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> Response[bytes]:
    """A CSV with a byte order mark, by which spreadsheets know that it is UTF-8."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(heads)
    writer.writerows(rows)
    headers = {
        "content-disposition": f'attachment; filename="{name}.csv"',
        "cache-control": "private, no-store",
    }
    return Response(
        text.getvalue().encode("utf-8-sig"), media_type="text/csv; charset=utf-8", headers=headers
    )


handlers = [export_accounts, export_entries, export_revenue]
