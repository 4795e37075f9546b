"""Where a subscription stands, derived from its periods and invoices: never stored, so never in disagreement."""

from datetime import date
from typing import Literal

import msgspec

from services.subscriptions.rules.periods import Span

Standing = Literal["incomplete", "active", "upcoming", "ended", "unpaid", "returned"]


class Life(msgspec.Struct, frozen=True):
    """What is known of a subscription's contract, collection and access."""

    periods: tuple[Span, ...]
    invoice_open: bool
    cancelled: bool
    renewal: bool
    returned: bool = False
    """Whether money came, and went back whole."""


def standing(life: Life, today: date) -> Standing:
    """Reading now, soon, no more, waiting for its first payment, never paid, or paid for nothing and given back."""
    if any(period.covers(today) for period in life.periods):
        return "active"
    if any(period.start > today and period.days for period in life.periods):
        return "upcoming"
    if life.periods:
        return "ended"
    if life.invoice_open:
        return "incomplete"
    return "returned" if life.returned else "unpaid"


def may_cancel(life: Life, today: date) -> bool:
    """A subscription with a period under way or to come can be cancelled once, and a checkout dropped."""
    return not life.cancelled and standing(life, today) in ("active", "upcoming", "incomplete")
