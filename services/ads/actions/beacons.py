"""Beacons are counted once each: nonce, rollup, progress and lease move in one transaction, then the answer goes out.

One flusher a worker commits all beacons that arrived in the last milliseconds together.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog

from services.ads.actions.delivery import Total, add_totals
from services.ads.rules.tokens import Shown
from services.ads.tables import RejectionRow
from shared import clock
from shared.bulk import ForRows, Row, insert_many
from shared.calendar import local_day
from shared.db import Database, Tx
from shared.errors import Unavailable
from shared.fence import is_ending

GATHER_S = 0.004
BATCH = 1000
QUEUE_MAX = 20_000

COUNTED = ""
REPLAY = "replay"
NO_VIEW = "no-view"


class Beacon(msgspec.Struct, frozen=True):
    """Kind `i`mpression, `v`iewable or `c`lick of one ad handed out."""

    kind: str
    shown: Shown

    @property
    def key(self) -> tuple[UUID, str]:
        return self.shown.nonce, self.kind


class Flusher:
    """Gathers beacons and counts them in groups; what it could not commit it refuses, and nothing was counted."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: list[tuple[Beacon, asyncio.Future[str]]] = []
        self._wake = asyncio.Event()
        self.rejected: Counter[tuple[str, str, str]] = Counter()
        """(agency, kind, reason) of beacons that were refused before they came here."""

    async def count(self, beacon: Beacon) -> str:
        """Returns nothing when the beacon was counted, else why not. Raises Unavailable."""
        if len(self._waiting) >= QUEUE_MAX:
            raise Unavailable("Too many beacons wait; try again.")
        answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self._waiting.append((beacon, answer))
        self._wake.set()
        return await answer

    async def run(self) -> None:
        """Flush for ever."""
        while True:
            await self._wake.wait()
            await asyncio.sleep(GATHER_S)
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            if not self._waiting:
                self._wake.clear()
            await self._answer(batch)

    async def _answer(self, batch: list[tuple[Beacon, asyncio.Future[str]]]) -> None:
        try:
            async with self.database.worker_tx() as tx:
                counted = await count_beacons(tx, [beacon for beacon, _ in batch])
        except Exception as error:
            # Every waiting beacon must get an answer.
            structlog.get_logger().warning("beacons not counted", n=len(batch), error=str(error)[:200])
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(Unavailable("Beacons cannot be counted for a moment; try again."))
            if is_ending(error):
                raise
            return
        for beacon, answer in batch:
            reason = counted.get(beacon.key, REPLAY)
            if reason == COUNTED:
                counted[beacon.key] = REPLAY  # the same beacon twice in one group counts once
            if not answer.done():
                answer.set_result(reason)

    async def write_rejections(self, tx: Tx) -> None:
        """Add what was refused since the last time to the hour's counts."""
        taken, self.rejected = self.rejected, Counter()
        try:
            await add_rejections(tx, taken)
        except Exception:
            self.rejected.update(taken)
            raise


_CLAIM = ForRows(
    "INSERT INTO nonce (day, nonce, kind) SELECT day, nonce, kind FROM given WHERE kind = 'i' OR EXISTS "
    "(SELECT FROM nonce n WHERE n.day = given.day AND n.nonce = given.nonce AND n.kind = 'i') "
    "ORDER BY nth ON CONFLICT DO NOTHING RETURNING nonce, kind",
    day=date,
    nonce=UUID,
    kind=str,
)
_KNOWN = ForRows(
    "SELECT nonce, kind FROM nonce JOIN given USING (day, nonce, kind)", day=date, nonce=UUID, kind=str
)
_OWNERS = sa.text("SELECT id, agency, organisation FROM line_item WHERE id = ANY(:lines)")
_LEASED = ForRows(
    "UPDATE lease SET counted = counted + n FROM given "
    "WHERE lease.line = given.line AND lease.bucket = given.bucket",
    line=UUID,
    bucket=datetime,
    n=int,
)


async def count_beacons(tx: Tx, beacons: Sequence[Beacon]) -> dict[tuple[UUID, str], str]:
    """Count each beacon that is new; returns by nonce and kind the reason why not, or nothing."""
    unique = {beacon.key: beacon for beacon in beacons}
    ordered = [unique[key] for key in sorted(unique)]
    views = [b for b in ordered if b.kind == "i"]
    # Impressions first: a click or viewable counts only behind one, and that may be in this very group.
    fresh = await _claim(tx, views) | await _claim(tx, [b for b in ordered if b.kind != "i"])
    told = dict.fromkeys(fresh, COUNTED)
    stale = [b for b in ordered if b.key not in fresh]
    if stale:
        known = {(row.nonce, row.kind) for row in await _KNOWN.run(tx, _keys(stale))}
        told |= {b.key: REPLAY if b.key in known else NO_VIEW for b in stale}
    owners: dict[UUID, tuple[str, UUID | None]] = {}
    lines = sorted({b.shown.line for b in ordered})
    for row in await tx.execute(_OWNERS, {"lines": lines}):
        owners[row.id] = (row.agency, row.organisation)
    await _add(tx, [b for b in ordered if b.key in fresh and b.shown.line in owners], owners)
    await add_rejections(
        tx,
        Counter((owners.get(b.shown.line, ("", None))[0], b.kind, told[b.key]) for b in stale),
    )
    return told


def _keys(beacons: Sequence[Beacon]) -> list[Row]:
    return [{"day": _day_of(b.shown), "nonce": b.shown.nonce, "kind": b.kind} for b in beacons]


def _day_of(shown: Shown) -> date:
    """The day of the decision, so that a replay on the next day meets the same nonce."""
    return local_day(datetime.fromtimestamp(shown.issued_s, tz=UTC))


async def _claim(tx: Tx, beacons: Sequence[Beacon]) -> set[tuple[UUID, str]]:
    if not beacons:
        return set()
    return {(row.nonce, row.kind) for row in await _CLAIM.run(tx, _keys(beacons))}


async def _add(tx: Tx, fresh: Sequence[Beacon], owners: dict[UUID, tuple[str, UUID | None]]) -> None:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    counts: Counter[tuple[UUID, UUID, str, str, str]] = Counter()
    leased: Counter[tuple[UUID, int]] = Counter()
    for b in fresh:
        s = b.shown
        counts[s.line, s.creative, s.placement, s.section, b.kind] += 1
        if b.kind == "i" and s.bucket:
            leased[s.line, s.bucket] += 1
    slots = {key[:4] for key in counts}
    await add_totals(
        tx,
        [
            Total(
                *slot,
                hour,
                *owners[slot[0]],
                impressions=counts[*slot, "i"],
                viewables=counts[*slot, "v"],
                clicks=counts[*slot, "c"],
            )
            for slot in slots
        ],
    )
    if leased:
        rows = [
            {"line": line, "bucket": datetime.fromtimestamp(bucket, tz=UTC), "n": n}
            for (line, bucket), n in sorted(leased.items())
        ]
        await _LEASED.run(tx, rows)


async def add_rejections(tx: Tx, counts: Counter[tuple[str, str, str]]) -> None:
    hour = clock.now().replace(minute=0, second=0, microsecond=0)
    rows = [
        {"agency": agency, "hour": hour, "kind": kind, "reason": reason, "count": n}
        for (agency, kind, reason), n in sorted(counts.items())
    ]
    await insert_many(tx, RejectionRow, rows, adding=("count",))
