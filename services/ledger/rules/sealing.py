"""An entry's identity and hash: SHA-256 over the canonical, length-prefixed bytes of every field."""

import hashlib
from collections.abc import Iterable
from datetime import UTC, date, datetime
from uuid import UUID

import msgspec

from services.ledger.rules.lines import Leg, Part
from services.ledger.rules.posting import Draft
from shared.calendar import month_of


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """A posted entry. `period` is the month in whose books it stands."""

    id: UUID
    fact_id: UUID
    agency: str
    effective_on: date
    recorded_at: datetime
    kind: str
    reversal_of: UUID | None
    period: date
    legs: tuple[Leg, ...]
    parts: tuple[Part, ...] = ()


def entry_of(fact_id: UUID, recorded_at: datetime, draft: Draft) -> Entry:
    """The entry that a fact leads to; the same fact always leads to the same id."""
    name = f"{draft.agency}\0{draft.kind}\0{draft.effective_on}".encode()
    tail = bytearray(hashlib.sha256(fact_id.bytes + name).digest()[:8])
    tail[0] = (
        0x80 | tail[0] & 0x3F
    )  # RFC 9562 variant; the head keeps the fact's time, so that ids stay in order
    return Entry(
        id=UUID(bytes=fact_id.bytes[:8] + bytes(tail)),
        fact_id=fact_id,
        agency=draft.agency,
        effective_on=draft.effective_on,
        recorded_at=recorded_at,
        kind=draft.kind,
        reversal_of=None,
        period=month_of(draft.effective_on),
        legs=draft.legs,
        parts=draft.parts,
    )


def canonical(entry: Entry) -> bytes:
    """Every field in order, each with its length before it, so that no two entries share their bytes."""
    fields = [
        entry.id.bytes,
        entry.fact_id.bytes,
        entry.agency.encode(),
        entry.effective_on.isoformat().encode(),
        entry.recorded_at.astimezone(UTC).isoformat(timespec="microseconds").encode(),
        entry.kind.encode(),
        entry.reversal_of.bytes if entry.reversal_of else b"",
        entry.period.isoformat().encode(),
        str(len(entry.legs)).encode(),
    ]
    for leg in entry.legs:
        fields += (
            leg.account.encode(),
            leg.stream.encode(),
            leg.line.bytes if leg.line else b"",
            str(leg.amount_vnd).encode(),
        )
    for part in entry.parts:
        fields += (
            part.stream.encode(),
            b"".join(line.bytes for line in part.lines),
            b"".join(amount.to_bytes(8, signed=True) for amount in part.amounts),
        )
    return b"".join(len(field).to_bytes(4) + field for field in fields)


def sealed(entry: Entry) -> bytes:
    return hashlib.sha256(canonical(entry)).digest()


def outcome_of(entries: Iterable[tuple[UUID, bytes]]) -> bytes:
    """What the archive keeps of a fact's decision: one hash over its entries' hashes by id; empty for none."""
    joined = b"".join(digest for _, digest in sorted(entries))
    return hashlib.sha256(joined).digest() if joined else b""
