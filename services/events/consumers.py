"""Facts that events obeys: what payments says of its sales, persons to forget."""

from services.events.actions import registrations
from services.events.actions.instalments import INSTALMENT
from services.events.actions.registrations import REGISTRATION
from services.events.actions.sponsorships import SPONSORSHIP
from shared import selling
from shared.consume import Consumer
from shared.contracts.accounts import PersonErased
from shared.db import Tx

consumer = Consumer("events")
KINDS = selling.listen(consumer, REGISTRATION, SPONSORSHIP, INSTALMENT)


@consumer.on
async def erase_person(fact: PersonErased, tx: Tx) -> None:
    await registrations.erase_person(tx, fact.person)
