"""Outgoing messages: queued in the transaction that wants them, sent afterwards, tried again, capped by person."""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Literal, get_args
from uuid import UUID

import sqlalchemy as sa
import structlog

from services.accounts import gateways, rules
from services.accounts.tables import MessageRow, PersonRow
from shared import clock
from shared.calendar import local_day, start_of
from shared.contracts.base import MessageRequested
from shared.db import Tx
from shared.errors import Waits
from shared.jobs import Batch, Failures, until_nothing_is_due
from shared.kit import Kit
from shared.settings import Settings
from shared.web.formats import moment

log = structlog.get_logger()

BATCH = 200
LEASE = timedelta(minutes=2)
"""How long a sender may take for a batch before another may try."""


Own = Literal["changed", "code", "codes", "invitation"]
"""Templates of accounts itself: no cap holds such a letter back, and none counts in a person's day."""


async def queue(
    tx: Tx,
    *,
    agency: str,
    recipient: UUID | None,
    address: str,
    lang: str,
    template: Own,
    params: dict[str, Any],
    state: str = "queued",
    next_at: datetime | None = None,
) -> None:
    """Put a message of our own in line; `send_due` is woken by the door that did it."""
    row = _row(agency, recipient, address, lang, template, params, state)
    row.next_at = next_at or row.next_at
    tx.add(row)


Change = Literal[
    "password", "totp", "reset", "recovery", "recovery-used", "phone", "device", "tried", "key", "key-revoked"
]
"""What a letter of the template `changed` can be about."""


async def tell_of_change(
    tx: Tx, person: PersonRow, what: Change, *, agency: str = "", device: str = ""
) -> None:
    """Write to a person about what guards their account, so that a thief cannot change it quietly.

    No cap holds such a letter back. Whoever has no e-mail cannot be told, and sees it in the list of devices.
    """
    if person.email:
        await queue(
            tx,
            agency=agency or person.agency,
            recipient=person.id,
            address=person.email,
            lang=person.lang,
            template="changed",
            params={"what": what, "at": moment(clock.now()), "device": device},
        )


async def one_at_a_time(tx: Tx, address: str) -> None:
    """Wait until nobody else decides on letters to this address; held until the transaction ends."""
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:box, 0))"), {"box": address})


def _row(
    agency: str,
    recipient: UUID | None,
    address: str,
    lang: str,
    template: str,
    params: dict[str, Any],
    state: str,
) -> MessageRow:
    now = clock.now()
    return MessageRow(
        id=clock.new_id(),
        agency=agency,
        recipient=recipient,
        address=address,
        lang=lang,
        template=template,
        params=params,
        state=state,
        attempts=0,
        next_at=now,
        error="",
        subject="",
        body="",
        created_at=now,
        sent_at=None,
    )


# The address of an organisation was typed in by somebody; that of a member is theirs. Its contact is told once they
# joined, before that who joined first, and nobody while nobody did: also for what it does in the sandbox.
# Beside each stands how many letters that services asked for they had today: others are asked for by strangers in
# anybody's name.
_RECIPIENTS = sa.text(
    "WITH known AS ("
    "SELECT id, email, lang, bounced_at FROM person WHERE id = ANY (:ids) UNION ALL "
    "(SELECT DISTINCT ON (told.id) told.id, person.email, person.lang, person.bounced_at "
    "FROM organisation AS told JOIN organisation AS own ON told.id IN (own.id, own.sandbox) "
    "AND own.sandbox IS NOT NULL LEFT JOIN member ON member.organisation = own.id "
    "LEFT JOIN person ON person.id = member.person WHERE told.id = ANY (:ids) "
    "ORDER BY told.id, person.email IS NULL, person.email <> own.email, member.since)), "
    "today AS (SELECT recipient, count(*) AS letters FROM message "
    "WHERE recipient = ANY (:ids) AND template <> ALL (:own) AND created_at >= :since "
    "AND state NOT IN ('capped', 'unaddressed') GROUP BY recipient) "
    "SELECT known.*, coalesce(letters, 0) AS letters FROM known LEFT JOIN today ON recipient = known.id"
)


async def queue_requested(tx: Tx, facts: Sequence[MessageRequested]) -> None:
    """Put in line what services ask for, as far as the person's day still takes it.

    `person` may also be an organisation: a member is told. Raises Waits for somebody not known yet, and ValueError
    where a letter would lead out of the house.
    """
    asked = {
        "ids": [fact.person for fact in facts],
        "own": list(get_args(Own)),
        "since": start_of(local_day(clock.now())),
    }
    known = {row.id: row for row in await tx.execute(_RECIPIENTS, asked)}
    today = Counter({key: row.letters for key, row in known.items()})
    for fact in facts:
        if fact.person not in known:
            raise Waits(f"person:{fact.person}")
        to = known[fact.person]
        today[fact.person] += 1
        state = "queued"
        if not to.email:
            state = "unaddressed"
        elif to.bounced_at:
            state = "bounced"
        elif today[fact.person] > rules.MESSAGES_A_DAY:
            state = "capped"
        address, lang = to.email or "", to.lang or "vi"
        params = rules.harmless(fact.params)
        tx.add(_row(fact.agency, fact.person, address, lang, fact.template, params, state))


_IS_DUE = "SELECT EXISTS (SELECT FROM message WHERE state = 'queued' AND next_at <= %(now)s) AS due"


async def send_due(kit: Kit) -> None:
    """Send what is due: into the embedded inbox, or through SMTP. Raises SomeFailed when all others are sent."""
    if not (await kit.database.glance(_IS_DUE, {"now": clock.now()})).due:
        return
    if not kit.settings.smtp_url:
        await until_nothing_is_due(kit.database, _keep_due, kit.settings)
        return
    failures = Failures("send_due")
    full = True
    while full:
        # No gateway is called inside a transaction: whoever takes a batch has it for a while.
        async with kit.database.worker_tx() as tx:
            due = list(await tx.scalars(_due().order_by(MessageRow.next_at).limit(BATCH)))
            names = await _names(tx) if due else {}
            for row in due:
                row.attempts += 1
                row.next_at = clock.now() + LEASE
        for row in due:
            with failures.kept(row.id):
                await _post(kit, row, names)
        full = len(due) >= BATCH
    failures.tell()


def _due() -> sa.Select[MessageRow]:
    return (
        sa.select(MessageRow)
        .where(MessageRow.state == "queued", MessageRow.next_at <= clock.now())
        .with_for_update(skip_locked=True)
    )


async def _keep_due(tx: Tx, batch: Batch, settings: Settings) -> None:
    """The embedded inbox is the table of messages."""
    due = await batch.take(tx, _due().with_only_columns(MessageRow.id, MessageRow))
    names = await _names(tx) if due else {}
    for _, row in due:
        letter = _letter(settings, row, names)
        row.state, row.sent_at, row.params = "sent", clock.now(), {}
        row.subject, row.body = letter.subject, letter.body


async def _names(tx: Tx) -> dict[str, str]:
    return {row.code: row.name for row in await tx.execute(sa.text("SELECT code, name FROM agency"))}


def _letter(settings: Settings, row: MessageRow, names: dict[str, str]) -> gateways.Letter:
    return gateways.write(
        row.template,
        row.lang,
        row.params,
        base_url=settings.base_url,
        agency_name=names.get(row.agency) or "Nguồn Thu",
    )


async def _post(kit: Kit, row: MessageRow, names: dict[str, str]) -> None:
    """Hand one message to the SMTP server and write down what it said."""
    try:
        await gateways.post(kit.settings, row.address, _letter(kit.settings, row, names))
    except gateways.Bounced as error:
        await _note(kit, row, state="bounced", error=str(error), params={})
        return
    except gateways.Away as error:
        again = rules.send_again_at(row.attempts, clock.now())
        log.warning("message not sent", message=str(row.id), attempts=row.attempts, error=str(error)[:200])
        if again is None:
            await _note(kit, row, state="failed", error=str(error), params={})
        else:
            await _note(kit, row, next_at=again, error=str(error))
        return
    await _note(kit, row, state="sent", sent_at=clock.now(), params={}, error="")


async def _note(kit: Kit, row: MessageRow, **values: Any) -> None:
    async with kit.database.worker_tx() as tx:
        await tx.execute(sa.update(MessageRow).where(MessageRow.id == row.id).values(**values))
        if values.get("state") == "bounced" and row.recipient is not None:
            await tx.execute(
                sa.update(PersonRow).where(PersonRow.id == row.recipient).values(bounced_at=clock.now())
            )
