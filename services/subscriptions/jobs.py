"""What the clock does: invite to renew, remind, end what nobody paid, forget what was read."""

from functools import partial

from services.subscriptions.actions import meter, renewing
from shared.house import House
from shared.jobs import Jobs, until_nothing_is_due

jobs = Jobs[House]("subscriptions")


@jobs.every(60)
async def expire_unpaid(house: House) -> None:
    await until_nothing_is_due(house.database, renewing.expire_unpaid)


@jobs.every(300)
async def invite_renewals(house: House) -> None:
    await until_nothing_is_due(house.database, partial(renewing.invite_renewals, settings=house.settings))


@jobs.every(300)
async def remind_of_renewals(house: House) -> None:
    await until_nothing_is_due(house.database, partial(renewing.remind, settings=house.settings))


@jobs.every(3600)
async def forget_old_reads(house: House) -> None:
    async with house.database.worker_tx() as tx:
        await meter.forget_old_reads(tx)
