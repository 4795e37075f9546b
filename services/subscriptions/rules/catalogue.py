"""What is for sale: grants over agency, section and channel, reader groups, terms, prices that never change."""

from datetime import date
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared import money
from shared.contracts.base import VatClass
from shared.errors import Refused

ReaderGroup = Literal["general", "student", "pensioner", "teacher", "business", "hotel", "overseas", "remote"]
"""For whom a package is; the reader confirms it at the checkout."""

Channel = Literal["article", "epaper", "archive", "tv", "audio"]
Unit = Literal["day", "month"]

ALL_SECTIONS = "*"


class NotOnSale(Refused):
    """The package, or this price of it, is not on sale today."""


class Grant(msgspec.Struct, frozen=True):
    """What a package opens: sections (`*` for all) and channels of one agency."""

    agency: str
    sections: tuple[str, ...] = (ALL_SECTIONS,)
    channels: tuple[Channel, ...] = ("article",)

    def opens(self, agencies: frozenset[str], section: str, channel: Channel = "article") -> bool:
        """Whether this opens a section of an agency, given that agency and all that it absorbed."""
        return (
            self.agency in agencies
            and channel in self.channels
            and (ALL_SECTIONS in self.sections or section in self.sections)
        )


class Term(msgspec.Struct, frozen=True):
    """How long one period is."""

    unit: Unit
    count: Annotated[int, msgspec.Meta(ge=1, le=3660)]

    def __str__(self) -> str:
        """As invoices name it."""
        return f"{self.count} {'tháng' if self.unit == 'month' else 'ngày'}"


class Price(msgspec.Struct, frozen=True):
    """One immutable price version; a new price is a new one beside it."""

    id: UUID
    term: Term
    net_vnd: money.Vnd
    since: date


class VatChoice(msgspec.Struct, frozen=True):
    """From a day on, lines of a product class are of this VAT class."""

    product_class: str
    vat_class: VatClass
    since: date


VAT_UNTIL_TOLD: dict[str, VatClass] = {"digital_news": "exempt"}
"""Publishing newspapers is not subject to VAT; whether online reading counts is for the tax office, so agencies set
it per product class. What nobody has set is taxed: too much can be given back, too little is owed."""


def vat_class_of(choices: list[VatChoice], product_class: str, tax_point: date) -> VatClass:
    """The VAT class in force for a product class on the tax point."""
    told = [c for c in choices if c.product_class == product_class and c.since <= tax_point]
    if told:
        return max(told, key=lambda choice: choice.since).vat_class
    return VAT_UNTIL_TOLD.get(product_class, "standard")


def in_force(prices: list[Price], today: date) -> list[Price]:
    """The newest price of each term, shortest term first; older ones stay with those who bought at them."""
    newest: dict[Term, Price] = {}
    for price in prices:
        held = newest.get(price.term)
        if price.since <= today and (held is None or held.since < price.since):
            newest[price.term] = price
    return sorted(newest.values(), key=lambda price: days_about(price.term))


def days_about(term: Term) -> int:
    """A term's length for comparing: a month counts 30 days."""
    return term.count * (30 if term.unit == "month" else 1)


def check_on_sale(on_sale_from: date, on_sale_until: date | None, today: date) -> None:
    """Raises NotOnSale outside the days of sale (the last day is excluded)."""
    if today < on_sale_from or (on_sale_until is not None and today >= on_sale_until):
        raise NotOnSale("This package is not on sale today. Nothing was charged.")
