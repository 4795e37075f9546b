"""Who may do what to whose rows: the door's guard knows the right, this knows the agency."""

from collections.abc import Iterable
from uuid import UUID

import sqlalchemy as sa

from services.events.actions.invoices import Patron
from services.events.tables import EventRow, SellableRow
from shared.agencies import with_predecessors
from shared.auth import Principal, Role
from shared.contracts.base import Buyer
from shared.db import Tx, enter
from shared.errors import NotAllowed, NotFound

EDITORS: tuple[Role, ...] = ("events", "administrator")
READERS: tuple[Role, ...] = (*EDITORS, "auditor")


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


async def see_own(tx: Tx, principal: Principal) -> UUID:
    """See nothing but what one's organisation, or oneself, has taken; returns whose that is."""
    owner = patron_of(principal).owner
    await enter(tx, [], owner)
    return owner


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
    if agency is not None and agency not in await with_predecessors(tx, [principal.agency]):
        raise NotFound("This key's agency sells no such thing.")


async def agencies_of(tx: Tx, principal: Principal, roles: Iterable[Role] = READERS) -> list[str]:
    """Agencies, with those they absorbed, in which the principal has one of the roles; a key has its own one."""
    codes = principal.agencies
    if principal.kind == "person":
        codes = [code for code in codes if principal.has_role(roles, code)]
    return await with_predecessors(tx, codes)


async def staff_only(tx: Tx, principal: Principal, agency: str, roles: Iterable[Role] = EDITORS) -> None:
    """Narrow the transaction to where the principal has the role. Raises NotFound for another agency's things.

    Another role elsewhere must not lend its sight: an auditor of one agency and editor of the next edits the next.
    """
    codes = await agencies_of(tx, principal, roles)
    if agency not in codes or (principal.kind == "key" and principal.organisation is not None):
        raise NotFound("There is no such thing in the agencies that you work for.")
    await enter(tx, codes, principal.id)
