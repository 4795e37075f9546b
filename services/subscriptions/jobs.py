"""What the clock does: invite to renew, remind, end what nobody paid, forget what was read."""

from functools import partial

from services.subscriptions.actions import meter, renewing
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("subscriptions")


@jobs.every(60)
async def expire_unpaid(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, renewing.expire_unpaid)


@jobs.every(300)
async def invite_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, partial(renewing.invite_renewals, settings=kit.settings))


@jobs.every(300)
async def remind_of_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, partial(renewing.remind, settings=kit.settings))


@jobs.every(3600)
async def forget_old_reads(kit: Kit) -> None:
    async with kit.database.worker_tx() as tx:
        await meter.forget_old_reads(tx)
