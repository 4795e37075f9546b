"""Impressions are leased to workers and given back, so that any number of them stops exactly at the goal."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ads.rules.pacing import grantable
from services.ads.rules.tokens import BUCKET_S, VIEW_TTL_S
from shared import clock
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
_GRANT = sa.text(
    "INSERT INTO lease (line, bucket, granted, counted) "
    "SELECT line, :bucket, n, 0 FROM unnest(CAST(:lines AS uuid[]), CAST(:ns AS int[])) AS t(line, n) "
    "ON CONFLICT (line, bucket) DO UPDATE SET granted = lease.granted + excluded.granted"
)
_RETURN = sa.text(
    "UPDATE lease SET granted = granted - n FROM unnest(CAST(:lines AS uuid[]), CAST(:ns AS int[])) AS t(line, n) "
    "WHERE lease.line = t.line AND lease.bucket = :bucket"
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
    given = {line: n for line, n in granted.items() if n > 0}
    if given:
        await tx.execute(
            _GRANT, {"lines": list(given), "ns": list(given.values()), "bucket": _moment(bucket)}
        )
    return granted


async def give_back(tx: Tx, unused: Mapping[UUID, int], bucket: int) -> None:
    """Return what a worker did not hand out, so that others may."""
    left = {line: n for line, n in sorted(unused.items()) if n > 0}
    if left:
        await tx.execute(_RETURN, {"lines": list(left), "ns": list(left.values()), "bucket": _moment(bucket)})


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


# As JSON: psycopg writes a list element by element in Python, which costs more than the rest of the call.
_ADD_ROLLUP = sa.text(
    "INSERT INTO rollup (line, creative, placement, section, hour, agency, organisation, impressions, viewables, "
    "clicks) SELECT line, creative, placement, section, hour, agency, organisation, impressions, viewables, clicks "
    "FROM json_to_recordset(CAST(:totals AS json)) AS t(line uuid, creative uuid, placement text, section text, "
    "hour timestamptz, agency text, organisation uuid, impressions int, viewables int, clicks int) "
    "ON CONFLICT (line, creative, placement, section, hour) DO UPDATE SET "
    "impressions = rollup.impressions + excluded.impressions, viewables = rollup.viewables + excluded.viewables, "
    "clicks = rollup.clicks + excluded.clicks"
)
_ADD_PROGRESS = sa.text(
    "INSERT INTO progress (line, agency, organisation, impressions) SELECT line, agency, organisation, n "
    "FROM json_to_recordset(CAST(:counts AS json)) AS t(line uuid, agency text, organisation uuid, n bigint) "
    "ON CONFLICT (line) DO UPDATE SET impressions = progress.impressions + excluded.impressions"
)


async def add_totals(tx: Tx, totals: Sequence[Total]) -> None:
    """Add counts to the rollups and to the lines' progress, in one order so that two writers never lock each other."""
    if not totals:
        return
    rows = sorted(totals, key=lambda t: (t.line, t.creative, t.placement, t.section, t.hour))
    await tx.execute(_ADD_ROLLUP, {"totals": _json(rows)})
    progress: Counter[tuple[UUID, str, UUID | None]] = Counter()
    for t in rows:
        progress[t.line, t.agency, t.organisation] += t.impressions
    counts = [
        {"line": line, "agency": agency, "organisation": organisation, "n": n}
        for (line, agency, organisation), n in progress.items()
    ]
    await tx.execute(_ADD_PROGRESS, {"counts": _json(counts)})


def _json(rows: object) -> str:
    return msgspec.json.encode(rows).decode()
