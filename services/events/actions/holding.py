"""Who holds what unpaid, looked up when somebody wants to hold more."""

import contextlib
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import msgspec
import sqlalchemy as sa
from litestar import Request

from services.events.actions.invoices import Patron, Share
from services.events.rules.holding import Record, Thing, hold_s
from shared import strangers
from shared.db import Tx
from shared.house import House

_SEEN = (
    "SELECT (EXISTS (SELECT FROM registration WHERE owner = :owner AND paid_at IS NOT NULL) "
    "OR EXISTS (SELECT FROM sponsorship WHERE owner = :owner AND contracted_at IS NOT NULL)) AS paid, "
    "coalesce(sum(quantity) FILTER (WHERE freed_at IS NULL AND sold_at IS NULL), 0) AS held, "
    "count(DISTINCT hold.invoice) FILTER (WHERE freed_at > :since AND hold.expires_at <= freed_at) AS lapsed "
)
_OF: dict[Thing, sa.TextClause] = {
    "ticket": sa.text(
        _SEEN + "FROM registration JOIN hold ON hold.invoice = registration.invoice "
        "WHERE registration.owner = :owner AND registration.created_at > :since "
        "AND registration.paid_at IS NULL"
    ),
    "package": sa.text(
        _SEEN + "FROM sponsorship JOIN instalment ON instalment.sponsorship = sponsorship.id "
        "JOIN hold ON hold.invoice = instalment.invoice "
        "WHERE sponsorship.owner = :owner AND sponsorship.created_at > :since "
        "AND sponsorship.contracted_at IS NULL"
    ),
}
LOOK_BACK = timedelta(days=2)
"""No hold lasts longer than a day, and no payment keeps one much longer."""


class Allowed(msgspec.Struct, frozen=True):
    """For how many seconds a patron may hold what they ask for, and whether they paid here before."""

    ttl_s: int
    known: bool


@contextlib.asynccontextmanager
async def sharing(
    request: Request[Any, Any, Any], patron: Patron, thing: Thing, quantity: int
) -> AsyncIterator[Patron]:
    """The patron with what the order takes of their network's share; given back unless a newcomer then holds it.

    Entered before the transaction and left after it: nobody holds a connection while Redis is asked.
    """
    house: House = request.app.state.house
    budget = house.settings.budget_holds if thing == "ticket" else house.settings.budget_packages
    asker = strangers.Asker(strangers.asker_of(request).network)
    spend = partial(strangers.spend, house, f"hold:{thing}", budget, asker)
    share, used = Share(crowded=await spend(quantity) > 0), False
    try:
        yield msgspec.structs.replace(patron, share=share)
        used = share.used
    finally:
        if not used and not share.crowded:
            await spend(-quantity)


async def allowed(tx: Tx, patron: Patron, thing: Thing, quantity: int, now: datetime) -> Allowed:
    """For how long a patron may hold so many more. One order of a patron is decided at a time. Raises HeldUnpaid."""
    await tx.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:owner, 0))"), {"owner": str(patron.owner)}
    )
    row = (await tx.execute(_OF[thing], {"owner": patron.owner, "since": now - LOOK_BACK})).one()
    seen = Record(paid=row.paid, held=int(row.held), lapsed=row.lapsed)
    return Allowed(hold_s(thing, seen, quantity, crowded=patron.share.crowded), known=seen.paid)
