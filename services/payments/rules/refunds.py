"""Money on its way back: with its seller, never more than came, by two persons above a threshold, asked once."""

from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec

from services.payments.rules.captures import ALARM_AFTER
from services.payments.rules.proposals import NotAwaited, SamePerson
from shared.errors import Refused

TWO_PERSONS_FROM_VND = 20_000_000
"""From this sum on a second person must approve."""

PAYERS_DAYS = timedelta(days=30)
"""Over how long what goes back to one payer is summed."""

RETRY_AFTER = (timedelta(seconds=30), timedelta(minutes=5), timedelta(hours=1), timedelta(hours=6))
"""When to try again after no answer came; after that a person looks."""

REFUSALS = frozenset({"02", "03", "09", "91", "95", "97"})
"""Codes by which VNPay says that it did not and will not send the money back (09: refused by the bank)."""

GIVEN_UP = ("failed", "rejected", "refused")
"""States in which no money goes back by this refund any more."""

WITH_SELLER = ("approved", "dropped")
"""States in which the seller's answer changes it."""

ON_THEIR_WAY = ("due", "sent", "unclear")
"""States in which the money goes, or may have gone."""

State = Literal[
    "asked", "approved", "due", "sent", "unclear", "completed", "failed", "rejected", "refused", "dropped"
]
"""`asked` waits for a second person, `approved` for the seller's answer; from `due` on it is on its way.

`dropped` is what the desk no longer waits for: it keeps nothing of its payment, and goes after all where its seller
credits it.
"""

Cause = Literal["person", "credit", "declined"]
"""Who began it: a person at the desk, a seller by a credit of its own, or by declining late money."""


class OverRefunded(Refused):
    """More would go back than came."""


class StillWithSeller(Refused):
    """The desk dropped a refund of this sale that its seller may still grant; by another one the money went twice."""


def is_owed(by_credit: Any, cause: Any) -> Any:
    """Whether money must go back, whoever agrees: of one refund, or, as columns, of all that a query reads."""
    return by_credit | (cause == "declined")


def given_up(state: Any, owed: Any) -> Any:
    """Whether what is owed goes back by this refund no more, so that somebody asks anew: of one, or as columns."""
    return (state == "failed") | ((state == "rejected") & owed)


class Refund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund and how far it is."""

    id: UUID
    agency: str
    capture: UUID
    cause: Cause
    amount_vnd: int
    state: State
    request: str
    asked_by: UUID | None
    asked_at: datetime
    approved_at: datetime | None = None
    tries: int = 0
    credit: UUID | None = None

    @property
    def owed(self) -> bool:
        """Whether the money must go back whatever the desk says: its seller took it back, or did not want it."""
        return bool(is_owed(self.credit is not None, self.cause))

    @property
    def waits_for_renewal(self) -> bool:
        """Whether nothing moves until somebody asks anew, though the money has left its payer's invoice."""
        return bool(given_up(self.state, self.owed))


class Besides(msgspec.Struct, frozen=True, kw_only=True):
    """What else goes back, or went, by refunds that were not given up."""

    capture_vnd: int = 0
    """Of the same payment."""
    payer_vnd: int = 0
    """To the same payer in thirty days."""
    asker_vnd: int = 0
    """Asked for by the same person on the same local day."""


def needs_two(amount_vnd: int, besides: Besides) -> bool:
    """Whether a second person must approve: by any of the sums, so that slices count as the whole."""
    most = max(besides.capture_vnd, besides.payer_vnd, besides.asker_vnd)
    return amount_vnd + most >= TWO_PERSONS_FROM_VND


def first_state(amount_vnd: int, left_vnd: int, *, two: bool, seller: bool) -> State:
    """Where a new refund begins: with a second person, with the `seller` whose sale it unwinds, or on its way.

    Raises OverRefunded when it exceeds what is left of the capture.
    """
    if amount_vnd > left_vnd:
        raise OverRefunded(
            f"At most {left_vnd} đồng of this payment can still go back.",
            field="amount_vnd",
            left_vnd=left_vnd,
        )
    return "asked" if two else _agreed(seller=seller)


def _agreed(*, seller: bool) -> State:
    return "approved" if seller else "due"


def approved(refund: Refund, by: UUID, *, good: bool, seller: bool, owed_by: Collection[UUID] = ()) -> State:
    """A second person's decision. Raises NotAwaited, or SamePerson for who asked, or by whose deed it is owed.

    Who did that stays out also where somebody else asked anew for what failed or was rejected.
    """
    if refund.state != "asked":
        raise NotAwaited(f"This refund is {refund.state}; it waits for no approval.")
    if good and by in (refund.asked_by, *owed_by):
        raise SamePerson("Somebody else than who asked must approve this refund.")
    return _agreed(seller=seller) if good else "rejected"


def require_silent(refund: Refund, now: datetime) -> None:
    """Raises NotAwaited unless the seller has had it to answer for longer than until somebody is told of that."""
    since = refund.approved_at if refund.state == "approved" else None
    if since is None or since + ALARM_AFTER > now:
        raise NotAwaited(f"This refund is {refund.state}; only one whose seller is silent is dropped.")


def require_answered(*, dropped: bool) -> None:
    """Raises StillWithSeller where a dropped refund of the same sale has no answer: its seller has it still."""
    if dropped:
        raise StillWithSeller("A refund of this sale was dropped, and its seller may still grant it.")


def granted(refund: Refund, owed_vnd: int) -> tuple[State, int]:
    """The seller's credit: on its way goes what it owes, and never more than was asked. Raises NotAwaited.

    Also of a refund that the desk dropped meanwhile: what was credited is owed, and who approved it approved this.
    """
    if refund.state not in WITH_SELLER:
        raise NotAwaited(f"This refund is {refund.state}; it waits for no answer of its seller.")
    return ("due", min(refund.amount_vnd, owed_vnd)) if owed_vnd > 0 else ("refused", refund.amount_vnd)


def require_renewable(refund: Refund) -> None:
    """Raises NotAwaited unless the money is still owed, and nothing is on its way."""
    if not refund.waits_for_renewal:
        raise NotAwaited(f"This refund is {refund.state}; only what is still owed is tried anew.")


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


def require_unclear(refund: Refund) -> None:
    """Raises NotAwaited unless the gateway did not say whether the money went."""
    if refund.state != "unclear":
        raise NotAwaited(f"This refund is {refund.state}; its outcome is not unclear.")


def cleared(refund: Refund, *, went: bool) -> State:
    """A finding, which two persons share, about a refund whose outcome the gateway did not say. Raises NotAwaited."""
    require_unclear(refund)
    return "completed" if went else "failed"
