"""Facts that subscriptions listens to."""

from collections.abc import Sequence

from services.subscriptions.actions import collecting
from shared.consume import Consumer
from shared.contracts.accounts import PersonErased
from shared.contracts.payments import ChargebackClosed, ChargebackOpened, InvoiceClosed, PaymentCaptured
from shared.db import Tx

consumer = Consumer("subscriptions")


@consumer.on
async def grant_what_was_paid(fact: PaymentCaptured, tx: Tx) -> None:
    await collecting.start_period(tx, fact)


@consumer.on
async def end_the_wait(facts: Sequence[InvoiceClosed], tx: Tx) -> None:
    await collecting.close_invoices(tx, facts)


@consumer.on
async def suspend_while_disputed(fact: ChargebackOpened | ChargebackClosed, tx: Tx) -> None:
    await collecting.dispute(tx, fact)


@consumer.on
async def forget_the_erased(fact: PersonErased, tx: Tx) -> None:
    await collecting.forget_person(tx, fact.person)
