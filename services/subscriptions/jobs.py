"""What the clock does: invite to renew, remind, end what nobody paid, forget what was read."""

from services.subscriptions.actions import meter, renewing
from shared.house import House
from shared.jobs import Jobs

jobs = Jobs[House]("subscriptions")

BATCH = 500


@jobs.every(60)
async def expire_unpaid(house: House) -> None:
    while True:
        async with house.database.worker_tx() as tx:
            done = await renewing.expire_unpaid(tx, BATCH)
        if done < BATCH:
            return


@jobs.every(300)
async def invite_renewals(house: House) -> None:
    while True:
        async with house.database.worker_tx() as tx:
            done = await renewing.invite_renewals(tx, house.settings, BATCH)
        if done < BATCH:
            return


@jobs.every(300)
async def remind_of_renewals(house: House) -> None:
    while True:
        async with house.database.worker_tx() as tx:
            done = await renewing.remind(tx, house.settings, BATCH)
        if done < BATCH:
            return


@jobs.every(3600)
async def forget_old_reads(house: House) -> None:
    async with house.database.worker_tx() as tx:
        await meter.forget_old_reads(tx)
