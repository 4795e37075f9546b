"""What every fact carries, and the Structs that several services speak of: lines, buyers, how a line is earned."""

from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec

from shared import clock, money
from shared.contracts.acts import Act

Stream = Literal[
    "advertising.web",
    "advertising.newsletter",
    "advertising.airtime",
    "advertising.content",
    "subscription",
    "article",
    "donation",
    "sponsorship.cash",
    "sponsorship.in_kind",
    "ticket",
    "contest.entry",
    "sms",
    "licence",
    "state_order",
    "imported.print",
    "imported.airtime",
    "imported.other",
    "pass_through",
]
"""Where revenue comes from; `pass_through` is never revenue."""

Collect = Literal["prepaid", "on_terms"]
Rail = Literal["vnpay", "stripe", "vietqr", "cash", "momo", "zalopay", "trial"]
"""By which way money came; `trial` is the sandbox's, where none does."""
VatClass = Literal["exempt", "standard", "telecom"]
Outcome = Literal["paid", "withdrawn", "expired"]
Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
Positive = Annotated[int, msgspec.Meta(gt=0, le=10**15)]
Reference = Annotated[str, msgspec.Meta(max_length=128)]
"""The number under which a rail or a bank knows money, by which its statement is matched; it names no person."""


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="type"):
    """Something that happened. The tag of a subclass is its type and its NATS subject."""

    agency: Code
    id: UUID = msgspec.field(default_factory=clock.new_id)
    occurred_at: datetime = msgspec.field(default_factory=clock.now)
    correlation: str = ""
    """The request or fact that led to this one, carried along for tracing."""

    def __post_init__(self) -> None:
        check_days(self.occurred_at.date())

    @classmethod
    def subject(cls) -> str:
        return str(cls.__struct_config__.tag)

    @classmethod
    def publisher(cls) -> str:
        """Who says it: the first word of the subject, which NATS lets nobody else publish."""
        return cls.subject().split(".", 1)[0]


FIRST, LAST = date(2000, 1, 1), date(2199, 12, 31)
"""No day of business lies outside; what says so cannot be true."""

LONGEST = timedelta(days=3660)
"""What is sold for longer than ten years is sold again before."""


def check_days(*named: date) -> None:
    """Raises ValueError for a day on which nothing here can have happened."""
    for day in named:
        if not FIRST <= day <= LAST:
            raise ValueError(f"{day} is no day of business: it lies before {FIRST} or after {LAST}.")


class Period(msgspec.Struct, frozen=True, tag="period"):
    """Earned evenly by local day, first and last day included; at most ten years."""

    start: date
    end: date

    def __post_init__(self) -> None:
        check_days(self.start, self.end)
        if not timedelta(0) <= self.end - self.start <= LONGEST:
            raise ValueError(
                f"A period from {self.start} to {self.end} ends before it starts, or lasts too long."
            )


class Delivery(msgspec.Struct, frozen=True, tag="delivery"):
    """Earned as the quantity is delivered (impressions, clicks, seconds, deliverables)."""

    unit: Code
    quantity: Positive


class OnDate(msgspec.Struct, frozen=True, tag="date"):
    """Earned whole on one day."""

    on: date

    def __post_init__(self) -> None:
        check_days(self.on)


Earn = Period | Delivery | OnDate


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """One line of an invoice: what was sold, its net price and VAT in đồng, and how it is earned."""

    id: UUID
    agency: Code
    stream: Stream
    product_class: Code
    title: str
    net_vnd: money.Vnd
    vat_class: VatClass
    vat_vnd: money.Vnd
    earn: Earn

    @property
    def gross_vnd(self) -> int:
        return self.net_vnd + self.vat_vnd


class Buyer(msgspec.Struct, frozen=True):
    """Who buys, by opaque id only; names and tax codes stay with the service that took them."""

    kind: Literal["person", "organisation"]
    id: UUID


class PaidLine(msgspec.Struct, frozen=True):
    """A line and the part of a payment that was allocated to it, VAT included."""

    line: Line
    amount_vnd: money.Vnd
    vat_vnd: money.Vnd
    """The VAT inside the amount: by the rate of the day of the money, or, on terms, its share of the invoice's own."""


class CreditedLine(msgspec.Struct, frozen=True):
    """The part of a line that a credit takes back."""

    line: UUID
    net_vnd: money.Vnd
    vat_vnd: money.Vnd


class InvoiceOpened(Fact, frozen=True, kw_only=True):
    """A seller wants to be paid. Of a prepaid invoice nothing reaches the books before the money does.

    Said a second time, on terms, of a prepaid invoice: what it asked for in advance is delivered, unpaid, and owed from
    that day on, which is its tax point. The gross of each line stays. Whoever hears both, in whatever order, keeps the
    second; money that payments captured as prepaid before it heard of it has paid all the same, and stays prepaid.
    """

    invoice: UUID
    number: Code
    buyer: Buyer
    collect: Collect
    due_at: datetime
    expires_at: datetime
    return_url: str
    """Path in the house to which the buyer goes back after paying."""
    tax_point: date | None = None
    """On terms: the day on which its VAT is due and whose rate it has, where that was before it was said."""
    lines: Annotated[tuple[Line, ...], msgspec.Meta(min_length=1, max_length=200)]

    def __post_init__(self) -> None:
        check_days(self.occurred_at.date(), self.tax_point or self.occurred_at.date())

    @property
    def total_vnd(self) -> int:
        return sum(line.gross_vnd for line in self.lines)


class InvoiceWithdrawn(Fact, frozen=True, kw_only=True):
    """The seller no longer wants the invoice paid: a hold ran out or the order was cancelled."""

    invoice: UUID
    reason: Code


class DeliveryRecorded(Fact, frozen=True, kw_only=True):
    """A quantity of a line was delivered on a local day and is earned by that."""

    line: UUID
    quantity: Positive
    on: date

    def __post_init__(self) -> None:
        check_days(self.occurred_at.date(), self.on)


class CreditGranted(Fact, frozen=True, kw_only=True):
    """A seller takes back part of an invoice: revenue, VAT and, where money is owed, a refund."""

    credit: UUID
    invoice: UUID
    reason: Code
    lines: Annotated[tuple[CreditedLine, ...], msgspec.Meta(min_length=1, max_length=200)]
    refund: UUID | None = None
    """The refund that payments asked for, where this answers one."""
    by: UUID | None = None
    """The person whose deed led to it; whoever asked never approves the money."""

    @property
    def gross_vnd(self) -> int:
        return sum(line.net_vnd + line.vat_vnd for line in self.lines)


class MoneyTaken(Fact, frozen=True, kw_only=True):
    """A seller takes money that came late: stock and price still stand, and the stock is held for it again."""

    payment: UUID
    invoice: UUID


class MoneyDeclined(Fact, frozen=True, kw_only=True):
    """A seller does not take money that came late or twice: nothing was sold, and it goes back out of suspense."""

    payment: UUID
    invoice: UUID
    reason: Code
    by: UUID | None = None
    """The person by whose deed the sale was over; they never approve that the money goes."""


class RefundRefused(Fact, frozen=True, kw_only=True):
    """A seller does not take back what payments asked it to: a ticket was used, a flight delivered."""

    refund: UUID
    invoice: UUID
    reason: Code


class EarningMoved(Fact, frozen=True, kw_only=True):
    """The days on which a line is earned are others than its invoice said."""

    line: UUID
    earn: Earn


class OrderSigned(Fact, frozen=True, kw_only=True):
    """A buyer has promised what is not yet invoiced: contracted revenue.

    Of what is said of one order the last holds; without lines nothing is promised any more. A line leaves what is
    promised by its invoice, which names it under the same id.
    """

    order: UUID
    buyer: Buyer
    lines: Annotated[tuple[Line, ...], msgspec.Meta(max_length=200)]


class DeliveryReversed(Fact, frozen=True, kw_only=True):
    """A quantity that was recorded as delivered on a local day was none after all."""

    line: UUID
    quantity: Positive
    on: date
    reason: Code

    def __post_init__(self) -> None:
        check_days(self.occurred_at.date(), self.on)


class ActRecorded(Fact, frozen=True, kw_only=True):
    """A person did something that the audit trail of their agency keeps; accounts chains it."""

    actor: UUID
    act: Act
    """Each publisher narrows it to its own."""
    about: UUID | None = None
    before: dict[str, Any] = {}
    """How it stood, where the act changed something."""
    details: dict[str, Any] = {}
    """How it stands since, and what else belongs to the act."""


class MessageRequested(Fact, frozen=True, kw_only=True):
    """A service asks accounts to tell a person something; the parameters hold no personal data."""

    person: UUID
    template: Code
    """Begins with the name of who says it: nobody writes another's letters, and none those of accounts."""
    params: dict[str, Any]

    def __post_init__(self) -> None:
        if not self.template.startswith(f"{self.publisher()}."):
            raise ValueError(f"{self.publisher()} has no letter {self.template!r}.")
