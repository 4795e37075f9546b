"""Money on its way back: never more than came, two persons above a threshold, asked once however often tried."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from shared.errors import Refused

TWO_PERSONS_FROM_VND = 20_000_000
"""From this amount on a second person must approve."""

RETRY_AFTER = (timedelta(seconds=30), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6))
"""When to try again after no answer came; after that a person looks."""

REFUSALS = frozenset({"02", "03", "09", "91", "95", "97"})
"""Codes by which VNPay says that it did not and will not send the money back (09: refused by the bank)."""

GIVEN_UP = ("failed", "rejected")
"""States in which no money goes back any more."""

State = Literal["asked", "due", "sent", "unclear", "completed", "failed", "rejected"]


class OverRefunded(Refused):
    """More would go back than came."""


class SamePerson(Refused):
    """The second person must be another than the one who asked."""


class NotAwaited(Refused):
    """The refund is not waiting for that."""


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund and how far it is."""

    id: UUID
    agency: str
    capture: UUID
    amount_vnd: int
    state: State
    request: str
    asked_by: UUID | None
    asked_at: datetime
    tries: int = 0
    credit: UUID | None = None


def first_state(amount_vnd: int, left_vnd: int) -> State:
    """Where a new refund begins. Raises OverRefunded when it exceeds what is left of the capture."""
    if amount_vnd > left_vnd:
        raise OverRefunded(
            f"At most {left_vnd} đồng of this payment can still go back.",
            field="amount_vnd",
            left_vnd=left_vnd,
        )
    return "asked" if amount_vnd >= TWO_PERSONS_FROM_VND else "due"


def approved(refund: Refund, by: UUID, *, good: bool) -> State:
    """A second person's decision. Raises NotAwaited, or SamePerson for the one who asked."""
    if refund.state != "asked":
        raise NotAwaited(f"This refund is {refund.state}; it waits for no approval.")
    if refund.asked_by == by and good:
        raise SamePerson("Somebody else than who asked must approve this refund.")
    return "due" if good else "rejected"


def require_failed(refund: Refund) -> None:
    """Raises NotAwaited unless the refund failed and the money is still owed."""
    if refund.state != "failed":
        raise NotAwaited(f"This refund is {refund.state}; only a failed one is tried anew.")


def answered(code: str, status: str) -> State:
    """The state after the gateway's verified answer.

    94 says that a request with this key came before: it was received, but whether the money went is not said,
    and asking (querydr) shows only the payment. A person looks it up.
    """
    if code == "00":
        return "failed" if status == "09" else "completed"
    return "failed" if code in REFUSALS else "unclear"


def unanswered(tries: int, now: datetime) -> tuple[State, datetime]:
    """The state and the next try after no answer, or one that cannot be believed: the same request goes again."""
    if tries > len(RETRY_AFTER):
        return "unclear", now
    return "sent", now + RETRY_AFTER[tries - 1]


def cleared(refund: Refund, *, went: bool) -> State:
    """A person's finding about a refund whose outcome the gateway did not say. Raises NotAwaited."""
    if refund.state != "unclear":
        raise NotAwaited(f"This refund is {refund.state}; its outcome is not unclear.")
    return "completed" if went else "failed"
