"""What access checks know by heart: walls, lineage and paid periods, polled by their version each second."""

from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy.dialects.postgresql import distinct_on

from services.subscriptions.rules.access import Entitlement, WallPolicy
from services.subscriptions.rules.catalogue import Grant
from services.subscriptions.tables import PackageRow, PeriodRow, PolicyRow
from shared import clock
from shared.agencies import Lineage, lineage
from shared.calendar import local_day
from shared.db import Database, Tx, version

log = structlog.get_logger()

POLL_S = 1.0
NOTHING: tuple[Entitlement, ...] = ()

VERSION = "access"
_POLL = (
    f"SELECT (SELECT number FROM version WHERE name = '{VERSION}'), "  # noqa: S608 - a name of ours
    "ARRAY(SELECT CAST(agency AS text) FROM agency ORDER BY code)"
)
_NEWEST = (
    sa.select(PolicyRow)
    .ext(distinct_on(PolicyRow.agency))
    .order_by(PolicyRow.agency, PolicyRow.version.desc())
)


class Snapshot:
    """One worker's memory. Periods are read by what changed since, so that a sale costs a row and not the table."""

    def __init__(self) -> None:
        self.number = -1
        self.policies: dict[str, tuple[int, WallPolicy]] = {}
        self._lineage = Lineage()
        self._lines: dict[str, frozenset[str]] = {}
        self._packages: dict[UUID, tuple[Grant, ...]] = {}
        self._periods: dict[UUID, dict[UUID, Entitlement]] = {}
        self._day = date.min
        self._looked: tuple[Any, ...] = ()

    def policy(self, agency: str) -> tuple[int, WallPolicy]:
        """The wall in force and its version; version 0 is the house's default, until the agency sets one."""
        return self.policies.get(agency) or (0, WallPolicy())

    def lineage(self, agency: str) -> frozenset[str]:
        """The agency and all that it absorbed: what was bought there is read here."""
        found = self._lines.get(agency)
        if found is None:
            found = frozenset(self._lineage.with_predecessors([agency], self._day))
            self._lines[agency] = found
        return found

    def entitlements(self, person: UUID | None) -> tuple[Entitlement, ...]:
        held = self._periods.get(person) if person is not None else None
        return tuple(held.values()) if held else NOTHING

    async def refresh(self, database: Database) -> None:
        """Read what changed since the last time."""
        today = local_day(clock.now())
        looked = (today, *await database.glance(_POLL))
        if looked == self._looked:
            return
        async with database.worker_tx() as tx:
            number = await version(tx, VERSION)
            known = await lineage(tx)
            if today != self._day:
                # A new day: periods that are over can be forgotten.
                await self._load(tx, today, since=-1)
            elif number != self.number:
                await self._load(tx, today, since=self.number)
            if today != self._day or known != self._lineage:
                self._lineage, self._lines = known, {}
            self._day, self.number = today, number
        self._looked = looked

    async def _load(self, tx: Tx, today: date, since: int) -> None:
        packages = (await tx.execute(sa.select(PackageRow.id, PackageRow.grants))).all()
        self._packages = {key: msgspec.convert(grants, tuple[Grant, ...]) for key, grants in packages}
        self.policies = {
            row.agency: (row.version, msgspec.convert(row.document, WallPolicy))
            for row in await tx.scalars(_NEWEST)
        }
        if since < 0:
            self._periods = {}
        changed: Any = sa.select(
            PeriodRow.id,
            PeriodRow.person,
            PeriodRow.package,
            PeriodRow.start,
            PeriodRow.until,
            PeriodRow.suspended,
        ).where(PeriodRow.change > since)
        if since < 0:
            changed = changed.where(PeriodRow.until > today)
        for row in await tx.execute(changed):
            held = self._periods.setdefault(row.person, {})
            if row.suspended or row.until <= today:
                held.pop(row.id, None)
            else:
                held[row.id] = Entitlement(self._packages[row.package], row.start, row.until)
