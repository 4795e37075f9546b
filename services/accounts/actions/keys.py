"""API keys: signed, so that every service believes them at once; revoked by a fact."""

from datetime import datetime
from typing import TypeVar
from uuid import UUID

import msgspec

from services.accounts import rules
from services.accounts.actions import audit, people
from services.accounts.tables import ApiKeyRow
from shared import agencies, clock
from shared.auth import Principal, Signer
from shared.contracts.accounts import KeyRevoked
from shared.db import Tx, locked
from shared.errors import NotAllowed, NotFound
from shared.outbox import emit
from shared.settings import Settings


class Made(msgspec.Struct, frozen=True, kw_only=True):
    """A key that was just made. `key` is shown within ten minutes of its making and kept nowhere."""

    id: UUID
    agency: str
    organisation: UUID | None
    name: str
    scopes: list[str]
    sandbox: bool
    created_at: datetime
    expires_at: datetime
    key: str = ""


class Registered(msgspec.Struct, frozen=True, kw_only=True):
    """A new advertiser and its first key, shown like any key."""

    organisation: UUID
    agency: str
    name: str
    tax_code: str
    key_id: UUID
    scopes: list[str]
    sandbox: bool
    created_at: datetime
    expires_at: datetime
    key: str = ""


NewKey = TypeVar("NewKey", Made, Registered)


def with_signature(settings: Settings, made: NewKey) -> NewKey:
    """Put the key itself in. What is remembered of a request is without it."""
    if clock.now() - made.created_at > rules.KEY_SHOWN:
        return made
    principal = Principal(
        kind="key",
        id=made.id if isinstance(made, Made) else made.key_id,
        organisation=made.organisation,
        scopes=made.scopes,
        agency=made.agency,
        sandbox=made.sandbox,
    )
    return msgspec.structs.replace(made, key=Signer(settings).api_key(principal, made.expires_at))


async def make_key(
    tx: Tx,
    *,
    agency: str,
    organisation: UUID | None,
    name: str,
    scopes: list[str],
    actor: Principal | str,
    sandbox: bool = False,
    expires_at: datetime | None = None,
) -> Made:
    """Record a key; `with_signature` makes it usable."""
    now = clock.now()
    made = Made(
        id=clock.new_id(),
        agency=agency,
        organisation=organisation,
        name=name,
        scopes=sorted(set(scopes)),
        sandbox=sandbox,
        created_at=now,
        expires_at=expires_at or now + rules.KEY_LIFE,
    )
    kept = {k: v for k, v in msgspec.structs.asdict(made).items() if k != "key"}
    by = actor if isinstance(actor, str) else actor.subject
    tx.add(ApiKeyRow(**kept, made_by=by, revoked_at=None))
    await audit.note(
        tx, agency=agency, actor=actor, action="key.make", subject=made.id, after={"scopes": made.scopes}
    )
    return made


async def make_key_as(
    tx: Tx, principal: Principal, *, agency: str, name: str, scopes: list[str], sandbox: bool, own: bool
) -> Made:
    """Make a key for the caller's organisation (`own`), or as administrator for the agency's own programs.

    Raises NotAllowed for scopes or an agency beyond the caller's.
    """
    if own:
        if principal.organisation is None:
            raise NotAllowed("You act for no organisation.")
        allowed = rules.BUYER_SCOPES
        if principal.kind == "key":
            # A key that got lost must not make keys that make keys, nor reach beyond itself.
            allowed = frozenset(principal.scopes) - {"keys:manage"}
        rules.check_scopes(scopes, allowed, "This key")
        if principal.kind == "key" and agency != principal.agency:
            raise NotAllowed("A key makes keys for its own agency only.")
        if principal.kind == "person" and not principal.has_role({"advertiser", "sponsor"}, agency):
            raise NotAllowed("Your organisation is not registered with this agency.")
    elif not principal.has_role({"administrator"}, agency):
        raise NotAllowed("Only an administrator of the agency makes keys for its own programs.")
    else:
        rules.check_scopes(scopes, rules.SERVER_SCOPES, "An agency's key")
    return await make_key(
        tx,
        agency=agency,
        organisation=principal.organisation if own else None,
        name=name,
        scopes=scopes,
        actor=principal,
        sandbox=sandbox,
    )


async def shown_again(tx: Tx, settings: Settings, principal: Principal, key: UUID) -> str:
    """A key that this person has just made, or nothing."""
    row = await tx.get(ApiKeyRow, key)
    if row is None or row.made_by != principal.subject or row.revoked_at is not None:
        return ""
    return with_signature(settings, msgspec.convert(row, Made, from_attributes=True)).key


async def revoke_key(tx: Tx, key: UUID, actor: Principal) -> None:
    """Refuse a key everywhere from now on; once revoked it stays so. Raises NotFound for a stranger's."""
    row = await locked(tx, ApiKeyRow, key)
    if row is None or not _may_revoke(actor, row):
        raise NotFound("There is no such key.")
    if row.revoked_at is not None:
        return
    row.revoked_at = clock.now()
    fact = KeyRevoked(agency=row.agency, key=key)
    await agencies.keep_revocation(fact, tx)
    await emit(tx, fact)
    await audit.note(tx, agency=row.agency, actor=actor, action="key.revoke", subject=key)


def _may_revoke(actor: Principal, row: ApiKeyRow) -> bool:
    if row.organisation is not None and row.organisation == actor.organisation:
        return True
    return actor.kind == "person" and actor.has_role({"administrator"}, row.agency)


async def register_advertiser(
    tx: Tx, settings: Settings, *, agency: str, name: str, tax_code: str, email: str, contact_name: str
) -> Registered:
    """Take in a new advertiser: its organisation, its first key, and an invitation to its contact.

    Raises Unprocessable for a wrong tax code or e-mail, NotFound or AgencyClosed for the agency.
    """
    organisation = await people.register_organisation(
        tx,
        kind="advertiser",
        agency=agency,
        name=name,
        tax_code=tax_code,
        email=email,
        contact_name=contact_name,
        actor="nobody:",
    )
    made = await make_key(
        tx,
        agency=agency,
        organisation=organisation.id,
        name=rules.FIRST_KEY,
        scopes=rules.FIRST_SCOPES,
        actor="nobody:",
    )
    await people.invite(
        tx,
        settings,
        agency=agency,
        email=organisation.email,
        name=contact_name,
        roles=[],
        actor="nobody:",
        organisation=organisation.id,
    )
    return Registered(
        organisation=organisation.id,
        agency=agency,
        name=name,
        tax_code=organisation.tax_code,
        key_id=made.id,
        scopes=made.scopes,
        sandbox=made.sandbox,
        created_at=made.created_at,
        expires_at=made.expires_at,
    )
