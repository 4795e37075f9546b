"""The clock's door: holds end, instalments fall due, stock is counted again every night."""

import sqlalchemy as sa

from services.events.actions import instalments, stock
from services.events.tables import RecountRow
from shared import clock
from shared.calendar import local_day
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("events")


@jobs.every(30)
async def withdraw_expired_holds(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, stock.withdraw_expired)


@jobs.every(600)
async def bill_instalments(kit: Kit) -> None:
    """Open what falls due, remind of what is open."""
    await until_nothing_is_due(kit.database, instalments.open_due)
    await until_nothing_is_due(kit.database, instalments.remind)


@jobs.every(900)
async def recount_stock(kit: Kit) -> None:
    """Once a day, in the first quarter of an hour after midnight (or after a start): all stock from its causes."""
    async with kit.database.worker_tx() as tx:
        now = clock.now()
        done = await tx.scalar(sa.select(sa.func.max(RecountRow.day)))
        if done is None or done < local_day(now):
            await stock.recount(tx, now)
