"""When a subscription's periods begin and end, and what a part of one is worth: half-open local dates, exact đồng."""

from datetime import date, timedelta

import msgspec

from services.subscriptions.rules.catalogue import Term
from shared.calendar import add_months
from shared.contracts.base import VatClass
from shared.money import Amount, half_up, priced

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


def boundary(anchor: date, term: Term, n: int) -> date:
    """The start of period n, reckoned from the anchor each time: 31 Jan, 28 Feb, 31 Mar, and never 28 Mar."""
    if term.unit == "month":
        return add_months(anchor, term.count * n)
    return anchor + timedelta(days=term.count * n)


def span(anchor: date, term: Term, n: int) -> Span:
    """Period n; it ends where period n + 1 begins."""
    return Span(boundary(anchor, term, n), boundary(anchor, term, n + 1))


def used_days(period: Span, today: date) -> int:
    """Days of a period that are gone, today included: a day that has begun is used."""
    return min(max((today - period.start).days + 1, 0), period.days)


def unearned(charged: Amount, vat_class: VatClass, tax_point: date, period: Span, today: date) -> Amount:
    """What goes back when a period ends today: charged less the rounded used part, net and VAT each.

    The used part is rounded as a line and taxed as one, so that what stays is a proper invoice of its own.
    """
    used_net = half_up(charged.net_vnd * used_days(period, today), period.days)
    used = priced(used_net, vat_class, tax_point)
    vat = charged.vat_vnd if used_net == 0 else charged.vat_vnd - used.vat_vnd
    return Amount(charged.net_vnd - used.net_vnd, max(vat, 0))


def ended(period: Span, today: date) -> Span:
    """The period cut after today; one that has not begun becomes empty."""
    return Span(period.start, min(max(period.start, today + timedelta(days=1)), period.until))
