"""What the clock does: invite to renew, remind, end what nobody paid, forget what was read."""

from services.subscriptions.actions import meter, renewals
from services.subscriptions.actions.periods import PERIOD
from shared import selling
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("subscriptions")
KINDS = {PERIOD.name: PERIOD}


@jobs.every(60)
async def expire_unpaid(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, selling.withdraw_expired, KINDS)


@jobs.every(300)
async def invite_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, renewals.invite_renewals, kit.settings)


@jobs.every(300)
async def remind_of_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, renewals.remind, kit.settings)


@jobs.every(3600)
async def forget_old_reads(kit: Kit) -> None:
    async with kit.database.worker_tx() as tx:
        await meter.forget_old_reads(tx)
