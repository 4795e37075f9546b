"""The journal: entries by day, account, stream or line, as the books are or were known."""

import re
from collections.abc import AsyncIterator, Sequence
from datetime import date, datetime
from typing import Any, NamedTuple
from uuid import UUID

import msgspec
import sqlalchemy as sa

from shared.db import Tx
from shared.errors import BadInput


class EntryItem(msgspec.Struct, frozen=True):
    """An entry in a list; `amount_vnd` is what it did to the account or stream, or to a line's revenue, if asked."""

    id: UUID
    agency: str
    year: int
    number: int
    belongs_on: date
    posted_on: date
    recorded_at: datetime
    kind: str
    legs: int
    amount_vnd: int


_ENTRIES = """
SELECT entry.id, entry.agency, entry.year, entry.number, entry.belongs_on, entry.posted_on, entry.recorded_at,
       entry.kind, entry.legs,
       found.amount_vnd
FROM unnest(CAST(:agencies AS text[])) AS mine(code) CROSS JOIN LATERAL (
    SELECT id AS entry, posted_on, NULL::bigint AS amount_vnd FROM entry
    WHERE agency = mine.code AND posted_on BETWEEN :since AND :until
      AND (posted_on, id) < (:before_on, CAST(:before_id AS uuid)) {filters}
    ORDER BY posted_on DESC, id DESC LIMIT :limit
) AS found JOIN entry ON entry.id = found.entry AND entry.posted_on = found.posted_on
ORDER BY entry.posted_on DESC, entry.id DESC LIMIT :limit
"""
_ENTRIES_BY_LEG = """
SELECT entry.id, entry.agency, entry.year, entry.number, entry.belongs_on, entry.posted_on, entry.recorded_at,
       entry.kind, entry.legs,
       found.amount_vnd
FROM unnest(CAST(:agencies AS text[])) AS mine(code) CROSS JOIN LATERAL (
    SELECT entry, posted_on, sum(amount_vnd) AS amount_vnd FROM leg
    WHERE agency = mine.code AND posted_on BETWEEN :since AND :until
      AND (posted_on, entry) < (:before_on, CAST(:before_id AS uuid)) {filters}
    GROUP BY posted_on, entry ORDER BY posted_on DESC, entry DESC LIMIT :limit
) AS found JOIN entry ON entry.id = found.entry AND entry.posted_on = found.posted_on
ORDER BY entry.posted_on DESC, entry.id DESC LIMIT :limit
"""
_ENTRIES_BY_LINE = """
SELECT entry.id, entry.agency, entry.year, entry.number, entry.belongs_on, entry.posted_on, entry.recorded_at,
       entry.kind, entry.legs,
       found.amount_vnd
FROM (
    SELECT entry, posted_on, sum(amount_vnd) FILTER (WHERE account IN ('revenue', 'in_kind_revenue')) AS amount_vnd
    FROM leg WHERE line = CAST(:line AS uuid) GROUP BY entry, posted_on
    UNION ALL
    SELECT part.entry, part.posted_on, -amounts[array_position(lines, CAST(:line AS uuid))] FROM part
    JOIN line ON line.id = CAST(:line AS uuid) AND part.agency = line.agency AND part.stream = line.stream
    WHERE CAST(:line AS uuid) = ANY(lines)
) AS found JOIN entry ON entry.id = found.entry AND entry.posted_on = found.posted_on
WHERE entry.agency = ANY(:agencies) AND entry.posted_on BETWEEN :since AND :until
  AND (entry.posted_on, entry.id) < (:before_on, CAST(:before_id AS uuid))
ORDER BY entry.posted_on DESC, entry.id DESC LIMIT :limit
"""
_FILTERS = {
    "account": "AND (account = :account OR account LIKE :account || ':%')",
    "stream": "AND stream = :stream",
}
_KNOWN = "AND recorded_at <= :known"
_KNOWN_OF_LEG = (
    "AND EXISTS (SELECT FROM entry WHERE entry.id = leg.entry AND entry.posted_on = leg.posted_on "
    "AND entry.recorded_at <= :known)"
)
_WORD = re.compile(r"[a-z0-9_.:-]{0,64}")
_LAST_ID = UUID(int=2**128 - 1)


class Place(NamedTuple):
    """Where an entry stands in the journal."""

    posted_on: date
    id: UUID


def place(entry: EntryItem) -> Place:
    return Place(entry.posted_on, entry.id)


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list, newest effective day first."""

    account: str = ""
    stream: str = ""
    line: UUID | None = None
    since: date = date.min
    until: date = date.max
    known: datetime | None = None
    """As the books were known at this instant; none is now."""
    limit: int = 50
    before: Place | None = None
    """The place of the last one seen."""


async def entries(tx: Tx, codes: Sequence[str], wanted: Wanted) -> list[EntryItem]:
    """One entry more than the limit where there are more. Raises BadInput for filters that do not go together."""
    if wanted.line and (wanted.account or wanted.stream):
        raise BadInput("Filter by line alone, or by account and stream.")
    if not (_WORD.fullmatch(wanted.account) and _WORD.fullmatch(wanted.stream)):
        raise BadInput("An account or a stream is written in small letters, such as cash_in_transit:vnpay.")
    given = (("account", wanted.account), ("stream", wanted.stream), ("line", wanted.line))
    filters = {name: value for name, value in given if value}
    before_on, before_id = wanted.before or Place(_LATEST, _LAST_ID)
    values = {
        "agencies": list(codes),
        "since": max(wanted.since, _EARLIEST),
        "until": min(wanted.until, _LATEST),
        "before_on": before_on,
        "before_id": before_id,
        "limit": wanted.limit + 1,
        **filters,
    }
    by_leg = [_FILTERS[name] for name in filters if name in _FILTERS]
    if wanted.known is not None:
        values["known"] = wanted.known
        by_leg.append(_KNOWN_OF_LEG if by_leg else _KNOWN)
    sql = _ENTRIES_BY_LEG if wanted.account or wanted.stream else _ENTRIES
    sql = _ENTRIES_BY_LINE if wanted.line else sql.replace("{filters}", " ".join(by_leg))
    return [_entry_item(row) for row in await tx.execute(sa.text(sql), values)]


async def all_entries(tx: Tx, codes: Sequence[str], wanted: Wanted) -> AsyncIterator[EntryItem]:
    """Every entry that is wanted, however many there are."""
    while True:
        found = await entries(tx, codes, wanted)
        for item in found[: wanted.limit]:
            yield item
        if len(found) <= wanted.limit:
            return
        wanted = msgspec.structs.replace(wanted, before=place(found[wanted.limit - 1]))


_EARLIEST, _LATEST = date(1900, 1, 1), date(9999, 1, 1)


def _entry_item(row: Any) -> EntryItem:
    return EntryItem(
        id=row.id,
        agency=row.agency,
        year=row.year,
        number=row.number,
        belongs_on=row.belongs_on,
        posted_on=row.posted_on,
        recorded_at=row.recorded_at,
        kind=row.kind,
        legs=row.legs,
        amount_vnd=int(row.amount_vnd or 0),
    )
