"""Delivery in figures: by day for one order, and what was rejected as invalid."""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from shared.db import Tx


class DayOfLine(msgspec.Struct, frozen=True):
    day: date
    impressions: int
    viewables: int
    clicks: int


_BY_DAY = sa.text(
    "SELECT CAST(r.hour AT TIME ZONE 'Asia/Ho_Chi_Minh' AS date) AS day, sum(r.impressions)::bigint AS impressions, "
    "sum(r.viewables)::bigint AS viewables, sum(r.clicks)::bigint AS clicks FROM rollup r "
    "JOIN line_item l ON l.id = r.line WHERE l.ad_order = :order GROUP BY 1 ORDER BY 1"
)


async def by_day(tx: Tx, order: UUID) -> list[DayOfLine]:
    """An order's counts by local day."""
    return [DayOfLine(*row) for row in (await tx.execute(_BY_DAY, {"order": order}))]


class Rejected(msgspec.Struct, frozen=True):
    kind: str
    reason: str
    count: int


async def rejections(tx: Tx, now: datetime) -> list[Rejected]:
    """What was not counted in the last day, by reason."""
    rows = await tx.execute(
        sa.text(
            "SELECT kind, reason, sum(count)::bigint FROM rejection WHERE hour >= :since GROUP BY 1, 2 "
            "ORDER BY 3 DESC"
        ),
        {"since": now - timedelta(days=1)},
    )
    return [Rejected(*row) for row in rows]
