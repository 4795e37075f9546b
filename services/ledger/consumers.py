"""Facts that the ledger books: whole batches, one transaction each."""

from collections.abc import Sequence

from services.ledger.actions import posting
from shared.consume import Consumer
from shared.contracts import base, payments
from shared.db import Tx

consumer = Consumer("ledger")


@consumer.on
async def book(
    facts: Sequence[
        base.InvoiceOpened
        | base.DeliveryRecorded
        | base.DeliveryReversed
        | base.EarningMoved
        | base.OrderSigned
        | base.CreditGranted
        | payments.PaymentCaptured
        | payments.MoneyUnapplied
        | payments.RefundCompleted
        | payments.RefundFailed
        | payments.ChargebackOpened
        | payments.ChargebackClosed
        | payments.SettlementReceived
        | payments.EinvoiceIssued
        | payments.EinvoiceAdjusted
    ],
    tx: Tx,
) -> None:
    await posting.post(tx, facts)
