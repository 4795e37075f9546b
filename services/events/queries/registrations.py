"""Orders of tickets, and who is in."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.queries.sales import standing_of
from services.events.rules.registrations import bib
from services.events.rules.stock import Standing
from services.events.tables import EntrantRow, EventRow, RegistrationRow
from shared.db import Tx
from shared.errors import NotFound
from shared.sales import SALE, Sale, find


class EntrantView(msgspec.Struct, frozen=True, kw_only=True):
    """One runner's ticket."""

    id: UUID
    agency: str
    event: UUID
    name: str
    ticket: str
    bib: int | None
    voided_at: datetime | None
    checked_in_at: datetime | None

    @property
    def bib_text(self) -> str:
        return bib(self.bib) if self.bib is not None else ""


class RegistrationView(msgspec.Struct, frozen=True, kw_only=True):
    """One order of tickets. Until money came, net and VAT are by the rate of the day of the order."""

    id: UUID
    agency: str
    event: str
    event_title: str
    starts_at: datetime
    invoice: UUID
    number: str
    state: Standing
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    credited_vnd: int
    """What goes back, or went back."""
    created_at: datetime
    expires_at: datetime
    paid_at: datetime | None
    entrants: list[EntrantView] = []


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
    query = (
        sa.select(RegistrationRow, EventRow, SALE.c.id)
        .join(EventRow, EventRow.id == RegistrationRow.event)
        .join(SALE, SALE.c.of == RegistrationRow.id)
    )
    rows = (await tx.execute(query.where(condition).order_by(RegistrationRow.id.desc()).limit(limit))).all()
    keys = [row.id for row, *_ in rows]
    asked = await find(tx, [invoice for *_, invoice in rows])
    runners: dict[UUID, list[EntrantView]] = {key: [] for key in keys}
    for whose, runner in await _entrants_of(tx, keys):
        runners[whose].append(runner)
    return [(_view(row, event, asked[invoice], runners[row.id]), row.owner) for row, event, invoice in rows]


def _view(row: RegistrationRow, of: EventRow, sale: Sale, runners: list[EntrantView]) -> RegistrationView:
    return RegistrationView(
        id=row.id,
        agency=row.agency,
        event=of.slug,
        event_title=of.title,
        starts_at=of.starts_at,
        invoice=sale.id,
        number=sale.number,
        state=standing_of(sale),
        net_vnd=sale.net_vnd,
        vat_vnd=sale.vat_vnd,
        total_vnd=sale.total_vnd,
        credited_vnd=sale.credited_vnd,
        created_at=row.created_at,
        expires_at=sale.expires_at,
        paid_at=sale.paid_at,
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
            "SELECT n.registration, n.id, n.agency, n.event, n.name, s.title AS ticket, n.bib, n.voided_at, "  # noqa: S608 - our own words
            f"n.checked_in_at FROM entrant n JOIN sellable s ON s.id = n.sellable WHERE {where}"
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
                EntrantRow.event == event_id, EntrantRow.voided_at.is_(None)
            )
        )
    ).one()
    return int(row[0]), int(row[1])
