"""Captures: money that came, applied to its invoice or laid in suspense; never counted twice."""

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.actions.invoices import closed, invoice_of
from services.payments.actions.refunds import refund_what_is_owed
from services.payments.rules import invoices as rules
from services.payments.tables import AttemptRow, CaptureRow, CreditRow, InvoiceRow, RefundRow, SettlementRow
from shared import clock
from shared.contracts.base import CreditedLine
from shared.contracts.payments import MoneyUnapplied, PaymentCaptured, SettlementReceived
from shared.db import Tx
from shared.money import half_up
from shared.outbox import emit


async def capture(
    tx: Tx, invoice: InvoiceRow, attempt: AttemptRow, gateway_no: str, paid_at: datetime
) -> CaptureRow:
    """Book the money of a locked attempt: it pays the locked invoice, or, where that is closed, lies in suspense."""
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
        refunding_vnd=0,
    )
    tx.add(row)
    await tx.flush()
    if reason:
        await emit(tx, _unapplied(row))
    else:
        await emit(tx, await _captured(tx, invoice, row), closed(invoice, "paid"))
        await refund_what_is_owed(tx, invoice)
    return row


def _unapplied(row: CaptureRow) -> MoneyUnapplied:
    return MoneyUnapplied(
        agency=row.agency,
        payment=row.id,
        rail=row.rail,  # type: ignore[arg-type]
        amount_vnd=row.amount_vnd,
        reason=row.reason,
        captured_at=row.captured_at,
        invoice=row.invoice,
    )


async def _captured(tx: Tx, invoice: InvoiceRow, row: CaptureRow) -> PaymentCaptured:
    seen = invoice_of(invoice)
    taken: dict[UUID, int] = {}
    # A credit that came while the attempt was under way is refunded whole, so it takes nothing off the lines here.
    if row.amount_vnd != seen.total_vnd:
        credited = await tx.scalars(sa.select(CreditRow.lines).where(CreditRow.invoice == invoice.id))
        for part in (p for lines in credited for p in msgspec.convert(lines, list[CreditedLine])):
            taken[part.line] = taken.get(part.line, 0) + part.net_vnd + part.vat_vnd
    return PaymentCaptured(
        agency=row.agency,
        payment=row.id,
        invoice=invoice.id,
        rail=row.rail,  # type: ignore[arg-type]
        collect=seen.collect,
        amount_vnd=row.amount_vnd,
        captured_at=row.captured_at,
        lines=rules.allocated(seen.lines, row.amount_vnd, taken),
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
