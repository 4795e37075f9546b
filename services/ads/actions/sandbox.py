"""The sandbox plays the reviewer and the readers, so that a program can try an order from booking to delivery."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.ads.actions import creatives, delivery
from services.ads.actions.orders import lock_order, open_invoice_when_approved
from services.ads.queries import catalogue
from services.ads.rules import orders as rules
from services.ads.tables import CreativeRow, LineRow, OrderRow, ProgressRow, ReviewRow
from shared import clock
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.db import Tx
from shared.jobs import Batch

_WAITING = (
    sa.select(CreativeRow.id, CreativeRow, OrderRow.name)
    .join(OrderRow, OrderRow.id == CreativeRow.ad_order)
    .where(
        sa.text(sandbox.in_sql("ad_order.agency")),
        OrderRow.submitted_at.is_not(None),
        OrderRow.cancelled_at.is_(None),
        ~sa.exists().where(ReviewRow.creative == CreativeRow.id),
    )
)
IS_WAITING = str(sa.select(_WAITING.exists().label("any")).compile(compile_kwargs={"literal_binds": True}))


async def review(tx: Tx, batch: Batch) -> None:
    """Decide on the creatives that wait in the sandbox, by the rule that `rules.played_verdict` tells."""
    for _, creative, name in await batch.take(tx, _WAITING):
        row = await lock_order(tx, creative.ad_order)
        verdict = rules.played_verdict(name)
        checks = creatives.CHECKS if verdict == "approved" else ()
        said = creatives.Review(verdict=verdict, reason=rules.PLAYED_REASON, checks=checks)
        await creatives.keep_review(tx, creative, said, None)
        await open_invoice_when_approved(tx, row)


_COUNTED = sa.func.coalesce(ProgressRow.impressions, 0)
_RUNNING = (
    sa.select(LineRow.id, LineRow, _COUNTED)
    .join(OrderRow, OrderRow.id == LineRow.ad_order)
    .outerjoin(ProgressRow, ProgressRow.line == LineRow.id)
    .where(
        sa.text(sandbox.in_sql("ad_order.agency")),
        OrderRow.paid_at.is_not(None),
        OrderRow.cancelled_at.is_(None),
        LineRow.goal > _COUNTED,
    )
    .with_for_update(of=LineRow, skip_locked=True)
)
_IMAGES = sa.text(
    "SELECT id, ad_order, width, height FROM creative WHERE ad_order = ANY(:orders) ORDER BY id"
)


async def deliver(tx: Tx, batch: Batch) -> None:
    """Show each line of the sandbox that is paid and in flight to another tenth of its readers."""
    now = clock.now()
    today = local_day(now)
    running = await batch.take(tx, _RUNNING.where(LineRow.starts_on <= today, LineRow.ends_on >= today))
    images = (await tx.execute(_IMAGES, {"orders": [row.ad_order for _, row, _ in running]})).all()
    sizes = {code: await catalogue.sizes(tx, code) for code in {row.agency for _, row, _ in running}}
    totals = [
        _total(row, int(counted), _shown(row, images, sizes[row.agency]), now) for _, row, counted in running
    ]
    await delivery.add_totals(tx, totals)


def _shown(row: LineRow, images: Any, sizes: dict[str, tuple[int, int]]) -> tuple[str, UUID]:
    """A placement of a line, and the creative of its order that fits there."""
    return next(
        (code, image.id)
        for code in row.placements
        for image in images
        if image.ad_order == row.ad_order and (image.width, image.height) == sizes.get(code)
    )


def _total(row: LineRow, counted: int, shown: tuple[str, UUID], now: datetime) -> delivery.Total:
    placement, creative = shown
    seen = rules.played_delivery(row.goal, counted)
    return delivery.Total(
        line=row.id,
        creative=creative,
        placement=placement,
        section=row.sections[0] if row.sections else "",
        hour=now - timedelta(minutes=now.minute, seconds=now.second, microseconds=now.microsecond),
        agency=row.agency,
        organisation=row.organisation,
        impressions=seen,
        viewables=seen * 6 // 10,
        clicks=seen // 1000,
    )
