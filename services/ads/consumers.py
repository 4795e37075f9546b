"""Facts that ads acts on: money that came, and invoices on which none can come any more."""

from services.ads.actions import orders
from shared.consume import Consumer
from shared.contracts.payments import InvoiceClosed, PaymentCaptured
from shared.db import Tx

consumer = Consumer("ads")


@consumer.on
async def start_paid_order(fact: PaymentCaptured, tx: Tx) -> None:
    await orders.take_payment(tx, fact)


@consumer.on
async def end_unpaid_order(fact: InvoiceClosed, tx: Tx) -> None:
    await orders.close_invoice(tx, fact)
