"""Facts arriving: what the sellers want paid, no longer want paid, take back, and answer to what they were asked."""

from services.payments.actions import captures, invoices
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
    await invoices.withdraw_invoice(tx, fact, clock.now())


@consumer.on
async def credit_invoice(fact: base.CreditGranted, tx: Tx) -> None:
    await invoices.credit_invoice(tx, fact)


@consumer.on
async def take_money(fact: base.MoneyTaken, tx: Tx) -> None:
    await captures.take_money(tx, fact)


@consumer.on
async def decline_money(fact: base.MoneyDeclined, tx: Tx) -> None:
    await captures.decline_money(tx, fact)


@consumer.on
async def refuse_refund(fact: base.RefundRefused, tx: Tx) -> None:
    await invoices.refuse_refund(tx, fact)
