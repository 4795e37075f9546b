"""Orders of tickets and sponsorships as the one search finds them, and those of one buyer."""

import re
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.events.queries.registrations import RegistrationView, registrations_where
from services.events.queries.sponsorships import SponsorshipView, sponsorships_where
from services.events.tables import EntrantRow, InstalmentRow, RegistrationRow, SponsorshipRow
from shared.db import Tx
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
        _ends(RegistrationRow.invoice, wanted),
        same(RegistrationRow.id, wanted.id),
        same(RegistrationRow.invoice, wanted.id),
        same(RegistrationRow.owner, wanted.id),
        same(RegistrationRow.net_vnd + RegistrationRow.vat_vnd, wanted.amount_vnd),
    )
    return await registrations_where(tx, condition, limit)


async def registrations_of(tx: Tx, buyer: UUID, limit: int) -> list[tuple[RegistrationView, UUID]]:
    """A buyer's orders of tickets, the newest first."""
    return await registrations_where(tx, RegistrationRow.owner == buyer, limit)


async def sponsorships(tx: Tx, wanted: Sought, limit: int) -> list[tuple[SponsorshipView, UUID]]:
    """Sponsorships by who sponsors and whom to call there, by tax code, or by number, amount or id of a part."""
    parts = sa.select(InstalmentRow.sponsorship).where(
        sa.or_(
            _ends(InstalmentRow.invoice, wanted),
            same(InstalmentRow.invoice, wanted.id),
            same(InstalmentRow.net_vnd + InstalmentRow.vat_vnd, wanted.amount_vnd),
        )
    )
    condition = sa.or_(
        SponsorshipRow.id.in_(parts),
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


def _ends(invoice: Any, wanted: Sought) -> sa.ColumnElement[bool]:
    """Whether an invoice is one whose number was typed: it ends like the invoice's id."""
    tails = [code[-6:].lower() for code in wanted.codes if re.fullmatch(r"(EV\d{6})?[0-9A-F]{6}", code)]
    return sa.func.right(sa.cast(invoice, sa.Text), 6).in_(tails)


async def _sponsorships(
    tx: Tx, condition: sa.ColumnElement[bool], limit: int
) -> list[tuple[SponsorshipView, UUID]]:
    query = sa.select(SponsorshipRow.id, SponsorshipRow.buyer).where(condition)
    rows = await tx.execute(query.order_by(SponsorshipRow.number.desc()).limit(limit))
    buyers = {row.id: row.buyer for row in rows}
    found = await sponsorships_where(tx, "s.id = ANY(:keys) ORDER BY s.number DESC", {"keys": [*buyers]})
    return [(one, buyers[one.id]) for one in found]
