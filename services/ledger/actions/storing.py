"""Storing: a batch of archived facts with their entries, legs, rollups and lines, one statement each."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.rules.lines import LineState
from services.ledger.rules.posting import Draft
from services.ledger.rules.sealing import (
    Archived,
    Entry,
    Head,
    LineColumns,
    archive_hash,
    archived_lines,
    entry_hash,
    entry_of,
    line_columns,
    outcome_of,
)
from services.ledger.tables import ArchiveRow, BookRow, EntryRow, LegRow, LineRow, RollupRow
from shared.bulk import Row, insert_many
from shared.calendar import local_day, month_of
from shared.contracts import Fact, base
from shared.db import Tx

Book = tuple[str, int]
"""(agency, year)"""


class Source(NamedTuple):
    """A fact as it is to be archived."""

    fact: Fact
    body: bytes
    recorded_at: datetime
    rules: int


class Posted(NamedTuple):
    """A fact with what it led to."""

    fact: Fact
    archived: Archived
    hash: bytes
    entries: list[tuple[Entry, bytes]]


class Ends:
    """Where the chains end: the archive's, and that of each book; what is posted goes on from there."""

    def __init__(self, archive: Head, books: Mapping[Book, Head], changes: Mapping[UUID, int]) -> None:
        self.archive = archive
        self.books = dict(books)
        self.moved: set[Book] = set()
        self.changes = dict(changes)
        """How many facts have changed a line."""

    @property
    def seq(self) -> int:
        """Of the fact that is posted next."""
        return self.archive.number + 1

    def entry(self, draft: Draft, source: Source) -> tuple[Entry, bytes]:
        """A draft as the next entry of its book."""
        book = draft.agency, draft.belongs_on.year
        entry = entry_of(
            draft,
            fact_id=source.fact.id,
            seq=self.seq,
            recorded_at=source.recorded_at,
            rules=source.rules,
            head=self.books.get(book, Head()),
        )
        digest = entry_hash(entry)
        self.books[book] = Head(entry.number, digest)
        self.moved.add(book)
        return entry, digest

    def line(self, line: LineState) -> LineColumns:
        self.changes[line.id] = self.changes.get(line.id, 0) + 1
        return line_columns(line, self.seq, self.changes[line.id])

    def posted(
        self, source: Source, entries: list[tuple[Entry, bytes]], lines: Sequence[LineColumns]
    ) -> Posted:
        """The fact as the next one of the archive."""
        fact = source.fact
        row = Archived(
            seq=self.seq,
            fact_id=fact.id,
            subject=fact.subject(),
            agencies=tuple(sorted({fact.agency, *(entry.agency for entry, _ in entries)})),
            about=fact.order if isinstance(fact, base.OrderSigned) else getattr(fact, "invoice", None),
            body=source.body,
            recorded_at=source.recorded_at,
            rules=source.rules,
            outcome=outcome_of((entry.id, digest) for entry, digest in entries),
            lines=archived_lines(lines),
            before=self.archive.hash,
        )
        digest = archive_hash(row)
        self.archive = Head(row.seq, digest)
        return Posted(fact, row, digest, entries)


async def ends(tx: Tx, changes: Mapping[UUID, int]) -> Ends:
    """Where the chains end now; `changes` says of the lines that are to be posted how often each was changed."""
    last = sa.text("SELECT seq AS number, hash FROM archive ORDER BY seq DESC LIMIT 1")
    archive = (await tx.execute(last)).one_or_none()
    books = await tx.execute(sa.text("SELECT agency, year, number, hash FROM book"))
    return Ends(
        Head(archive.number, bytes(archive.hash)) if archive else Head(),
        {(row.agency, row.year): Head(row.number, bytes(row.hash)) for row in books},
        changes,
    )


async def store(tx: Tx, posted: Sequence[Posted], lines: Iterable[LineColumns], chains: Ends) -> None:
    entries = [pair for p in posted for pair in p.entries]
    for month in sorted({month_of(entry.posted_on) for entry, _ in entries}):
        await _open_month(tx, month)
    await insert_many(tx, ArchiveRow, [_archive_row(p) for p in posted])
    await insert_many(tx, EntryRow, _entry_rows(entries))
    await insert_many(tx, LegRow, _leg_rows(entries))
    await insert_many(tx, RollupRow, _rollup_rows(entries), adding=("debit_vnd", "credit_vnd"))
    await insert_many(tx, LineRow, _line_rows(lines), replacing=LINE_CHANGES)
    books = [
        {"agency": agency, "year": year, **msgspec.structs.asdict(chains.books[agency, year])}
        for agency, year in sorted(chains.moved)
    ]
    await insert_many(tx, BookRow, books, replacing=("number", "hash"))


LINE_CHANGES = (
    "invoice",
    "party",
    "due_on",
    "counter",
    "since",
    "until",
    "amount_vnd",
    "through",
    "seq",
    "changes",
    "state",
)


async def _open_month(tx: Tx, month: date) -> None:
    """Make a month's partitions before something is posted into it."""
    known = sa.text(
        "SELECT to_regclass(current_schema() || '.entry_' || to_char(CAST(:month AS date), 'YYYY_MM')) IS NOT NULL"
    )
    if not await tx.scalar(known, {"month": month}):
        await tx.execute(sa.text("SELECT open_month(:month)"), {"month": month})


def _archive_row(p: Posted) -> Row:
    return {**msgspec.structs.asdict(p.archived), "hash": p.hash}


def _entry_rows(entries: Sequence[tuple[Entry, bytes]]) -> list[Row]:
    return [
        {
            "id": entry.id,
            "fact_id": entry.fact_id,
            "seq": entry.seq,
            "agency": entry.agency,
            "year": entry.year,
            "number": entry.number,
            "belongs_on": entry.belongs_on,
            "posted_on": entry.posted_on,
            "recorded_at": entry.recorded_at,
            "kind": entry.kind,
            "reversal_of": entry.reversal_of,
            "rules": entry.rules,
            "legs": len(entry.legs),
            "before": entry.before,
            "hash": digest,
        }
        for entry, digest in entries
    ]


def _leg_rows(entries: Sequence[tuple[Entry, bytes]]) -> list[Row]:
    return [
        {
            "entry": entry.id,
            "n": n,
            "agency": entry.agency,
            "belongs_on": entry.belongs_on,
            "posted_on": entry.posted_on,
            "account": leg.account,
            "stream": leg.stream,
            "line": leg.line,
            "amount_vnd": leg.amount_vnd,
            "party": leg.party,
            "document": leg.document,
            "due_on": leg.due_on,
            "quantity": leg.quantity,
            "reference": leg.reference,
        }
        for entry, _ in entries
        for n, leg in enumerate(entry.legs)
    ]


def _rollup_rows(entries: Sequence[tuple[Entry, bytes]]) -> list[Row]:
    sums: dict[tuple[str, str, str, date, date, date], list[int]] = {}
    for entry, _ in entries:
        recorded_on = local_day(entry.recorded_at)
        for leg in entry.legs:
            key = (entry.agency, leg.account, leg.stream, entry.posted_on, entry.belongs_on, recorded_on)
            turnover = sums.setdefault(key, [0, 0])
            turnover[leg.amount_vnd < 0] += abs(leg.amount_vnd)
    names = ("agency", "account", "stream", "posted_on", "belongs_on", "recorded_on")
    return [
        {**dict(zip(names, key, strict=True)), "debit_vnd": debit, "credit_vnd": credit}
        for key, (debit, credit) in sorted(sums.items())
    ]


def _line_rows(lines: Iterable[LineColumns]) -> list[Row]:
    return [
        {**msgspec.structs.asdict(line), "state": line.state.decode()}
        for line in sorted(lines, key=lambda line: line.id)
    ]
