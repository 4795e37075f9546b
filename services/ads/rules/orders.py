"""Booking: what may be ordered, what it costs, and how an order stands, derived from what happened to it."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Literal
from urllib.parse import urlsplit

import msgspec

from shared.calendar import local_day
from shared.contracts.base import VatClass
from shared.errors import Refused
from shared.money import Amount, half_up, share

MAX_AHEAD = timedelta(days=730)
MAX_FLIGHT = timedelta(days=366)
HOLD = timedelta(days=7)
"""How long an approved order waits for its money."""

PER = 1000
"""Impressions of a CPM price."""

VAT_CLASS: VatClass = "standard"

Status = Literal[
    "draft", "review", "refused", "payment", "expired", "scheduled", "live", "paused", "finished", "cancelled"
]


Judgement = Literal["waiting", "approved", "refused", "stopped"]
"""How a creative stands."""

Pricing = Literal["cpm"]


class NoSuchPlacement(Refused, status=422):
    """The agency does not sell that placement."""


class BadFlight(Refused, status=422):
    """The days of the flight cannot be sold."""


class BadTarget(Refused, status=422):
    """The line targets what no page of the agency has."""


class BudgetTooSmall(Refused, status=422):
    """The budget buys no impression, or less than an order is worth."""


class BadClickUrl(Refused, status=422):
    """The click address is not one that readers can be sent to."""


class NotSubmittable(Refused):
    """The order cannot go to review as it is."""


class NotCancellable(Refused):
    """The order is over already."""


class OrderCancelled(Refused):
    """The order was cancelled before its money came."""


class FlightOver(Refused):
    """The money came when a line's flight was over."""


class AlreadyShown(Refused):
    """More is to go back than was not yet shown."""


class AlreadyReviewed(Refused):
    """Somebody decided on this creative before."""


class Rate(msgspec.Struct, frozen=True):
    placement: str
    width: int
    height: int
    sections: tuple[str, ...]
    price_vnd: int


class Wish(msgspec.Struct, frozen=True):
    """A line item as it was asked for."""

    placements: tuple[str, ...]
    sections: tuple[str, ...]
    starts_on: date
    ends_on: date
    budget_vnd: int


class Offer(msgspec.Struct, frozen=True):
    """The same with its price: `goal` impressions for `net_vnd`, never more than the budget."""

    price_vnd: int
    goal: int
    net_vnd: int


def price(wish: Wish, rates: dict[str, Rate], today: date) -> Offer:
    """What a CPM line costs. Where its placements differ in price the dearest one's price holds.

    Raises NoSuchPlacement, BadFlight, BadTarget, BudgetTooSmall.
    """
    for code in wish.placements:
        if code not in rates:
            raise NoSuchPlacement(
                f"There is no placement {code} with a rate; see GET /placements.", field="placement"
            )
    if wish.starts_on < today:
        raise BadFlight(f"The flight starts on {wish.starts_on}, which is past.", field="starts_on")
    if wish.ends_on < wish.starts_on:
        raise BadFlight(f"The flight ends on {wish.ends_on}, before it starts.", field="ends_on")
    if wish.ends_on - wish.starts_on > MAX_FLIGHT or wish.ends_on - today > MAX_AHEAD:
        raise BadFlight("A flight lasts at most a year and ends within two.", field="ends_on")
    known = {section for code in wish.placements for section in rates[code].sections}
    for section in wish.sections:
        if section not in known:
            raise BadTarget(f"No page with these placements is in the section {section}.", field="sections")
    cpm = max(rates[code].price_vnd for code in wish.placements)
    goal = wish.budget_vnd * PER // cpm
    if goal < PER:
        raise BudgetTooSmall(f"The least line is 1,000 impressions, here {cpm:,} đồng.", field="budget_vnd")
    return Offer(cpm, goal, min(wish.budget_vnd, half_up(goal * cpm, PER)))


def checked_click_url(url: str) -> str:
    """A click address, as given. Raises BadClickUrl for anything but plain http(s) to a host."""
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        parts, host = urlsplit(""), ""
    plain = url.isprintable() and " " not in url and "\\" not in url and len(url) <= 2000  # noqa: PLR2004
    if not plain or parts.scheme not in ("http", "https") or "." not in host or parts.username is not None:
        raise BadClickUrl(
            "The click address must be http:// or https:// with a host name, without a password.",
            field="click_url",
        )
    return url


REFUSING = "refuse"
"""In the sandbox, an order with this word in its name is refused, so that a program can try that too."""

PLAYED_REASON = f"The sandbox refuses an order with `{REFUSING}` in its name, and approves every other."
PLAYED_STEPS = 10


def played_verdict(name: str) -> Literal["approved", "refused"]:
    """What the sandbox's reviewer says of an order's creatives."""
    return "refused" if REFUSING in name.lower() else "approved"


def played_delivery(goal: int, counted: int) -> int:
    """How many impressions the sandbox's readers see at a time: a tenth of the goal, until it is reached."""
    return min(-(-goal // PLAYED_STEPS), goal - counted)


class Flight(msgspec.Struct, frozen=True):
    """What the status asks of a line."""

    starts_on: date
    ends_on: date
    goal: int
    impressions: int


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What happened to an order."""

    submitted_at: datetime | None = None
    invoiced: bool = False
    payable: bool = False
    """Its invoice may still be paid, or its late money was taken and is on the way."""
    paid_at: datetime | None = None
    cancelled_at: datetime | None = None
    covered: bool = False
    """Each line has an approved creative for each of its sizes."""
    refused: bool = False
    """A size lacks a creative that is approved or waits, and one for it was refused."""
    flights: tuple[Flight, ...] = ()


def status_of(order: Order, now: datetime) -> Status:
    """How an order stands; everything but these moments is derived."""
    if order.cancelled_at:
        return "cancelled"
    if order.paid_at:
        return _running(order, now)
    if order.invoiced:
        return "payment" if order.payable else "expired"
    if order.refused:
        return "refused"
    return "review" if order.submitted_at else "draft"


def _running(order: Order, now: datetime) -> Status:
    today = local_day(now)
    left = [f for f in order.flights if f.ends_on >= today and f.impressions < f.goal]
    if not left:
        return "finished"
    if all(f.starts_on > today for f in left):
        return "scheduled"
    return "live" if order.covered else "paused"


def missing_sizes(
    placements: Sequence[str], sizes: dict[str, tuple[int, int]], have: set[tuple[int, int]]
) -> list[str]:
    """Sizes that a line's placements have and the creatives at hand have not, as `300x250`."""
    wanted = {sizes[code] for code in placements if code in sizes}
    return [f"{width}x{height}" for width, height in sorted(wanted - have)]


def undelivered(left: Amount, goal: int, impressions: int) -> Amount:
    """What goes back of a line: of its price, as allowances have left it, what showing has not earned; VAT follows.

    Shown in full nothing goes back, not at all everything that is left: no đồng stays behind in either case.
    """
    net_vnd = left.net_vnd - share(left.net_vnd, impressions, goal)
    if net_vnd == left.net_vnd:
        return left
    return Amount(net_vnd, half_up(left.vat_vnd * net_vnd, left.net_vnd))
