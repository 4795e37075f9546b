"""The books on pages: trial balance, journal, entries, lines and the facts behind them."""

import json
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.ledger.api import bounded, may_read_books
from services.ledger.pages import words
from services.ledger.pages.shown import finance_page
from services.ledger.queries import books, journal
from shared.agencies import name_of
from shared.calendar import start_of
from shared.db import Tx
from shared.errors import BadInput
from shared.lists import decode_cursor, page_of
from shared.request import Request

ON_A_PAGE = 50


@get("/accounts", guards=[may_read_books], include_in_schema=False)
async def show_accounts(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    on: FromQuery[str] = "",
    recorded: FromQuery[str] = "",
) -> Template:
    """The trial balance, as of an effective day and as it was known at the end of a recorded day."""
    codes = await books.scope(tx, agency)
    balance = await books.trial_balance(tx, codes, bounded(as_day(on)), known_until(recorded))
    return await finance_page(
        request,
        tx,
        "ledger_accounts.html",
        balance=balance,
        agency=agency,
        recorded=as_day(recorded),
        tabs=words.agency_tabs(request, await books.visible(tx)),
        here_tab=words.at_agency(request, agency),
        account_label=lambda account: words.account_label(request, account),
    )


@get("/entries", guards=[may_read_books], include_in_schema=False)
async def list_entries(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    account: FromQuery[str] = "",
    stream: FromQuery[str] = "",
    since: FromQuery[str] = "",
    until: FromQuery[str] = "",
    recorded: FromQuery[str] = "",
    cursor: FromQuery[str] = "",
) -> Template:
    """The journal, newest day first, or what went through one account or stream."""
    wanted = journal.Wanted(
        account=account,
        stream=stream,
        since=as_day(since) or date.min,
        until=as_day(until) or date.max,
        known=known_until(recorded),
        limit=ON_A_PAGE,
        before=decode_cursor(cursor, journal.Place),
    )
    entries = await journal.entries(tx, await books.scope(tx, agency), wanted)
    found = page_of(entries, ON_A_PAGE, journal.place)
    agencies = await books.visible(tx)
    names = {a.code: a.name for a in agencies}
    return await finance_page(
        request,
        tx,
        "ledger_entries.html",
        rows=[entry_row(request, e, names) for e in found.items],
        found=found,
        wanted=wanted,
        since=since,
        until=until,
        recorded=as_day(recorded),
        agency=agency,
        accounts=[
            (a, words.account_label(request, a)) for a in dict.fromkeys([*words.ACCOUNTS, account]) if a
        ],
        streams=[(s, words.stream_label(request, s)) for s in words.STREAMS if s],
        tabs=words.agency_tabs(request, agencies),
        here_tab=words.at_agency(request, agency),
        account_label=lambda name: words.account_label(request, name),
        stream_label=lambda name: words.stream_label(request, name),
        kind_label=lambda name: words.kind_label(request, name),
    )


@get("/entries/{entry:uuid}", guards=[may_read_books], include_in_schema=False)
async def show_entry(
    request: Request,
    tx: NamedDependency[Tx],
    entry: FromPath[UUID],
    account: FromQuery[str] = "",
) -> Template:
    """An entry: its legs, its dates and hash, and the fact that it came from."""
    found = await books.entry(tx, entry, account, parts_limit=2 * ON_A_PAGE)
    return await finance_page(
        request,
        tx,
        "ledger_entry.html",
        entry=found,
        agency=await name_of(tx, found.agency),
        account=account,
        body=pretty(found.fact.body) if found.fact else "",
        account_label=lambda name: words.account_label(request, name),
        stream_label=lambda name: words.stream_label(request, name),
        kind_label=lambda name: words.kind_label(request, name),
    )


@get("/lines/{line:uuid}", guards=[may_read_books], include_in_schema=False)
async def show_line(
    request: Request,
    tx: NamedDependency[Tx],
    line: FromPath[UUID],
    cursor: FromQuery[str] = "",
) -> Template:
    """An invoice line: how it is earned, its balances, its entries, and the facts of its invoice."""
    found = await books.line(tx, line)
    wanted = journal.Wanted(line=line, limit=ON_A_PAGE, before=decode_cursor(cursor, journal.Place))
    entries = page_of(
        await journal.entries(tx, [found.agency, found.payee], wanted), ON_A_PAGE, journal.place
    )
    names = {a.code: a.name for a in await books.visible(tx)}
    return await finance_page(
        request,
        tx,
        "ledger_line.html",
        line=found,
        earn=type(found.earn).__name__,
        rows=[entry_row(request, e, names) for e in entries.items],
        next=entries.next,
        agency=names.get(found.agency, found.agency),
        facts=[(fact, pretty(fact.body)) for fact in found.facts],
        account_label=lambda name: words.account_label(request, name),
        stream_label=lambda name: words.stream_label(request, name),
        kind_label=lambda name: words.kind_label(request, name),
    )


def entry_row(request: Request, entry: journal.EntryItem, names: dict[str, str]) -> dict[str, Any]:
    """An entry as the tables show it; of a line's entries, `earned_vnd` is what it earned."""
    return {
        **msgspec.structs.asdict(entry),
        "label": words.kind_label(request, entry.kind),
        "voucher": f"{entry.year}/{entry.number}",
        "agency": names.get(entry.agency, entry.agency),
        "earned_vnd": -entry.amount_vnd or None,
    }


def as_day(text: str) -> date | None:
    """A day of a form; an empty field is none. Raises BadInput."""
    if not text:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no day; write it as 2026-11-30.") from error


def known_until(text: str) -> datetime | None:
    """The end of a recorded day of a form; an empty field is now. Raises BadInput."""
    day = as_day(text)
    return start_of(bounded(day)) + timedelta(days=1) if day else None


def pretty(body: Any) -> str:
    return json.dumps(msgspec.to_builtins(body), ensure_ascii=False, indent=2)


handlers = [show_accounts, list_entries, show_entry, show_line]
