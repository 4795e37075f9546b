"""What accounts does by the clock: sends messages, sweeps out sign-ins that came to nothing."""

from services.accounts.actions import challenges, messages
from shared.house import House
from shared.jobs import Jobs

jobs = Jobs[House]("accounts")


@jobs.every(2)
async def send_messages(house: House) -> None:
    """Send what waits; whoever queued a code has usually sent it at once."""
    await messages.send_due(house)


@jobs.every(3600)
async def sweep_sign_ins(house: House) -> None:
    async with house.database.worker_tx() as tx:
        await challenges.sweep(tx)
