"""How much may be held unpaid, and for how long: the strangers' rule for stock.

Who paid here before counts for themselves. Others hold one order at a time, and for a shorter while where many of
their network hold. Whoever let go twice of late counts as a newcomer again, hurries, and gives others their turn
between two holds: never nothing. So do the newcomers of a network of whom one let the very package go, since a new
account costs nothing. A payment under way outlives every hold.
"""

from datetime import datetime, timedelta
from math import ceil
from typing import Literal

import msgspec

from shared.errors import Refused


class HeldUnpaid(Refused):
    """The buyer holds as much unpaid as one may: pay it, cancel it, or wait until it is free again."""


class LetGo(Refused):
    """The buyer, or a newcomer of the same network, let it go unpaid of late: others have their turn first."""


class Limits(msgspec.Struct, frozen=True):
    """How many a buyer may hold unpaid, and for how many seconds: known, the first time, in haste; and the pause."""

    known: int
    first: int
    known_s: int
    first_s: int
    haste_s: int
    pause_s: int


TICKETS = Limits(known=40, first=10, known_s=15 * 60, first_s=15 * 60, haste_s=5 * 60, pause_s=5 * 60)
"""Five minutes reach the payment page and back; from there on the payment holds the tickets."""
# A company's transfer takes hours, and its first instalment is large; who has paid before is given the day.
PACKAGES = Limits(known=3, first=1, known_s=24 * 3600, first_s=4 * 3600, haste_s=15 * 60, pause_s=3600)
LAPSES = 2
"""So many unpaid orders let go of late, run out or given back, make the next holds short and apart."""
LATELY = timedelta(days=1)

Thing = Literal["ticket", "package"]
LIMITS: dict[Thing, Limits] = {"ticket": TICKETS, "package": PACKAGES}


class Record(msgspec.Struct, frozen=True):
    """What is known of a buyer: whether one paid before, what is held unpaid now, orders let go of late."""

    paid: bool = False
    held: int = 0
    lapsed: int = 0
    lapsed_at: datetime | None = None
    """When the last of them was free again."""

    @property
    def hasty(self) -> bool:
        return self.lapsed >= LAPSES

    @property
    def known(self) -> bool:
        """Whether the buyer counts alone, not with the newcomers of the network."""
        return self.paid and not self.hasty


def hold_s(
    thing: Thing,
    seen: Record,
    quantity: int,
    now: datetime,
    *,
    crowded: bool,
    let_go_at: datetime | None = None,
) -> int:
    """For how many seconds a buyer may hold so many more. Raises HeldUnpaid, LetGo.

    `crowded`: newcomers of the same network hold so much that the next ones have to hurry. `let_go_at`: when one of
    them last let this very thing go of late.
    """
    limits = LIMITS[thing]
    most = limits.known if seen.known else limits.first
    if seen.held + quantity > most:
        raise HeldUnpaid(
            f"You hold {seen.held} unpaid and may hold {most}: pay them, or wait until they are free again. "
            "Nothing was charged.",
            held=seen.held,
            most=most,
        )
    if seen.known:
        return limits.known_s
    if seen.hasty and (wait_s := _wait_s(seen.lapsed_at, limits, now)):
        raise LetGo(
            f"You let {seen.lapsed} unpaid orders go of late: ask again in {-(-wait_s // 60)} minutes. "
            "Nothing was charged.",
            retry_after_s=wait_s,
        )
    if wait_s := _wait_s(let_go_at, limits, now):
        raise LetGo(
            "Somebody new of your network let this go unpaid of late, and others have their turn first: "
            f"ask again in {-(-wait_s // 60)} minutes. Nothing was charged.",
            retry_after_s=wait_s,
        )
    return limits.haste_s if crowded or seen.hasty or let_go_at is not None else limits.first_s


def _wait_s(since: datetime | None, limits: Limits, now: datetime) -> int:
    """How long others still have their turn, in whole seconds."""
    return 0 if since is None else max(0, ceil((since - now).total_seconds() + limits.pause_s))
