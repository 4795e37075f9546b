"""Posting: apply the rules to a batch of facts and store what follows, under one writer's lock."""

import asyncio
from collections.abc import Iterable, Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.actions.storing import Posted, archive, store
from services.ledger.rules.lines import DAY, LineState
from services.ledger.rules.posting import RULES, Books, DayReached, Outcome, in_order, lines_of
from services.ledger.rules.sealing import entry_of, sealed
from shared import clock, contracts
from shared.calendar import local_day
from shared.consume import wait
from shared.contracts import Fact, base, sandbox
from shared.db import Tx
from shared.errors import Waits
from shared.waiting import arrived

WRITER_LOCK = 7_004
"""The one ordered writer of the books. The archive's order is the order of posting, which a rebuild repeats."""

ALL_AGENCIES = "*"


async def post(tx: Tx, facts: Sequence[Fact]) -> list[Posted]:
    """Archive facts and post their entries; a fact that is in the archive already does nothing, nor does a sandbox's.

    A fact whose predecessor is missing waits in the retry table while the others are posted.
    Raises Waits when it is the only one.
    """
    facts = [fact for fact in facts if not sandbox.is_sandbox(fact.agency)]
    if not facts:
        return []
    await become_writer(tx)
    now = clock.now()
    rows = await tx.execute(_KNOWN, {"ids": [fact.id for fact in facts]})
    known = {(row.fact_id, row.subject) for row in rows}
    # Another publisher's fact under a known id is not known: the archive refuses it, and a person looks.
    fresh = {name: fact for fact in facts if (name := (fact.id, fact.subject())) not in known}
    through = await reached(tx, local_day(now))
    posted, waiting = await apply(tx, [(fact, now) for fact in in_order(fresh.values())], through)
    if waiting and len(facts) == 1:
        raise waiting[0][1]
    await archive(tx, posted)
    for fact, reason in waiting:
        await wait(tx, fact, reason.key)
    named = {f"line:{key}" for p in posted if _makes_known(p.fact) for key in lines_of(p.fact)}
    paid = {
        f"payment:{p.fact.payment}" for p in posted if isinstance(p.fact, contracts.payments.PaymentCaptured)
    }
    arrived(tx, *named, *paid)
    return posted


async def apply(
    tx: Tx, facts: Sequence[tuple[Fact, datetime]], through: date
) -> tuple[list[Posted], list[tuple[Fact, Waits]]]:
    """Work out facts in the given order and store what follows, the archive left aside; a rebuild calls this too.

    `through` is the day reached. A DayReached comes alone: it reads the lines that are stored.
    """
    if not facts:
        return [], []
    lines = await _lines_named(tx, [fact for fact, _ in facts])
    rails = await _rails(tx, [fact for fact, _ in facts])
    changed: dict[UUID, LineState] = {}
    paid: dict[UUID, tuple[str, str, UUID]] = {}
    posted: list[Posted] = []
    waiting: list[tuple[Fact, Waits]] = []
    for fact, recorded_at in facts:
        try:
            if isinstance(fact, DayReached):
                books = Books(fact.on, await _live(tx, fact.on), {})
                through = max(through, fact.on)
                # Beside the loop: with many lines it would neither answer nor lead for longer than it may.
                outcome, done = await asyncio.to_thread(_worked_out, fact, recorded_at, books)
            else:
                await asyncio.sleep(0)  # who asks for something is answered in between
                outcome, done = _worked_out(fact, recorded_at, Books(through, lines, rails))
        except Waits as reason:
            waiting.append((fact, reason))
            continue
        for line in outcome.lines:
            lines[line.id] = changed[line.id] = line
        if outcome.payment:
            payment, rail, invoice = outcome.payment
            rails[payment] = rail
            paid[payment] = (fact.agency, rail, invoice)
        posted.append(done)
    await store(tx, posted, changed, paid, through)
    return posted, waiting


_REST = sa.text("SET LOCAL idle_in_transaction_session_timeout = '60s'")
"""So long may a day be worked out between what is read and what is written; who leads next waits for it."""


async def reach(tx: Tx, today: date) -> bool:
    """Recognise one more local day, where one is due; returns whether another one is.

    Safe to run again, and days that were missed are made up one by one.
    """
    await become_writer(tx)
    await tx.execute(_REST)
    day = await tx.scalar(sa.text("SELECT day FROM reached"))
    if day is None or day >= today:
        return False
    fact = DayReached(agency=ALL_AGENCIES, on=day + DAY)
    posted, _ = await apply(tx, [(fact, clock.now())], day)
    await archive(tx, posted)
    return fact.on < today


async def set_regime(tx: Tx, agency: str, since: date, regime: str) -> None:
    """From a day on an agency keeps another chart of accounts: a re-mapping, never a re-posting."""
    await tx.execute(
        sa.text(
            "INSERT INTO regime (agency, since, regime) VALUES (:agency, :since, :regime) "
            "ON CONFLICT (agency, since) DO UPDATE SET regime = excluded.regime"
        ),
        {"agency": agency, "since": since, "regime": regime},
    )


async def become_writer(tx: Tx) -> None:
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})


async def reached(tx: Tx, first: date) -> date:
    """The day reached; the books begin on the day of their first fact."""
    found = await tx.scalar(sa.text("SELECT day FROM reached"))
    if found is None:
        await tx.execute(sa.text("INSERT INTO reached (id, day) VALUES (1, :day)"), {"day": first})
        return first
    return date.fromisoformat(str(found))


async def _lines_named(tx: Tx, facts: Iterable[Fact]) -> dict[UUID, LineState]:
    wanted = list({key for fact in facts for key in lines_of(fact)})
    if not wanted:
        return {}
    return _states(
        await tx.execute(
            sa.text("SELECT CAST(state AS text) AS state FROM line WHERE id = ANY(:ids)"), {"ids": wanted}
        )
    )


async def _live(tx: Tx, day: date) -> dict[UUID, LineState]:
    """Lines that earn something on a day, in the order of their ids."""
    rows = await tx.execute(
        sa.text(
            "SELECT CAST(state AS text) AS state FROM line "
            "WHERE live_until >= :day AND starts_on <= :day ORDER BY agency, id"
        ),
        {"day": day},
    )
    return await asyncio.to_thread(_states, rows.all())


_STATE = msgspec.json.Decoder(LineState)


def _states(rows: Iterable[Any]) -> dict[UUID, LineState]:
    lines = [_STATE.decode(row.state) for row in rows]
    return {line.id: line for line in lines}


async def _rails(tx: Tx, facts: Iterable[Fact]) -> dict[UUID, str]:
    disputes = contracts.payments.ChargebackOpened | contracts.payments.ChargebackClosed
    wanted = [fact.payment for fact in facts if isinstance(fact, disputes)]
    if not wanted:
        return {}
    rows = await tx.execute(sa.text("SELECT id, rail FROM payment WHERE id = ANY(:ids)"), {"ids": wanted})
    return {row.id: row.rail for row in rows}


def _worked_out(fact: Fact, recorded_at: datetime, books: Books) -> tuple[Outcome, Posted]:
    """What a fact leads to, sealed. Raises Waits."""
    outcome = RULES[type(fact)](fact, books)
    entries = [entry_of(fact.id, recorded_at, draft) for draft in outcome.drafts]
    return outcome, Posted(fact, recorded_at, entries, [sealed(entry) for entry in entries])


def _makes_known(fact: Fact) -> bool:
    return isinstance(fact, base.InvoiceOpened | contracts.payments.PaymentCaptured)


_KNOWN = sa.text("SELECT fact_id, subject FROM archive WHERE fact_id = ANY(:ids)")
