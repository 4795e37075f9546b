"""What staff see at a glance."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shared.db import Tx


class RecountView(msgspec.Struct, frozen=True, kw_only=True):
    """The newest recount of an agency."""

    agency: str
    day: date
    counted_at: datetime
    checked: int
    differences: list[dict[str, Any]]


class DeskView(msgspec.Struct, frozen=True, kw_only=True):
    """What staff see of an event at a glance."""

    slug: str
    title: str
    agency: str
    starts_at: datetime
    packages_left: int
    packages_held: int
    packages_sold: int
    sponsor_vnd: int
    tickets_left: int
    tickets_held: int
    tickets_sold: int
    ticket_vnd: int
    checked_in: int


_DESK = """
SELECT e.slug, e.title, e.agency, e.starts_at,
    coalesce(sum(capacity - held - sold) FILTER (WHERE kind = 'package'), 0)::int AS packages_left,
    coalesce(sum(held) FILTER (WHERE kind = 'package'), 0)::int AS packages_held,
    coalesce(sum(sold) FILTER (WHERE kind = 'package'), 0)::int AS packages_sold,
    (SELECT coalesce(sum((p.terms->>'price_vnd')::bigint), 0)::bigint FROM sponsorship p
        WHERE p.event = e.id AND p.contracted_at IS NOT NULL AND p.cancelled_at IS NULL) AS sponsor_vnd,
    coalesce(sum(capacity - held - sold) FILTER (WHERE kind = 'ticket'), 0)::int AS tickets_left,
    coalesce(sum(held) FILTER (WHERE kind = 'ticket'), 0)::int AS tickets_held,
    coalesce(sum(sold) FILTER (WHERE kind = 'ticket'), 0)::int AS tickets_sold,
    (SELECT coalesce(sum((line->>'net_vnd')::bigint - coalesce((credits->(line->>'id')->>0)::bigint, 0)), 0)::bigint
        FROM registration r JOIN sale ON sale.of = r.id, jsonb_array_elements(lines) AS line
        WHERE r.event = e.id AND sale.paid_at IS NOT NULL) AS ticket_vnd,
    (SELECT count(*)::int FROM entrant n WHERE n.event = e.id AND checked_in_at IS NOT NULL) AS checked_in
FROM event e LEFT JOIN sellable s ON s.event = e.id
WHERE e.agency = ANY(:agencies) AND (:slug = '' OR e.slug = :slug)
GROUP BY e.id ORDER BY e.starts_at DESC, e.id
"""


async def desk(tx: Tx, agencies: Sequence[str], slug: str = "") -> list[DeskView]:
    """Events of these agencies with their stock and money, the latest first."""
    rows = await tx.execute(sa.text(_DESK), {"agencies": list(agencies), "slug": slug})
    return [DeskView(**row) for row in rows.mappings()]


async def recounts(tx: Tx, agencies: Sequence[str]) -> list[RecountView]:
    """The newest recount of each agency."""
    rows = await tx.execute(
        sa.text(
            "SELECT DISTINCT ON (agency) agency, day, counted_at, checked, differences FROM recount "
            "WHERE agency = ANY(:agencies) ORDER BY agency, day DESC"
        ),
        {"agencies": list(agencies)},
    )
    return [RecountView(**row) for row in rows.mappings()]
