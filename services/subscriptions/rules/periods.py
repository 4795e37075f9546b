"""When a subscription's periods begin and end, and what a part of one is worth: half-open local dates, exact đồng."""

from datetime import date, timedelta

import msgspec

from services.subscriptions.rules.catalogue import Term
from shared.calendar import add_months
from shared.contracts.base import VatClass
from shared.money import Amount, half_up, split

INVITE_DAYS = 7
"""The next period's invoice is opened, and the reader told, this many days before the period ends."""

REMIND_DAYS = 1

RENEWAL_GRACE_DAYS = 3
"""An unpaid renewal can still be paid this long after its period would have begun."""


class Span(msgspec.Struct, frozen=True):
    """Local days from `start` up to and without `until`."""

    start: date
    until: date

    @property
    def days(self) -> int:
        return (self.until - self.start).days

    @property
    def last(self) -> date:
        return self.until - timedelta(days=1)

    def covers(self, day: date) -> bool:
        return self.start <= day < self.until


class Anchor(msgspec.Struct, frozen=True):
    """Where a subscription's boundaries are reckoned from: the day on which its period `n` began."""

    on: date
    n: int
    term: Term

    def boundary(self, n: int) -> date:
        """The start of period n, reckoned from the anchor each time: 31 Jan, 28 Feb, 31 Mar, and never 28 Mar."""
        count = self.term.count * (n - self.n)
        return add_months(self.on, count) if self.term.unit == "month" else self.on + timedelta(days=count)

    def span(self, n: int) -> Span:
        """Period n; it ends where period n + 1 begins."""
        return Span(self.boundary(n), self.boundary(n + 1))


def used_days(period: Span, today: date) -> int:
    """Days of a period that are gone, today included: a day that has begun is used."""
    return min(max((today - period.start).days + 1, 0), period.days)


def unearned(left: Amount, vat_class: VatClass, paid_on: date, period: Span, today: date) -> Amount:
    """What goes back of what is left of a price when its period ends today: the used days stay, the rest is the rest.

    The used days are rounded as a gross and split by the rate of the day of payment, so that what stays is a proper
    invoice of its own; what goes back is never rounded itself.
    """
    used_vnd = half_up(left.gross_vnd * used_days(period, today), period.days) if period.days else 0
    back_vnd = left.gross_vnd - used_vnd
    net_vnd = left.net_vnd - split(used_vnd, vat_class, paid_on).net_vnd
    # An allowance may have left net and VAT a đồng beside the rate: neither goes back beyond what is left of it.
    net_vnd = min(max(net_vnd, back_vnd - left.vat_vnd, 0), left.net_vnd, back_vnd)
    return Amount(net_vnd, back_vnd - net_vnd)


def ended(period: Span, today: date) -> Span:
    """The period cut after today; one that has not begun becomes empty."""
    return Span(period.start, min(max(period.start, today + timedelta(days=1)), period.until))
