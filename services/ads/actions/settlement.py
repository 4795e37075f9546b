"""What was delivered becomes a fact of its day; what was not is told to who gives it back."""

from collections.abc import Sequence
from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa

from services.ads.rules.orders import undelivered
from services.ads.tables import LineRow, SettledRow
from shared import clock, selling
from shared.bulk import insert_many
from shared.contracts.ads import DeliveryRecorded
from shared.contracts.base import CreditedLine
from shared.db import Tx
from shared.jobs import Batch
from shared.money import Amount
from shared.outbox import emit
from shared.sales import Sale

LOOK_BACK = timedelta(days=40)
"""How old an hour may be and still be settled, after whatever stood still."""

# The goal bounds what is told, whatever was counted: nobody is billed for more than they booked.
_DUE = sa.text(
    """
    WITH counted AS (
        SELECT r.line, CAST(r.hour AT TIME ZONE 'Asia/Ho_Chi_Minh' AS date) AS day, sum(r.impressions) AS quantity
        FROM rollup r WHERE r.hour >= :since AND r.impressions > 0
          AND (CAST(:lines AS uuid[]) IS NULL OR r.line = ANY(CAST(:lines AS uuid[])))
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
    WHERE c.quantity > coalesce(s.quantity, 0) AND coalesce(t.quantity, 0) < l.goal
    ORDER BY c.line, c.day
    """
)


# Whoever tells of a line has its row: of two who look at the same moment, the second sees what the first has told.
_LOCK = sa.text("SELECT id FROM line_item WHERE id = ANY(:lines) ORDER BY id FOR NO KEY UPDATE")


async def settle(tx: Tx, batch: Batch) -> None:
    """Tell the ledger what was counted and not yet told, by line and local day."""
    # Counting is what costs: for one line alone not all are counted.
    untold = _due(None if batch.alone is None else [batch.alone]).columns(sa.column("line", sa.Uuid()))
    found = untold.subquery()
    lines = [line for (line,) in await batch.take(tx, sa.select(found.c.line).distinct())]
    await tx.execute(_LOCK, {"lines": lines})
    await settle_lines(tx, lines)


async def settle_lines(tx: Tx, lines: Sequence[UUID]) -> None:
    """The same of lines whose rows the transaction has locked."""
    told: dict[UUID, int] = {}
    facts, kept = [], []
    for row in await tx.execute(_due(lines)):
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
    await insert_many(tx, SettledRow, kept, adding=("quantity",))
    await emit(tx, *facts)


def _due(lines: Sequence[UUID] | None) -> sa.TextClause:
    """What is not told of these lines, or of all."""
    return _DUE.bindparams(since=clock.now() - LOOK_BACK, lines=lines)


async def unwind(tx: Tx, sale: Sale, lines: Sequence[LineRow]) -> tuple[CreditedLine, ...]:
    """Settle the open lines of a locked sale a last time; returns what of each was not shown, and goes back."""
    charged = {line.id: line for line in sale.lines}
    rest = []
    for line in lines:
        if line.closed_at is not None:
            continue
        await settle_lines(tx, [line.id])
        shown = await tx.scalar(
            sa.select(sa.func.coalesce(sa.func.sum(SettledRow.quantity), 0)).where(SettledRow.line == line.id)
        )
        # What went back of an open line before was an allowance: it lowered the price of all that was booked.
        left = selling.left_of(sale, charged[line.id])
        back = undelivered(Amount(left.net_vnd, left.vat_vnd), line.goal, int(shown or 0))
        if back.gross_vnd:
            rest.append(CreditedLine(line.id, back.net_vnd, back.vat_vnd))
    return tuple(rest)
