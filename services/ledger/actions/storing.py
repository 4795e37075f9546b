"""Storing: a batch of entries, legs, rollups, lines and archived facts, one statement each.

Long values travel joined in one parameter and are cut up by the database: psycopg escapes each element of an array.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from itertools import accumulate
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.rules.lines import LineState
from services.ledger.rules.posting import DayReached
from services.ledger.rules.sealing import Entry, outcome_of
from shared.calendar import local_day
from shared.contracts import Fact
from shared.db import Tx


class Posted(NamedTuple):
    """A fact with what it led to."""

    fact: Fact
    recorded_at: datetime
    entries: list[Entry]
    hashes: list[bytes]

    def sealed(self) -> list[tuple[UUID, bytes]]:
        return [(entry.id, digest) for entry, digest in zip(self.entries, self.hashes, strict=True)]


async def store(
    tx: Tx,
    posted: Sequence[Posted],
    lines: Mapping[UUID, LineState],
    paid: Mapping[UUID, tuple[str, str, UUID]],
    through: date,
) -> None:
    sealed_entries = [pair for p in posted for pair in zip(p.entries, p.hashes, strict=True)]
    if sealed_entries:
        await tx.execute(_ENTRIES, _entry_columns(sealed_entries))
        await tx.execute(_LEGS, _leg_columns([entry for entry, _ in sealed_entries]))
        if parts := _part_rows([entry for entry, _ in sealed_entries]):
            await tx.execute(_PARTS, parts)
        await tx.execute(_ROLLUP, _rollup_columns([entry for entry, _ in sealed_entries]))
    if lines:
        await tx.execute(_LINES, _line_columns(lines.values()))
    if paid:
        await tx.execute(
            _PAYMENTS,
            {
                "ids": list(paid),
                "agencies": [agency for agency, _, _ in paid.values()],
                "rails": [rail for _, rail, _ in paid.values()],
                "invoices": [invoice for _, _, invoice in paid.values()],
            },
        )
    if any(isinstance(p.fact, DayReached) for p in posted):
        await tx.execute(sa.text("UPDATE reached SET day = :day"), {"day": through})


async def archive(tx: Tx, posted: Sequence[Posted]) -> None:
    if not posted:
        return
    agencies = [{p.fact.agency, *(entry.agency for entry in p.entries)} for p in posted]
    bodies = [msgspec.json.encode(p.fact) for p in posted]
    columns: dict[str, Any] = {
        "fact_id": [p.fact.id for p in posted],
        "subject": [p.fact.subject() for p in posted],
        "agencies": [",".join(sorted(codes)) for codes in agencies],
        "invoice": [getattr(p.fact, "invoice", None) for p in posted],
        "bodies": b"".join(bodies),
        "begins": list(accumulate((len(body) for body in bodies[:-1]), initial=1)),
        "lengths": [len(body) for body in bodies],
        "recorded_at": [p.recorded_at for p in posted],
        "outcome": [outcome_of(p.sealed()) for p in posted],
    }
    await tx.execute(_ARCHIVE, columns)


def _entry_columns(entries: Sequence[tuple[Entry, bytes]]) -> dict[str, Any]:
    return {
        "ids": [entry.id for entry, _ in entries],
        "facts": [entry.fact_id for entry, _ in entries],
        "agencies": [entry.agency for entry, _ in entries],
        "days": [entry.effective_on for entry, _ in entries],
        "recorded": [entry.recorded_at for entry, _ in entries],
        "kinds": [entry.kind for entry, _ in entries],
        "reversals": [entry.reversal_of for entry, _ in entries],
        "periods": [entry.period for entry, _ in entries],
        "legs": [len(entry.legs) for entry, _ in entries],
        "hashes": b"".join(digest for _, digest in entries),
    }


def _leg_columns(entries: Sequence[Entry]) -> dict[str, Any]:
    legs = [(entry, n, leg) for entry in entries for n, leg in enumerate(entry.legs)]
    return {
        "entries": [entry.id for entry, _, _ in legs],
        "ns": [n for _, n, _ in legs],
        "agencies": [entry.agency for entry, _, _ in legs],
        "days": [entry.effective_on for entry, _, _ in legs],
        "accounts": [leg.account for _, _, leg in legs],
        "streams": [leg.stream for _, _, leg in legs],
        "lines": [leg.line for _, _, leg in legs],
        "amounts": [leg.amount_vnd for _, _, leg in legs],
    }


def _part_rows(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    return [
        {
            "entry": entry.id,
            "stream": part.stream,
            "agency": entry.agency,
            "on": entry.effective_on,
            "lines": list(part.lines),
            "amounts": list(part.amounts),
        }
        for entry in entries
        for part in entry.parts
    ]


def _rollup_columns(entries: Sequence[Entry]) -> dict[str, Any]:
    sums: dict[tuple[str, str, str, date, date], list[int]] = {}
    for entry in entries:
        recorded_on = local_day(entry.recorded_at)
        for leg in entry.legs:
            key = (entry.agency, leg.account, leg.stream, entry.effective_on, recorded_on)
            turnover = sums.setdefault(key, [0, 0])
            turnover[leg.amount_vnd < 0] += abs(leg.amount_vnd)
    keys = sorted(sums)
    return {
        "agencies": [key[0] for key in keys],
        "accounts": [key[1] for key in keys],
        "streams": [key[2] for key in keys],
        "days": [key[3] for key in keys],
        "recorded": [key[4] for key in keys],
        "debits": [sums[key][0] for key in keys],
        "credits": [sums[key][1] for key in keys],
    }


def _line_columns(lines: Iterable[LineState]) -> dict[str, Any]:
    rows = sorted(lines, key=lambda line: line.id)
    return {
        "ids": [line.id for line in rows],
        "agencies": [line.agency for line in rows],
        "invoices": [line.invoice for line in rows],
        "streams": [line.stream for line in rows],
        "starts": [line.starts_on for line in rows],
        "lives": [line.live_until for line in rows],
        "states": msgspec.json.encode(rows).decode(),
    }


_ENTRIES = sa.text(
    "INSERT INTO entry (id, fact_id, agency, effective_on, recorded_at, kind, reversal_of, period, legs, hash) "
    "SELECT i, f, a, d, r, k, v, p, l, substring(CAST(:hashes AS bytea) FROM CAST(n * 32 - 31 AS integer) FOR 32) "
    "FROM unnest(CAST(:ids AS uuid[]), CAST(:facts AS uuid[]), CAST(:agencies AS text[]), "
    "CAST(:days AS date[]), CAST(:recorded AS timestamptz[]), CAST(:kinds AS text[]), CAST(:reversals AS uuid[]), "
    "CAST(:periods AS date[]), CAST(:legs AS bigint[])) WITH ORDINALITY AS t (i, f, a, d, r, k, v, p, l, n)"
)
_LEGS = sa.text(
    "INSERT INTO leg (entry, n, agency, effective_on, account, stream, line, amount_vnd) "
    "SELECT * FROM unnest(CAST(:entries AS uuid[]), CAST(:ns AS integer[]), CAST(:agencies AS text[]), "
    "CAST(:days AS date[]), CAST(:accounts AS text[]), CAST(:streams AS text[]), CAST(:lines AS uuid[]), "
    "CAST(:amounts AS bigint[]))"
)
_PARTS = sa.text(
    "INSERT INTO part (entry, stream, agency, effective_on, lines, amounts) "
    "VALUES (:entry, :stream, :agency, :on, CAST(:lines AS uuid[]), CAST(:amounts AS bigint[]))"
)
_ROLLUP = sa.text(
    "INSERT INTO rollup (agency, account, stream, effective_on, recorded_on, debit_vnd, credit_vnd) "
    "SELECT * FROM unnest(CAST(:agencies AS text[]), CAST(:accounts AS text[]), CAST(:streams AS text[]), "
    "CAST(:days AS date[]), CAST(:recorded AS date[]), CAST(:debits AS bigint[]), CAST(:credits AS bigint[])) "
    "ON CONFLICT (agency, account, stream, effective_on, recorded_on) DO UPDATE SET "
    "debit_vnd = rollup.debit_vnd + excluded.debit_vnd, credit_vnd = rollup.credit_vnd + excluded.credit_vnd"
)
_LINES = sa.text(
    "INSERT INTO line (id, agency, invoice, stream, starts_on, live_until, state) "
    "SELECT * FROM ROWS FROM (unnest(CAST(:ids AS uuid[]), CAST(:agencies AS text[]), CAST(:invoices AS uuid[]), "
    "CAST(:streams AS text[]), CAST(:starts AS date[]), CAST(:lives AS date[])), "
    "jsonb_array_elements(CAST(:states AS jsonb))) AS t "
    "ON CONFLICT (id) DO UPDATE SET live_until = excluded.live_until, state = excluded.state"
)
_PAYMENTS = sa.text(
    "INSERT INTO payment (id, agency, rail, invoice) SELECT * FROM unnest(CAST(:ids AS uuid[]), "
    "CAST(:agencies AS text[]), CAST(:rails AS text[]), CAST(:invoices AS uuid[])) ON CONFLICT (id) DO NOTHING"
)
_ARCHIVE = sa.text(
    "INSERT INTO archive (fact_id, subject, agencies, invoice, body, recorded_at, outcome) "
    "SELECT f, s, string_to_array(a, ','), i, substring(CAST(:bodies AS bytea) FROM b FOR l), r, o "
    "FROM unnest(CAST(:fact_id AS uuid[]), CAST(:subject AS text[]), CAST(:agencies AS text[]), "
    "CAST(:invoice AS uuid[]), CAST(:begins AS integer[]), CAST(:lengths AS integer[]), "
    "CAST(:recorded_at AS timestamptz[]), CAST(:outcome AS bytea[])) "
    "WITH ORDINALITY AS t (f, s, a, i, b, l, r, o, n) ORDER BY n"
)
