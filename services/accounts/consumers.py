"""Facts that accounts hears: what services ask it to tell somebody, what the audit trail keeps, and signed heads."""

from collections.abc import Sequence

from services.accounts.actions import audit, heads, messages
from shared.consume import Consumer
from shared.contracts import base, ledger
from shared.db import Tx

consumer = Consumer("accounts")


@consumer.on
async def queue_messages(facts: Sequence[base.MessageRequested], tx: Tx) -> None:
    await messages.queue_requested(tx, facts)


@consumer.on
async def keep_act(fact: base.ActRecorded, tx: Tx) -> None:
    details = dict(fact.details)
    await audit.note(
        tx,
        agency=fact.agency,
        actor=f"person:{fact.actor}",
        action=fact.act,
        subject=fact.about or "",
        why=str(details.pop("reason", "")),
        before=fact.before or None,
        after=details or None,
        at=fact.occurred_at,
        told_by=fact.publisher(),
    )


@consumer.on
async def witness_head(fact: ledger.HeadSigned, tx: Tx) -> None:
    await heads.keep(tx, fact)
