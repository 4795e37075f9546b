"""The books for programs: trial balance, entries with their sources, growth and revenue by month."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

from litestar import Router, get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery

from services.ledger.queries import books, growth, journal
from services.ledger.rules.growth import TARGET_PERCENT
from shared import auth, clock
from shared.calendar import add_months, local_day, month_of
from shared.contracts.base import FIRST, LAST
from shared.contracts.roles import OVERSEERS
from shared.db import Tx
from shared.errors import BadInput, Unprocessable
from shared.lists import Limit, Page, decode_cursor, page_of

may_read_books = auth.Right(roles=OVERSEERS, scope="finance:read")
MAX_MONTHS = 120


@get("/trial-balance")
async def show_trial_balance(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    on: FromQuery[date | None] = None,
    recorded_at: FromQuery[datetime | None] = None,
) -> books.TrialBalance:
    """Every account as of an effective day, as it was known at a recorded instant; sums to zero."""
    if recorded_at is not None and recorded_at.tzinfo is None:
        raise BadInput("recorded_at needs a time zone, such as 2026-11-23T00:00:00+07:00.")
    codes = await books.scope(tx, agency)
    if recorded_at is not None and not FIRST <= recorded_at.date() <= LAST:
        raise BadInput(f"No book is of {recorded_at.date()}: it lies before {FIRST} or after {LAST}.")
    return await books.trial_balance(tx, codes, bounded(on), recorded_at)


@get("/entries")
async def list_entries(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    account: FromQuery[str] = "",
    stream: FromQuery[str] = "",
    line: FromQuery[UUID | None] = None,
    since: FromQuery[date] = date.min,
    until: FromQuery[date] = date.max,
    limit: Limit = 50,
    cursor: FromQuery[str] = "",
) -> Page[journal.EntryItem]:
    """Entries, newest effective day first; with a filter, `amount_vnd` is what each did to it."""
    codes = await books.scope(tx, agency)
    wanted = journal.Wanted(
        account=account,
        stream=stream,
        line=line,
        since=since,
        until=until,
        limit=limit,
        before=decode_cursor(cursor, journal.Place),
    )
    return page_of(await journal.entries(tx, codes, wanted), limit, journal.place)


@get("/entries/{entry:uuid}")
async def show_entry(tx: NamedDependency[Tx], entry: FromPath[UUID]) -> books.EntryPage:
    """An entry with its legs, its hash and the fact that it came from."""
    return await books.entry(tx, entry)


@get("/lines/{line:uuid}")
async def show_line(tx: NamedDependency[Tx], line: FromPath[UUID]) -> books.LinePage:
    """An invoice line: how it is earned, its balances, the facts of its invoice."""
    return await books.line(tx, line)


@get("/growth")
async def show_growth(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    on: FromQuery[date | None] = None,
    state_orders: FromQuery[bool] = True,  # noqa: FBT002 - a query parameter
) -> growth.Growth:
    """Recognised net revenue against last year and the target; or why it cannot be measured."""
    lineage = await books.scope(tx, agency)
    return await growth.check_growth(
        tx, await books.living(tx, agency), lineage, bounded(on), state_orders=state_orders
    )


@get("/revenue")
async def show_revenue(
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    since: FromQuery[date | None] = None,
    until: FromQuery[date | None] = None,
) -> list[growth.MonthCell]:
    """Recognised net revenue by month, stream and agency; this year and last by default."""
    last = bounded(until)
    first = since or add_months(month_of(last), -23)
    if first > last or (last - first).days > MAX_MONTHS * 31:
        raise Unprocessable(f"since comes before until, by {MAX_MONTHS} months at most.")
    return await growth.months(tx, await books.scope(tx, agency), first, last)


def today() -> date:
    return local_day(clock.now())


def bounded(on: date | None) -> date:
    """A day whose window of three years exists. Raises Unprocessable."""
    day = on or today()
    if not 2000 <= day.year <= 2200:  # noqa: PLR2004 - far outside of any books
        raise Unprocessable("The day is between 2000 and 2200.")
    return day


routes: list[Any] = [
    Router(
        "/api/ledger/v1",
        route_handlers=[show_trial_balance, list_entries, show_entry, show_line, show_growth, show_revenue],
        guards=[may_read_books],
        tags=[f"Ledger (target +{TARGET_PERCENT} %)"],
    )
]
