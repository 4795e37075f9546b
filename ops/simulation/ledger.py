"""What the ledger does in a simulated life: it chooses charts of accounts; its daily job does the rest."""

from datetime import date

from ops.simulation import World
from services.ledger.actions import regimes

REGIMES = (
    ("baokh", date(2000, 1, 1), "24/2024"),
    ("ktv", date(2000, 1, 1), "200/2014"),
    ("bkh", date(2025, 4, 24), "24/2024"),
    ("tcnt", date(2000, 1, 1), "24/2024"),
)
"""The broadcaster kept the enterprise regime; the others are public service units."""


async def begin(world: World) -> None:
    async with world.kit.database.worker_tx() as tx:
        for agency, since, regime in REGIMES:
            await regimes.set_regime(tx, agency, since, regime)


async def live_day(_world: World, _day: date) -> None:
    """Nothing of its own: facts arrive from the others, and the evening's job recognises the day."""
