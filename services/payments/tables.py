"""Rows of payments: invoices as the sellers opened them, attempts, captures, refunds, and every notification raw."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shared import db
from shared.contracts import sandbox

NOW_OPEN = "state = 'open'"
TRIAL_RAIL = f"(rail = 'trial') = ({sandbox.in_sql('agency')})"
"""Money of no kind but the trial's is in a sandbox, and the trial's is nowhere else."""


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class InvoiceRow(Base):
    """A seller's wish to be paid; `outcome` is set when no attempt can bring money any more.

    What is withdrawn or expired becomes paid by late money that its seller takes, and by nothing else.
    """

    __tablename__ = "invoice"
    __table_args__ = (
        sa.CheckConstraint("collect IN ('prepaid', 'on_terms')", name="invoice_collect"),
        sa.CheckConstraint("outcome IN ('paid', 'withdrawn', 'expired')", name="invoice_outcome"),
        sa.CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name="invoice_closed_with_outcome"),
        sa.CheckConstraint("total_vnd > 0", name="invoice_total"),
        sa.Index("invoice_of_buyer", "buyer"),
        # As the one search asks: banks drop the dash.
        sa.Index("invoice_number", sa.text("replace(number, '-', '')")),
        sa.Index("invoice_to_close", "expires_at", postgresql_where=sa.text("outcome IS NULL")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    seller: Mapped[str]
    number: Mapped[str]
    buyer_kind: Mapped[str]
    buyer: Mapped[UUID]
    collect: Mapped[str]
    due_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    return_url: Mapped[str]
    lines: Mapped[list[dict[str, Any]]]
    total_vnd: Mapped[int]
    opened_at: Mapped[datetime]
    withdrawn_at: Mapped[datetime | None]
    outcome: Mapped[str | None]
    closed_at: Mapped[datetime | None]


class CreditRow(Base):
    """What a seller took back of an invoice; money already captured for it is owed back."""

    __tablename__ = "credit"
    __table_args__ = (
        sa.CheckConstraint("amount_vnd >= 0", name="credit_amount"),
        sa.Index("credit_of_invoice", "invoice"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    invoice: Mapped[UUID] = mapped_column(sa.ForeignKey("invoice.id"))
    amount_vnd: Mapped[int]
    lines: Mapped[list[dict[str, Any]]]
    granted_at: Mapped[datetime]
    granted_by: Mapped[UUID | None]
    """The person whose deed led to it, who approves none of its money."""


class AttemptRow(Base):
    """One try at paying an invoice by one rail; never two open at once."""

    __tablename__ = "attempt"
    __table_args__ = (
        sa.CheckConstraint("state IN ('open', 'held', 'paid', 'failed', 'expired')", name="attempt_state"),
        sa.CheckConstraint("amount_vnd > 0", name="attempt_amount"),
        sa.CheckConstraint(TRIAL_RAIL, name="attempt_trial_in_sandbox"),
        sa.Index("attempt_in_flight", "invoice", unique=True, postgresql_where=sa.text(NOW_OPEN)),
        sa.Index("attempt_of_invoice", "invoice"),
        sa.Index("attempt_to_ask", "next_ask_at", postgresql_where=sa.text(NOW_OPEN)),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    invoice: Mapped[UUID] = mapped_column(sa.ForeignKey("invoice.id"))
    rail: Mapped[str]
    state: Mapped[str]
    amount_vnd: Mapped[int]
    terminal: Mapped[str]
    reference: Mapped[str] = mapped_column(unique=True)
    address: Mapped[str]
    language: Mapped[str]
    started_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]
    next_ask_at: Mapped[datetime]
    asks: Mapped[int] = mapped_column(sa.Integer)
    response: Mapped[str]
    """What the gateway said last: its response code, or empty."""
    gateway_no: Mapped[str]
    bank: Mapped[str]
    paid_at: Mapped[datetime | None]
    """When the money moved, by the bank's own word: the day that counts, also where a person takes it days later."""
    decided_by: Mapped[UUID | None]
    """Who agreed to what was proposed about money that the gateway called suspect."""


class CaptureRow(Base):
    """Money that came. What the bank said of it never changes; its seller's answer and what goes back are added."""

    __tablename__ = "capture"
    __table_args__ = (
        sa.UniqueConstraint("rail", "gateway_no", name="capture_once"),
        sa.CheckConstraint("amount_vnd > 0", name="capture_amount"),
        sa.CheckConstraint(TRIAL_RAIL, name="capture_trial_in_sandbox"),
        sa.CheckConstraint("refunding_vnd BETWEEN 0 AND amount_vnd", name="capture_never_over_refunded"),
        sa.CheckConstraint("answer IN ('taken', 'declined', 'too-late')", name="capture_answer"),
        sa.CheckConstraint(
            "applied = (reason = '' OR coalesce(answer = 'taken', false))", name="capture_reason_of_suspense"
        ),
        sa.CheckConstraint("offered_to <> '' OR answer IS NULL", name="capture_answer_to_an_offer"),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="capture_answered"),
        sa.CheckConstraint(
            "answered_by IS NULL OR coalesce(answer = 'declined', false)", name="capture_declined_by"
        ),
        sa.Index("capture_of_invoice", "invoice"),
        sa.Index("capture_of_agency", "agency", "id"),
        sa.Index("capture_to_settle", "agency", postgresql_where=sa.text("settlement IS NULL")),
        sa.Index("capture_in_suspense", "agency", "id", postgresql_where=sa.text("NOT applied")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    invoice: Mapped[UUID | None] = mapped_column(sa.ForeignKey("invoice.id"))
    attempt: Mapped[UUID | None] = mapped_column(sa.ForeignKey("attempt.id"))
    rail: Mapped[str]
    gateway_no: Mapped[str]
    bank: Mapped[str]
    amount_vnd: Mapped[int]
    captured_at: Mapped[datetime]
    recorded_at: Mapped[datetime]
    applied: Mapped[bool]
    reason: Mapped[str]
    """Why the money came to lie in suspense; empty when it paid its invoice at once."""
    offered_to: Mapped[str]
    """The seller that is to take or decline late money; empty where nobody is asked."""
    answer: Mapped[str | None]
    answered_at: Mapped[datetime | None]
    answer_reason: Mapped[str]
    """Why the seller declined."""
    answered_by: Mapped[UUID | None]
    """The person by whose deed it was declined, who approves nothing of it."""
    refunding_vnd: Mapped[int]
    """Sum of what went back, is on its way, or has to: a refund that failed keeps its part until it is renewed."""
    settlement: Mapped[UUID | None] = mapped_column(sa.ForeignKey("settlement.id"))


class RefundRow(Base):
    """Money on its way back; stored before the gateway is asked, with the key that makes asking twice harmless."""

    __tablename__ = "refund"
    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('asked', 'approved', 'due', 'sent', 'unclear', 'completed', 'failed', 'rejected', 'refused', "
            "'dropped')",
            name="refund_state",
        ),
        sa.CheckConstraint("cause IN ('person', 'credit', 'declined')", name="refund_cause"),
        sa.CheckConstraint("cause <> 'credit' OR credit IS NOT NULL", name="refund_of_a_credit"),
        sa.CheckConstraint("amount_vnd > 0", name="refund_amount"),
        sa.CheckConstraint("approved_by <> asked_by", name="refund_two_persons"),
        sa.Index("refund_renewed_once", "renews", unique=True),
        sa.Index("refund_of_asker", "asked_by", "asked_at"),
        sa.Index("refund_of_capture", "capture"),
        sa.Index("refund_to_send", "next_try_at", postgresql_where=sa.text("state IN ('due', 'sent')")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    capture: Mapped[UUID] = mapped_column(sa.ForeignKey("capture.id"))
    cause: Mapped[str]
    credit: Mapped[UUID | None] = mapped_column(sa.ForeignKey("credit.id"))
    """The seller's credit, which began it or answers it; nothing of a sale goes back without one."""
    renews: Mapped[UUID | None] = mapped_column(sa.ForeignKey("refund.id"))
    """The refund that failed or was rejected, and whose part of the payment this one took over."""
    amount_vnd: Mapped[int]
    reason: Mapped[str]
    """What the person wrote who asked."""
    state: Mapped[str]
    request: Mapped[str] = mapped_column(unique=True)
    """The idempotency key towards the gateway: the same in every try."""
    asked_by: Mapped[UUID | None]
    """Nobody where no person's deed led to it."""
    approved_by: Mapped[UUID | None]
    asked_at: Mapped[datetime]
    approved_at: Mapped[datetime | None]
    """Since when its seller has it to answer for."""
    next_try_at: Mapped[datetime]
    tries: Mapped[int] = mapped_column(sa.Integer)
    response: Mapped[str]
    """The gateway's last code, or why the seller refused."""
    gateway_no: Mapped[str]
    ended_at: Mapped[datetime | None]
    settlement: Mapped[UUID | None] = mapped_column(sa.ForeignKey("settlement.id"))


class ProposalRow(Base):
    """What one person proposed about money, and another one agreed to or not; one open at a time about one thing."""

    __tablename__ = "proposal"
    __table_args__ = (
        sa.CheckConstraint("act IN ('held', 'finding', 'rail')", name="proposal_act"),
        sa.CheckConstraint("NOT agreed OR decided_by <> asked_by", name="proposal_two_persons"),
        sa.CheckConstraint("(agreed IS NULL) = (decided_at IS NULL)", name="proposal_decided"),
        sa.CheckConstraint("NOT agreed OR decided_by IS NOT NULL", name="proposal_agreed_by_somebody"),
        sa.Index(
            "proposal_open",
            "agency",
            "act",
            "about",
            unique=True,
            postgresql_where=sa.text("decided_at IS NULL"),
        ),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    act: Mapped[str]
    about: Mapped[str]
    good: Mapped[bool]
    asked_by: Mapped[UUID]
    asked_at: Mapped[datetime]
    decided_by: Mapped[UUID | None]
    """Nobody where what it was about was decided elsewhere meanwhile."""
    decided_at: Mapped[datetime | None]
    agreed: Mapped[bool | None]


class NotificationRow(Base):
    """Each notification of a gateway as it came, and what we answered; append-only where an agency is named.

    Of what came without a good signature the latest stay for a month: strangers must not fill the disk.
    """

    __tablename__ = "notification"
    __table_args__ = (sa.Index("notification_of_agency", "agency", "id"),)

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str | None]
    """None where the sender could not be believed."""
    rail: Mapped[str]
    received_at: Mapped[datetime]
    address: Mapped[str]
    raw: Mapped[str]
    reply: Mapped[str]
    reason: Mapped[str]
    attempt: Mapped[UUID | None]


class SettlementRow(Base):
    """A payout of a rail to the agency's bank account: what came, less what went back, less the rail's fee."""

    __tablename__ = "settlement"
    __table_args__ = (
        sa.CheckConstraint("gross_vnd = fee_vnd + net_vnd", name="settlement_adds_up"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="settlement_real"),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    rail: Mapped[str]
    gross_vnd: Mapped[int]
    fee_vnd: Mapped[int]
    net_vnd: Mapped[int]
    received_at: Mapped[datetime]


class RailRow(Base):
    """A rail that an agency switched on or off; without a row VNPay is on and the others are off."""

    __tablename__ = "rail"

    agency: Mapped[str] = mapped_column(primary_key=True)
    rail: Mapped[str] = mapped_column(primary_key=True)
    switched_on: Mapped[bool]
    changed_by: Mapped[UUID | None]
    changed_at: Mapped[datetime]


class SimTransactionRow(Base):
    """The simulated VNPay's own truth, kept apart so that both books can be compared."""

    __tablename__ = "sim_transaction"
    __table_args__ = (
        sa.CheckConstraint("state IN ('waiting', 'paid', 'suspect', 'failed')", name="sim_transaction_state"),
        sa.CheckConstraint("refunded_vnd BETWEEN 0 AND amount_vnd", name="sim_transaction_refunded"),
        sa.Index("sim_transaction_to_notify", "notify_at", postgresql_where=sa.text("notify_at IS NOT NULL")),
    )

    terminal: Mapped[str] = mapped_column(primary_key=True)
    reference: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(sa.Identity(always=True, start=14_000_000))
    amount_vnd: Mapped[int]
    created: Mapped[str]
    expires_at: Mapped[datetime]
    order_info: Mapped[str]
    return_url: Mapped[str]
    state: Mapped[str]
    response: Mapped[str]
    status: Mapped[str]
    bank: Mapped[str]
    paid_at: Mapped[datetime | None]
    refunded_vnd: Mapped[int]
    notify_at: Mapped[datetime | None]
    """When the next notification goes out; empty once it was acknowledged or given up."""
    notified: Mapped[int] = mapped_column(sa.Integer)
    reply: Mapped[str]


class SimRefundRow(Base):
    """A refund request that the simulated VNPay has handled, so that a repeat is told apart."""

    __tablename__ = "sim_refund"

    request: Mapped[str] = mapped_column(primary_key=True)
    terminal: Mapped[str]
    reference: Mapped[str]
    amount_vnd: Mapped[int]
    handled_at: Mapped[datetime]


class SimBehaviourRow(Base):
    """How the simulated VNPay has been told to misbehave; one row at most."""

    __tablename__ = "sim_behaviour"

    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    told: Mapped[dict[str, Any]]
