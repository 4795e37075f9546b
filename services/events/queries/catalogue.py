"""What is for sale, for everybody."""

from datetime import datetime
from typing import Any
from uuid import UUID
from zlib import crc32

import msgspec
import sqlalchemy as sa

from services.events.rules.holding import Thing
from services.events.rules.stock import VAT_CLASS
from shared import clock
from shared.calendar import ZONE, local_day
from shared.db import Tx, check_seen
from shared.errors import NotFound
from shared.money import priced


class EventView(msgspec.Struct, frozen=True, kw_only=True):
    """An event as everybody sees it."""

    id: UUID
    agency: str
    slug: str
    title: str
    summary: str
    place: str
    starts_at: datetime
    sales_end_at: datetime
    charity: str
    version: int
    is_open: bool
    """Whether its sale is still on."""

    @property
    def scene(self) -> str:
        """Which sky its picture has: that of the hour at which it starts."""
        hour = self.starts_at.astimezone(ZONE).hour
        return "dawn" if 4 <= hour < 9 else "day" if 9 <= hour < 17 else "night"  # noqa: PLR2004 - hours

    @property
    def turned(self) -> bool:
        """Whether its picture is seen in the mirror, so that two of one sky differ."""
        return crc32(self.slug.encode()) % 2 == 1

    @property
    def is_past(self) -> bool:
        return local_day(self.starts_at) < local_day(clock.now())


class SellableView(msgspec.Struct, frozen=True, kw_only=True):
    """A package or ticket with its stock; prices as they are today. `left` counts what nobody holds."""

    id: UUID
    kind: Thing
    title: str
    price_vnd: int
    vat_vnd: int
    total_vnd: int
    capacity: int
    held: int
    sold: int
    left: int
    tier: str = ""
    exclusive: bool = False
    benefits: list[str] = []
    instalments: list[dict[str, Any]] = []
    deliverables: list[dict[str, Any]] = []


class Left(msgspec.Struct, frozen=True, kw_only=True):
    """How much of one thing can be had now."""

    id: UUID
    kind: Thing
    title: str
    capacity: int
    left: int


_EVENT = (
    "SELECT id, agency, slug, title, summary, place, starts_at, sales_end_at, charity, version, "
    "sales_end_at > :now AS is_open FROM event WHERE "
)


async def events(
    tx: Tx, *, limit: int | None = None, before: tuple[datetime, UUID] | None = None, agency: str = ""
) -> list[EventView]:
    """Events, the latest first, all of them without a limit; one more than it tells that others follow."""
    rows = await tx.execute(
        sa.text(
            f"{_EVENT} (:agency = '' OR agency = :agency) "
            "AND (CAST(:at AS timestamptz) IS NULL OR (starts_at, id) < (:at, :id)) "
            "ORDER BY starts_at DESC, id DESC LIMIT :limit"
        ),
        {
            "now": clock.now(),
            "agency": agency,
            "at": before[0] if before else None,
            "id": before[1] if before else None,
            "limit": None if limit is None else limit + 1,
        },
    )
    return [EventView(**row) for row in rows.mappings()]


async def event(tx: Tx, slug: str) -> EventView:
    """Raises NotFound."""
    return await _event(tx, "slug = :key", slug)


async def event_of_staff(tx: Tx, slug: str) -> EventView:
    """An event, which anybody may read, of an agency whose rows the caller works with. Raises NotFound."""
    found = await event(tx, slug)
    check_seen(tx, found.agency)
    return found


async def event_by_id(tx: Tx, key: UUID) -> EventView:
    """Raises NotFound."""
    return await _event(tx, "id = :key", key)


async def _event(tx: Tx, where: str, key: object) -> EventView:
    rows = await tx.execute(sa.text(_EVENT + where), {"key": key, "now": clock.now()})
    row = rows.mappings().first()
    if row is None:
        raise NotFound("There is no such event.")
    return EventView(**row)


async def sellables(tx: Tx, event_id: UUID) -> list[SellableView]:
    """Packages first, then tickets, in the order in which staff set them up."""
    rows = await tx.execute(
        sa.text(
            "SELECT s.id, kind, title, price_vnd, capacity, held, sold, tier, exclusive, benefits, instalments, "
            "deliverables FROM sellable s LEFT JOIN package p ON p.id = s.id "
            "WHERE event = :event ORDER BY position"
        ),
        {"event": event_id},
    )
    today = local_day(clock.now())
    found = []
    for row in rows.mappings():
        cost = priced(row["price_vnd"], VAT_CLASS, today)
        given = {name: value for name, value in row.items() if value is not None}
        left = row["capacity"] - row["held"] - row["sold"]
        found.append(SellableView(**given, left=left, vat_vnd=cost.vat_vnd, total_vnd=cost.gross_vnd))
    return found


async def package(tx: Tx, event_id: UUID, package_id: UUID) -> SellableView:
    """One package of an event. Raises NotFound."""
    for found in await sellables(tx, event_id):
        if found.id == package_id and found.kind == "package":
            return found
    raise NotFound("This event has no such package.")
