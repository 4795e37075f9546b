"""Orders of tickets and sponsorships as the one search finds them, and those of one buyer."""

from uuid import UUID

import sqlalchemy as sa

from services.events.queries.registrations import RegistrationView, registrations_where
from services.events.queries.sponsorships import SponsorshipView, sponsorships_where
from services.events.tables import EntrantRow, InstalmentRow, RegistrationRow, SponsorshipRow
from shared.db import Tx
from shared.sales import SALE, TAIL, tails
from shared.sought import Sought, named, same

_BIB_DIGITS = 6


async def registrations(tx: Tx, wanted: Sought, limit: int) -> list[tuple[RegistrationView, UUID]]:
    """Orders by number, amount or id, or by the name or bib of who runs; each with whose it is."""
    bibs = [int(code) for code in wanted.codes if code.isdecimal() and len(code) <= _BIB_DIGITS]
    runs = sa.select(EntrantRow.registration).where(
        sa.or_(named(EntrantRow.name, wanted.name), EntrantRow.bib.in_(bibs), same(EntrantRow.id, wanted.id))
    )
    condition = sa.or_(
        RegistrationRow.id.in_(runs),
        RegistrationRow.id.in_(_sold(wanted)),
        same(RegistrationRow.id, wanted.id),
        same(RegistrationRow.owner, wanted.id),
    )
    return await registrations_where(tx, condition, limit)


async def registrations_of(tx: Tx, buyer: UUID, limit: int) -> list[tuple[RegistrationView, UUID]]:
    """A buyer's orders of tickets, the newest first."""
    return await registrations_where(tx, RegistrationRow.owner == buyer, limit)


async def sponsorships(tx: Tx, wanted: Sought, limit: int) -> list[tuple[SponsorshipView, UUID]]:
    """Sponsorships by who sponsors and whom to call there, by tax code, or by number, amount or id of a part."""
    parts = sa.select(InstalmentRow.sponsorship).where(InstalmentRow.id.in_(_sold(wanted)))
    condition = sa.or_(
        SponsorshipRow.id.in_(parts),
        SponsorshipRow.id.in_(_sold(wanted)),
        named(SponsorshipRow.organisation, wanted.name),
        named(SponsorshipRow.contact_name, wanted.name),
        same(SponsorshipRow.contact_email, wanted.email),
        same(SponsorshipRow.contact_phone, wanted.phone),
        same(SponsorshipRow.tax_code, wanted.tax_code),
        same(SponsorshipRow.id, wanted.id),
        same(SponsorshipRow.buyer, wanted.id),
    )
    return await _sponsorships(tx, condition, limit)


async def sponsorships_of(tx: Tx, buyer: UUID, limit: int) -> list[tuple[SponsorshipView, UUID]]:
    """A buyer's sponsorships, the newest first."""
    return await _sponsorships(tx, SponsorshipRow.buyer == buyer, limit)


def _sold(wanted: Sought) -> sa.Select[UUID]:
    """What was sold by the invoices of a number, an id or an amount; of a number its end is enough."""
    return sa.select(SALE.c.of).where(
        sa.or_(
            sa.func.right(SALE.c.number, TAIL).in_(tails("EV", wanted.codes)),
            same(SALE.c.id, wanted.id),
            same(SALE.c.total_vnd, wanted.amount_vnd),
        )
    )


async def _sponsorships(
    tx: Tx, condition: sa.ColumnElement[bool], limit: int
) -> list[tuple[SponsorshipView, UUID]]:
    query = sa.select(SponsorshipRow.id, SponsorshipRow.buyer).where(condition)
    rows = await tx.execute(query.order_by(SponsorshipRow.number.desc()).limit(limit))
    buyers = {row.id: row.buyer for row in rows}
    found = await sponsorships_where(tx, "s.id = ANY(:keys) ORDER BY s.number DESC", {"keys": [*buyers]})
    return [(one, buyers[one.id]) for one in found]
