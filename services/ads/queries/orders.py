"""Orders as advertisers and ad operations see them: lines, creatives, delivery, and the status that follows."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, cast
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ads.rules.orders import (
    VAT_CLASS,
    Flight,
    Judgement,
    Order,
    Pricing,
    Status,
    missing_sizes,
    status_of,
)
from services.ads.tables import CreativeRow, LineRow, OrderRow, ReviewRow
from shared import clock, links, sales
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.db import Tx
from shared.errors import NotFound
from shared.money import Amount, split
from shared.sales import Credited, Sale, tail
from shared.settings import Settings

PREVIEW_TTL_S = 3600


class LineView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    name: str
    placements: list[str]
    sections: list[str]
    starts_on: date
    ends_on: date
    pricing: Pricing
    price_vnd: int
    budget_vnd: int
    goal: int
    net_vnd: int
    vat_vnd: int
    cap_day: int
    impressions: int
    viewables: int
    clicks: int
    credited_vnd: int
    missing_sizes: list[str]
    """Sizes of its placements for which no creative was given; those slots stay with others."""


class CreativeView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    order: UUID
    width: int
    height: int
    status: Judgement
    reason: str
    click_url: str
    preview_url: str
    uploaded_at: datetime


class OrderView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    number: str
    agency: str
    name: str
    status: Status
    booked_at: datetime
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    pay_url: str | None
    pay_by: datetime | None
    line_items: list[LineView]
    creatives: list[CreativeView]


def number_of(order: UUID) -> str:
    """How people name an order, from its first day on."""
    return f"QC-{tail(order)}"


async def order(tx: Tx, settings: Settings, order_id: UUID) -> OrderView:
    """One order. Raises NotFound, also for an order of somebody else."""
    row = await tx.get(OrderRow, order_id, populate_existing=True)
    if row is None or row.kind != "sold":
        raise NotFound("There is no such order.")
    return (await views(tx, settings, [row]))[0]


async def order_of(tx: Tx, creative: UUID) -> UUID:
    """The order of a creative. Raises NotFound."""
    found = await tx.scalar(sa.select(CreativeRow.ad_order).where(CreativeRow.id == creative))
    if found is None:
        raise NotFound("There is no such creative.")
    return found


async def orders(
    tx: Tx, settings: Settings, *, before: UUID | None = None, limit: int = 50, agency: str = ""
) -> list[OrderView]:
    """Orders that the transaction may see, newest first."""
    wanted = sa.select(OrderRow).where(OrderRow.kind == "sold").order_by(OrderRow.id.desc()).limit(limit)
    if before is not None:
        wanted = wanted.where(OrderRow.id < before)
    if agency:
        wanted = wanted.where(OrderRow.agency == agency)
    return await views(tx, settings, list(await tx.scalars(wanted)))


_SIZES = sa.text("SELECT agency, code, width, height FROM placement")
_COUNTS = sa.text(
    "SELECT line, sum(impressions) AS impressions, sum(viewables) AS viewables, sum(clicks) AS clicks "
    "FROM rollup WHERE line = ANY(:lines) GROUP BY line"
)
_VERDICTS = sa.text(
    "SELECT DISTINCT ON (creative) creative, verdict, reason FROM review WHERE creative = ANY(:creatives) "
    "ORDER BY creative, reviewed_at DESC, id DESC"
)


async def views(tx: Tx, settings: Settings, rows: Sequence[OrderRow]) -> list[OrderView]:
    """Orders with everything that belongs to them, in five reads however many there are."""
    ids = [row.id for row in rows]
    lines = list(await tx.scalars(sa.select(LineRow).where(LineRow.ad_order.in_(ids)).order_by(LineRow.id)))
    creatives = list(
        await tx.scalars(sa.select(CreativeRow).where(CreativeRow.ad_order.in_(ids)).order_by(CreativeRow.id))
    )
    counts = {r.line: r for r in await tx.execute(_COUNTS, {"lines": [line.id for line in lines]})}
    verdicts = await verdicts_of(tx, [creative.id for creative in creatives])
    sizes: dict[str, dict[str, tuple[int, int]]] = {}
    for place in await tx.execute(_SIZES):
        sizes.setdefault(place.agency, {})[place.code] = (place.width, place.height)
    sold = await sales.find(tx, [row.invoice for row in rows])
    made = []
    for row in rows:
        sale = sold.get(row.invoice) if row.invoice else None
        own_sizes = sizes[sandbox.real(row.agency)]
        shown = [creative_view(settings, c, verdicts) for c in creatives if c.ad_order == row.id]
        have = {(c.width, c.height) for c in shown if c.status in ("waiting", "approved")}
        own = [
            _line_view(line, counts.get(line.id), sale, missing_sizes(line.placements, own_sizes, have))
            for line in lines
            if line.ad_order == row.id
        ]
        made.append(_view(settings, row, sale, own, shown, own_sizes))
    return made


async def verdicts_of(tx: Tx, creatives: list[UUID]) -> dict[UUID, tuple[Judgement, str]]:
    """The newest verdict and its reason by creative; none for those that wait."""
    rows = await tx.execute(_VERDICTS, {"creatives": creatives})
    return {row.creative: (row.verdict, row.reason) for row in rows}


def creative_view(
    settings: Settings, row: CreativeRow, verdicts: dict[UUID, tuple[Judgement, str]]
) -> CreativeView:
    status, reason = verdicts.get(row.id, ("waiting", ""))
    return CreativeView(
        id=row.id,
        order=row.ad_order,
        width=row.width,
        height=row.height,
        status=status,
        reason=reason,
        click_url=row.click_url,
        preview_url=settings.creatives_url + links.signed(settings, f"/creatives/{row.file}", PREVIEW_TTL_S),
        uploaded_at=row.uploaded_at,
    )


def _line_view(row: LineRow, count: Any, sale: Sale | None, missing: list[str]) -> LineView:
    credited = sale.credits.get(row.id, Credited()) if sale else Credited()
    cost = Amount(row.net_vnd, row.vat_vnd)
    if sale is None or sale.paid_at is None:
        # What was booked stays; how much of it is VAT says the day of its money, which would be today.
        cost = split(cost.gross_vnd, VAT_CLASS, local_day(clock.now()))
    return LineView(
        id=row.id,
        name=row.name,
        placements=row.placements,
        sections=row.sections,
        starts_on=row.starts_on,
        ends_on=row.ends_on,
        pricing=cast("Pricing", row.pricing),
        price_vnd=row.price_vnd,
        budget_vnd=row.budget_vnd,
        goal=row.goal,
        net_vnd=cost.net_vnd,
        vat_vnd=cost.vat_vnd,
        cap_day=row.cap_day,
        impressions=int(count.impressions) if count else 0,
        viewables=int(count.viewables) if count else 0,
        clicks=int(count.clicks) if count else 0,
        credited_vnd=credited.net_vnd,
        missing_sizes=missing,
    )


def _view(
    settings: Settings,
    row: OrderRow,
    sale: Sale | None,
    lines: list[LineView],
    creatives: list[CreativeView],
    sizes: dict[str, tuple[int, int]],
) -> OrderView:
    waiting = any(c.status == "waiting" for c in creatives)
    covered = not uncovered(lines, sizes, {(c.width, c.height) for c in creatives if c.status == "approved"})
    history = Order(
        submitted_at=row.submitted_at,
        invoiced=sale is not None,
        payable=sale is not None and (sale.waits or sale.taken is not None),
        paid_at=row.paid_at,
        cancelled_at=row.cancelled_at,
        covered=covered,
        refused=row.submitted_at is not None and not waiting and not covered,
        flights=tuple(Flight(x.starts_on, x.ends_on, x.goal, x.impressions) for x in lines),
    )
    status = status_of(history, clock.now())
    payable = sale if sale is not None and sale.waits else None
    net, vat = sum(x.net_vnd for x in lines), sum(x.vat_vnd for x in lines)
    return OrderView(
        id=row.id,
        number=number_of(row.id),
        agency=row.agency,
        name=row.name,
        status=status,
        booked_at=row.booked_at,
        net_vnd=net,
        vat_vnd=vat,
        total_vnd=net + vat,
        pay_url=settings.base_url + sales.pay_link(settings, "ads", payable) if payable else None,
        pay_by=payable.expires_at if payable else None,
        line_items=lines,
        creatives=creatives,
    )


def uncovered(
    lines: Sequence[LineView | LineRow], sizes: dict[str, tuple[int, int]], approved: set[tuple[int, int]]
) -> list[UUID]:
    """Lines none of whose placements has a creative of its size."""
    return [x.id for x in lines if not {sizes[p] for p in x.placements if p in sizes} & approved]


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A creative in the review queue, with what a reviewer has to know of its order."""

    creative: CreativeView
    agency: str
    order_name: str
    order_number: str
    submitted_at: datetime


_WAITING = (
    OrderRow.submitted_at.is_not(None),
    OrderRow.cancelled_at.is_(None),
    ~sa.exists().where(ReviewRow.creative == CreativeRow.id),
)


async def queue_length(tx: Tx) -> int:
    """How many creatives wait for a decision."""
    waiting = sa.select(sa.func.count()).select_from(CreativeRow)
    joined = waiting.join(OrderRow, OrderRow.id == CreativeRow.ad_order)
    return int(await tx.scalar(joined.where(*_WAITING)) or 0)


async def queue(tx: Tx, settings: Settings, limit: int = 100) -> list[Waiting]:
    """Creatives that wait for a decision, oldest first."""
    rows = await tx.execute(
        sa.select(CreativeRow, OrderRow)
        .join(OrderRow, OrderRow.id == CreativeRow.ad_order)
        .where(*_WAITING)
        .order_by(CreativeRow.uploaded_at)
        .limit(limit)
    )
    return [
        Waiting(
            creative=creative_view(settings, creative, {}),
            agency=row.agency,
            order_name=row.name,
            order_number=number_of(row.id),
            submitted_at=row.submitted_at or row.booked_at,
        )
        for creative, row in rows
    ]
