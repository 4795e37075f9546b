"""The growth page: where the year stands against +20 %, by stream and agency, month by month, and its chart."""

from collections.abc import AsyncIterator
from datetime import date
from typing import Any, Literal

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import ServerSentEvent, Template

from services.ledger.api import bounded, may_read_books
from services.ledger.pages import charts, words
from services.ledger.pages.books import as_day
from services.ledger.pages.shown import finance_page
from services.ledger.queries import books, growth
from services.ledger.rules.growth import MonthPair
from shared import live, money
from shared.auth import Reach, principal_of, reach_of
from shared.db import Tx
from shared.request import Request
from shared.service import enter_as, transaction
from shared.web import N_, language_of, translate

LIVE_EVERY_S = 2.0
"""A stream ends before its page token does; the browser opens the next one by itself."""


class Row(msgspec.Struct, frozen=True):
    """A stream in the table of streams by agencies."""

    stream: str
    label: str
    by_agency: tuple[int, ...]
    current_vnd: int
    base_vnd: int
    change: float | None


async def figures(tx: Tx, agency: str, on: date | None) -> growth.Growth:
    """The growth of one agency with all that it absorbed, or of all that the reader sees."""
    lineage = await books.scope(tx, agency)
    return await growth.check_growth(tx, await books.living(tx, agency), lineage, bounded(on))


@get("/", guards=[may_read_books], include_in_schema=False)
async def show_growth(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
    on: FromQuery[str] = "",
) -> Template:
    found = await figures(tx, agency, as_day(on))
    agencies = await books.visible(tx)
    headline = {m.window.name: m for m in found.views[0].measures}
    shown = [a for a in agencies if any(c.agency == a.code for c in found.cells)]
    return await finance_page(
        request,
        tx,
        "ledger_growth.html",
        growth=found,
        year=headline["this_year"],
        so_far=headline["year_to_date"],
        target_vnd=-(-headline["this_year"].base_vnd * (100 + found.target_percent) // 100),
        status=words.STATUSES[found.views[0].status],
        words=words,
        agencies=agencies,
        shown=shown,
        agency_heads=[(a.name, "num") for a in shown],
        rows=[
            _row(request, stream, found.cells, shown) for stream in sorted({c.stream for c in found.cells})
        ],
        tabs=words.agency_tabs(request, agencies),
        here_tab=words.at_agency(request, agency),
        on=as_day(on),
        agency=agency,
        months=[_month(request, pair) for pair in found.months],
    )


def _row(request: Request, stream: str, cells: list[growth.Cell], shown: list[books.Agency]) -> Row:
    mine = [c for c in cells if c.stream == stream]
    now, before = sum(c.current_vnd for c in mine), sum(c.base_vnd for c in mine)
    return Row(
        stream=stream,
        label=words.stream_label(request, stream),
        by_agency=tuple(sum(c.current_vnd for c in mine if c.agency == a.code) for a in shown),
        current_vnd=now,
        base_vnd=before,
        change=(now - before) / before if before > 0 else None,
    )


def _month(request: Request, pair: MonthPair) -> dict[str, Any]:
    return {
        "month": words.month_label(request, pair.months),
        "current": pair.current_vnd or None,
        "base": pair.base_vnd,
        "target": pair.target_vnd,
    }


@get("/charts/growth.svg", guards=[may_read_books], include_in_schema=False)
async def draw_growth(
    request: Request,
    agency: FromQuery[str] = "",
    on: FromQuery[str] = "",
    ink: FromQuery[Literal["light", "dark"]] = "light",
    size: FromQuery[Literal["wide", "narrow"]] = "wide",
) -> Response[bytes]:
    """The months of this year beside last year's, with the line that +20 % asks for."""
    async with transaction(request) as tx:
        found = await figures(tx, agency, as_day(on))
    # Drawn after the transaction: a chart may take a second, and connections are few.
    lang = language_of(request)
    legend = {
        "now": translate(lang, N_("Năm {year}"), year=found.as_of.year),
        "before": translate(lang, N_("Năm {year}"), year=found.as_of.year - 1),
        "goal": translate(lang, N_("Mức cần đạt (+{percent} %)"), percent=found.target_percent),
        "unit": translate(lang, N_("triệu đồng")),
    }
    names = [words.month_label(request, pair.months) for pair in found.months]
    spec = charts.months_chart(found.months, names, legend, ink, narrow=size == "narrow")
    headers = {"cache-control": "private, max-age=60", "x-content-type-options": "nosniff"}
    svg = await request.app.state.drawer.draw(spec)
    return Response(svg, media_type="image/svg+xml", headers=headers)


@get("/live", guards=[may_read_books], include_in_schema=False)
async def stream_growth(request: Request, agency: FromQuery[str] = "") -> ServerSentEvent:
    """The headline as it changes, without reloading."""
    return live.stream(request, _headlines(request, agency))


async def _headlines(request: Request, agency: str) -> AsyncIterator[str]:
    """A message when a figure has changed, until the session ends; each look is a transaction of its own."""
    database, reach, last = request.app.state.kit.database, reach_of(request), ""
    async for _ in live.ticks(LIVE_EVERY_S):
        if request.app.state.verifier.is_revoked(principal_of(request)):
            return
        async with database.web_tx() as tx:
            text = await live_figures(tx, reach, agency)
        if text != last:
            yield text
            last = text


async def live_figures(tx: Tx, reach: Reach, agency: str) -> str:
    """The texts of the page's live elements, by their ids, as JSON."""
    await enter_as(tx, reach)
    found = await figures(tx, agency, None)
    so_far = next(m for m in found.views[0].measures if m.window.name == "year_to_date")
    said = {
        "live-current": money.show(so_far.current_vnd),
        "live-change": words.signed(so_far.change_percent) if so_far.measurable else "",
    }
    return msgspec.json.encode(said).decode()


handlers = [show_growth, draw_growth, stream_growth]
