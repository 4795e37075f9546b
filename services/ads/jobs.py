"""Work by the clock: settlement of what was delivered, expiry of unpaid orders, credit of shortfalls."""

from services.ads.actions import delivery, orders, sandbox, settlement
from services.ads.consumers import KINDS
from shared import selling
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("ads")


@jobs.every(60)
async def settle_delivery(kit: Kit) -> None:
    """Tell the ledger what was delivered since the last time."""
    await until_nothing_is_due(kit.database, settlement.settle)


@jobs.every(300)
async def expire_unpaid(kit: Kit) -> None:
    """Withdraw invoices that were not paid in time."""
    await until_nothing_is_due(kit.database, selling.withdraw_expired, KINDS)


@jobs.every(3600)
async def close_ended_lines(kit: Kit) -> None:
    """Credit what a flight that is over did not deliver."""
    await until_nothing_is_due(kit.database, orders.close_ended)


@jobs.every(2)
async def review_sandbox(kit: Kit) -> None:
    """Play the reviewer in the sandbox."""
    if (await kit.database.glance(sandbox.IS_WAITING)).any:
        await until_nothing_is_due(kit.database, sandbox.review)


@jobs.every(20)
async def deliver_sandbox(kit: Kit) -> None:
    """Play the readers in the sandbox: a line in flight is through in some three minutes."""
    await until_nothing_is_due(kit.database, sandbox.deliver)


@jobs.every(3600)
async def forget_beacons(kit: Kit) -> None:
    """Drop nonces and leases that no token can reach any more."""
    async with kit.database.worker_tx() as tx:
        await delivery.forget(tx)
