"""Every read of accounts, as Structs."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts.rules import RESET_TTL
from services.accounts.tables import InvitationRow, PersonRow, SessionRow, TotpResetRow
from shared import clock
from shared.agencies import lineage as known_lineage
from shared.auth import Principal
from shared.calendar import local_day
from shared.contracts.accounts import AgencyKind
from shared.contracts.roles import STAFF
from shared.db import Tx


class Agency(msgspec.Struct, frozen=True):
    """An agency and who stands in its place, if anyone."""

    code: str
    name: str
    kind: AgencyKind
    active_from: date | None
    successor: str | None
    succeeded_on: date | None


class Device(msgspec.Struct, frozen=True):
    id: UUID
    device: str
    created_at: datetime
    seen_at: datetime


class Consent(msgspec.Struct, frozen=True):
    purpose: str
    granted: bool
    text_version: str
    channel: str
    at: datetime


class Key(msgspec.Struct, frozen=True):
    """An API key without its signature."""

    id: UUID
    agency: str
    organisation: UUID | None
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    revoked_at: datetime | None
    made_by: str
    """Who made it, as the trail names them."""


class Organisation(msgspec.Struct, frozen=True):
    id: UUID
    agency: str
    kind: str
    name: str
    tax_code: str
    email: str
    contact_name: str


class StaffMember(msgspec.Struct, frozen=True):
    id: UUID
    name: str
    email: str | None
    two_step: bool
    roles: dict[str, list[str]]


class Invitation(msgspec.Struct, frozen=True):
    id: UUID
    email: str
    name: str
    agency: str
    roles: list[str]
    invited_by: str
    expires_at: datetime


class Reset(msgspec.Struct, frozen=True):
    id: UUID
    agency: str
    person: UUID
    name: str
    why: str
    asked_by: UUID
    asked_at: datetime


class Message(msgspec.Struct, frozen=True):
    id: UUID
    agency: str
    address: str
    template: str
    state: str
    subject: str
    body: str
    error: str
    created_at: datetime
    sent_at: datetime | None


async def _all(tx: Tx, kind: type[Any], sql: str, **values: object) -> list[Any]:
    rows = (await tx.execute(sa.text(sql), values)).mappings()
    return [msgspec.convert(dict(row), kind) for row in rows]


_AGENCY = "SELECT code, name, kind, active_from, successor, succeeded_on FROM agency "


async def agencies(tx: Tx) -> list[Agency]:
    return await _all(tx, Agency, _AGENCY + "ORDER BY active_from, code")


async def agency(tx: Tx, code: str) -> Agency | None:
    found = await _all(tx, Agency, _AGENCY + "WHERE code = :code", code=code)
    return found[0] if found else None


async def lineage(tx: Tx, codes: list[str]) -> list[str]:
    """These agencies, those still open first, and what they absorbed."""
    known, today = await known_lineage(tx), local_day(clock.now())
    found = known.with_predecessors(codes, today)
    return sorted(found, key=lambda code: (not known.open_on(code, today), code))


async def open_agencies(tx: Tx) -> list[Agency]:
    """The agencies that have begun and that nobody has succeeded by today, by their code."""
    known, today = await known_lineage(tx), local_day(clock.now())
    found = sorted(await agencies(tx), key=lambda a: a.code)
    begun = [agency for agency in found if agency.active_from is not None and agency.active_from <= today]
    return [agency for agency in begun if known.open_on(agency.code, today)]


async def reader_agency(tx: Tx) -> str:
    """The agency under which a reader's account is made: the newest open news agency."""
    ready = sorted(await open_agencies(tx), key=lambda a: a.active_from or date.min, reverse=True)
    ready.sort(key=lambda a: a.kind == "magazine")
    return ready[0].code if ready else ""


_ROLES = sa.text(
    "SELECT agency, role FROM person_role WHERE person = :person "
    "UNION SELECT organisation.agency, organisation.kind FROM member "
    "JOIN organisation ON organisation.id = member.organisation WHERE member.person = :person "
    "AND organisation.id = coalesce(:organisation, organisation.id)"
)


async def roles_of(tx: Tx, person: UUID, organisation: UUID | None = None) -> dict[str, list[str]]:
    """Roles by agency, also those of a member: of each organisation, or of the one that the person acts for.

    What was given at an agency that another has succeeded counts there, from the day on, and nowhere else.
    """
    known, today = await known_lineage(tx), local_day(clock.now())
    found: dict[str, set[str]] = {}
    for row in await tx.execute(_ROLES, {"person": person, "organisation": organisation}):
        found.setdefault(known.heir_of(row.agency, today), set()).add(row.role)
    return {code: sorted(found[code]) for code in sorted(found)}


def is_staff(roles: dict[str, list[str]]) -> bool:
    return any(role in STAFF for held in roles.values() for role in held)


async def principal(tx: Tx, session: SessionRow, person: PersonRow) -> Principal:
    """What a page token of this session says; staff roles only after the second step."""
    first = "SELECT organisation FROM member WHERE person = :person ORDER BY since, organisation LIMIT 1"
    organisation = session.organisation or await tx.scalar(sa.text(first), {"person": person.id})
    roles = await roles_of(tx, person.id, organisation)
    if not session.two_step:
        roles = {code: kept for code, held in roles.items() if (kept := [r for r in held if r not in STAFF])}
    return Principal(
        kind="person",
        id=person.id,
        organisation=organisation,
        roles=msgspec.convert(roles, Principal.__annotations__["roles"]),
        session=str(session.id),
        name=person.name,
    )


async def devices(tx: Tx, person: UUID) -> list[Device]:
    """Sessions that are open now, the newest first."""
    return await _all(
        tx,
        Device,
        "SELECT id, device, created_at, seen_at FROM session "
        "WHERE person = :person AND ended_at IS NULL AND expires_at > :now ORDER BY seen_at DESC",
        person=person,
        now=clock.now(),
    )


async def consents(tx: Tx, person: UUID) -> dict[str, bool]:
    """The consents that stand, by purpose; what was never asked is missing."""
    rows = await tx.execute(
        sa.text(
            "SELECT DISTINCT ON (purpose) purpose, granted FROM consent WHERE person = :person "
            "ORDER BY purpose, at DESC, id DESC"
        ),
        {"person": person},
    )
    return {row.purpose: row.granted for row in rows}


async def consent_history(tx: Tx, person: UUID) -> list[Consent]:
    """Every change, the newest first: the person's own proof."""
    return await _all(
        tx,
        Consent,
        "SELECT purpose, granted, text_version, channel, at FROM consent WHERE person = :person "
        "ORDER BY at DESC, id DESC",
        person=person,
    )


async def keys(
    tx: Tx, *, organisation: UUID | None, after: UUID | None = None, limit: int | None = None
) -> list[Key]:
    """All keys, or the first, that the transaction may see: of one organisation and its sandbox, or of the agencies."""
    return await _all(
        tx,
        Key,
        "SELECT id, agency, organisation, name, scopes, created_at, expires_at, revoked_at, made_by FROM api_key "
        "WHERE (organisation IN (SELECT unnest(ARRAY[id, sandbox]) FROM organisation WHERE id = :organisation) "
        "OR (CAST(:organisation AS uuid) IS NULL AND organisation IS NULL)) "
        "AND (CAST(:after AS uuid) IS NULL OR id > :after) ORDER BY id LIMIT :limit",
        organisation=organisation,
        after=after,
        limit=limit,
    )


async def organisations(tx: Tx, person: UUID) -> list[Organisation]:
    return await _all(
        tx,
        Organisation,
        "SELECT o.id, o.agency, o.kind, o.name, o.tax_code, o.email, o.contact_name FROM organisation o "
        "JOIN member m ON m.organisation = o.id WHERE m.person = :person ORDER BY m.since, o.id",
        person=person,
    )


async def staff(tx: Tx, codes: list[str]) -> list[StaffMember]:
    """People with staff roles at these agencies, by those that stand in their place; roles elsewhere are left out."""
    rows = await tx.execute(
        sa.text(
            "SELECT p.id, p.name, p.email, p.totp_secret IS NOT NULL AS two_step, r.agency, "
            "array_agg(r.role) AS roles FROM person p JOIN person_role r ON r.person = p.id "
            "WHERE r.agency = ANY(:codes) AND r.role = ANY(:staff) GROUP BY p.id, r.agency ORDER BY p.name, p.id"
        ),
        {"codes": codes, "staff": list(STAFF)},
    )
    known, today = await known_lineage(tx), local_day(clock.now())
    found: dict[UUID, StaffMember] = {}
    for row in rows:
        member = found.setdefault(row.id, StaffMember(row.id, row.name, row.email, row.two_step, {}))
        heir = known.heir_of(row.agency, today)
        member.roles[heir] = sorted({*member.roles.get(heir, []), *row.roles})
    return list(found.values())


async def invitations(tx: Tx, codes: list[str]) -> list[Invitation]:
    """Staff invitations that still wait, sent by who may still give the roles."""
    found: list[Invitation] = await _all(
        tx,
        Invitation,
        "SELECT id, email, name, agency, roles, invited_by, expires_at FROM invitation WHERE agency = ANY(:codes) "
        "AND accepted_at IS NULL AND expires_at > :now AND organisation IS NULL ORDER BY created_at DESC",
        codes=codes,
        now=clock.now(),
    )
    return [one for one in found if await may_still_give(tx, one)]


async def may_still_give(tx: Tx, invited: Invitation | InvitationRow) -> bool:
    """Whether the administrator who sent an invitation is one still; the operator, who sent the first, always is."""
    kind, _, inviter = invited.invited_by.partition(":")
    if kind != "person":
        return True
    heir = (await known_lineage(tx)).heir_of(invited.agency, local_day(clock.now()))
    return "administrator" in (await roles_of(tx, UUID(inviter))).get(heir, [])


async def resets(tx: Tx, codes: list[str]) -> list[Reset]:
    """Lost numbers for which a second administrator is awaited."""
    found: list[Reset] = await _all(
        tx,
        Reset,
        "SELECT t.id, t.agency, t.person, p.name, t.why, t.asked_by, t.asked_at FROM totp_reset t "
        "JOIN person p ON p.id = t.person WHERE t.agency = ANY(:codes) AND t.approved_at IS NULL ORDER BY t.asked_at",
        codes=codes,
    )
    return [asked for asked in found if await stands(tx, asked)]


async def stands(tx: Tx, asked: Reset | TotpResetRow) -> bool:
    """Whether a reset may be approved still: asked of late, by an administrator of today, for staff of today."""
    today = local_day(clock.now())
    heir = (await known_lineage(tx)).heir_of(asked.agency, today)
    asker = (await roles_of(tx, asked.asked_by)).get(heir, [])
    loser = (await roles_of(tx, asked.person)).get(heir, [])
    late = asked.asked_at <= clock.now() - RESET_TTL
    return not late and "administrator" in asker and is_staff({heir: loser})


_MESSAGE = (
    "SELECT id, agency, address, template, state, subject, body, error, created_at, sent_at FROM message "
)


_ARRIVED = "(SELECT last.sent_at, last.id FROM message AS last WHERE last.id = :before)"


async def inbox(tx: Tx, address: str = "", limit: int = 50, before: UUID | None = None) -> list[Message]:
    """What the embedded inbox shows, what arrived last first."""
    return await _all(
        tx,
        Message,
        _MESSAGE + "WHERE state = 'sent' AND (:address = '' OR address = :address) "
        "AND (CAST(:before AS uuid) IS NULL OR (sent_at, id) < " + _ARRIVED + ") "
        "ORDER BY sent_at DESC, id DESC LIMIT :limit",
        address=address,
        limit=limit,
        before=before,
    )


async def message(tx: Tx, id: UUID) -> Message | None:  # noqa: A002 - it is the id
    return next(iter(await _all(tx, Message, _MESSAGE + "WHERE id = :id", id=id)), None)


async def messages(tx: Tx, codes: list[str], limit: int = 100, before: UUID | None = None) -> list[Message]:
    """The log of outgoing messages of these agencies, the newest first."""
    return await _all(
        tx,
        Message,
        _MESSAGE + "WHERE agency = ANY(:codes) AND (CAST(:before AS uuid) IS NULL OR id < :before) "
        "ORDER BY id DESC LIMIT :limit",
        codes=codes,
        before=before,
        limit=limit,
    )
