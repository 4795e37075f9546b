"""Posting: apply the rules to a batch of facts and store what follows, under one writer's lock."""

import asyncio
import gc
import hashlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.actions.storing import Posted, Source, ends, store
from services.ledger.rules.earning import DAY
from services.ledger.rules.lines import LineState
from services.ledger.rules.posting import (
    VERSION,
    VERSIONS,
    Books,
    Outcome,
    in_order,
    lines_of,
)
from services.ledger.rules.sealing import LineColumns
from shared import clock, contracts
from shared.calendar import local_day
from shared.consume import body_of, wait
from shared.contracts import Fact, base, payments, sandbox
from shared.db import Tx
from shared.errors import Waits
from shared.waiting import arrived

WRITER_LOCK = 7_004
"""The one ordered writer of the books. The archive's order is the order of posting, which a rebuild repeats."""


ANSWERS_EVERY = 20
"""After so many facts, some milliseconds of work, whoever asks for something has a turn."""


class OtherContent(Exception):
    """Another fact is in the books under this id; this one is posted by nobody, and a person looks at it."""


async def post(tx: Tx, facts: Sequence[Fact]) -> list[Posted]:
    """Archive facts and post their entries; a fact that is in the archive already does nothing, nor does a sandbox's.

    A fact whose predecessor is missing waits in the retry table while the others are posted.
    Raises Waits when it is the only one, and OtherContent.
    """
    facts = [fact for fact in facts if not sandbox.is_sandbox(fact.agency)]
    if not facts:
        return []
    await become_writer(tx)
    with _uncollected():
        return await _post(tx, facts)


async def _post(tx: Tx, facts: Sequence[Fact]) -> list[Posted]:
    now = clock.now()
    fresh = await _unknown(tx, [Source(fact, body_of(tx, fact), now, VERSION) for fact in facts])
    day = await reached(tx, local_day(now))
    posted, waiting = await apply(tx, fresh, day)
    if waiting and len(facts) == 1:
        raise waiting[0][1]
    for fact, reason in waiting:
        await wait(tx, fact, reason.key)
    arrived(tx, *(key for p in posted for key in _made_known(p.fact)))
    return posted


@contextmanager
def _uncollected() -> Iterator[None]:
    """A batch makes tens of thousands of small things that live until its end: to look for garbage meanwhile costs
    a third of the time of posting, and finds none.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


async def _unknown(tx: Tx, sources: Sequence[Source]) -> list[Source]:
    """Those that are not in the archive, what makes lines known first. Raises OtherContent."""
    rows = await tx.execute(_KNOWN, {"ids": [source.fact.id for source in sources]})
    known = {row.fact_id: (row.subject, bytes(row.digest)) for row in rows}
    fresh: dict[UUID, Source] = {}
    for source in sources:
        fact = source.fact
        said = fact.subject(), hashlib.sha256(source.body).digest()
        if fact.id not in known:
            known[fact.id], fresh[fact.id] = said, source
        elif known[fact.id] != said:
            raise OtherContent(f"Fact {fact.id} is in the books as a {known[fact.id][0]} with other content.")
    return [fresh[fact.id] for fact in in_order(source.fact for source in fresh.values())]


_KNOWN = sa.text("SELECT fact_id, subject, sha256(body) AS digest FROM archive WHERE fact_id = ANY(:ids)")


async def apply(
    tx: Tx, sources: Sequence[Source], day: date
) -> tuple[list[Posted], list[tuple[Fact, Waits]]]:
    """Work out facts in the given order and store what follows; a rebuild calls this too. `day` is the one reached."""
    if not sources:
        return [], []
    facts = [source.fact for source in sources]
    orders = await _orders(tx, facts)
    lines, changes = await _lines_named(tx, facts, orders)
    rails = await _rails(tx, facts)
    chains = await ends(tx, changes)
    changed: dict[UUID, LineColumns] = {}
    posted: list[Posted] = []
    waiting: list[tuple[Fact, Waits]] = []
    for n, source in enumerate(sources):
        if n % ANSWERS_EVERY == 0:
            await asyncio.sleep(0)  # who asks for something is answered in between
        fact = source.fact
        try:
            outcome = VERSIONS[source.rules][type(fact)](fact, Books(day, lines, rails, orders))
        except Waits as reason:
            waiting.append((fact, reason))
            continue
        check_has_come(outcome, source)
        lines |= {line.id: line for line in outcome.lines}
        rails |= dict(outcome.rails)
        if isinstance(fact, base.OrderSigned):
            orders.setdefault(fact.order, []).append(fact)
        entries = [chains.entry(draft, source) for draft in outcome.drafts]
        rows = [chains.line(line) for line in outcome.lines]
        changed |= {row.id: row for row in rows}
        posted.append(chains.posted(source, entries, rows))
    await store(tx, posted, changed.values(), chains)
    return posted, waiting


def check_has_come(outcome: Outcome, source: Source) -> None:
    """Raises ValueError for what says of days to come that something happened on them; clocks may differ by a day."""
    last = local_day(source.recorded_at) + DAY
    for draft in outcome.drafts:
        if draft.belongs_on > last:
            raise ValueError(f"It says what happened on {draft.belongs_on}: that day has not come.")


async def become_writer(tx: Tx) -> None:
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(:key)"), {"key": WRITER_LOCK})


async def reached(tx: Tx, first: date) -> date:
    """The day reached; the books begin on the day of their first fact."""
    found = await tx.scalar(sa.text("SELECT day FROM reached"))
    if found is None:
        await tx.execute(sa.text("INSERT INTO reached (id, day) VALUES (1, :day)"), {"day": first})
        return first
    return date.fromisoformat(str(found))


async def _lines_named(
    tx: Tx, facts: Iterable[Fact], orders: dict[UUID, list[base.OrderSigned]]
) -> tuple[dict[UUID, LineState], dict[UUID, int]]:
    """The lines that facts, and what was said of their orders, speak of; and how many facts have changed each."""
    said = (earlier for known in orders.values() for earlier in known)
    wanted = list({key for fact in (*facts, *said) for key in lines_of(fact)})
    if not wanted:
        return {}, {}
    rows = (
        await tx.execute(sa.text("SELECT id, state, changes FROM line WHERE id = ANY(:ids)"), {"ids": wanted})
    ).all()
    return {row.id: _STATE.decode(row.state) for row in rows}, {row.id: row.changes for row in rows}


_STATE = msgspec.json.Decoder(LineState)


async def _orders(tx: Tx, facts: Iterable[Fact]) -> dict[UUID, list[base.OrderSigned]]:
    """What was said before of the orders that facts name."""
    wanted = {fact.order: fact.subject() for fact in facts if isinstance(fact, base.OrderSigned)}
    found: dict[UUID, list[base.OrderSigned]] = {}
    if wanted:
        rows = await tx.execute(
            sa.text(
                "SELECT about, body FROM archive WHERE about = ANY(:orders) AND subject = ANY(:subjects) ORDER BY seq"
            ),
            {"orders": list(wanted), "subjects": sorted(set(wanted.values()))},
        )
        for row in rows:
            fact: Any = contracts.decode(bytes(row.body))
            found.setdefault(row.about, []).append(fact)
    return found


async def _rails(tx: Tx, facts: Iterable[Fact]) -> dict[UUID, str]:
    """By which rail the money came that is disputed."""
    disputes = payments.ChargebackOpened | payments.ChargebackClosed
    wanted = [fact.payment for fact in facts if isinstance(fact, disputes)]
    if not wanted:
        return {}
    rows = await tx.execute(
        sa.text(
            "SELECT document, split_part(account, ':', 2) AS rail FROM leg "
            "WHERE document = ANY(:payments) AND account LIKE 'cash_in_transit:%'"
        ),
        {"payments": wanted},
    )
    return {row.document: row.rail for row in rows}


def _made_known(fact: Fact) -> list[str]:
    """What waiting facts wait for, and comes with this one."""
    known: list[str] = []
    if isinstance(fact, base.InvoiceOpened | base.OrderSigned | payments.PaymentCaptured):
        known += (f"line:{key}" for key in lines_of(fact))
    if isinstance(fact, payments.PaymentCaptured | payments.MoneyUnapplied):
        known.append(f"payment:{fact.payment}")
    return known
