"""The clock's door: holds end, instalments fall due, stock is counted again every night."""

from services.events.actions import instalments, stock
from services.events.consumers import KINDS
from shared import selling
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("events")


@jobs.every(30)
async def withdraw_expired(kit: Kit) -> None:
    """Ask payments to stop where the time of a hold is over."""
    await until_nothing_is_due(kit.database, selling.withdraw_expired, KINDS)


@jobs.every(600)
async def bill_instalments(kit: Kit) -> None:
    """Ask for what falls due, and let be owed what its event has delivered."""
    await until_nothing_is_due(kit.database, instalments.open_due)
    await until_nothing_is_due(kit.database, instalments.claim_due)


@jobs.every(600)
async def remind_of_instalments(kit: Kit) -> None:
    """Bring to mind what is open."""
    await until_nothing_is_due(kit.database, instalments.remind)


@jobs.every(900)
async def recount_stock(kit: Kit) -> None:
    """Once a day, in the first quarter of an hour after midnight (or after a start): all stock from its causes."""
    await until_nothing_is_due(kit.database, stock.recount)
