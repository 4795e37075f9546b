"""Captures: money that came, applied to its invoice, or laid in suspense and offered; never counted twice."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.actions.invoices import closed, invoice_of, theirs
from services.payments.actions.refunds import capture_of, refund_what_is_owed, return_declined
from services.payments.actions.telling import buyer_of, tell_payer
from services.payments.rules import captures as money
from services.payments.rules import invoices as rules
from services.payments.tables import AttemptRow, CaptureRow, CreditRow, InvoiceRow, RefundRow, SettlementRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import CreditedLine, MoneyDeclined, MoneyTaken
from shared.contracts.payments import InvoiceClosed, MoneyUnapplied, PaymentCaptured, SettlementReceived
from shared.db import Tx, locked
from shared.money import half_up
from shared.outbox import emit


async def capture(
    tx: Tx, invoice: InvoiceRow, attempt: AttemptRow, gateway_no: str, paid_at: datetime
) -> CaptureRow:
    """Book the money of a locked attempt: it pays the locked invoice, or, where that is closed, lies in suspense.

    There it is offered to who opened the invoice, and nobody else touches it for now.
    """
    reason = {None: "", "paid": "already-paid"}.get(invoice.outcome, "invoice-closed")
    row = CaptureRow(
        id=clock.new_id(),
        agency=invoice.agency,
        invoice=invoice.id,
        attempt=attempt.id,
        rail=attempt.rail,
        gateway_no=gateway_no,
        bank=attempt.bank,
        amount_vnd=attempt.amount_vnd,
        captured_at=paid_at,
        recorded_at=clock.now(),
        applied=not reason,
        reason=reason,
        offered_to=invoice.seller if reason else "",
        answer_reason="",
        refunding_vnd=0,
    )
    tx.add(row)
    await tx.flush()
    if reason:
        await emit(tx, _unapplied(invoice, row))
        await tell_payer(tx, invoice, "late", row.amount_vnd)
    else:
        await _apply(tx, invoice, row, paid_at)
    return row


async def _apply(tx: Tx, invoice: InvoiceRow, row: CaptureRow, paid_at: datetime) -> None:
    """Let money pay its locked invoice at this moment, whose day says how much of it is VAT."""
    await emit(tx, await _captured(tx, invoice, row, paid_at), closed(invoice, "paid"))
    await refund_what_is_owed(tx, invoice)


async def take_money(tx: Tx, fact: MoneyTaken) -> None:
    """The seller takes late money: it pays the invoice now. Of what had gone back by then the seller hears so.

    Raises Waits, NotTheirs, NotOffered, or AlreadyPaid for an invoice that other money has paid.
    """
    invoice, row = await _offered(tx, fact)
    answer = money.answered(capture_of(row), "taken")
    if answer is None:
        return
    if answer == "taken":
        rules.require_revivable(invoice_of(invoice))
    now = clock.now()
    row.answer, row.answered_at = answer, now
    if answer == "too-late":
        returned = InvoiceClosed(
            agency=invoice.agency, invoice=invoice.id, outcome="returned", seller=invoice.seller
        )
        await emit(tx, returned)
        return
    row.applied = True
    await tell_payer(tx, invoice, "taken", row.amount_vnd)
    await _apply(tx, invoice, row, now)


async def decline_money(tx: Tx, fact: MoneyDeclined) -> None:
    """The seller does not want late money: nothing was sold, and it goes back. Raises Waits, NotTheirs, NotOffered."""
    invoice, row = await _offered(tx, fact)
    if money.answered(capture_of(row), "declined") is None:
        return
    row.answer, row.answered_at, row.answer_reason = "declined", clock.now(), fact.reason
    row.answered_by = fact.by
    await tell_payer(tx, invoice, "declined", row.amount_vnd)
    await return_declined(tx, invoice, row)


async def _offered(tx: Tx, fact: MoneyTaken | MoneyDeclined) -> tuple[InvoiceRow, CaptureRow]:
    """Lock the seller's invoice and the money that came for it."""
    invoice = await theirs(tx, fact, fact.invoice)
    row: CaptureRow | None = await locked(tx, CaptureRow, fact.payment)
    if row is None or row.invoice != invoice.id:
        raise rules.NotTheirs(f"No payment {fact.payment} came for invoice {invoice.number}.")
    return invoice, row


def _unapplied(invoice: InvoiceRow, row: CaptureRow) -> MoneyUnapplied:
    return MoneyUnapplied(
        agency=row.agency,
        payment=row.id,
        rail=row.rail,  # type: ignore[arg-type]
        amount_vnd=row.amount_vnd,
        reason=row.reason,
        captured_at=row.captured_at,
        invoice=row.invoice,
        offered_to=row.offered_to,
        buyer=buyer_of(invoice),
        reference=row.gateway_no,
    )


async def _captured(tx: Tx, invoice: InvoiceRow, row: CaptureRow, paid_at: datetime) -> PaymentCaptured:
    seen = invoice_of(invoice)
    lines = rules.split_on(seen, local_day(paid_at))
    invoice.lines = msgspec.to_builtins(lines)
    taken: dict[UUID, int] = {}
    # What comes whole pays the lines whole: a credit that came while the attempt was under way goes back.
    if row.amount_vnd != seen.total_vnd:
        credited = await tx.scalars(sa.select(CreditRow.lines).where(CreditRow.invoice == invoice.id))
        for part in (p for lines in credited for p in msgspec.convert(lines, list[CreditedLine])):
            taken[part.line] = taken.get(part.line, 0) + part.net_vnd + part.vat_vnd
    return PaymentCaptured(
        agency=row.agency,
        payment=row.id,
        invoice=invoice.id,
        seller=invoice.seller,
        rail=row.rail,  # type: ignore[arg-type]
        collect=seen.collect,
        amount_vnd=row.amount_vnd,
        captured_at=paid_at,
        lines=rules.allocated(lines, row.amount_vnd, taken),
        from_suspense=bool(row.reason),
        buyer=buyer_of(invoice),
        reference=row.gateway_no,
    )


async def receive_settlement(
    tx: Tx, agency: str, taken: Sequence[CaptureRow], returned: Sequence[RefundRow], fee_permille: int
) -> SettlementRow:
    """Book a payout of VNPay: what it took, less what it sent back, less its fee on what it took.

    Gross = fee + net. The fee is in tenths of a percent.
    """
    taken_vnd = sum(row.amount_vnd for row in taken)
    gross_vnd = taken_vnd - sum(row.amount_vnd for row in returned)
    fee_vnd = half_up(taken_vnd * fee_permille, 1000)
    settlement = SettlementRow(
        id=clock.new_id(),
        agency=agency,
        rail="vnpay",
        gross_vnd=gross_vnd,
        fee_vnd=fee_vnd,
        net_vnd=gross_vnd - fee_vnd,
        received_at=clock.now(),
    )
    tx.add(settlement)
    await tx.flush()
    for capture_ in taken:
        capture_.settlement = settlement.id
    for refund in returned:
        refund.settlement = settlement.id
    said = SettlementReceived(
        agency=agency,
        settlement=settlement.id,
        rail="vnpay",
        gross_vnd=gross_vnd,
        fee_vnd=fee_vnd,
        net_vnd=gross_vnd - fee_vnd,
        captures=tuple(row.id for row in taken),
    )
    await emit(tx, said)
    return settlement
