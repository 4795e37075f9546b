"""Facts that accounts hears: services asking it to tell somebody something."""

from collections.abc import Sequence

from services.accounts.actions import messages
from shared.consume import Consumer
from shared.contracts import base
from shared.db import Tx

consumer = Consumer("accounts")


@consumer.on
async def queue_messages(facts: Sequence[base.MessageRequested], tx: Tx) -> None:
    await messages.queue_requested(tx, facts)
