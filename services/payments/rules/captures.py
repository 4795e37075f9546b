"""Money that came: it pays its invoice, or came late and is offered to its seller, who takes or declines it."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from shared.errors import Refused

ALARM_AFTER = timedelta(hours=1)
"""How long a seller may think before somebody is told that it is silent."""

OFFER_LASTS = timedelta(hours=72)
"""How long late money is the seller's to answer for; after that the desk has it."""

Answer = Literal["taken", "declined", "too-late"]
"""What the seller said; `too-late` is a taking of money that had gone back, or was on its way, by then."""

Face = Literal["received", "asking", "owed", "returning", "returned"]


class OfferOpen(Refused):
    """Late money is offered to its seller, and the desk cannot touch it yet."""


class NotOffered(Refused):
    """A seller answers for money that nobody offered it; the fact is kept aside, and changes nothing."""


class Capture(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came, and what became of it."""

    id: UUID
    amount_vnd: int
    recorded_at: datetime
    applied: bool
    refunding_vnd: int
    offered_to: str
    answer: Answer | None

    @property
    def left_vnd(self) -> int:
        """What neither went back nor has to."""
        return self.amount_vnd - self.refunding_vnd

    @property
    def desk_from(self) -> datetime:
        """From when on the desk may return what its seller did not answer for."""
        return self.recorded_at + OFFER_LASTS


def is_offered(capture: Capture, now: datetime) -> bool:
    """Whether the money is its seller's to answer for."""
    return bool(capture.offered_to) and capture.answer is None and now < capture.desk_from


def require_free(capture: Capture, now: datetime) -> None:
    """Raises OfferOpen while the seller is being asked: money never moves without its seller."""
    if is_offered(capture, now):
        raise OfferOpen(
            f"This money is offered to {capture.offered_to} since {capture.recorded_at:%Y-%m-%d %H:%M} UTC; "
            f"the desk has it from {capture.desk_from:%Y-%m-%d %H:%M} UTC on."
        )


def answered(capture: Capture, said: Literal["taken", "declined"]) -> Answer | None:
    """What an answer makes of an offer; None where it changes nothing. Raises NotOffered.

    What went back, or is on its way, cannot be taken any more: its seller has to free what it held.
    """
    if not capture.offered_to:
        raise NotOffered(f"Payment {capture.id} was never offered to anybody.")
    if capture.applied or capture.answer in (said, "too-late"):
        return None
    if said == "declined":
        return "declined"
    return "too-late" if capture.answer == "declined" or capture.refunding_vnd else "taken"


def standing(capture: Capture, back_vnd: int, going_vnd: int, owed_vnd: int) -> Face:
    """What its payer is told of the money, by what went back, is on its way, or must go back and does not move yet."""
    if back_vnd >= capture.amount_vnd:
        return "returned"
    if back_vnd + going_vnd >= capture.amount_vnd or (going_vnd and not capture.applied):
        return "returning"
    if back_vnd + going_vnd + owed_vnd >= capture.amount_vnd or (owed_vnd and not capture.applied):
        return "owed"
    return "received" if capture.applied else "asking"
