"""Invoices as the one search finds them, each in its subscription."""

import sqlalchemy as sa

from services.subscriptions.queries.subscriptions import Invoice, Subscription, built
from services.subscriptions.tables import SubscriptionRow
from shared.db import Tx
from shared.sales import SALE, TAIL, tails
from shared.sought import Sought, same


async def found(tx: Tx, wanted: Sought, limit: int) -> list[tuple[Invoice, Subscription]]:
    """Invoices by number, amount or id, the newest first."""
    condition = sa.or_(
        sa.func.right(SALE.c.number, TAIL).in_(tails("TB", wanted.codes)),
        same(SALE.c.id, wanted.id),
        same(SALE.c.of, wanted.id),
        same(SALE.c.total_vnd, wanted.amount_vnd),
    )
    rows = await tx.execute(
        sa.select(SALE.c.id, SALE.c.of)
        .where(condition)
        .order_by(SALE.c.opened_at.desc(), SALE.c.id.desc())
        .limit(limit)
    )
    keys = {row.id: row.of for row in rows}
    subscriptions = await built(tx, sa.select(SubscriptionRow).where(SubscriptionRow.id.in_(keys.values())))
    known = {invoice.id: (invoice, whole) for whole in subscriptions for invoice in whole.invoices}
    return [known[key] for key in keys]
