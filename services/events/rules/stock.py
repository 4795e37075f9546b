"""When something may be sold, and by which class of VAT."""

from datetime import datetime

from shared.errors import Refused


class SoldOut(Refused):
    """Nothing, or too little, is left of what was asked for."""


class IndustryTaken(Refused):
    """Another sponsor of the event has this industry to itself, or is in it already."""


class SalesClosed(Refused):
    """The event's sale is over."""


class Overpaid(Refused):
    """More money came for an invoice than it asks for: a person has to look."""


VAT_CLASS = "standard"
"""Sponsorship with benefits is advertising, and tickets are services: both at the standard rate."""


def check_open(title: str, sales_end_at: datetime, now: datetime) -> None:
    """Raises SalesClosed from the end of sales on."""
    if now >= sales_end_at:
        raise SalesClosed(f"The sale for {title} is over.")


def paid_after(paid_vnd: int, amount_vnd: int, total_vnd: int) -> int:
    """What is paid of an invoice once more money came. Raises Overpaid beyond its total."""
    if paid_vnd + amount_vnd > total_vnd:
        raise Overpaid(f"{amount_vnd} ₫ more than the {total_vnd - paid_vnd} ₫ that are still open.")
    return paid_vnd + amount_vnd
