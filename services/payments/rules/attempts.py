"""An attempt to pay: open, then paid, failed, expired, or held for a person; asked about, never guessed."""

from datetime import datetime, timedelta
from typing import Literal
from uuid import UUID

import msgspec

from services.payments.rules.vnpay import Verdict
from shared.errors import Refused

LASTS = timedelta(minutes=15)
"""How long the buyer has at the bank."""

ASK_AFTER = (timedelta(minutes=2), timedelta(minutes=10), timedelta(minutes=60))
"""When to ask for an outcome that was not told, counted from the attempt's expiry; then daily."""

ASK_SOON = timedelta(seconds=15)
"""When to ask after the buyer came back and the notification did not."""

GAP = timedelta(minutes=1)
"""Where nobody asked for longer, nobody may have been there when the bank told: then all that is open is asked at once.
"""

ALARM_AFTER = ASK_AFTER[-1] + timedelta(minutes=5)
"""How long after its expiry an outcome that is still unknown is a person's to find out: all questions but the daily
ones were asked, and none was answered in words that fit the attempt."""

State = Literal["open", "held", "paid", "failed", "expired"]


class AttemptUnderWay(Refused):
    """An earlier attempt may still bring money; its outcome is being asked for."""


class AlreadyConcluded(Refused):
    """The outcome of this attempt is known already."""


class NothingHeld(Refused):
    """The attempt waits for nobody's decision."""


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at paying an invoice."""

    id: UUID
    agency: str
    invoice: UUID
    state: State
    amount_vnd: int
    terminal: str
    reference: str
    address: str
    language: str
    started_at: datetime
    expires_at: datetime
    asks: int = 0

    @property
    def in_flight(self) -> bool:
        return self.state in ("open", "held")


def may_go_on(attempt: Attempt, now: datetime) -> bool:
    """Whether the buyer may go back to the bank with the attempt under way. Raises AttemptUnderWay when not."""
    if attempt.state == "held" or now >= attempt.expires_at:
        raise AttemptUnderWay("We are asking the bank how the last attempt ended; please do not pay twice.")
    return True


def heard(attempt: Attempt, verdict: Verdict) -> State:
    """The state after the gateway said how the attempt ended. Raises AlreadyConcluded when that changes nothing.

    Money that comes for an attempt given up before is taken: the gateway's word outranks our time-out.
    """
    if verdict == "unfinished":
        return attempt.state
    after: State = {"paid": "paid", "suspect": "held", "failed": "failed"}[verdict]  # type: ignore[assignment]
    known = after == attempt.state
    too_late = attempt.state == "paid" or (attempt.state == "expired" and after == "failed")
    if known or too_late:
        raise AlreadyConcluded(f"Attempt {attempt.reference} is known as {attempt.state}.")
    return after


def answered(attempt: Attempt, *, known_there: bool, verdict: Verdict, now: datetime) -> State:
    """The state after we asked. An attempt that VNPay never saw, or still calls unfinished, ends after its time.

    Unfinished is believed only from the second question on (expiry + 10 minutes), when a slow bank has told.
    """
    if not known_there:
        return "expired" if now >= attempt.expires_at + ASK_AFTER[0] else attempt.state
    if verdict == "unfinished":
        return "expired" if now >= attempt.expires_at + ASK_AFTER[1] else attempt.state
    return heard(attempt, verdict)


def next_ask(expires_at: datetime, now: datetime) -> datetime:
    """When to ask the next time: at fixed distances from the expiry, then daily."""
    planned = (expires_at + after for after in ASK_AFTER)
    return next((at for at in planned if at > now), now + timedelta(days=1))


def decided(attempt: Attempt, *, good: bool) -> State:
    """A person's decision about money that the gateway called suspect. Raises NothingHeld."""
    if attempt.state != "held":
        raise NothingHeld(f"Attempt {attempt.reference} is {attempt.state}, not held.")
    return "paid" if good else "failed"
