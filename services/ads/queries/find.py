"""Orders as the one search finds them, and those of one buyer."""

from uuid import UUID

import sqlalchemy as sa

from services.ads.queries.orders import OrderView, views
from services.ads.tables import LineRow, OrderRow
from shared.db import Tx
from shared.sales import TAIL, tails
from shared.settings import Settings
from shared.sought import Sought, named, same


async def found(
    tx: Tx, settings: Settings, wanted: Sought, limit: int
) -> list[tuple[OrderView, UUID | None]]:
    """Orders by number, name, amount or id, the newest first, each with whose it is."""
    total = sa.select(sa.func.sum(LineRow.net_vnd + LineRow.vat_vnd)).where(LineRow.ad_order == OrderRow.id)
    condition = sa.or_(
        sa.func.upper(sa.func.right(sa.cast(OrderRow.id, sa.Text), TAIL)).in_(tails("QC", wanted.codes)),
        same(OrderRow.id, wanted.id),
        same(OrderRow.invoice, wanted.id),
        named(OrderRow.name, wanted.name),
        same(total.scalar_subquery(), wanted.amount_vnd),
    )
    return await _orders(tx, settings, condition, limit)


async def of_buyer(tx: Tx, settings: Settings, buyer: UUID, limit: int) -> list[OrderView]:
    """An organisation's orders, the newest first."""
    return [order for order, _ in await _orders(tx, settings, OrderRow.organisation == buyer, limit)]


async def _orders(
    tx: Tx, settings: Settings, condition: sa.ColumnElement[bool], limit: int
) -> list[tuple[OrderView, UUID | None]]:
    query = sa.select(OrderRow).where(OrderRow.kind == "sold", condition)
    rows = list(await tx.scalars(query.order_by(OrderRow.id.desc()).limit(limit)))
    return list(zip(await views(tx, settings, rows), [row.organisation for row in rows], strict=True))
