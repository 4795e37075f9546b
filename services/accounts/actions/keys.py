"""API keys: signed, so that every service believes them at once; revoked by a fact."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts import rules
from services.accounts.actions import audit, messages
from services.accounts.tables import ApiKeyRow, OrganisationRow, PersonRow
from shared import clock, revocations
from shared.agencies import lineage
from shared.auth import Principal, Signer
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.contracts.accounts import KeyRevoked
from shared.db import Tx, check_acts_at, locked, see_also
from shared.errors import NotAllowed, NotFound, TooMany
from shared.outbox import emit
from shared.settings import Settings
from shared.texts import clean_name


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made. `key` is shown within ten minutes of its making and kept nowhere.

    A key for `<agency>-sandbox` stays there: it books what nobody reads, pays or counts.
    """

    id: UUID
    agency: str
    organisation: UUID | None
    name: str
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    answers: UUID | None = None
    """The person who answers for it. What they may not do alone, they may not do with its help either."""
    key: str = ""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A new advertiser as it is in the sandbox, and its key there, shown like any key.

    Keys for the agency itself can be had once the invitation, which goes to the e-mail, was accepted.
    """

    organisation: UUID | None
    agency: str
    name: str
    tax_code: str
    key_id: UUID | None = None
    scopes: list[str]
    created_at: datetime
    expires_at: datetime
    key: str = ""
    note: str = ""
    """Where the answer holds no key, the reason, and how to get one."""


NewKey = TypeVar("NewKey", Made, Registered)


def with_signature(settings: Settings, made: NewKey) -> NewKey:
    """Put the key itself in. What is remembered of a request is without it."""
    key = made.id if isinstance(made, Made) else made.key_id
    if key is None or clock.now() - made.created_at > rules.KEY_SHOWN:
        return made
    principal = Principal(
        kind="key",
        id=key,
        organisation=made.organisation,
        scopes=made.scopes,
        agency=made.agency,
        made_by=made.answers if isinstance(made, Made) else None,
    )
    signed = Signer(settings).api_key(principal, made.expires_at)
    if isinstance(made, Registered):
        return msgspec.structs.replace(made, key=signed, note="")
    return msgspec.structs.replace(made, key=signed)


async def make_key(
    tx: Tx,
    *,
    agency: str,
    organisation: UUID | None,
    name: str,
    scopes: list[str],
    actor: Principal | str,
    member: UUID | None = None,
    expires_at: datetime | None = None,
) -> Made:
    """Record a key; `with_signature` makes it usable.

    For an organisation a `member` answers, a person who joined it; for the same organisation in the sandbox nobody.
    Whoever answers for a key that leaves the sandbox is told by a letter.
    """
    now = clock.now()
    life = rules.SANDBOX_KEY_LIFE if sandbox.is_sandbox(agency) else rules.KEY_LIFE
    made = Made(
        id=clock.new_id(),
        agency=agency,
        organisation=organisation,
        name=clean_name(name),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at or now + life,
    )
    kept = {k: v for k, v in msgspec.structs.asdict(made).items() if k not in ("key", "answers")}
    by = actor if isinstance(actor, str) else actor.subject
    row = ApiKeyRow(**kept, member=member, made_by=by, revoked_at=None)
    tx.add(row)
    await audit.note(
        tx, agency=agency, actor=actor, action="key.make", subject=made.id, after={"scopes": made.scopes}
    )
    if not sandbox.is_sandbox(agency):
        await _tell(tx, row, "key")
    return msgspec.structs.replace(made, answers=_answers(row))


def _answers(row: ApiKeyRow) -> UUID | None:
    """Who answers for a key: a member of the organisation, or who made it for an agency; in the sandbox nobody."""
    kind, _, maker = row.made_by.partition(":")
    return row.member or (UUID(maker) if kind == "person" and not sandbox.is_sandbox(row.agency) else None)


async def _tell(tx: Tx, row: ApiKeyRow, what: messages.Change) -> None:
    """Write to whoever answers for a key: perhaps a colleague, whose account the caller does not see otherwise."""
    who = _answers(row)
    if who is None:
        return
    await see_also(tx, who)
    person = await tx.get(PersonRow, who)
    if person is not None:
        await messages.tell_of_change(tx, person, what, agency=row.agency)
        await tx.flush()


async def make_key_as(
    tx: Tx, principal: Principal, *, agency: str, name: str, scopes: list[str], own: bool
) -> Made:
    """Make a key for the caller's organisation (`own`), or as administrator for the agency's own programs.

    Raises NotAllowed for scopes or an agency beyond the caller's.
    """
    if own:
        return await _make_own_key(tx, principal, agency, name, scopes)
    if principal.kind != "person":
        raise NotAllowed("Only an administrator makes keys for an agency's own programs.")
    check_acts_at(tx, agency)
    rules.check_scopes(scopes, rules.SERVER_SCOPES, "An agency's key")
    return await make_key(tx, agency=agency, organisation=None, name=name, scopes=scopes, actor=principal)


async def _make_own_key(tx: Tx, principal: Principal, agency: str, name: str, scopes: list[str]) -> Made:
    """Make a key for the caller's organisation at an agency where it is registered, or in the sandbox there."""
    if principal.organisation is None:
        raise NotAllowed("You act for no organisation.")
    allowed = rules.BUYER_SCOPES
    if principal.kind == "key":
        # A key that got lost must not make keys that make keys, nor reach beyond itself.
        allowed = frozenset(principal.scopes) - {"keys:manage"}
        if agency not in (principal.agency, sandbox.of(principal.agency)):
            raise NotAllowed("A key makes keys for its own agency and its sandbox only.")
    elif sandbox.real(agency) != await agency_of(tx, principal.organisation):
        raise NotAllowed("Your organisation is not registered with this agency.")
    rules.check_scopes(scopes, allowed, "This key")
    if not sandbox.is_sandbox(agency):
        organisation, member = principal.organisation, await _member_of(tx, principal)
    else:
        rules.check_scopes(scopes, rules.SANDBOX_SCOPES, "A key of the sandbox")
        organisation, member = await _in_sandbox(tx, principal.organisation), None
    await _check_pace(tx, organisation)
    return await make_key(
        tx,
        agency=agency,
        organisation=organisation,
        name=name,
        scopes=scopes,
        actor=principal,
        member=member,
    )


async def _check_pace(tx: Tx, organisation: UUID) -> None:
    """Raises TooMany where an organisation made keys enough today. One of its keys is made at a time."""
    await locked(tx, OrganisationRow, organisation)
    since = clock.now() - rules.A_DAY
    made = sa.select(sa.func.count()).where(
        ApiKeyRow.organisation == organisation, ApiKeyRow.created_at > since
    )
    if (await tx.scalar(made) or 0) >= rules.KEYS_A_DAY:
        raise TooMany("Your organisation made keys enough today; try again tomorrow.", retry_after_s=86_400)


async def agency_of(tx: Tx, organisation: UUID) -> str:
    """With whom an organisation is registered: the agency that it chose, or whoever stands in its place."""
    row = await tx.get(OrganisationRow, organisation)
    if row is None:
        raise NotAllowed("You act for no organisation.")
    return (await lineage(tx)).heir_of(row.agency, local_day(clock.now()))


async def _member_of(tx: Tx, principal: Principal) -> UUID | None:
    """The person who answers for the keys that a person or a key makes."""
    if principal.kind == "person":
        return principal.id
    return (await tx.get_one(ApiKeyRow, principal.id)).member


async def _in_sandbox(tx: Tx, organisation: UUID) -> UUID:
    """As whom an organisation acts in the sandbox; there, as itself."""
    return (await tx.get_one(OrganisationRow, organisation)).sandbox or organisation


async def first_key(tx: Tx, organisation: OrganisationRow, person: UUID) -> UUID | None:
    """The key with which an organisation leaves the sandbox, for the person who joined it; None where it has one."""
    known = sa.select(sa.exists().where(ApiKeyRow.organisation == organisation.id))
    if await tx.scalar(known):
        return None
    made = await make_key(
        tx,
        agency=organisation.agency,
        organisation=organisation.id,
        name=rules.FIRST_KEY,
        scopes=rules.FIRST_SCOPES,
        actor=f"person:{person}",
        member=person,
    )
    return made.id


async def shown_again(tx: Tx, settings: Settings, principal: Principal, key: UUID) -> str:
    """A key that this person has just made, or nothing."""
    row = await tx.get(ApiKeyRow, key)
    if row is None or row.made_by != principal.subject or row.revoked_at is not None:
        return ""
    made = msgspec.convert(row, Made, from_attributes=True)
    return with_signature(settings, msgspec.structs.replace(made, answers=_answers(row))).key


async def revoke_key(tx: Tx, key: UUID, actor: Principal) -> None:
    """Refuse a key everywhere from now on; once revoked it stays so. Raises NotFound for a stranger's.

    Whoever answers for it is told where another did it.
    """
    row = await locked(tx, ApiKeyRow, key)
    if row is None:
        raise NotFound("There is no such key.")
    if row.revoked_at is not None:
        return
    await _revoke(tx, row, actor)
    if _answers(row) != actor.id:
        await _tell(tx, row, "key-revoked")


async def _revoke(tx: Tx, row: ApiKeyRow, actor: Principal | str) -> None:
    row.revoked_at = clock.now()
    fact = KeyRevoked(agency=row.agency, key=row.id)
    await revocations.keep_key(fact, tx)
    await emit(tx, fact)
    await audit.note(tx, agency=row.agency, actor=actor, action="key.revoke", subject=row.id)


async def end_trial(tx: Tx, organisation: OrganisationRow, person: UUID) -> None:
    """Revoke the keys of an organisation's sandbox: a stranger may have registered it, and would look on for months."""
    strangers_keys = await tx.scalars(
        sa.select(ApiKeyRow)
        .where(ApiKeyRow.organisation == organisation.sandbox, ApiKeyRow.revoked_at.is_(None))
        .order_by(ApiKeyRow.id)
        .with_for_update()
    )
    for row in list(strangers_keys):
        await _revoke(tx, row, f"person:{person}")
