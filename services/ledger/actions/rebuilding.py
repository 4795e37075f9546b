"""Proving the books: recompute every hash and balance, and rebuild all of it from the archive to the same hashes."""

from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.actions.posting import apply, become_writer, reached
from services.ledger.rules.lines import Leg, Part
from services.ledger.rules.posting import DayReached
from services.ledger.rules.sealing import Entry, outcome_of, sealed
from shared import contracts
from shared.calendar import local_day
from shared.contracts import Fact
from shared.db import Tx

CHUNK = 500
REBUILT = ("entry", "leg", "part", "rollup", "line", "payment", "reached")
"""Tables that a rebuild empties and fills again; the archive and the chart of accounts are its sources and stay."""


class Differs(Exception):
    """The books are not what the archive leads to; nothing was changed."""


class Proof(msgspec.Struct, frozen=True):
    """What a verification looked at and found; sound when `findings` is empty."""

    facts: int
    entries: int
    legs: int
    findings: tuple[str, ...]


async def rebuild(tx: Tx) -> int:
    """Empty the books and replay the archive, as their owner; returns the number of facts.

    Each fact must lead to the entries that the archive says, hash by hash. Raises Differs, and the transaction
    leaves everything as it was.
    """
    await become_writer(tx)
    await tx.execute(sa.text(f"TRUNCATE {', '.join(REBUILT)}"))
    count = 0
    async for chunk in _archived(tx):
        through = await reached(tx, local_day(chunk[0][1]))
        posted, waiting = await apply(tx, [(fact, at) for fact, at, _ in chunk], through)
        if waiting:
            raise Differs(f"fact {waiting[0][0].id} {waiting[0][1]}")
        for done, (fact, _, outcome) in zip(posted, chunk, strict=True):
            if outcome_of(done.sealed()) != outcome:
                raise Differs(
                    f"fact {fact.id} ({fact.subject()}) leads to other entries than the archive says"
                )
        count += len(chunk)
    return count


async def verify(tx: Tx) -> Proof:
    """Recompute every hash, every entry's sum, every rollup and every decision of the archive."""
    findings: list[str] = []
    entries = legs = 0
    async for entry, digest, count in _stored_entries(tx):
        entries += 1
        legs += len(entry.legs)
        if sealed(entry) != digest:
            findings.append(f"entry {entry.id}: its hash does not fit its fields")
        if sum(leg.amount_vnd for leg in entry.legs) != 0 or len(entry.legs) != count:
            findings.append(f"entry {entry.id}: it does not balance")
    findings += [
        f"rollup {row.agency} {row.account} {row.effective_on}: differs from its legs"
        for row in await tx.execute(_ROLLUPS)
    ]
    findings += [f"fact {key}: its entries are not what was decided" for key in await _undecided(tx)]
    facts = await tx.scalar(sa.text("SELECT count(*) FROM archive"))
    return Proof(int(facts or 0), entries, legs, tuple(findings))


async def _archived(tx: Tx) -> AsyncIterator[list[tuple[Fact, datetime, bytes]]]:
    """The archive in its order, in chunks; a day reached stands alone, as it did when it was posted."""
    after = 0
    while True:
        rows = (
            await tx.execute(
                sa.text(
                    "SELECT seq, body, recorded_at, outcome FROM archive WHERE seq > :after ORDER BY seq LIMIT :n"
                ),
                {"after": after, "n": CHUNK},
            )
        ).all()
        if not rows:
            return
        after = rows[-1].seq
        chunk: list[tuple[Fact, datetime, bytes]] = []
        for row in rows:
            fact = read(bytes(row.body))
            alone = isinstance(fact, DayReached)
            if alone and chunk:
                yield chunk
                chunk = []
            chunk.append((fact, row.recorded_at, bytes(row.outcome)))
            if alone:
                yield chunk
                chunk = []
        if chunk:
            yield chunk


def read(body: bytes) -> Fact:
    """Decode an archived fact: a published one, or a day that recognition reached."""
    if msgspec.json.decode(body, type=_Tagged).type == DayReached.subject():
        return msgspec.json.decode(body, type=DayReached)
    return contracts.decode(body)


class _Tagged(msgspec.Struct):
    type: str


_ENTRIES = sa.text(
    "SELECT entry.*, l.accounts, l.streams, l.lines, l.amounts, p.parts FROM entry LEFT JOIN LATERAL (SELECT "
    "array_agg(account ORDER BY n) AS accounts, array_agg(stream ORDER BY n) AS streams, "
    "array_agg(line ORDER BY n) AS lines, array_agg(amount_vnd ORDER BY n) AS amounts "
    "FROM leg WHERE leg.entry = entry.id) AS l ON true LEFT JOIN LATERAL (SELECT "
    'json_agg(part ORDER BY stream COLLATE "C") AS parts FROM part WHERE part.entry = entry.id) AS p ON true '
    "WHERE entry.id > CAST(:after AS uuid) ORDER BY id LIMIT :n"
)
_ROLLUPS = sa.text(
    "SELECT agency, account, stream, effective_on FROM ("
    "SELECT agency, account, stream, effective_on, sum(debit_vnd) AS debit, sum(credit_vnd) AS credit "
    "FROM rollup GROUP BY agency, account, stream, effective_on) AS r FULL JOIN ("
    "SELECT agency, account, stream, effective_on, sum(greatest(amount_vnd, 0)) AS debit, "
    "sum(greatest(-amount_vnd, 0)) AS credit FROM leg GROUP BY agency, account, stream, effective_on) AS l "
    "USING (agency, account, stream, effective_on) "
    "WHERE r.debit IS DISTINCT FROM l.debit OR r.credit IS DISTINCT FROM l.credit LIMIT 100"
)


async def _stored_entries(tx: Tx) -> AsyncIterator[tuple[Entry, bytes, int]]:
    after = "00000000-0000-0000-0000-000000000000"
    while True:
        rows = (await tx.execute(_ENTRIES, {"after": after, "n": CHUNK})).all()
        if not rows:
            return
        after = str(rows[-1].id)
        for row in rows:
            yield _entry(row), bytes(row.hash), row.legs


def _entry(row: Any) -> Entry:
    sides = zip(row.accounts or (), row.streams or (), row.lines or (), row.amounts or (), strict=True)
    return Entry(
        id=row.id,
        fact_id=row.fact_id,
        agency=row.agency,
        effective_on=row.effective_on,
        recorded_at=row.recorded_at,
        kind=row.kind,
        reversal_of=row.reversal_of,
        period=row.period,
        legs=tuple(Leg(*side) for side in sides),
        parts=tuple(
            Part(p["stream"], tuple(UUID(line) for line in p["lines"]), tuple(p["amounts"]))
            for p in row.parts or ()
        ),
    )


async def _undecided(tx: Tx) -> list[str]:
    """Facts whose stored entries, taken together, are not the ones that the archive says; order does not matter."""
    return [
        str(key)
        for key in await tx.scalars(
            sa.text(
                "SELECT archive.fact_id FROM archive LEFT JOIN (SELECT fact_id, "
                "sha256(string_agg(hash, ''::bytea ORDER BY id)) AS outcome FROM entry GROUP BY fact_id) AS e "
                "ON e.fact_id = archive.fact_id WHERE archive.outcome <> coalesce(e.outcome, ''::bytea) "
                "UNION ALL SELECT entry.fact_id FROM entry LEFT JOIN archive USING (fact_id) "
                "WHERE archive.fact_id IS NULL LIMIT 100"
            )
        )
    ]
