"""Who is found, and what is known of one buyer: people and organisations as far as the transaction may see them.

Staff see who has an account, a role or a membership at their agency, and nobody else; of others they know the letters
that their agency sent.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts.tables import MemberRow, MessageRow, OrganisationRow, PersonRoleRow, PersonRow
from shared.db import Tx
from shared.sought import Sought, named, same


class Person(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    email: str | None
    phone: str | None
    created_at: datetime


class Organisation(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    tax_code: str
    email: str
    contact_name: str
    created_at: datetime


class Addressee(msgspec.Struct, frozen=True):
    """Somebody whom we do not see, and to whom our agency has written."""

    recipient: UUID
    address: str
    written_at: datetime


class Role(msgspec.Struct, frozen=True):
    """What somebody is at an agency, since when."""

    agency: str
    role: str
    granted_at: datetime


class Letter(msgspec.Struct, frozen=True):
    id: UUID
    address: str
    template: str
    state: str
    created_at: datetime


async def people(tx: Tx, wanted: Sought, limit: int) -> list[Person]:
    """People by e-mail or phone as they are, or by their name."""
    return await _people(
        tx,
        sa.or_(
            same(PersonRow.id, wanted.id),
            same(PersonRow.email, wanted.email),
            same(PersonRow.phone, wanted.phone),
            named(PersonRow.name, wanted.name),
        ),
        limit,
    )


async def organisations(tx: Tx, wanted: Sought, limit: int) -> list[Organisation]:
    """Organisations by tax code or e-mail as they are, or by their name or their contact's."""
    return await _organisations(
        tx,
        sa.or_(
            same(OrganisationRow.id, wanted.id),
            same(OrganisationRow.email, wanted.email),
            same(OrganisationRow.tax_code, wanted.tax_code),
            named(OrganisationRow.name, wanted.name),
            named(OrganisationRow.contact_name, wanted.name),
        ),
        limit,
    )


async def addressees(tx: Tx, wanted: Sought, limit: int) -> list[Addressee]:
    """Whom our agency wrote to at this e-mail or phone, of those who have their account at another."""
    addresses = [address for address in (wanted.email, wanted.phone) if address]
    written_at = sa.func.max(MessageRow.created_at).label("written_at")
    rows = await tx.execute(
        sa.select(MessageRow.recipient, MessageRow.address, written_at)
        .where(
            MessageRow.address.in_(addresses),
            MessageRow.recipient.is_not(None),
            ~sa.exists().where(PersonRow.id == MessageRow.recipient),
            ~sa.exists().where(OrganisationRow.id == MessageRow.recipient),
        )
        .group_by(MessageRow.recipient, MessageRow.address)
        .order_by(written_at.desc())
        .limit(limit)
    )
    return [Addressee(**row) for row in rows.mappings()]


async def who(tx: Tx, buyer: UUID) -> Person | Organisation | None:
    """The person or organisation of a card; none where the transaction may not see it."""
    if people := await _people(tx, PersonRow.id == buyer, 1):
        return people[0]
    return next(iter(await _organisations(tx, OrganisationRow.id == buyer, 1)), None)


async def roles(tx: Tx, person: UUID, limit: int) -> list[Role]:
    """What a person is at the agencies of whoever asks."""
    rows = await tx.execute(
        sa.select(PersonRoleRow.agency, PersonRoleRow.role, PersonRoleRow.granted_at)
        .where(PersonRoleRow.person == person)
        .order_by(PersonRoleRow.granted_at.desc(), PersonRoleRow.role)
        .limit(limit)
    )
    return [Role(**row) for row in rows.mappings()]


async def acts_for(tx: Tx, person: UUID, limit: int) -> list[Organisation]:
    """For whom a person acts."""
    theirs = sa.select(MemberRow.organisation).where(MemberRow.person == person)
    return await _organisations(tx, OrganisationRow.id.in_(theirs), limit)


async def members(tx: Tx, organisation: UUID, limit: int) -> list[Person]:
    """Who acts for an organisation."""
    theirs = sa.select(MemberRow.person).where(MemberRow.organisation == organisation)
    return await _people(tx, PersonRow.id.in_(theirs), limit)


async def letters(tx: Tx, recipient: UUID, limit: int) -> list[Letter]:
    """What was written to somebody, the newest first; never what the letters say."""
    rows = await tx.execute(
        sa.select(*_columns(MessageRow, Letter))
        .where(MessageRow.recipient == recipient)
        .order_by(MessageRow.created_at.desc(), MessageRow.id.desc())
        .limit(limit)
    )
    return [Letter(**row) for row in rows.mappings()]


async def _people(tx: Tx, condition: Any, limit: int) -> list[Person]:
    query = sa.select(*_columns(PersonRow, Person)).where(condition)
    rows = await tx.execute(query.order_by(PersonRow.name, PersonRow.id).limit(limit))
    return [Person(**row) for row in rows.mappings()]


async def _organisations(tx: Tx, condition: Any, limit: int) -> list[Organisation]:
    query = sa.select(*_columns(OrganisationRow, Organisation)).where(condition)
    rows = await tx.execute(query.order_by(OrganisationRow.name, OrganisationRow.id).limit(limit))
    return [Organisation(**row) for row in rows.mappings()]


def _columns(table: Any, kind: type[msgspec.Struct]) -> Sequence[Any]:
    return [getattr(table, name) for name in kind.__struct_fields__]
