"""The clock's work for the books: each local day is recognised once, and what was booked is signed."""

from services.ledger.actions import heads, recognising
from shared import clock
from shared.calendar import local_day
from shared.jobs import Jobs
from shared.kit import Kit

jobs = Jobs[Kit]("ledger")


@jobs.every(300)
async def recognise_days(kit: Kit) -> None:
    """Recognise every day up to today, a transaction each, so that missed days never hold the writer long."""
    today = local_day(clock.now())
    more = True
    while more:
        async with kit.database.worker_tx() as tx:
            more = await recognising.reach(tx, today)


@jobs.every(300)
async def sign_head(kit: Kit) -> None:
    """Sign the head of the books each hour in which something was booked, and after each day."""
    async with kit.database.worker_tx() as tx:
        await heads.sign_due(tx, kit.settings)
