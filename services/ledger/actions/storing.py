"""Storing: a batch of entries, legs, parts, rollups, lines and archived facts, one statement each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import sqlalchemy as sa

from services.ledger.rules.lines import LineState
from services.ledger.rules.posting import DayReached
from services.ledger.rules.sealing import Entry, outcome_of
from services.ledger.tables import ArchiveRow, EntryRow, LegRow, LineRow, PartRow, PaymentRow, RollupRow
from shared.bulk import Row, insert_many
from shared.calendar import local_day
from shared.consume import body_of
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
    entries = [entry for p in posted for entry in p.entries]
    hashes = [digest for p in posted for digest in p.hashes]
    await insert_many(tx, EntryRow, _entry_rows(entries, hashes))
    await insert_many(tx, LegRow, _leg_rows(entries))
    await insert_many(tx, PartRow, _part_rows(entries))
    await insert_many(tx, RollupRow, _rollup_rows(entries), adding=("debit_vnd", "credit_vnd"))
    await insert_many(tx, LineRow, _line_rows(lines.values()), replacing=("starts_on", "live_until", "state"))
    payments = [
        {"id": payment, "agency": agency, "rail": rail, "invoice": invoice}
        for payment, (agency, rail, invoice) in paid.items()
    ]
    await insert_many(tx, PaymentRow, payments, once=True)
    if any(isinstance(p.fact, DayReached) for p in posted):
        await tx.execute(sa.text("UPDATE reached SET day = :day"), {"day": through})


async def archive(tx: Tx, posted: Sequence[Posted]) -> None:
    """Keep facts in the order of their posting, which a rebuild repeats."""
    rows = [
        {
            "fact_id": p.fact.id,
            "subject": p.fact.subject(),
            "agencies": sorted({p.fact.agency, *(entry.agency for entry in p.entries)}),
            "invoice": getattr(p.fact, "invoice", None),
            "body": body_of(tx, p.fact),
            "recorded_at": p.recorded_at,
            "outcome": outcome_of(p.sealed()),
        }
        for p in posted
    ]
    await insert_many(tx, ArchiveRow, rows)


def _entry_rows(entries: Sequence[Entry], hashes: Sequence[bytes]) -> list[Row]:
    return [
        {
            "id": entry.id,
            "fact_id": entry.fact_id,
            "agency": entry.agency,
            "effective_on": entry.effective_on,
            "recorded_at": entry.recorded_at,
            "kind": entry.kind,
            "reversal_of": entry.reversal_of,
            "period": entry.period,
            "legs": len(entry.legs),
            "hash": digest,
        }
        for entry, digest in zip(entries, hashes, strict=True)
    ]


def _leg_rows(entries: Sequence[Entry]) -> list[Row]:
    return [
        {
            "entry": entry.id,
            "n": n,
            "agency": entry.agency,
            "effective_on": entry.effective_on,
            "account": leg.account,
            "stream": leg.stream,
            "line": leg.line,
            "amount_vnd": leg.amount_vnd,
        }
        for entry in entries
        for n, leg in enumerate(entry.legs)
    ]


def _part_rows(entries: Sequence[Entry]) -> list[Row]:
    return [
        {
            "entry": entry.id,
            "stream": part.stream,
            "agency": entry.agency,
            "effective_on": entry.effective_on,
            "lines": part.lines,
            "amounts": part.amounts,
        }
        for entry in entries
        for part in entry.parts
    ]


def _rollup_rows(entries: Sequence[Entry]) -> list[Row]:
    sums: dict[tuple[str, str, str, date, date], list[int]] = {}
    for entry in entries:
        recorded_on = local_day(entry.recorded_at)
        for leg in entry.legs:
            key = (entry.agency, leg.account, leg.stream, entry.effective_on, recorded_on)
            turnover = sums.setdefault(key, [0, 0])
            turnover[leg.amount_vnd < 0] += abs(leg.amount_vnd)
    return [
        {
            "agency": agency,
            "account": account,
            "stream": stream,
            "effective_on": effective_on,
            "recorded_on": recorded_on,
            "debit_vnd": debit,
            "credit_vnd": credit,
        }
        for (agency, account, stream, effective_on, recorded_on), (debit, credit) in sorted(sums.items())
    ]


def _line_rows(lines: Iterable[LineState]) -> list[Row]:
    return [
        {
            "id": line.id,
            "agency": line.agency,
            "invoice": line.invoice,
            "stream": line.stream,
            "starts_on": line.starts_on,
            "live_until": line.live_until,
            "state": line,
        }
        for line in sorted(lines, key=lambda line: line.id)
    ]
