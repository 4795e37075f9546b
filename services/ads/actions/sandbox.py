"""The sandbox plays the reviewer and the readers, so that a program can try an order from booking to delivery."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.ads.actions import creatives, delivery
from services.ads.actions.orders import lock_order, open_invoice_when_approved
from services.ads.queries import catalogue
from services.ads.rules import orders as rules
from services.ads.tables import CreativeRow, OrderRow, ReviewRow
from shared import clock
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.db import Tx

AT_ONCE = 200


_WAITING = (
    sa.select(CreativeRow, OrderRow.name)
    .join(OrderRow, OrderRow.id == CreativeRow.ad_order)
    .where(
        sa.text(sandbox.in_sql("ad_order.agency")),
        OrderRow.submitted_at.is_not(None),
        OrderRow.cancelled_at.is_(None),
        ~sa.exists().where(ReviewRow.creative == CreativeRow.id),
    )
)
IS_WAITING = str(sa.select(_WAITING.exists().label("any")).compile(compile_kwargs={"literal_binds": True}))


async def review(tx: Tx) -> None:
    """Decide on the creatives that wait in the sandbox, by the rule that `rules.played_verdict` tells."""
    waiting = await tx.execute(_WAITING.order_by(CreativeRow.id).limit(AT_ONCE))
    for creative, name in waiting.all():
        row = await lock_order(tx, creative.ad_order)
        verdict = rules.played_verdict(name)
        checks = creatives.CHECKS if verdict == "approved" else ()
        said = creatives.Review(verdict=verdict, reason=rules.PLAYED_REASON, checks=checks)
        await creatives.keep_review(tx, creative, said, None)
        await open_invoice_when_approved(tx, row)


_RUNNING = sa.text(
    f"""
    SELECT l.id, l.ad_order, l.agency, l.organisation, l.placements, l.sections, l.goal,
           coalesce(p.impressions, 0) AS counted
    FROM line_item l JOIN ad_order o ON o.id = l.ad_order LEFT JOIN progress p ON p.line = l.id
    WHERE {sandbox.in_sql("o.agency")} AND o.paid_at IS NOT NULL AND o.cancelled_at IS NULL
      AND l.starts_on <= :today AND l.ends_on >= :today AND coalesce(p.impressions, 0) < l.goal
    ORDER BY l.id LIMIT {AT_ONCE}
    FOR UPDATE OF l SKIP LOCKED
    """  # noqa: S608 - a column's name and a number of ours
)
_IMAGES = sa.text(
    "SELECT id, ad_order, width, height FROM creative WHERE ad_order = ANY(:orders) ORDER BY id"
)


async def deliver(tx: Tx) -> None:
    """Show each line of the sandbox that is paid and in flight to another tenth of its readers."""
    now = clock.now()
    rows = (await tx.execute(_RUNNING, {"today": local_day(now)})).all()
    images = (await tx.execute(_IMAGES, {"orders": [row.ad_order for row in rows]})).all()
    sizes = {code: await catalogue.sizes(tx, code) for code in {row.agency for row in rows}}
    await delivery.add_totals(tx, [_total(row, _shown(row, images, sizes[row.agency]), now) for row in rows])


def _shown(row: Any, images: Any, sizes: dict[str, tuple[int, int]]) -> tuple[str, UUID]:
    """A placement of a line, and the creative of its order that fits there."""
    return next(
        (code, image.id)
        for code in row.placements
        for image in images
        if image.ad_order == row.ad_order and (image.width, image.height) == sizes.get(code)
    )


def _total(row: Any, shown: tuple[str, UUID], now: datetime) -> delivery.Total:
    placement, creative = shown
    seen = rules.played_delivery(row.goal, int(row.counted))
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
