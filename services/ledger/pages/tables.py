"""The tables of the finance pages as CSV, for a spreadsheet."""

import asyncio
import csv
import io
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from litestar import Response, get
from litestar.params import FromQuery

from services.ledger.api import bounded, may_read_books
from services.ledger.pages.books import as_day, known_until
from services.ledger.pages.growth import figures
from services.ledger.queries import books, heads, journal
from services.ledger.rules.heads import Head, in_header
from shared.outside import outside
from shared.request import Request
from shared.service import transaction

AT_ONCE = 5_000
"""Entries of one read; a file holds as many as there are."""


@get("/accounts.csv", guards=[may_read_books], include_in_schema=False)
async def export_accounts(
    request: Request,
    agency: FromQuery[str] = "",
    on: FromQuery[str] = "",
    recorded: FromQuery[str] = "",
) -> Response[bytes]:
    async with transaction(request) as tx:
        codes = await books.scope(tx, agency)
        balance = await books.trial_balance(tx, codes, bounded(as_day(on)), known_until(recorded))
        head = await heads.latest(tx)
    rows = [(a.code, a.account, a.name, a.debit_vnd, a.credit_vnd, a.balance_vnd) for a in balance.accounts]
    total = ("", "sum", "", balance.debit_vnd, balance.credit_vnd, balance.sum_vnd)
    titles = ("code", "account", "name", "debit_vnd", "credit_vnd", "balance_vnd")
    return await as_csv("accounts", titles, [*rows, total], head)


@get("/entries.csv", guards=[may_read_books], include_in_schema=False)
async def export_entries(
    request: Request,
    agency: FromQuery[str] = "",
    account: FromQuery[str] = "",
    stream: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    recorded: FromQuery[str] = "",
) -> Response[bytes]:
    wanted = journal.Wanted(
        account=account,
        stream=stream,
        since=as_day(since) or date.min,
        until=as_day(until) or date.max,
        known=known_until(recorded),
        limit=AT_ONCE,
    )
    async with transaction(request) as tx:
        codes = await books.scope(tx, agency)
        found = [entry async for entry in journal.all_entries(tx, codes, wanted)]
        head = await heads.latest(tx)
    rows = (
        (
            e.posted_on,
            e.belongs_on,
            e.recorded_at.isoformat(),
            e.agency,
            f"{e.year}/{e.number}",
            e.kind,
            e.amount_vnd,
            e.legs,
            e.id,
        )
        for e in found
    )
    titles = (
        "posted_on",
        "belongs_on",
        "recorded_at",
        "agency",
        "number",
        "kind",
        "amount_vnd",
        "legs",
        "entry",
    )
    return await as_csv("entries", titles, rows, head)


@get("/revenue.csv", guards=[may_read_books], include_in_schema=False)
async def export_revenue(
    request: Request, agency: FromQuery[str] = "", on: FromQuery[str] = ""
) -> Response[bytes]:
    async with transaction(request) as tx:
        found = await figures(tx, agency, as_day(on))
        head = await heads.latest(tx)
    rows = [(c.stream, c.agency, c.current_vnd, c.base_vnd) for c in found.cells]
    titles = ("stream", "agency", "year_to_date_vnd", "same_days_last_year_vnd")
    return await as_csv("revenue", titles, rows, head)


@outside
async def as_csv(
    name: str, titles: Sequence[str], rows: Iterable[Sequence[Any]], head: Head | None
) -> Response[bytes]:
    """A CSV with a byte order mark, by which spreadsheets know that it is UTF-8; written beside the event loop.

    The head that was signed last stands in a header: a row of the table it is not.
    """

    def written() -> bytes:
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(titles)
        writer.writerows(rows)
        return text.getvalue().encode("utf-8-sig")

    headers = {
        "content-disposition": f'attachment; filename="{name}.csv"',
        "cache-control": "private, no-store",
    }
    if head is not None:
        headers["x-ledger-head"] = in_header(head)
    content = await asyncio.to_thread(written)
    return Response(content, media_type="text/csv", headers=headers)


handlers = [export_accounts, export_entries, export_revenue]
