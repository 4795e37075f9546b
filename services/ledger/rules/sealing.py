"""What proves the books: an entry's number and hash, and the chains that entries and archived facts stand in.

A hash is SHA-256 over canonical bytes, those in which PostgreSQL sends a row: how many fields there are, then of each
its type, its length, and its bytes in network order (an id, a day or an instant since 2000, a number, a text in UTF-8),
or the length −1 where there is nothing. So no two rows share their bytes; the database says the same by `record_send`
(`queries/proof.py`), and a program that has only an export can, too.
"""

import hashlib
import struct
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from uuid import UUID

import msgspec

from services.ledger.rules.lines import Leg, LineState, Part, last_position
from services.ledger.rules.posting import Draft

FORMAT = 1
"""Of the canonical bytes."""

START = bytes(32)
"""What stands for the hash before the first of a chain."""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A posted entry, numbered without gaps in its agency's book of a year."""

    id: UUID
    fact_id: UUID
    seq: int
    """Of its fact in the archive."""
    agency: str
    year: int
    number: int
    belongs_on: date
    """The day that its reason is of."""
    posted_on: date
    """The day in whose books it stands: the first that was open."""
    recorded_at: datetime
    kind: str
    reversal_of: UUID | None
    rules: int
    before: bytes
    """The hash of the entry before it in its book."""
    legs: tuple[Leg, ...]
    parts: tuple[Part, ...] = ()


class Head(msgspec.Struct, frozen=True):
    """How far a chain has come."""

    number: int = 0
    hash: bytes = START


class Archived(msgspec.Struct, frozen=True, kw_only=True):
    """A fact as the archive keeps it, with the decision that was taken on it."""

    seq: int
    fact_id: UUID
    subject: str
    agencies: tuple[str, ...]
    about: UUID | None
    """The invoice or the order that it speaks of."""
    body: bytes
    recorded_at: datetime
    rules: int
    outcome: bytes
    """SHA-256 over the hashes of its entries, in the order of their ids; empty for none."""
    lines: bytes
    """Each line that it changed: 16 bytes of its id, and 32 of the digest that its row has since."""
    before: bytes


def entry_id(fact_id: UUID, agency: str, kind: str, belongs_on: date) -> UUID:
    """The same fact always leads to the same ids; the head keeps the fact's time, so that ids stay in order."""
    tail = bytearray(hashlib.sha256(fact_id.bytes + f"{agency}\0{kind}\0{belongs_on}".encode()).digest()[:8])
    tail[0] = 0x80 | tail[0] & 0x3F  # RFC 9562 variant
    return UUID(bytes=fact_id.bytes[:8] + bytes(tail))


def entry_of(
    draft: Draft, *, fact_id: UUID, seq: int, recorded_at: datetime, rules: int, head: Head
) -> Entry:
    """A draft as the next entry after a head."""
    return Entry(
        id=entry_id(fact_id, draft.agency, draft.kind, draft.belongs_on),
        fact_id=fact_id,
        seq=seq,
        agency=draft.agency,
        year=draft.belongs_on.year,
        number=head.number + 1,
        belongs_on=draft.belongs_on,
        posted_on=draft.belongs_on,
        recorded_at=recorded_at,
        kind=draft.kind,
        reversal_of=None,
        rules=rules,
        before=head.hash,
        legs=draft.legs,
        parts=draft.parts,
    )


def entry_hash(entry: Entry) -> bytes:
    """Over every field, its legs and its parts in their order."""
    rows = [
        _row(
            _number(FORMAT),
            _id(entry.id),
            _id(entry.fact_id),
            _long(entry.seq),
            _text(entry.agency),
            _number(entry.year),
            _long(entry.number),
            _day(entry.belongs_on),
            _day(entry.posted_on),
            _instant(entry.recorded_at),
            _text(entry.kind),
            _id(entry.reversal_of),
            _number(entry.rules),
            _number(len(entry.legs)),
            _bytes(entry.before),
        )
    ]
    rows += [
        _row(
            _text(leg.account),
            _text(leg.stream),
            _id(leg.line),
            _long(leg.amount_vnd),
            _id(leg.party),
            _id(leg.document),
            _day(leg.due_on),
            _long(leg.quantity),
            _text(leg.reference),
        )
        for leg in entry.legs
    ]
    rows += [_row(_text(p.stream), _text(p.counter), _bytes(p.digest)) for p in entry.parts]
    return hashlib.sha256(b"".join(rows)).digest()


def archive_hash(row: Archived) -> bytes:
    """Over every column of the archive's row: one hash commits to all entries until then."""
    fields = _row(
        _number(FORMAT),
        _long(row.seq),
        _id(row.fact_id),
        _text(row.subject),
        _text(",".join(row.agencies)),
        _number(len(row.agencies)),
        _id(row.about),
        _bytes(hashlib.sha256(row.body).digest()),
        _instant(row.recorded_at),
        _number(row.rules),
        _bytes(row.outcome),
        _bytes(row.lines),
        _bytes(row.before),
    )
    return hashlib.sha256(fields).digest()


def outcome_of(entries: Iterable[tuple[UUID, bytes]]) -> bytes:
    joined = b"".join(digest for _, digest in sorted(entries))
    return hashlib.sha256(joined).digest() if joined else b""


class LineColumns(msgspec.Struct, frozen=True, kw_only=True):
    """A line as its row has it: what reports and recognition read, and the state that all of it follows from."""

    id: UUID
    agency: str
    payee: str
    seller: str
    stream: str
    invoice: UUID | None
    party: UUID | None
    due_on: date | None
    counter: str
    since: date | None
    until: date | None
    amount_vnd: int
    """What time earns evenly from `since` to `until`."""
    through: date
    seq: int
    """Of the fact that changed it last."""
    changes: int
    """How many facts have changed it."""
    state: bytes


def line_columns(line: LineState, seq: int, changes: int) -> LineColumns:
    position = last_position(line)
    plan = position.plan if position.basis_vnd and line.stream != "pass_through" else None
    return LineColumns(
        id=line.id,
        agency=line.agency,
        payee=line.payee,
        seller=line.seller,
        stream=line.stream,
        invoice=line.invoice,
        party=line.party,
        due_on=line.due_on,
        counter=position.counter,
        since=plan.since if plan else None,
        until=plan.end if plan else None,
        amount_vnd=plan.amount_vnd if plan else 0,
        through=line.through,
        seq=seq,
        changes=changes,
        state=msgspec.json.encode(line),
    )


def line_digest(row: LineColumns) -> bytes:
    fields = _row(
        _id(row.id),
        _text(row.agency),
        _text(row.payee),
        _text(row.seller),
        _text(row.stream),
        _id(row.invoice),
        _id(row.party),
        _day(row.due_on),
        _text(row.counter),
        _day(row.since),
        _day(row.until),
        _long(row.amount_vnd),
        _day(row.through),
        _long(row.seq),
        _number(row.changes),
        _bytes(row.state),
    )
    return hashlib.sha256(fields).digest()


def archived_lines(rows: Sequence[LineColumns]) -> bytes:
    """What the archive keeps of the lines that a fact changed."""
    return b"".join(row.id.bytes + line_digest(row) for row in sorted(rows, key=lambda row: row.id))


_EPOCH = date(2000, 1, 1).toordinal()
_EPOCH_AT = datetime(2000, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_FIELD = struct.Struct(">ii")
_NUMBER, _LONG = struct.Struct(">iii"), struct.Struct(">iiq")
# What PostgreSQL calls its types: they are the same in every database.
_OF_ID, _OF_TEXT, _OF_BYTES, _OF_NUMBER, _OF_LONG, _OF_DAY, _OF_INSTANT = 2950, 25, 17, 23, 20, 1082, 1184
_ID, _NO_ID = _FIELD.pack(_OF_ID, 16), _FIELD.pack(_OF_ID, -1)
_NO_DAY, _NO_LONG = _FIELD.pack(_OF_DAY, -1), _FIELD.pack(_OF_LONG, -1)


def _row(*fields: bytes) -> bytes:
    return len(fields).to_bytes(4) + b"".join(fields)


def _id(key: UUID | None) -> bytes:
    return _NO_ID if key is None else _ID + key.bytes


@lru_cache(4096)
def _text(value: str) -> bytes:
    said = value.encode()
    return _FIELD.pack(_OF_TEXT, len(said)) + said


def _bytes(value: bytes) -> bytes:
    return _FIELD.pack(_OF_BYTES, len(value)) + value


def _number(value: int) -> bytes:
    return _NUMBER.pack(_OF_NUMBER, 4, value)


def _long(value: int | None) -> bytes:
    return _NO_LONG if value is None else _LONG.pack(_OF_LONG, 8, value)


@lru_cache(4096)
def _day(day: date | None) -> bytes:
    return _NO_DAY if day is None else _NUMBER.pack(_OF_DAY, 4, day.toordinal() - _EPOCH)


def _instant(at: datetime) -> bytes:
    return _LONG.pack(_OF_INSTANT, 8, (at - _EPOCH_AT) // _MICROSECOND)
