"""Facts arriving: what the sellers want paid, no longer want paid, and take back."""

from services.payments.actions import invoices
from shared import clock
from shared.consume import Consumer
from shared.contracts import base
from shared.db import Tx

consumer = Consumer("payments")


@consumer.on
async def open_invoice(fact: base.InvoiceOpened, tx: Tx) -> None:
    await invoices.open_invoice(tx, fact)


@consumer.on
async def withdraw_invoice(fact: base.InvoiceWithdrawn, tx: Tx) -> None:
    await invoices.withdraw_invoice(tx, fact.invoice, clock.now())


@consumer.on
async def credit_invoice(fact: base.CreditGranted, tx: Tx) -> None:
    await invoices.credit_invoice(tx, fact)
