"""A bank's dispute about the money of a period: while it lasts, and after it is lost, the period gives no access."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.actions.version import bump
from services.subscriptions.tables import DisputeRow, InvoiceRow, PeriodRow
from shared import sales
from shared.contracts.payments import ChargebackClosed, ChargebackOpened
from shared.db import Tx


async def dispute(tx: Tx, fact: ChargebackOpened | ChargebackClosed) -> None:
    """Suspend access while a chargeback is open and after it is lost; the two facts may come in either order."""
    if await sales.lock(tx, fact.invoice) is None:
        return
    invoice = await tx.get_one(InvoiceRow, fact.invoice)
    outcome = fact.outcome if isinstance(fact, ChargebackClosed) else None
    known = insert(DisputeRow).values(
        id=fact.chargeback, agency=invoice.agency, invoice=invoice.id, outcome=outcome
    )
    await tx.execute(
        known.on_conflict_do_update(
            index_elements=["id"],
            set_={"outcome": sa.func.coalesce(DisputeRow.outcome, known.excluded.outcome)},
        )
    )
    await tx.execute(
        sa.update(PeriodRow)
        .where(PeriodRow.invoice == invoice.id)
        .values(suspended=disputed(PeriodRow.invoice), change=await bump(tx))
    )


def disputed(invoice: sa.ColumnExpressionArgument[UUID]) -> sa.ColumnElement[bool]:
    """The condition under which a dispute about an invoice is open or lost, for queries."""
    lost_or_open = sa.or_(DisputeRow.outcome.is_(None), DisputeRow.outcome == "lost")
    return sa.exists().where(DisputeRow.invoice == invoice, lost_or_open)
