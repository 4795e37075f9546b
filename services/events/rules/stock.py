"""When something may be sold, by which class of VAT, and how a sale of it stands."""

from datetime import date, datetime
from typing import Literal
from uuid import UUID

from shared.contracts.base import Line, OnDate, Stream, VatClass
from shared.errors import Refused
from shared.money import Amount


class SoldOut(Refused):
    """Nothing, or too little, is left of what was asked for."""


class IndustryTaken(Refused):
    """Another sponsor of the event has this industry to itself, or is in it already."""


class SalesClosed(Refused):
    """The event's sale is over."""


class Cancelled(Refused):
    """What this was for is cancelled: its buyer gave it back, or its money goes back."""


VAT_CLASS: VatClass = "standard"
"""Sponsorship with benefits is advertising, and tickets are services: both at the standard rate."""

Standing = Literal["waiting", "ending", "taken", "paid", "cancelled", "refunded"]
"""How a sale stands: `ending` is over and waits for payments to say so, `taken` waits for its late money's capture."""


def check_open(title: str, sales_end_at: datetime, now: datetime) -> None:
    """Raises SalesClosed from the end of sales on."""
    if now >= sales_end_at:
        raise SalesClosed(f"The sale for {title} is over.")


def line(key: UUID, agency: str, stream: Stream, title: str, cost: Amount, event_day: date) -> Line:
    """A line that is earned whole on the day of the event."""
    return Line(
        id=key,
        agency=agency,
        stream=stream,
        product_class=stream.split(".", maxsplit=1)[0],
        title=title,
        net_vnd=cost.net_vnd,
        vat_class=VAT_CLASS,
        vat_vnd=cost.vat_vnd,
        earn=OnDate(event_day),
    )


def standing(*, returned: bool, paid: bool, taken: bool, over: bool, withdrawn: bool) -> Standing:
    """What became of a sale: whether all was given back, all was paid, late money taken, payments closed it."""
    if returned:
        return "refunded" if paid else "cancelled"
    if paid:
        return "paid"
    if taken:
        return "taken"
    if over:
        return "cancelled"
    return "ending" if withdrawn else "waiting"
