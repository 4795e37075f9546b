"""Recognising a day: what all lines earn on it by time alone, worked out by the database in one statement."""

from collections.abc import Iterable
from datetime import date
from typing import Any

import msgspec
import sqlalchemy as sa

from services.ledger.actions.posting import become_writer
from services.ledger.actions.storing import Posted, Source, ends, store
from services.ledger.rules.earning import DAY
from services.ledger.rules.lines import Leg, Part, earning_legs
from services.ledger.rules.posting import VERSION, DayReached, Draft
from services.ledger.rules.sealing import entry_id
from shared import clock
from shared.calendar import month_of
from shared.db import Tx

ALL_AGENCIES = "*"

_REST = sa.text("SET LOCAL idle_in_transaction_session_timeout = '60s'")
"""So long may a day be worked out between what is read and what is written; who leads next waits for it."""

_LIVE = "since <= :day AND until >= :day AND through < :day AND amount_vnd <> 0"
_AGENCIES = sa.text(f"SELECT DISTINCT agency FROM line WHERE {_LIVE} ORDER BY agency")  # noqa: S608 - a literal of ours

# What a plan earns on one day is the difference of two shares, each rounded toward zero, as `rules.earning.spread`
# says. A line that has moved on a later day was booked through that day then.
_PARTS = sa.text(
    f"""
    INSERT INTO part (entry, stream, counter, agency, posted_on, lines, amounts)
    SELECT mine.entry, l.stream, l.counter, l.agency, :day, array_agg(l.id ORDER BY l.id),
           array_agg(l.amount ORDER BY l.id)
    FROM (SELECT id, agency, stream, counter, amount_vnd * (:day - since + 1) / (until - since + 1)
                 - amount_vnd * (:day - since) / (until - since + 1) AS amount
          FROM line WHERE {_LIVE}) AS l
    JOIN unnest(CAST(:agencies AS text[]), CAST(:entries AS uuid[])) AS mine(agency, entry) USING (agency)
    WHERE l.amount <> 0
    GROUP BY mine.entry, l.stream, l.counter, l.agency
    RETURNING agency, stream, counter, (SELECT sum(a) FROM unnest(amounts) AS a) AS total,
        (SELECT sha256(string_agg(uuid_send(l) || int8send(a), ''::bytea))
         FROM unnest(lines, amounts) AS pair(l, a)) AS digest
    """  # noqa: S608 - a literal of ours
)


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
    await recognise(tx, Source(fact, msgspec.json.encode(fact), clock.now(), VERSION))
    return fact.on < today


async def recognise(tx: Tx, source: Source) -> Posted:
    """An entry an agency: a pair of legs a stream, and beside them what each line earned of it."""
    fact: Any = source.fact
    await tx.execute(sa.text("SELECT open_month(:month)"), {"month": month_of(fact.on)})
    agencies = list(await tx.scalars(_AGENCIES, {"day": fact.on}))
    keys = {agency: entry_id(fact.id, agency, "day", fact.on) for agency in agencies}
    values = {"day": fact.on, "agencies": agencies, "entries": list(keys.values())}
    earned = (await tx.execute(_PARTS, values)).all()
    chains = await ends(tx, {})
    entries = [chains.entry(draft, source) for draft in _drafts(fact.on, earned)]
    posted = chains.posted(source, entries, [])
    await store(tx, [posted], [], chains)
    await tx.execute(sa.text("UPDATE reached SET day = :day"), {"day": fact.on})
    return posted


def _drafts(on: date, earned: Iterable[Any]) -> list[Draft]:
    legs: dict[str, list[Leg]] = {}
    parts: dict[str, list[Part]] = {}
    for row in sorted(earned, key=lambda row: (row.agency, row.stream, row.counter)):
        legs.setdefault(row.agency, []).extend(earning_legs(row.stream, None, int(row.total), row.counter))
        parts.setdefault(row.agency, []).append(Part(row.stream, row.counter, bytes(row.digest)))
    return [Draft("day", agency, on, tuple(legs[agency]), tuple(parts[agency])) for agency in legs]
