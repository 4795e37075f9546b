"""The lines in flight, read into the memory that decisions run on."""

from collections import defaultdict
from datetime import date
from uuid import UUID

import sqlalchemy as sa

from services.ads.rules.decision import Creative, Line, Placement, Snapshot, indexed
from shared.contracts import sandbox
from shared.db import Tx, version

VERSION = "ads"

# What stands in a sandbox was seen by no reviewer: no page of the paper may show it, its image or its link.
_LINES = sa.text(
    f"""
    SELECT l.id, l.ad_order, l.agency, l.name, l.tier, l.placements, l.sections, l.devices, l.languages, l.hours,
           l.cap_day
    FROM line_item l
    JOIN ad_order o ON o.id = l.ad_order
    LEFT JOIN progress p ON p.line = l.id
    WHERE l.starts_on <= :today AND l.ends_on >= :today AND o.cancelled_at IS NULL
      AND NOT {sandbox.in_sql("l.agency")}
      AND (o.kind = 'house' OR (o.paid_at IS NOT NULL AND coalesce(p.impressions, 0) < l.goal))
    ORDER BY l.id
    """  # noqa: S608 - a column's name
)
_CREATIVES = sa.text(
    """
    SELECT c.id, c.ad_order, c.file, c.click_url, c.width, c.height FROM creative c
    JOIN LATERAL (
        SELECT verdict FROM review WHERE creative = c.id ORDER BY reviewed_at DESC, id DESC LIMIT 1
    ) r ON r.verdict = 'approved'
    WHERE c.ad_order = ANY(:orders)
    ORDER BY c.id
    """
)

_TARGET = sa.text(
    f"""
    SELECT click_url FROM creative c WHERE id = :id AND NOT {sandbox.in_sql("agency")} AND (
        SELECT verdict FROM review WHERE creative = c.id ORDER BY reviewed_at DESC, id DESC LIMIT 1
    ) = 'approved'
    """  # noqa: S608 - a column's name
)


async def load(tx: Tx, today: date) -> Snapshot:
    """Read all lines of all agencies that are paid, approved and in flight on a day."""
    number = await version(tx, VERSION)
    rows = (await tx.execute(_LINES, {"today": today})).all()
    creatives: dict[UUID, list[Creative]] = defaultdict(list)
    for row in await tx.execute(_CREATIVES, {"orders": list({row.ad_order for row in rows})}):
        creatives[row.ad_order].append(Creative(row.id, row.file, row.click_url, row.width, row.height))
    lines = [
        Line(
            id=row.id,
            agency=row.agency,
            name=row.name,
            tier=row.tier,
            placements=tuple(row.placements),
            sections=tuple(row.sections),
            devices=tuple(row.devices),
            languages=tuple(row.languages),
            hours=tuple(row.hours),
            cap_day=row.cap_day,
            creatives=tuple(creatives[row.ad_order]),
        )
        for row in rows
        if creatives[row.ad_order]
    ]
    places = await tx.execute(sa.text("SELECT agency, code, width, height FROM placement"))
    return indexed(lines, [Placement(*row) for row in places], number)


async def click_target(tx: Tx, creative: UUID) -> str | None:
    """The stored address of a creative, for clicks on ads that are no longer in flight."""
    url: str | None = await tx.scalar(_TARGET, {"id": creative})
    return url
