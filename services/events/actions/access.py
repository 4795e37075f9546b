"""Who buys, and at which agency a key may."""

from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.tables import EventRow, SellableRow
from shared import clock
from shared.agencies import lineage
from shared.auth import Principal
from shared.calendar import local_day
from shared.contracts.base import Buyer
from shared.db import Tx
from shared.errors import NotAllowed, NotFound


class Patron(msgspec.Struct, frozen=True):
    """Who buys: whose rows these will be, whom accounts may write to, and who the buyer is towards the books."""

    owner: UUID
    person: UUID | None
    buyer: Buyer


def patron_of(principal: Principal) -> Patron:
    """Who sponsors: the organisation for which somebody acts, else the person.

    What an organisation takes belongs to it, so that all its people and keys see the same. Raises NotAllowed for a
    key that stands for no organisation.
    """
    organisation = principal.organisation
    if organisation is not None:
        told = principal.id if principal.kind == "person" else organisation
        return Patron(organisation, told, Buyer("organisation", organisation))
    return runner_of(principal)


def runner_of(principal: Principal) -> Patron:
    """Who buys tickets: a person for themselves and friends, or the organisation of a key."""
    if principal.kind == "person" and principal.id is not None:
        return Patron(principal.id, principal.id, Buyer("person", principal.id))
    organisation = principal.organisation
    if organisation is None:
        raise NotAllowed("This key belongs to no organisation, so nobody could be asked to pay.")
    return Patron(organisation, organisation, Buyer("organisation", organisation))


async def within(tx: Tx, principal: Principal, *, package: UUID | None = None, slug: str = "") -> None:
    """A key works for one agency: raises NotFound when it asks for what another one sells."""
    if principal.kind != "key":
        return
    of = sa.select(EventRow.agency)
    if package is not None:
        of = of.join(SellableRow, SellableRow.event == EventRow.id).where(SellableRow.id == package)
    else:
        of = of.where(EventRow.slug == slug)
    agency = await tx.scalar(of)
    if agency is not None:
        await check_within(tx, principal, agency)


async def agencies_of(tx: Tx, principal: Principal) -> list[str] | None:
    """At which agencies a key works: its own and what that has absorbed; None for a person, who buys anywhere."""
    if principal.kind != "key":
        return None
    return (await lineage(tx)).with_predecessors([principal.agency], local_day(clock.now()))


async def check_within(tx: Tx, principal: Principal, agency: str) -> None:
    """Raises NotFound where a key asks for what was bought, or is to be bought, elsewhere than at its agency."""
    known = await agencies_of(tx, principal)
    if known is not None and agency not in known:
        raise NotFound("This key's agency sells no such thing.")
