"""What a sponsorship is made of, when its parts are due, and in which state it is."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from itertools import accumulate
from typing import Annotated, Literal

import msgspec

from services.events.rules.stock import VAT_CLASS
from shared import money
from shared.errors import Unprocessable

State = Literal["draft", "proposed", "accepted", "contracted", "fulfilling", "fulfilled", "cancelled"]

OPEN_DAYS_BEFORE = 21
"""A later instalment is asked for three weeks before it is due, or on the event's day where that comes first."""

REMINDERS = (-7, 0, 7, 14)
"""Days after the due day (before, where negative) on which an unpaid instalment is brought to mind."""

Title = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]


class InstalmentTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A share of the price in percent, due so many days before the event; the first is due at once."""

    title: Title
    share: Annotated[int, msgspec.Meta(ge=1, le=100)]
    days_before: Annotated[int, msgspec.Meta(ge=-90, le=365)] = 0


class DeliverableTerms(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the agency owes the sponsor, so many days before the event (after it, where negative)."""

    title: Title
    days_before: Annotated[int, msgspec.Meta(ge=-90, le=365)] = 0


class Terms(msgspec.Struct, frozen=True, kw_only=True):
    """A package as the sponsor accepts it."""

    title: str
    tier: str
    price_vnd: int
    exclusive: bool
    benefits: list[str]
    instalments: list[InstalmentTerms]
    deliverables: list[DeliverableTerms]


class Due(msgspec.Struct, frozen=True):
    """One instalment of the schedule."""

    position: int
    title: str
    due_on: date
    before_vnd: int
    """What the instalments before it come to, VAT included."""
    gross_vnd: int


def check_instalments(instalments: Sequence[InstalmentTerms]) -> None:
    """Raises Unprocessable unless the shares make up the whole price."""
    if sum(part.share for part in instalments) != 100:  # noqa: PLR2004
        raise Unprocessable("The shares of the instalments must make 100 percent.")


def schedule(terms: Terms, event_day: date, today: date) -> list[Due]:
    """Split the price, with the VAT of today, into its instalments: the first due today, none due before today.

    They come to what the sponsor was shown, to the đồng, and stay what they are when the rate of VAT changes.
    """
    agreed = money.priced(terms.price_vnd, VAT_CLASS, today)
    parts = money.allocate(agreed.gross_vnd, [part.share for part in terms.instalments])
    before = accumulate([0, *parts[:-1]])
    return [
        Due(
            n,
            part.title,
            today if n == 1 else max(today, event_day - timedelta(days=part.days_before)),
            before_vnd,
            gross_vnd,
        )
        for n, (part, gross_vnd, before_vnd) in enumerate(
            zip(terms.instalments, parts, before, strict=True), start=1
        )
    ]


def tax_point(due_on: date, event_day: date, today: date) -> date:
    """The day whose VAT rate an unpaid instalment has, as far as is known today.

    It is that of its money, which is expected when it is due, and at the latest the event's day: then all is delivered.
    """
    return min(max(today, due_on), event_day)


def reminders_due(due_on: date, today: date) -> int:
    """How many reminders an unpaid instalment should have had by today."""
    return sum(today >= due_on + timedelta(days=days) for days in REMINDERS)


def state_of(
    proposed_at: datetime | None,
    accepted_at: datetime | None,
    contracted_at: datetime | None,
    cancelled_at: datetime | None,
    delivered: int,
    deliverables: int,
) -> State:
    """The state that follows from what has happened; none is stored that could disagree with it."""
    if cancelled_at is not None:
        return "cancelled"
    if contracted_at is not None:
        if deliverables and delivered == deliverables:
            return "fulfilled"
        return "fulfilling" if delivered else "contracted"
    if accepted_at is not None:
        return "accepted"
    return "proposed" if proposed_at is not None else "draft"
