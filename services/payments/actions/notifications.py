"""Each notification of a gateway as it came, with what we answered; of strangers' only the latest, for a month."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.tables import NotificationRow
from shared import clock
from shared.db import Tx
from shared.observe import REFUSED_NOTIFICATIONS

RAW_MAX = 4000
STRANGERS_KEPT = 200
"""How many notifications of one reason are kept of those that nobody vouches for; the counter counts all."""

STRANGERS_KEPT_FOR = timedelta(days=30)


class Reply(msgspec.Struct, frozen=True):
    """What VNPay wants to hear; it repeats its notification until 00 or 02."""

    RspCode: str
    Message: str


REPLIES = {
    "00": "Confirm Success",
    "01": "Order not found",
    "02": "Order already confirmed",
    "04": "Invalid amount",
    "97": "Invalid Checksum",
    "99": "Unknown error",
}


async def note(
    tx: Tx,
    raw: str,
    address: str,
    code: str,
    reason: str,
    agency: str | None = None,
    attempt: UUID | None = None,
) -> Reply:
    """Log a notification raw with what we answer, and count it where it was refused.

    What names no agency may come from anybody, any number of times: of those only the latest of each reason stay.
    """
    tx.add(
        NotificationRow(
            id=clock.new_id(),
            agency=agency,
            rail="vnpay",
            received_at=clock.now(),
            address=address[:64],
            raw=raw[:RAW_MAX],
            reply=code,
            reason=reason,
            attempt=attempt,
        )
    )
    await tx.flush()
    if agency is None:
        await tx.execute(_FORGET, {"reason": reason, "most": STRANGERS_KEPT})
    if code not in ("00", "02"):
        REFUSED_NOTIFICATIONS.labels("vnpay", reason).inc()
    return Reply(code, REPLIES[code])


# One at a time: who comes at the same moment leaves it to the next, and waits for nobody.
_FORGET = sa.text(
    "DELETE FROM notification WHERE (SELECT pg_try_advisory_xact_lock(hashtextextended('strangers', 3))) "
    "AND id IN (SELECT id FROM notification WHERE agency IS NULL AND reason = :reason ORDER BY id DESC OFFSET :most)"
)


async def forget_strangers(tx: Tx, now: datetime) -> None:
    """Drop what strangers sent long ago."""
    await tx.execute(
        sa.delete(NotificationRow).where(
            NotificationRow.agency.is_(None), NotificationRow.received_at < now - STRANGERS_KEPT_FOR
        )
    )


async def note_fault(tx: Tx, raw: str, address: str) -> Reply:
    """Log a notification that broke us, so that it is not lost with the transaction; VNPay will repeat it."""
    return await note(tx, raw, address, "99", "fault")
