"""What the clock does: invite to renew, remind, end what nobody paid, forget what was read."""

from functools import partial

from services.subscriptions.actions import meter, renewals
from services.subscriptions.actions.periods import PERIOD
from shared import selling
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("subscriptions")
_withdraw_expired = partial(selling.withdraw_expired, kinds={PERIOD.name: PERIOD})


@jobs.every(60)
async def expire_unpaid(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, _withdraw_expired)


@jobs.every(300)
async def invite_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, partial(renewals.invite_renewals, settings=kit.settings))


@jobs.every(300)
async def remind_of_renewals(kit: Kit) -> None:
    await until_nothing_is_due(kit.database, partial(renewals.remind, settings=kit.settings))


@jobs.every(3600)
async def forget_old_reads(kit: Kit) -> None:
    async with kit.database.worker_tx() as tx:
        await meter.forget_old_reads(tx)
