"""What accounts does by the clock: sends messages, sweeps out sign-ins that came to nothing."""

from services.accounts.actions import challenges, messages, second_step
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

jobs = Jobs[Kit]("accounts")


@jobs.every(2)
async def send_messages(kit: Kit) -> None:
    """Send what waits; whoever queued a code has usually sent it at once."""
    await messages.send_due(kit)


@jobs.every(3600)
async def sweep_sign_ins(kit: Kit) -> None:
    async with kit.database.worker_tx() as tx:
        await challenges.sweep(tx)


@jobs.every(3600)
async def seal_anew(kit: Kit) -> None:
    """What a key of before has sealed; there is none before the operator's secret is turned."""
    if kit.settings.former_keys:
        await until_nothing_is_due(kit.database, second_step.seal_anew, kit.settings)
