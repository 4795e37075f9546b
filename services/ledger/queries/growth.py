"""Reads of recognised revenue: growth against the target, by stream, agency and month."""

from collections.abc import Sequence
from datetime import date

import msgspec
import sqlalchemy as sa

from services.ledger.rules import growth
from shared import clock
from shared.agencies import lineage
from shared.calendar import local_day
from shared.contracts.base import Stream
from shared.db import Tx

REVENUE = ["revenue", "deductions"]
"""Accounts whose sum is recognised net revenue: no VAT, no charity passed through, nothing in kind."""


class Cell(msgspec.Struct, frozen=True):
    """Recognised net revenue of a stream of an agency, this year to date and the same days last year."""

    stream: str
    agency: str
    current_vnd: int
    base_vnd: int


class MonthCell(msgspec.Struct, frozen=True):
    month: date
    stream: Stream
    agency: str
    amount_vnd: int


class View(msgspec.Struct, frozen=True):
    """One way to read the growth of an agency: as it is, or like for like with what it absorbed."""

    name: str
    agencies: list[str]
    measures: list[growth.Measure]
    status: growth.Status


class Growth(msgspec.Struct, frozen=True):
    """The growth page's figures; `cells` sum exactly to the like-for-like year to date."""

    as_of: date
    target_percent: int
    state_orders: bool
    views: list[View]
    cells: list[Cell]
    months: list[growth.MonthPair]


_WINDOWS = """
SELECT agency, stream, {sums} FROM rollup
WHERE agency = ANY(:agencies) AND account = ANY(:accounts) AND posted_on BETWEEN :first AND :last
  AND (:state_orders OR stream <> 'state_order')
GROUP BY agency, stream
"""
_MONTHS = """
SELECT agency, stream, CAST(date_trunc('month', posted_on) AS date) AS month,
       sum(credit_vnd - debit_vnd) AS amount FROM rollup
WHERE agency = ANY(:agencies) AND account = ANY(:accounts) AND posted_on BETWEEN :first AND :last
  AND (:state_orders OR stream <> 'state_order')
GROUP BY agency, stream, month ORDER BY month, stream, agency
"""


async def months(
    tx: Tx, codes: Sequence[str], first: date, last: date, *, state_orders: bool = True
) -> list[MonthCell]:
    """Recognised net revenue by month, stream and agency."""
    rows = await tx.execute(
        sa.text(_MONTHS),
        {
            "agencies": list(codes),
            "accounts": REVENUE,
            "first": first,
            "last": last,
            "state_orders": state_orders,
        },
    )
    return [MonthCell(row.month, row.stream, row.agency, int(row.amount)) for row in rows]


async def check_growth(
    tx: Tx, own: Sequence[str], line: Sequence[str], as_of: date, *, state_orders: bool = True
) -> Growth:
    """Growth of the agencies as they are (`own`) and like for like, with all that they absorbed (`line`)."""
    spans = growth.windows(as_of)
    first = min(w.base.start for w in spans)
    sums = await _window_sums(tx, line, spans, first, as_of, state_orders=state_orders)
    cells = await months(tx, line, first, as_of, state_orders=state_orders)
    roots = await _roots(tx, line)
    views = [_view("like_for_like", roots, spans, sums, cells, as_of)]
    if set(own) != set(line):
        views.append(_view("as_is", {code: code for code in own}, spans, sums, cells, as_of))
    totals: dict[date, int] = {}
    for cell in cells:
        totals[cell.month] = totals.get(cell.month, 0) + cell.amount_vnd
    parts = [Cell(stream, agency, s[0], s[1]) for (agency, stream), s in sorted(sums.items()) if s[0] or s[1]]
    return Growth(
        as_of=as_of,
        target_percent=growth.TARGET_PERCENT,
        state_orders=state_orders,
        views=views,
        cells=parts,
        months=growth.months_of_year(totals, as_of.year),
    )


async def _window_sums(
    tx: Tx,
    codes: Sequence[str],
    spans: Sequence[growth.Window],
    first: date,
    last: date,
    *,
    state_orders: bool,
) -> dict[tuple[str, str], list[int]]:
    """Sums by (agency, stream): current and base of each window in turn."""
    both = [span for window in spans for span in (window.current, window.base)]
    sums = ", ".join(
        f"coalesce(sum(credit_vnd - debit_vnd) FILTER (WHERE posted_on BETWEEN :s{n} AND :e{n}), 0) AS w{n}"
        for n in range(len(both))
    )
    values = {f"s{n}": span.start for n, span in enumerate(both)}
    values |= {f"e{n}": span.end for n, span in enumerate(both)}
    rows = await tx.execute(
        sa.text(_WINDOWS.replace("{sums}", sums)),
        {
            **values,
            "agencies": list(codes),
            "accounts": REVENUE,
            "first": first,
            "last": last,
            "state_orders": state_orders,
        },
    )
    return {(row.agency, row.stream): [int(row[2 + n]) for n in range(len(both))] for row in rows}


def _view(
    name: str,
    units: dict[str, str],
    spans: Sequence[growth.Window],
    sums: dict[tuple[str, str], list[int]],
    cells: Sequence[MonthCell],
    as_of: date,
) -> View:
    """`units` says for each agency of the view with which others it is compared as one."""
    mine = [values for (agency, _), values in sums.items() if agency in units]
    cover = {(units[c.agency], c.stream, c.month) for c in cells if c.agency in units}
    measures = [
        growth.measure(window, sum(v[2 * n] for v in mine), sum(v[2 * n + 1] for v in mine), cover)
        for n, window in enumerate(spans)
    ]
    by_name = {m.window.name: m for m in measures}
    return View(
        name, sorted(units), measures, growth.status(by_name["this_year"], by_name["year_to_date"], as_of)
    )


async def _roots(tx: Tx, codes: Sequence[str]) -> dict[str, str]:
    """For each agency the last of its line, as far as the reader sees it."""
    known, today = await lineage(tx), local_day(clock.now())
    return {code: [each for each in known.line_of(code, today) if each in codes][-1] for code in codes}
