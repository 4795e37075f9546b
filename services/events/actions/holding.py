"""Who holds what unpaid, looked up when somebody wants to hold more."""

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.actions.access import Patron
from services.events.rules.holding import LATELY, Record, Thing, hold_s
from shared.db import Tx
from shared.strangers import Share


class Allowed(msgspec.Struct, frozen=True):
    """For how many seconds a patron may hold what they ask for, and whether they count alone or with a network's."""

    ttl_s: int
    known: bool = True
    crowd: str = ""


# Locked in one order, so that two orders of one person for two organisations cannot wait for each other.
_ONE_AT_A_TIME = sa.text(
    "SELECT pg_advisory_xact_lock(hashtextextended(who, 0)) FROM (SELECT DISTINCT unnest(CAST(:who AS text[])) AS who "
    "ORDER BY who) AS asked"
)
_LET_GO = sa.text(
    "SELECT max(freed_at) FROM hold WHERE sellable = :piece AND crowd = :crowd AND crowd <> '' AND freed_at > :since"
)
_SEEN = sa.text("SELECT paid, held, lapsed, lapsed_at FROM held_by(:owner, :person, :kind, :since)")


async def allowed(
    tx: Tx,
    patron: Patron,
    thing: Thing,
    quantity: int,
    now: datetime,
    share: Share,
    piece: UUID | None = None,
) -> Allowed:
    """For how long a patron may hold so many more: at all agencies, and of a person for all organisations, together.

    `piece` is the very package; of tickets there are many, and of a carrier's network somebody always lets some go.
    One order of a patron is decided at a time. Raises HeldUnpaid, LetGo.
    """
    await tx.execute(_ONE_AT_A_TIME, {"who": [str(who) for who in (patron.owner, patron.person) if who]})
    values = {"owner": patron.owner, "person": patron.person, "kind": thing, "since": now - LATELY}
    row = (await tx.execute(_SEEN, values)).one()
    seen = Record(paid=row.paid, held=row.held, lapsed=row.lapsed, lapsed_at=row.lapsed_at)
    let_go = {"piece": piece, "crowd": share.network, "since": now - LATELY}
    let_go_at = await tx.scalar(_LET_GO, let_go) if piece else None
    ttl_s = hold_s(thing, seen, quantity, now, crowded=share.crowded, let_go_at=let_go_at)
    return Allowed(ttl_s, seen.known, crowd="" if seen.known else share.network)
