"""Impressions are leased to workers and given back, so that any number of them stops exactly at the goal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ads.rules.pacing import grantable
from services.ads.rules.tokens import BUCKET_S, VIEW_TTL_S
from services.ads.tables import LeaseRow, ProgressRow, RollupRow
from shared import clock
from shared.bulk import ForRows, insert_many
from shared.db import Tx

OPEN_S = BUCKET_S + VIEW_TTL_S + 60
"""So long after its start a bucket's impressions may still be counted."""

_LOCK = sa.text("SELECT id FROM line_item WHERE id = ANY(:lines) ORDER BY id FOR UPDATE")
_STATE = sa.text(
    """
    SELECT l.id, l.goal, l.starts_on, l.ends_on, coalesce(p.impressions, 0) AS counted,
           coalesce(b.outstanding, 0) AS outstanding
    FROM line_item l
    LEFT JOIN progress p ON p.line = l.id
    LEFT JOIN (
        SELECT line, sum(granted - counted) AS outstanding FROM lease
        WHERE line = ANY(:lines) AND bucket > :closed GROUP BY line
    ) b ON b.line = l.id
    WHERE l.id = ANY(:lines)
    """
)
_RETURN = ForRows(
    "UPDATE lease SET granted = granted - n FROM given WHERE lease.line = given.line AND lease.bucket = :bucket",
    line=UUID,
    n=int,
)


def bucket_of(now: datetime) -> int:
    """The bucket of an instant, as its first second."""
    second = int(now.timestamp())
    return second - second % BUCKET_S


def _moment(bucket: int) -> datetime:
    return datetime.fromtimestamp(bucket, tz=UTC)


async def grant(tx: Tx, asked: Mapping[UUID, int], bucket: int) -> dict[UUID, int]:
    """Lease impressions of lines to a worker for a bucket: as many as asked, or as plan and goal allow."""
    if not asked:
        return {}
    now = clock.now()
    lines = sorted(asked)
    await tx.execute(_LOCK, {"lines": lines})
    # A second statement, so that it sees what the holders of the locks have just committed.
    state = await tx.execute(_STATE, {"lines": lines, "closed": now - timedelta(seconds=OPEN_S)})
    granted = {}
    for row in state:
        can = grantable(row.goal, int(row.counted), int(row.outstanding), row.starts_on, row.ends_on, now)
        granted[row.id] = min(asked[row.id], can)
    rows = [
        {"line": line, "bucket": _moment(bucket), "granted": n, "counted": 0}
        for line, n in granted.items()
        if n > 0
    ]
    await insert_many(tx, LeaseRow, rows, adding=("granted",))
    return granted


async def give_back(tx: Tx, unused: Mapping[UUID, int], bucket: int) -> None:
    """Return what a worker did not hand out, so that others may."""
    left = [{"line": line, "n": n} for line, n in sorted(unused.items()) if n > 0]
    if left:
        await _RETURN.run(tx, left, bucket=_moment(bucket))


async def forget(tx: Tx) -> None:
    """Drop closed leases and nonces whose tokens have long expired."""
    now = clock.now()
    await tx.execute(
        sa.text("DELETE FROM lease WHERE bucket < :then"), {"then": now - timedelta(seconds=2 * OPEN_S)}
    )
    await tx.execute(
        sa.text("DELETE FROM nonce WHERE day < :then"), {"then": (now - timedelta(days=3)).date()}
    )


class Total(msgspec.Struct, frozen=True):
    """Counts of one hour that come as a sum, without beacons."""

    line: UUID
    creative: UUID
    placement: str
    section: str
    hour: datetime
    agency: str
    organisation: UUID | None
    impressions: int
    viewables: int
    clicks: int


async def add_totals(tx: Tx, totals: Sequence[Total]) -> None:
    """Add counts to the rollups and to the lines' progress, in one order so that two writers never lock each other."""
    ordered = sorted(totals, key=lambda t: (t.line, t.creative, t.placement, t.section, t.hour))
    rows = [msgspec.structs.asdict(total) for total in ordered]
    await insert_many(tx, RollupRow, rows, adding=("impressions", "viewables", "clicks"))
    counts: Counter[tuple[UUID, str, UUID | None]] = Counter()
    for total in ordered:
        counts[total.line, total.agency, total.organisation] += total.impressions
    progress = [
        {"line": line, "agency": agency, "organisation": organisation, "impressions": n}
        for (line, agency, organisation), n in counts.items()
    ]
    await insert_many(tx, ProgressRow, progress, adding=("impressions",))
