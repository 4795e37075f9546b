"""Facts that payments publishes; it alone touches money rails."""

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

import msgspec

from shared.contracts import acts, base
from shared.contracts.base import Buyer, Code, Collect, Fact, Outcome, PaidLine, Positive, Rail, Reference
from shared.money import Vnd


class InvoiceClosed(Fact, frozen=True, kw_only=True, tag="payments.invoice.closed.v1"):
    """No attempt is open any more; only now may the seller free what it held."""

    invoice: UUID
    outcome: Literal[Outcome, "returned"]
    """`returned`: the late money that its seller took had gone back before, so that nothing holds any more."""
    seller: Code
    """Whose invoice it is: the others need not look for it."""


class PaymentCaptured(Fact, frozen=True, kw_only=True, tag="payments.payment.captured.v1"):
    """Money came for an invoice. The lines are repeated so that posting waits for no other stream."""

    payment: UUID
    invoice: UUID
    rail: Rail
    collect: Collect
    amount_vnd: Positive
    captured_at: datetime
    """When the money paid the invoice: the bank's own moment, or when its seller took it out of suspense."""
    lines: Annotated[tuple[PaidLine, ...], msgspec.Meta(max_length=200)]
    """As sold, split into net and VAT by the rate of the day of the money; each with its part of the payment."""
    seller: Code
    """Whose invoice it is, and whose lines: nobody else has a say in them, here or in the books."""
    from_suspense: bool = False
    """Whether the money came before, and lay in suspense until its seller took it."""
    buyer: Buyer | None = None
    """Who owed the invoice."""
    reference: Reference = ""


class MoneyUnapplied(Fact, frozen=True, kw_only=True, tag="payments.money.unapplied.v1"):
    """Money that fits no open invoice: it lies in suspense until its seller, a person or a rule decides."""

    payment: UUID
    rail: Rail
    amount_vnd: Positive
    reason: Code
    captured_at: datetime
    invoice: UUID | None = None
    offered_to: str = ""
    """The seller that is to take or decline it; empty where nobody is asked."""
    buyer: Buyer | None = None
    """Who owed the invoice for which it came, where one is known."""
    reference: Reference = ""


class RefundAsked(Fact, frozen=True, kw_only=True, tag="payments.refund.asked.v1"):
    """Somebody at the desk wants part or all of a payment to go back, approved already where two must agree.

    The seller cancels and answers with a credit, or refuses.
    """

    refund: UUID
    payment: UUID
    invoice: UUID
    amount_vnd: Positive
    reason: str
    by: UUID | None
    seller: Code
    """Whose invoice it is: the others need not look for it."""


class RefundCompleted(Fact, frozen=True, kw_only=True, tag="payments.refund.completed.v1"):
    """Cash went back to the buyer."""

    refund: UUID
    payment: UUID
    invoice: UUID | None
    rail: Rail
    amount_vnd: Positive
    credit: UUID | None = None
    buyer: Buyer | None = None
    """Who owed the invoice for which the money had come."""
    reference: Reference = ""
    """The number in the rail's answer to the refund; empty where people found out that it went."""


class RefundFailed(Fact, frozen=True, kw_only=True, tag="payments.refund.failed.v1"):
    """The rail refused to send cash back; it is still owed."""

    refund: UUID
    payment: UUID
    rail: Rail
    amount_vnd: Positive
    reason: Code


class ChargebackOpened(Fact, frozen=True, kw_only=True, tag="payments.chargeback.opened.v1"):
    """A card holder disputes a payment: access is suspended, the cash is disputed."""

    chargeback: UUID
    payment: UUID
    invoice: UUID
    amount_vnd: Positive


class ChargebackClosed(Fact, frozen=True, kw_only=True, tag="payments.chargeback.closed.v1"):
    chargeback: UUID
    payment: UUID
    invoice: UUID
    outcome: Literal["won", "lost"]
    amount_vnd: Positive


class SettlementReceived(Fact, frozen=True, kw_only=True, tag="payments.settlement.received.v1"):
    """A rail paid out to the bank: gross = fee + net."""

    settlement: UUID
    rail: Rail
    gross_vnd: Vnd
    fee_vnd: Vnd
    net_vnd: Vnd
    captures: tuple[UUID, ...]
    reference: Reference = ""
    """The bank's or the rail's number of the payout, where one is known."""


class EinvoiceIssued(Fact, frozen=True, kw_only=True, tag="payments.einvoice.issued.v1"):
    """The legal invoice: numbered without gaps per agency, form, symbol and year."""

    invoice: UUID
    form: Code
    symbol: Code
    number: Positive
    issued_at: datetime


class EinvoiceAdjusted(Fact, frozen=True, kw_only=True, tag="payments.einvoice.adjusted.v1"):
    invoice: UUID
    form: Code
    symbol: Code
    number: Positive
    adjusts: Positive
    issued_at: datetime


class MessageRequested(base.MessageRequested, frozen=True, kw_only=True, tag="payments.message.requested.v1"):
    pass


class ActRecorded(base.ActRecorded, frozen=True, kw_only=True, tag="payments.act.recorded.v1"):
    act: acts.Payments
