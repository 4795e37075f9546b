"""What was delivered becomes a fact of its day, and what was not delivered goes back to the buyer."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from services.ads.rules.orders import undelivered
from services.ads.tables import LineRow, OrderRow, SettledRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.ads import CreditGranted, DeliveryRecorded
from shared.contracts.base import CreditedLine
from shared.db import Tx
from shared.outbox import emit

LOOK_BACK = timedelta(days=40)
"""How old an hour may be and still be settled, after whatever stood still."""

GRACE_DAYS = 2
"""A line's account is drawn up so many days after its flight, when no beacon can come any more."""

# The goal bounds what is told, whatever was counted: nobody is billed for more than they booked.
_DUE = sa.text(
    """
    WITH counted AS (
        SELECT r.line, CAST(r.hour AT TIME ZONE 'Asia/Ho_Chi_Minh' AS date) AS day, sum(r.impressions) AS quantity
        FROM rollup r WHERE r.hour >= :since AND r.impressions > 0 AND (:only = '' OR r.line::text = :only)
        GROUP BY 1, 2
    ), told AS (
        SELECT line, sum(quantity) AS quantity FROM settled WHERE line IN (SELECT line FROM counted) GROUP BY line
    )
    SELECT c.line, c.day, l.agency, l.organisation, CAST(c.quantity AS bigint) - coalesce(s.quantity, 0) AS more,
           l.goal, CAST(coalesce(t.quantity, 0) AS bigint) AS told
    FROM counted c
    JOIN line_item l ON l.id = c.line AND l.tier < 4 AND l.closed_at IS NULL
    LEFT JOIN settled s ON s.line = c.line AND s.day = c.day
    LEFT JOIN told t ON t.line = c.line
    WHERE c.quantity > coalesce(s.quantity, 0)
    ORDER BY c.line, c.day
    """
)


async def settle(tx: Tx, only: UUID | None = None) -> int:
    """Tell the ledger what was counted and not yet told, by line and local day; returns how many facts."""
    now = clock.now()
    rows = await tx.execute(_DUE, {"since": now - LOOK_BACK, "only": str(only or "")})
    told: dict[UUID, int] = {}
    facts, kept = [], []
    for row in rows:
        before = told.setdefault(row.line, row.told)
        more = min(row.more, row.goal - before)
        if more <= 0:
            continue
        told[row.line] = before + more
        facts.append(DeliveryRecorded(agency=row.agency, line=row.line, quantity=more, on=row.day))
        kept.append(
            {
                "line": row.line,
                "day": row.day,
                "agency": row.agency,
                "organisation": row.organisation,
                "quantity": more,
            }
        )
    if kept:
        await tx.execute(
            sa.text(
                "INSERT INTO settled (line, day, agency, organisation, quantity) "
                "VALUES (:line, :day, :agency, :organisation, :quantity) "
                "ON CONFLICT (line, day) DO UPDATE SET quantity = settled.quantity + excluded.quantity"
            ),
            kept,
        )
        await emit(tx, *facts)
    return len(facts)


async def credit_lines(tx: Tx, order: OrderRow, lines: Sequence[LineRow], reason: str) -> None:
    """Close lines of a paid order: settle them a last time and give back what was not delivered."""
    credited = []
    for line in lines:
        if line.closed_at is not None:
            continue
        await settle(tx, line.id)
        shown = await tx.scalar(
            sa.select(sa.func.coalesce(sa.func.sum(SettledRow.quantity), 0)).where(SettledRow.line == line.id)
        )
        net, vat = undelivered(line.net_vnd, line.vat_vnd, line.goal, int(shown or 0))
        line.closed_at, line.credited_vnd = clock.now(), net
        if net or vat:
            credited.append(CreditedLine(line.id, net, vat))
    await tx.flush()
    if credited and order.invoice is not None:
        await emit(
            tx,
            CreditGranted(
                agency=order.agency,
                credit=clock.new_id(),
                invoice=order.invoice,
                reason=reason,
                lines=tuple(credited),
            ),
        )


async def close_ended(tx: Tx, limit: int) -> int:
    """Draw up the account of lines whose flight has ended, a shortfall is credited; returns of how many."""
    last = local_day(clock.now()) - timedelta(days=GRACE_DAYS)
    found = await tx.execute(
        sa.select(LineRow, OrderRow)
        .join(OrderRow, OrderRow.id == LineRow.ad_order)
        .where(LineRow.ends_on < last, LineRow.closed_at.is_(None), OrderRow.paid_at.is_not(None))
        .order_by(OrderRow.id, LineRow.id)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    due = found.all()
    for line, order in due:
        await credit_lines(tx, order, [line], "undelivered")
    return len(due)
