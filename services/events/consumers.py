"""Facts that events obeys: money that came, invoices that will not be paid, persons to forget."""

from services.events.actions import registrations, sponsorships
from shared import clock
from shared.consume import Consumer
from shared.contracts.accounts import PersonErased
from shared.contracts.payments import InvoiceClosed, PaymentCaptured
from shared.db import Tx

consumer = Consumer("events")


@consumer.on
async def book_payment(fact: PaymentCaptured, tx: Tx) -> None:
    """Deliver what was paid for. Invoices of other sellers are none of ours."""
    now = clock.now()
    await sponsorships.book_payment(tx, fact, now) or await registrations.book_payment(tx, fact, now)


@consumer.on
async def close_invoice(fact: InvoiceClosed, tx: Tx) -> None:
    """Free what is held for an invoice that nobody can pay any more."""
    if fact.outcome == "paid":
        return
    now = clock.now()
    if not await sponsorships.close_invoice(tx, fact.invoice, fact.outcome, now):
        await registrations.close_invoice(tx, fact.invoice, fact.outcome, now)


@consumer.on
async def erase_person(fact: PersonErased, tx: Tx) -> None:
    await registrations.erase_person(tx, fact.person)
