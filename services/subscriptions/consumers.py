"""Facts that subscriptions listens to."""

from services.subscriptions.actions.disputes import dispute
from services.subscriptions.actions.periods import PERIOD
from services.subscriptions.actions.subscriptions import forget_person
from shared import selling
from shared.consume import Consumer
from shared.contracts.accounts import PersonErased
from shared.contracts.payments import ChargebackClosed, ChargebackOpened
from shared.db import Tx

consumer = Consumer("subscriptions")
selling.listen(consumer, PERIOD)


@consumer.on
async def suspend_while_disputed(fact: ChargebackOpened | ChargebackClosed, tx: Tx) -> None:
    await dispute(tx, fact)


@consumer.on
async def forget_the_erased(fact: PersonErased, tx: Tx) -> None:
    await forget_person(tx, fact.person)
