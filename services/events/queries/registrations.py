"""Orders of tickets, and who is in."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.rules.registrations import bib
from services.events.tables import EntrantRow, EventRow, RegistrationRow
from shared.db import Tx
from shared.errors import NotFound


class EntrantView(msgspec.Struct, frozen=True, kw_only=True):
    """One runner's ticket."""

    id: UUID
    agency: str
    event: UUID
    name: str
    ticket: str
    bib: int | None
    checked_in_at: datetime | None

    @property
    def bib_text(self) -> str:
        return bib(self.bib) if self.bib is not None else ""


class RegistrationView(msgspec.Struct, frozen=True, kw_only=True):
    """One order of tickets."""

    id: UUID
    agency: str
    event: str
    event_title: str
    starts_at: datetime
    invoice: UUID
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    cancelled_at: datetime | None
    credited_at: datetime | None
    entrants: list[EntrantView] = []

    @property
    def state(self) -> str:
        if self.credited_at is not None:
            return "refunded"
        if self.cancelled_at is not None:
            return "cancelled"
        return "paid" if self.paid_at is not None else "waiting"


async def registration(tx: Tx, key: UUID, owner: UUID | None = None) -> RegistrationView:
    """One order that the transaction may see, and that belongs to `owner` where one is given."""
    whose = sa.true() if owner is None else RegistrationRow.owner == owner
    found = await registrations_where(tx, sa.and_(RegistrationRow.id == key, whose))
    if not found:
        raise NotFound("There is no such registration.")
    return found[0][0]


async def registrations_where(
    tx: Tx, condition: sa.ColumnElement[bool], limit: int | None = None
) -> list[tuple[RegistrationView, UUID]]:
    """Orders with their entrants, the newest first, each with whose it is."""
    query = sa.select(RegistrationRow, EventRow).join(EventRow, EventRow.id == RegistrationRow.event)
    rows = (await tx.execute(query.where(condition).order_by(RegistrationRow.id.desc()).limit(limit))).all()
    keys = [row.id for row, _ in rows]
    runners: dict[UUID, list[EntrantView]] = {key: [] for key in keys}
    for whose, runner in await _entrants_of(tx, keys):
        runners[whose].append(runner)
    return [(_view(row, event, runners[row.id]), row.owner) for row, event in rows]


def _view(row: RegistrationRow, of: EventRow, runners: list[EntrantView]) -> RegistrationView:
    return RegistrationView(
        id=row.id,
        agency=row.agency,
        event=of.slug,
        event_title=of.title,
        starts_at=of.starts_at,
        invoice=row.invoice,
        net_vnd=row.net_vnd,
        vat_vnd=row.vat_vnd,
        total_vnd=row.net_vnd + row.vat_vnd,
        created_at=row.created_at,
        expires_at=row.expires_at,
        paid_at=row.paid_at,
        cancelled_at=row.cancelled_at,
        credited_at=row.credited_at,
        entrants=runners,
    )


async def entrant(tx: Tx, key: UUID) -> EntrantView:
    """One ticket. Raises NotFound."""
    found = await _entrants(tx, "n.id = :key", {"key": key})
    if not found:
        raise NotFound("There is no such ticket.")
    return found[0]


async def entrant_by_bib(tx: Tx, event_id: UUID, number: int) -> EntrantView:
    """The runner with a bib. Raises NotFound."""
    found = await _entrants(tx, "n.event = :event AND n.bib = :bib", {"event": event_id, "bib": number})
    if not found:
        raise NotFound(f"Nobody has bib {bib(number)} at this event.")
    return found[0]


async def last_in(tx: Tx, event_id: UUID, limit: int = 8) -> list[EntrantView]:
    """Who came in last, the newest first."""
    return await _entrants(
        tx,
        "n.event = :event AND checked_in_at IS NOT NULL ORDER BY checked_in_at DESC LIMIT :limit",
        {"event": event_id, "limit": limit},
    )


async def _entrants(tx: Tx, where: str, values: dict[str, Any]) -> list[EntrantView]:
    return [runner for _, runner in await _with_order(tx, where, values)]


async def _entrants_of(tx: Tx, registrations: list[UUID]) -> list[tuple[UUID, EntrantView]]:
    where = "n.registration = ANY(:keys) ORDER BY n.registration, n.position"
    return await _with_order(tx, where, {"keys": registrations})


async def _with_order(tx: Tx, where: str, values: dict[str, Any]) -> list[tuple[UUID, EntrantView]]:
    """Entrants, each with the order that they belong to."""
    rows = await tx.execute(
        sa.text(
            "SELECT n.registration, n.id, n.agency, n.event, n.name, s.title AS ticket, n.bib, n.checked_in_at "  # noqa: S608 - our own words
            f"FROM entrant n JOIN sellable s ON s.id = n.sellable WHERE {where}"
        ),
        values,
    )
    fields = EntrantView.__struct_fields__
    return [
        (row["registration"], EntrantView(**{name: row[name] for name in fields})) for row in rows.mappings()
    ]


async def check_in_count(tx: Tx, event_id: UUID) -> tuple[int, int]:
    """(in, expected)."""
    row = (
        await tx.execute(
            sa.select(sa.func.count(EntrantRow.checked_in_at), sa.func.count(EntrantRow.bib)).where(
                EntrantRow.event == event_id
            )
        )
    ).one()
    return int(row[0]), int(row[1])
