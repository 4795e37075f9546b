"""The proof of the books: all that a report reads is recomputed by the database, and held against what it derives from.

The canonical bytes are those of `rules/sealing.py`, said in SQL; a test compares the two.
"""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import sqlalchemy as sa

from services.ledger.migrations.codes import shipped_codes
from services.ledger.rules.sealing import FORMAT, START
from services.ledger.tables.books import BOOKS
from shared.db import Tx

CHUNK = 20_000
"""So many rows are proven in one statement, so that each ends well before the limit of statements."""

MOST = 100
"""So many findings of a kind are named; one is enough to know that the books are not sound."""


class Proof(msgspec.Struct, frozen=True):
    """What a verification looked at and found; sound when `findings` is empty."""

    facts: int
    entries: int
    legs: int
    findings: tuple[str, ...]


_PAIRS = (
    "SELECT sha256(string_agg(coalesce(uuid_send(l), '\\x00') || coalesce(int8send(a), '\\x00'), ''::bytea)) "
    "FROM unnest(p.lines, p.amounts) AS pair(l, a)"
)
_ENTRIES = sa.text(
    f"""
    WITH e AS (
        SELECT * FROM entry WHERE posted_on BETWEEN :first AND :last AND id > :after AND id <= :until
    ), l AS (
        SELECT entry, string_agg(record_send(ROW(account, stream, line, amount_vnd, party, document, due_on, quantity,
                   reference)), ''::bytea ORDER BY n) AS bytes, count(*) AS legs, sum(amount_vnd) AS total,
               min(agency) AS low, max(agency) AS high, min(belongs_on) AS early, max(belongs_on) AS late,
               min(posted_on) AS since, max(posted_on) AS until
        FROM leg WHERE posted_on BETWEEN :first AND :last AND entry > :after AND entry <= :until
        GROUP BY entry
    ), p AS (
        SELECT entry, string_agg(record_send(ROW(stream, counter, ({_PAIRS}))), ''::bytea
                   ORDER BY stream COLLATE "C", counter COLLATE "C") AS bytes, count(*) AS parts,
               min(agency) AS low, max(agency) AS high, min(posted_on) AS since, max(posted_on) AS until,
               bool_and(array_lower(lines, 1) = 1 AND array_lower(amounts, 1) = 1
                   AND cardinality(lines) = cardinality(amounts)) AS paired
        FROM part AS p WHERE posted_on BETWEEN :first AND :last AND entry > :after AND entry <= :until
        GROUP BY entry
    ), proven AS (
        SELECT coalesce(e.id, l.entry, p.entry) AS id, coalesce(l.legs, 0) AS legs, coalesce(p.parts, 0) AS parts,
               e.hash = sha256(record_send(ROW({FORMAT}, e.id, e.fact_id, e.seq, e.agency, e.year, e.number,
                   e.belongs_on, e.posted_on, e.recorded_at, e.kind, e.reversal_of, e.rules, e.legs, e.before))
                   || coalesce(l.bytes, ''::bytea) || coalesce(p.bytes, ''::bytea)) AS fits,
               coalesce(l.total, 0) = 0 AND coalesce(l.legs, 0) = e.legs AND (l.entry IS NULL OR (
                   l.low = e.agency AND l.high = e.agency AND l.early = e.belongs_on AND l.late = e.belongs_on
                   AND l.since = e.posted_on AND l.until = e.posted_on)) AND (p.entry IS NULL OR (
                   p.low = e.agency AND p.high = e.agency AND p.since = e.posted_on AND p.until = e.posted_on
                   AND p.paired)) AS whole
        FROM e FULL JOIN l ON l.entry = e.id FULL JOIN p ON p.entry = e.id
    )
    SELECT count(*) AS entries, sum(legs) AS legs, sum(parts) AS parts,
           (array_agg(id) FILTER (WHERE fits IS NOT TRUE))[1:{MOST}] AS forged,
           (array_agg(id) FILTER (WHERE fits AND whole IS NOT TRUE))[1:{MOST}] AS broken
    FROM proven
    """  # noqa: S608 - literals of ours
)
# By the days themselves: how a partition is called, or where it is attached, is no proof of what is in it.
_MONTHS = sa.text(
    "SELECT CAST(first AS date) AS first, CAST(first + interval '1 month' - interval '1 day' AS date) AS last "
    "FROM (SELECT min(low) AS early, max(high) AS late FROM ("
    "SELECT min(posted_on), max(posted_on) FROM entry UNION ALL SELECT min(posted_on), max(posted_on) FROM leg "
    "UNION ALL SELECT min(posted_on), max(posted_on) FROM part) AS ends(low, high)) AS span, "
    "generate_series(date_trunc('month', early), late, interval '1 month') AS first"
)
_STORED = sa.text("SELECT (SELECT count(*) FROM leg) AS legs, (SELECT count(*) FROM part) AS parts")
_NEXT = sa.text(
    "SELECT id FROM entry WHERE posted_on BETWEEN :first AND :last AND id > :after ORDER BY id OFFSET :skip LIMIT 1"
)
_ZERO, _LAST = "00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"

_ARCHIVED = (
    f"record_send(ROW({FORMAT}, seq, fact_id, subject, array_to_string(agencies, ','), cardinality(agencies), about, "
    "sha256(body), "
    "recorded_at, rules, outcome, lines, before))"
)
_ARCHIVE = sa.text(
    f"""
    WITH chunk AS (
        SELECT seq, fact_id, outcome, before, hash, hash = sha256({_ARCHIVED}) AS fits,
               lag(hash) OVER (ORDER BY seq) AS last, lag(seq) OVER (ORDER BY seq) AS n
        FROM archive WHERE seq > :after AND seq <= :until
    ), decided AS (
        SELECT fact_id, seq, sha256(string_agg(coalesce(hash, '\\x00'), ''::bytea ORDER BY id)) AS outcome FROM entry
        WHERE seq > :after AND seq <= :until GROUP BY fact_id, seq
    )
    SELECT coalesce(a.seq, d.seq) AS seq, coalesce(a.fact_id, d.fact_id) AS fact_id,
           CASE WHEN a.seq IS NULL THEN 'is not in the archive, and has entries'
                WHEN a.fits IS NOT TRUE THEN 'is not what was archived: its hash does not fit its row'
                WHEN a.outcome IS DISTINCT FROM coalesce(d.outcome, ''::bytea) THEN 'has other entries than decided'
                ELSE 'does not follow the fact before it: one is missing, or they were swapped' END AS why
    FROM chunk AS a FULL JOIN decided AS d ON d.seq = a.seq AND d.fact_id = a.fact_id
    WHERE a.seq IS NULL OR a.fits IS NOT TRUE OR a.outcome IS DISTINCT FROM coalesce(d.outcome, ''::bytea)
       OR a.before IS DISTINCT FROM coalesce(a.last, CAST(:hash AS bytea)) OR a.seq <> coalesce(a.n, :after) + 1
       OR a.seq < 1
    ORDER BY 1 LIMIT {MOST}
    """  # noqa: S608 - literals of ours
)
_BOOKS = sa.text(
    f"""
    SELECT agency, year, number, 'does not follow the entry before it' AS why FROM (
        SELECT agency, year, number, before,
               lag(hash, 1, decode(repeat('00', 32), 'hex')) OVER book AS last, row_number() OVER book AS n
        FROM entry WINDOW book AS (PARTITION BY agency, year ORDER BY number)
    ) AS chained WHERE before IS DISTINCT FROM last OR number IS DISTINCT FROM n
    UNION ALL
    SELECT coalesce(b.agency, e.agency), coalesce(b.year, e.year), coalesce(b.number, e.number),
           'is not where the book ends' FROM book AS b
    FULL JOIN (SELECT DISTINCT ON (agency, year) agency, year, number, hash FROM entry
               ORDER BY agency, year, number DESC) AS e USING (agency, year)
    WHERE (b.number, b.hash) IS DISTINCT FROM (e.number, e.hash)
    LIMIT {MOST}
    """  # noqa: S608 - a number of ours
)
_ROLLUPS = sa.text(
    f"""
    SELECT agency, account, posted_on, 'differs from its legs' AS why FROM rollup AS r FULL JOIN (
        SELECT l.agency, l.account, l.stream, l.posted_on, l.belongs_on,
               CAST(e.recorded_at AT TIME ZONE 'Asia/Ho_Chi_Minh' AS date) AS recorded_on,
               sum(greatest(l.amount_vnd, 0)) AS debit, sum(greatest(-l.amount_vnd, 0)) AS credit
        FROM leg AS l JOIN entry AS e ON e.id = l.entry AND e.posted_on = l.posted_on
        GROUP BY 1, 2, 3, 4, 5, 6
    ) AS l USING (agency, account, stream, posted_on, belongs_on, recorded_on)
    WHERE (r.debit_vnd, r.credit_vnd) IS DISTINCT FROM (l.debit, l.credit) LIMIT {MOST}
    """  # noqa: S608 - a number of ours
)
_NUMBERS = sa.text(
    "SELECT coalesce(min(seq), 1) AS low, coalesce(max(seq), 0) AS high "
    "FROM (SELECT seq FROM archive UNION ALL SELECT seq FROM entry) AS numbers"
)
_LINE = (
    "record_send(ROW(line.id, agency, payee, seller, stream, invoice, party, due_on, counter, since, until, "
    "amount_vnd, through, line.seq, changes, convert_to(state, 'UTF8')))"
)
# Each row is what the archive says that it was after some fact; and since all rows together have been changed as often
# as the archive says in all, none of them is of an earlier time.
_LINES = sa.text(
    f"""
    SELECT line.id, 'is not what its last fact made of it' AS why FROM line LEFT JOIN archive AS a ON a.seq = line.seq
    WHERE position(uuid_send(line.id) || sha256({_LINE}) IN coalesce(a.lines, ''::bytea)) = 0 LIMIT {MOST}
    """  # noqa: S608 - literals of ours
)
_CHANGES = sa.text(
    "SELECT coalesce((SELECT sum(octet_length(lines) / 48) FROM archive), 0) AS said, "
    "coalesce((SELECT sum(changes) FROM line), 0) AS stored"
)
_REACHED = sa.text(
    """
    SELECT r.day, said.day AS said FROM (SELECT max(day) AS day FROM reached) AS r, (
        SELECT coalesce(
            (SELECT CAST(convert_from(body, 'UTF8')::json->>'on' AS date) FROM archive
             WHERE subject = 'ledger.day.reached.v1' ORDER BY seq DESC LIMIT 1),
            (SELECT CAST(recorded_at AT TIME ZONE 'Asia/Ho_Chi_Minh' AS date) FROM archive ORDER BY seq LIMIT 1)
        ) AS day
    ) AS said WHERE r.day IS DISTINCT FROM said.day
    """
)


_REGIMES = sa.text(
    "SELECT agency, since FROM regime AS r FULL JOIN (SELECT DISTINCT ON (1, 2) body->>'agency' AS agency, "
    "CAST(body->>'since' AS date) AS since, body->>'regime' AS regime "
    "FROM (SELECT seq, convert_from(body, 'UTF8')::json AS body FROM archive "
    "WHERE subject = 'ledger.regime.chosen.v1') AS said ORDER BY 1, 2, seq DESC) AS s USING (agency, since) "
    "WHERE r.regime IS DISTINCT FROM s.regime"
)
# Where a constraint was dropped first, a row may stand twice, or nobody may see it but who is deceived.
_TWICE = sa.text(
    "SELECT 'rollup' AS of FROM rollup GROUP BY agency, account, stream, posted_on, belongs_on, recorded_on "
    "HAVING count(*) > 1 UNION ALL SELECT 'line' FROM line GROUP BY id HAVING count(*) > 1 "
    "UNION ALL SELECT 'book' FROM book GROUP BY agency, year HAVING count(*) > 1 "
    "UNION ALL SELECT 'archive' FROM archive GROUP BY fact_id HAVING count(*) > 1 LIMIT 1"
)
_HIDES = sa.text(
    "SELECT CAST(CAST(polrelid AS regclass) AS text) AS of, polname FROM pg_policy WHERE NOT polpermissive "
    "AND polrelid = ANY(SELECT to_regclass(name) FROM unnest(CAST(:tables AS text[])) AS name)"
)


async def verify(tx: Tx) -> Proof:
    """Recompute every hash, chain, sum and derived row. It reads only, in statements that each end soon.

    All of them see the same books, while posting goes on: the transaction must have asked nothing before.
    """
    await tx.execute(sa.text("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"))
    findings: list[str] = []
    entries = legs = parts = 0
    async for row in _entry_chunks(tx):
        entries, legs, parts = entries + row.entries, legs + int(row.legs or 0), parts + int(row.parts or 0)
        findings += [f"entry {key}: its hash does not fit its fields" for key in row.forged or ()]
        findings += [
            f"entry {key}: it does not balance, or its legs are another's" for key in row.broken or ()
        ]
    stored = (await tx.execute(_STORED)).one()
    if (legs, parts) != (stored.legs, stored.parts):
        findings.append(
            f"{stored.legs} legs and {stored.parts} parts are stored, {legs} and {parts} are of entries"
        )
    findings += [f"fact {row.fact_id} (number {row.seq}) {row.why}" async for row in _archive_findings(tx)]
    findings += [f"entry {r.agency} {r.year}/{r.number} {r.why}" for r in await tx.execute(_BOOKS)]
    findings += [f"rollup {r.agency} {r.account} {r.posted_on} {r.why}" for r in await tx.execute(_ROLLUPS)]
    findings += [f"line {row.id} {row.why}" for row in await tx.execute(_LINES)]
    changes = (await tx.execute(_CHANGES)).one()
    if changes.said != changes.stored:
        findings.append(f"lines were changed {changes.said} times, and the rows say {changes.stored}")
    findings += [
        f"the day reached is {row.day}, and the archive says {row.said}" for row in await tx.execute(_REACHED)
    ]
    findings += [f"{row.of}: a row stands twice" for row in await tx.execute(_TWICE)]
    hides = await tx.execute(_HIDES, {"tables": list(BOOKS)})
    findings += [f"{row.of}: policy {row.polname} hides rows" for row in hides]
    findings += await _chart_findings(tx)
    facts = await tx.scalar(sa.text("SELECT count(*) FROM archive"))
    return Proof(int(facts or 0), entries, legs, tuple(findings))


async def _entry_chunks(tx: Tx) -> AsyncIterator[Any]:
    for month in (await tx.execute(_MONTHS)).all():
        span, after = {"first": month.first, "last": month.last}, _ZERO
        while after != _LAST:
            until = await tx.scalar(_NEXT, {**span, "after": after, "skip": CHUNK - 1})
            until = str(until) if until else _LAST
            yield (await tx.execute(_ENTRIES, {**span, "after": after, "until": until})).one()
            after = until


async def _archive_findings(tx: Tx) -> AsyncIterator[Any]:
    """A chunk at a time; a number below the first is one that nobody gave."""
    ends = (await tx.execute(_NUMBERS)).one()
    for after in range(min(ends.low, 1) - 1, ends.high, CHUNK):
        known = await tx.scalar(sa.text("SELECT hash FROM archive WHERE seq = :seq"), {"seq": after})
        values = {"after": after, "until": after + CHUNK, "hash": bytes(known or START)}
        for row in await tx.execute(_ARCHIVE, values):
            yield row


async def _chart_findings(tx: Tx) -> list[str]:
    """Codes are what was shipped, and regimes what somebody chose, which stands in the archive."""
    shipped = {(r["regime"], r["account"], r["code"], r["name"]) for r in shipped_codes()}
    stored = await tx.execute(sa.text("SELECT regime, account, code, name FROM account_code"))
    found = [
        f"account code {row[0]} {row[1]} is not the one that was shipped"
        for row in shipped ^ set(map(tuple, stored))
    ]
    regimes = await tx.execute(_REGIMES)
    return found + [f"regime of {r.agency} since {r.since}: the archive says otherwise" for r in regimes]
