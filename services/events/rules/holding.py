"""How much may be held unpaid, and for how long: the strangers' rule for stock.

Who paid here before counts for themselves. Others hold one order at a time, and for a shorter while where many of
their network hold, or where they let go twice of late: never nothing. A payment under way outlives every hold.
"""

from typing import Literal

import msgspec

from shared.errors import Refused


class HeldUnpaid(Refused):
    """The buyer holds as much unpaid as one may: pay it, cancel it, or wait until it is free again."""


class Limits(msgspec.Struct, frozen=True):
    """How many a buyer may hold unpaid, and for how many seconds: known, the first time, and in haste."""

    known: int
    first: int
    known_s: int
    first_s: int
    haste_s: int


TICKETS = Limits(known=40, first=10, known_s=15 * 60, first_s=15 * 60, haste_s=5 * 60)
"""Five minutes reach the payment page and back; from there on the payment holds the tickets."""
# A company's transfer takes hours, and its first instalment is large; who has paid before is given the day.
PACKAGES = Limits(known=3, first=1, known_s=24 * 3600, first_s=4 * 3600, haste_s=15 * 60)
LAPSES = 2
"""So many unpaid orders that ran out of late make the next holds of a newcomer short."""

Thing = Literal["ticket", "package"]
LIMITS: dict[Thing, Limits] = {"ticket": TICKETS, "package": PACKAGES}


class Record(msgspec.Struct, frozen=True):
    """What is known of a buyer: whether one paid before, what is held unpaid now, orders that ran out of late."""

    paid: bool = False
    held: int = 0
    lapsed: int = 0


def hold_s(thing: Thing, seen: Record, quantity: int, *, crowded: bool) -> int:
    """For how many seconds a buyer may hold so many more. Raises HeldUnpaid.

    `crowded`: newcomers of the same network hold so much that the next ones have to hurry.
    """
    limits = LIMITS[thing]
    most = limits.known if seen.paid else limits.first
    if seen.held + quantity > most:
        raise HeldUnpaid(
            f"You hold {seen.held} unpaid and may hold {most}: pay them, or wait until they are free again. "
            "Nothing was charged.",
            held=seen.held,
            most=most,
        )
    if seen.paid:
        return limits.known_s
    return limits.haste_s if crowded or seen.lapsed >= LAPSES else limits.first_s
