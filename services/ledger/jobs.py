"""The clock's work for the books: each local day is recognised once."""

from services.ledger.actions import recognising
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
