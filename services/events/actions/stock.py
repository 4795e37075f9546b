"""Stock moves here and nowhere else: held, sold, freed, taken again, and recounted every night."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.events.actions.holding import Allowed
from services.events.actions.invoices import Patron
from services.events.rules.stock import SoldOut
from services.events.tables import RecountRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.events import InvoiceWithdrawn
from shared.db import Tx
from shared.outbox import emit

log = structlog.get_logger()

# One statement: either the stock suffices and count and cause are both written, or nothing is.
_HOLD = sa.text(
    "WITH took AS (UPDATE sellable SET held = held + :quantity "
    "WHERE id = :sellable AND held + sold + :quantity <= capacity RETURNING id, agency) "
    "INSERT INTO hold (id, agency, sellable, invoice, owner, person, crowd, quantity, created_at, expires_at) "
    "SELECT CAST(:id AS uuid), agency, id, CAST(:invoice AS uuid), CAST(:owner AS uuid), CAST(:person AS uuid), "
    ":crowd, :quantity, :now, :expires_at FROM took "
    "RETURNING id"
)

# Whoever moves several rows locks them in the order of ids first, as those who hold them did.
_LOCK = sa.text(
    "SELECT id FROM sellable WHERE id IN (SELECT sellable FROM hold WHERE invoice = :invoice) "
    "ORDER BY id FOR UPDATE"
)
_SELL = sa.text(
    "WITH ended AS (UPDATE hold SET sold_at = :now WHERE invoice = :invoice AND sold_at IS NULL "
    "AND freed_at IS NULL RETURNING sellable, quantity) "
    "UPDATE sellable SET held = held - ended.quantity, sold = sold + ended.quantity FROM ended "
    "WHERE sellable.id = ended.sellable RETURNING sellable.id"
)
_FREE = sa.text(
    "WITH ended AS (UPDATE hold SET freed_at = :now WHERE invoice = :invoice AND sold_at IS NULL "
    "AND freed_at IS NULL RETURNING sellable, quantity) "
    "UPDATE sellable SET held = held - ended.quantity FROM ended "
    "WHERE sellable.id = ended.sellable RETURNING sellable.id"
)
_AGAIN = sa.text(
    "WITH back AS (UPDATE sellable SET sold = sold + :quantity "
    "WHERE id = :sellable AND held + sold + :quantity <= capacity RETURNING id) "
    "UPDATE hold SET freed_at = NULL, sold_at = :now FROM back "
    "WHERE hold.invoice = :invoice AND hold.sellable = back.id AND hold.freed_at IS NOT NULL RETURNING hold.id"
)


async def hold(
    tx: Tx,
    patron: Patron,
    invoice: UUID,
    wanted: Sequence[tuple[UUID, int]],
    now: datetime,
    allowed: Allowed,
) -> None:
    """Hold so many of each thing for a patron's invoice. Raises SoldOut, and then the transaction must not commit.

    Call it last: from here to the commit every other buyer of the same thing waits.
    """
    for sellable, quantity in sorted(wanted):
        kept = await tx.execute(
            _HOLD,
            {
                "id": clock.new_id(),
                "sellable": sellable,
                "invoice": invoice,
                "owner": patron.owner,
                "person": patron.person,
                "crowd": allowed.crowd,
                "quantity": quantity,
                "now": now,
                "expires_at": now + timedelta(seconds=allowed.ttl_s),
            },
        )
        if kept.first() is None:
            raise SoldOut("Sold out: somebody was faster. Nothing was charged.")


async def sell(tx: Tx, invoice: UUID, now: datetime) -> bool:
    """Turn what an invoice holds into sold; False when it holds nothing any more."""
    return await _end(tx, _SELL, invoice, now)


async def free(tx: Tx, invoice: UUID, now: datetime) -> bool:
    """Give back what an invoice holds; False when it holds nothing any more."""
    return await _end(tx, _FREE, invoice, now)


async def _end(tx: Tx, statement: sa.TextClause, invoice: UUID, now: datetime) -> bool:
    await tx.execute(_LOCK, {"invoice": invoice})
    return bool((await tx.execute(statement, {"invoice": invoice, "now": now})).all())


async def take_again(tx: Tx, invoice: UUID, now: datetime) -> None:
    """Sell what was freed, where it is still there: the money came late. Raises SoldOut; use a savepoint."""
    await tx.execute(_LOCK, {"invoice": invoice})
    rows = await tx.execute(
        sa.text("SELECT sellable, quantity FROM hold WHERE invoice = :invoice ORDER BY sellable"),
        {"invoice": invoice},
    )
    for row in rows.all():
        taken = await tx.execute(
            _AGAIN,
            {"invoice": invoice, "sellable": row.sellable, "quantity": row.quantity, "now": now},
        )
        if taken.first() is None:
            raise SoldOut("The money came after the stock was freed and sold to others.")


async def withdraw_expired(tx: Tx, limit: int) -> int:
    """Ask payments to stop for holds whose time is over; the stock stays held until payments says it did.

    Returns of how many invoices.
    """
    rows = await tx.execute(
        sa.text(
            "WITH due AS (SELECT DISTINCT invoice FROM hold WHERE expires_at <= :now AND freed_at IS NULL "
            "AND sold_at IS NULL AND withdrawn_at IS NULL ORDER BY invoice LIMIT :limit), "
            "over AS (UPDATE hold SET withdrawn_at = :now FROM due WHERE hold.invoice = due.invoice "
            "AND freed_at IS NULL AND sold_at IS NULL AND withdrawn_at IS NULL RETURNING agency, hold.invoice) "
            "SELECT DISTINCT agency, invoice FROM over ORDER BY invoice"
        ),
        {"now": clock.now(), "limit": limit},
    )
    facts = [
        InvoiceWithdrawn(agency=row.agency, invoice=row.invoice, reason="hold-expired") for row in rows.all()
    ]
    await emit(tx, *facts)
    return len(facts)


_RECOUNT = sa.text(
    "SELECT sellable.agency, sellable.id, sellable.title, held, sold, "
    "coalesce(sum(quantity) FILTER (WHERE freed_at IS NULL AND sold_at IS NULL), 0) AS held_by_cause, "
    "coalesce(sum(quantity) FILTER (WHERE sold_at IS NOT NULL), 0) AS sold_by_cause "
    "FROM sellable LEFT JOIN hold ON hold.sellable = sellable.id GROUP BY sellable.id"
)


async def recount(tx: Tx, now: datetime) -> int:
    """Count all stock again from its causes, keep the result per agency and day, and alarm on a difference.

    One statement reads everything, so that no purchase can come between a count and its causes.
    """
    checked: dict[str, int] = {}
    wrong: dict[str, list[dict[str, object]]] = {}
    for row in (await tx.execute(_RECOUNT)).mappings():
        agency = row["agency"]
        checked[agency] = checked.get(agency, 0) + 1
        if (row["held"], row["sold"]) != (row["held_by_cause"], row["sold_by_cause"]):
            found = {name: int(row[name]) for name in ("held", "sold", "held_by_cause", "sold_by_cause")}
            wrong.setdefault(agency, []).append({"sellable": str(row["id"]), "title": row["title"], **found})
            log.error("stock disagrees with its causes", sellable=str(row["id"]), **found)
    for agency, count in checked.items():
        await tx.merge(
            RecountRow(
                agency=agency,
                day=local_day(now),
                counted_at=now,
                checked=count,
                differences=wrong.get(agency, []),
            )
        )
    return sum(len(found) for found in wrong.values())
