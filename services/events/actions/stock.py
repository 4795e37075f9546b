"""Stock moves here and nowhere else: held, sold, freed, held again, returned, and recounted every night."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.events.actions.access import Patron
from services.events.actions.holding import Allowed
from services.events.rules.stock import SoldOut
from services.events.tables import RecountRow, SellableRow
from shared import clock
from shared.calendar import local_day
from shared.db import Tx
from shared.jobs import Batch

log = structlog.get_logger()

# One statement: either the stock suffices and count and cause are both written, or nothing is.
_HOLD = sa.text(
    "WITH took AS (UPDATE sellable SET held = held + :quantity "
    "WHERE id = :sellable AND held + sold + :quantity <= capacity RETURNING id, agency) "
    "INSERT INTO hold (id, agency, sellable, invoice, owner, person, crowd, quantity, created_at) "
    "SELECT CAST(:id AS uuid), agency, id, CAST(:invoice AS uuid), CAST(:owner AS uuid), CAST(:person AS uuid), "
    ":crowd, :quantity, :now FROM took RETURNING id"
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
    "WITH back AS (UPDATE sellable SET held = held + :quantity "
    "WHERE id = :sellable AND held + sold + :quantity <= capacity RETURNING id) "
    "UPDATE hold SET freed_at = NULL FROM back "
    "WHERE hold.invoice = :invoice AND hold.sellable = back.id AND hold.freed_at IS NOT NULL RETURNING hold.id"
)
_RETURN = sa.text(
    "WITH ended AS (UPDATE hold SET returned_at = :now WHERE invoice = :invoice AND sold_at IS NOT NULL "
    "AND returned_at IS NULL RETURNING sellable, quantity) "
    "UPDATE sellable SET sold = sold - ended.quantity FROM ended "
    "WHERE sellable.id = ended.sellable RETURNING sellable.id"
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

    Call it late: from here to the commit every other buyer of the same thing waits.
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
            },
        )
        if kept.first() is None:
            raise SoldOut("Sold out: somebody was faster. Nothing was charged.")


async def hold_again(tx: Tx, invoice: UUID) -> None:
    """Hold what was let go, for money that came late; what is still held stays so. Raises SoldOut; use a savepoint.

    The row of the stock decides between this and a new buyer.
    """
    await tx.execute(_LOCK, {"invoice": invoice})
    rows = await tx.execute(
        sa.text(
            "SELECT sellable, quantity FROM hold WHERE invoice = :invoice AND freed_at IS NOT NULL ORDER BY sellable"
        ),
        {"invoice": invoice},
    )
    for row in rows.all():
        values = {"invoice": invoice, "sellable": row.sellable, "quantity": row.quantity}
        if (await tx.execute(_AGAIN, values)).first() is None:
            raise SoldOut("The money came after the stock was freed and sold to others.")


async def sell(tx: Tx, invoice: UUID, now: datetime) -> None:
    """Turn what an invoice holds, or held once, into sold. Raises SoldOut where others have it by now."""
    await hold_again(tx, invoice)
    await tx.execute(_SELL, {"invoice": invoice, "now": now})


async def free(tx: Tx, invoice: UUID, now: datetime) -> bool:
    """Give back what an invoice holds; False when it holds nothing any more."""
    return await _end(tx, _FREE, invoice, now)


async def take_back(tx: Tx, invoice: UUID, now: datetime) -> None:
    """What was sold by an invoice can be sold again."""
    await _end(tx, _RETURN, invoice, now)


async def _end(tx: Tx, statement: sa.TextClause, invoice: UUID, now: datetime) -> bool:
    await tx.execute(_LOCK, {"invoice": invoice})
    return bool((await tx.execute(statement, {"invoice": invoice, "now": now})).all())


_RECOUNT = sa.text(
    "SELECT sellable.agency, sellable.id, sellable.title, held, sold, "
    "coalesce(sum(quantity) FILTER (WHERE freed_at IS NULL AND sold_at IS NULL), 0) AS held_by_cause, "
    "coalesce(sum(quantity) FILTER (WHERE sold_at IS NOT NULL AND returned_at IS NULL), 0) AS sold_by_cause "
    "FROM sellable LEFT JOIN hold ON hold.sellable = sellable.id WHERE sellable.agency = ANY(:agencies) "
    "GROUP BY sellable.id"
)


async def recount(tx: Tx, batch: Batch) -> None:
    """Count the stock of agencies not counted today again from its causes.

    The result is kept per agency and day, and a difference alarms. One statement reads everything, so that no purchase
    can come between a count and its causes.
    """
    now = clock.now()
    counted = sa.exists().where(RecountRow.agency == SellableRow.agency, RecountRow.day == local_day(now))
    uncounted = sa.select(SellableRow.agency).distinct().where(~counted)
    agencies = [agency for (agency,) in await batch.take(tx, uncounted)]
    checked: dict[str, int] = dict.fromkeys(agencies, 0)
    wrong: dict[str, list[dict[str, object]]] = {}
    for row in (await tx.execute(_RECOUNT, {"agencies": agencies})).mappings():
        agency = row["agency"]
        checked[agency] += 1
        if (row["held"], row["sold"]) != (row["held_by_cause"], row["sold_by_cause"]):
            found = {name: int(row[name]) for name in ("held", "sold", "held_by_cause", "sold_by_cause")}
            wrong.setdefault(agency, []).append({"sellable": str(row["id"]), "title": row["title"], **found})
            log.error("stock disagrees with its causes", sellable=str(row["id"]), **found)
    tx.add_all(
        RecountRow(
            agency=agency,
            day=local_day(now),
            counted_at=now,
            checked=count,
            differences=wrong.get(agency, []),
        )
        for agency, count in checked.items()
    )
    await tx.flush()
