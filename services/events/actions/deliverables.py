"""Sponsors get what was promised, each promise with its proof."""

from datetime import datetime

from services.events.rules.stock import Cancelled
from services.events.tables import DeliverableRow, SponsorshipRow
from shared.db import Tx
from shared.errors import Refused


class AlreadyDelivered(Refused):
    """The deliverable has its proof."""


async def deliver(tx: Tx, deliverable: DeliverableRow, proof: str, now: datetime) -> None:
    """Record that a promise was kept. Raises AlreadyDelivered, and Cancelled where nothing is owed any more."""
    if deliverable.delivered_at is not None:
        raise AlreadyDelivered("This was already delivered; its proof stands.")
    sponsorship = await tx.get_one(SponsorshipRow, deliverable.sponsorship)
    if sponsorship.cancelled_at is not None:
        raise Cancelled("This sponsorship is cancelled: nothing is owed to its sponsor any more.")
    deliverable.delivered_at, deliverable.proof = now, proof
    await tx.flush()
