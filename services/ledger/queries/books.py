"""Reads of the books: trial balance, entries, lines and their facts, each as of a day and a recorded instant."""

import re
from collections.abc import Sequence
from datetime import date, datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.rules.lines import LineState, earning_legs
from shared import agencies, clock
from shared.calendar import local_day, start_of
from shared.db import Tx, seen
from shared.errors import BadInput, NotFound


class Agency(msgspec.Struct, frozen=True):
    code: str
    name: str
    successor: str | None


class Balance(msgspec.Struct, frozen=True):
    """One account of a trial balance; turnover and balance in đồng, debit positive."""

    account: str
    code: str
    name: str
    debit_vnd: int
    credit_vnd: int
    balance_vnd: int


class TrialBalance(msgspec.Struct, frozen=True):
    """Every account as of an effective day and a recorded instant; a sound ledger sums to zero."""

    on: date
    recorded_at: datetime | None
    agencies: list[str]
    accounts: list[Balance]
    debit_vnd: int
    credit_vnd: int
    sum_vnd: int


class EntryItem(msgspec.Struct, frozen=True):
    """An entry in a list; `amount_vnd` is what it did to the account or stream, or to a line's revenue, if asked."""

    id: UUID
    agency: str
    effective_on: date
    recorded_at: datetime
    kind: str
    period: date
    legs: int
    amount_vnd: int


class LegItem(msgspec.Struct, frozen=True):
    account: str
    stream: str
    line: UUID | None
    amount_vnd: int


class PartItem(msgspec.Struct, frozen=True):
    """What one line earned of a day's entry."""

    stream: str
    line: UUID
    amount_vnd: int


class FactItem(msgspec.Struct, frozen=True):
    """A fact as it was archived."""

    id: UUID
    subject: str
    recorded_at: datetime
    body: Any


class EntryPage(msgspec.Struct, frozen=True):
    """An entry with its legs and the fact it came from."""

    id: UUID
    fact_id: UUID
    agency: str
    effective_on: date
    recorded_at: datetime
    kind: str
    reversal_of: UUID | None
    period: date
    hash: str
    legs: list[LegItem]
    parts: list[PartItem]
    """Of an entry that recognised a day: what each line earned, the first few hundred."""
    fact: FactItem | None


class LinePage(msgspec.Struct, frozen=True):
    """An invoice line: how it is earned, its balances, and the facts of its invoice."""

    id: UUID
    state: LineState
    balances: list[LegItem]
    facts: list[FactItem]


async def visible(tx: Tx) -> list[Agency]:
    """The agencies that the reader may see, living ones first."""
    names = {row.code: row.name for row in await tx.execute(sa.text("SELECT code, name FROM agency"))}
    known, today = await agencies.lineage(tx), local_day(clock.now())
    found = [Agency(code, names.get(code) or code, known.successor_on(code, today)) for code in seen(tx)]
    return sorted(found, key=lambda a: (a.successor is not None, a.code))


async def all_agencies(tx: Tx) -> list[str]:
    """Every agency in the books that the role may see."""
    return list(await tx.scalars(sa.text("SELECT DISTINCT agency FROM rollup ORDER BY agency")))


async def scope(tx: Tx, agency: str = "") -> list[str]:
    """Codes of all agencies that the reader sees, or of one with what it absorbed. Raises NotFound for others'."""
    if not agency:
        return seen(tx)
    if agency not in seen(tx):
        raise NotFound("There is no such agency, or not for you.")
    return (await agencies.lineage(tx)).with_predecessors([agency], local_day(clock.now()))


async def living(tx: Tx, agency: str = "") -> list[str]:
    """The agencies as they are: those asked for that no other has absorbed."""
    known, today = await agencies.lineage(tx), local_day(clock.now())
    return [agency] if agency else [code for code in seen(tx) if known.open_on(code, today)]


_SUMS = """
SELECT account, sum(debit) AS debit, sum(credit) AS credit FROM (
    SELECT account, sum(debit_vnd) AS debit, sum(credit_vnd) AS credit FROM rollup
    WHERE agency = ANY(:agencies) AND effective_on <= :on AND recorded_on < :recorded_on GROUP BY account
    UNION ALL
    SELECT leg.account, sum(greatest(leg.amount_vnd, 0)), sum(greatest(-leg.amount_vnd, 0))
    FROM entry JOIN leg ON leg.entry = entry.id
    WHERE entry.agency = ANY(:agencies) AND entry.effective_on <= :on
      AND entry.recorded_at >= :recorded_from AND entry.recorded_at <= :recorded_at GROUP BY leg.account
) AS parts GROUP BY account
"""
_LATEST_SUMS = """
SELECT account, sum(debit_vnd) AS debit, sum(credit_vnd) AS credit FROM rollup
WHERE agency = ANY(:agencies) AND effective_on <= :on GROUP BY account
"""
_CODES = """
SELECT account, code, name FROM account_code WHERE regime = coalesce(
    (SELECT regime FROM regime WHERE agency = ANY(:agencies) AND since <= :on ORDER BY since DESC LIMIT 1), '24/2024')
"""


async def trial_balance(
    tx: Tx, codes: Sequence[str], on: date, recorded_at: datetime | None = None
) -> TrialBalance:
    """The trial balance as of an effective day, as it was known at a recorded instant (none: as known now)."""
    values: dict[str, Any] = {"agencies": list(codes), "on": on}
    sql = _LATEST_SUMS
    if recorded_at is not None:
        day = local_day(recorded_at)
        sql = _SUMS
        values |= {"recorded_on": day, "recorded_at": recorded_at, "recorded_from": start_of(day)}
    sums = (await tx.execute(sa.text(sql), values)).all()
    names = {
        row.account: row for row in await tx.execute(sa.text(_CODES), {"agencies": list(codes), "on": on})
    }
    accounts = [_balance(row, names.get(row.account.split(":")[0])) for row in sums]
    accounts.sort(key=lambda a: (a.code, a.account))
    debit = sum(a.debit_vnd for a in accounts)
    credit = sum(a.credit_vnd for a in accounts)
    return TrialBalance(on, recorded_at, list(codes), accounts, debit, credit, debit - credit)


def _balance(row: Any, named: Any) -> Balance:
    debit, credit = int(row.debit), int(row.credit)
    code, name = (named.code, named.name) if named else ("", "")
    return Balance(row.account, code, name, debit, credit, debit - credit)


_ENTRIES = """
SELECT entry.id, entry.agency, entry.effective_on, entry.recorded_at, entry.kind, entry.period, entry.legs,
       found.amount_vnd
FROM unnest(CAST(:agencies AS text[])) AS mine(code) CROSS JOIN LATERAL (
    SELECT id AS entry, effective_on, NULL::bigint AS amount_vnd FROM entry
    WHERE agency = mine.code AND effective_on BETWEEN :since AND :until
      AND (effective_on, id) < (:before_on, CAST(:before_id AS uuid))
    ORDER BY effective_on DESC, id DESC LIMIT :limit
) AS found JOIN entry ON entry.id = found.entry
ORDER BY entry.effective_on DESC, entry.id DESC LIMIT :limit
"""
_ENTRIES_BY_LEG = """
SELECT entry.id, entry.agency, entry.effective_on, entry.recorded_at, entry.kind, entry.period, entry.legs,
       found.amount_vnd
FROM unnest(CAST(:agencies AS text[])) AS mine(code) CROSS JOIN LATERAL (
    SELECT entry, effective_on, sum(amount_vnd) AS amount_vnd FROM leg
    WHERE agency = mine.code AND effective_on BETWEEN :since AND :until
      AND (effective_on, entry) < (:before_on, CAST(:before_id AS uuid)) {filters}
    GROUP BY effective_on, entry ORDER BY effective_on DESC, entry DESC LIMIT :limit
) AS found JOIN entry ON entry.id = found.entry
ORDER BY entry.effective_on DESC, entry.id DESC LIMIT :limit
"""
_ENTRIES_BY_LINE = """
SELECT entry.id, entry.agency, entry.effective_on, entry.recorded_at, entry.kind, entry.period, entry.legs,
       found.amount_vnd
FROM (
    SELECT entry, sum(amount_vnd) FILTER (WHERE account IN ('revenue', 'in_kind_revenue')) AS amount_vnd
    FROM leg WHERE line = CAST(:line AS uuid) GROUP BY entry
    UNION ALL
    SELECT part.entry, -amounts[array_position(lines, CAST(:line AS uuid))] FROM part
    JOIN line ON line.id = CAST(:line AS uuid) AND part.agency = line.agency AND part.stream = line.stream
    WHERE part.effective_on <= line.live_until AND CAST(:line AS uuid) = ANY(lines)
      AND part.effective_on >= CAST(line.state->>'booked_on' AS date)
) AS found JOIN entry ON entry.id = found.entry
WHERE entry.agency = ANY(:agencies) AND entry.effective_on BETWEEN :since AND :until
  AND (entry.effective_on, entry.id) < (:before_on, CAST(:before_id AS uuid))
ORDER BY entry.effective_on DESC, entry.id DESC LIMIT :limit
"""
_FILTERS = {"account": "AND account = :account", "stream": "AND stream = :stream"}
_WORD = re.compile(r"[a-z0-9_.:-]{0,64}")
_LAST_ID = "ffffffff-ffff-ffff-ffff-ffffffffffff"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which entries to list, newest effective day first."""

    account: str = ""
    stream: str = ""
    line: UUID | None = None
    since: date = date.min
    until: date = date.max
    limit: int = 50
    cursor: str = ""
    """`<effective day>/<entry id>` of the last one seen."""


async def entries(tx: Tx, codes: Sequence[str], wanted: Wanted) -> list[EntryItem]:
    """One entry more than the limit where there are more. Raises BadInput for a cursor that is not ours."""
    if wanted.line and (wanted.account or wanted.stream):
        raise BadInput("Filter by line alone, or by account and stream.")
    if not (_WORD.fullmatch(wanted.account) and _WORD.fullmatch(wanted.stream)):
        raise BadInput("An account or a stream is written in small letters, such as cash_in_transit:vnpay.")
    given = (("account", wanted.account), ("stream", wanted.stream), ("line", wanted.line))
    filters = {name: value for name, value in given if value}
    before_on, before_id = _after(wanted.cursor)
    values = {
        "agencies": list(codes),
        "since": max(wanted.since, _EARLIEST),
        "until": min(wanted.until, _LATEST),
        "before_on": before_on,
        "before_id": before_id,
        "limit": wanted.limit + 1,
        **filters,
    }
    sql = _ENTRIES
    if wanted.line:
        sql = _ENTRIES_BY_LINE
    elif filters:
        sql = _ENTRIES_BY_LEG.replace("{filters}", " ".join(_FILTERS[name] for name in filters))
    return [_entry_item(row) for row in await tx.execute(sa.text(sql), values)]


_EARLIEST, _LATEST = date(1900, 1, 1), date(9999, 1, 1)


def _after(cursor: str) -> tuple[date, str]:
    if not cursor:
        return _LATEST, _LAST_ID
    day, _, key = cursor.partition("/")
    try:
        return date.fromisoformat(day), str(UUID(key))
    except ValueError as error:
        raise BadInput("The cursor is not one that we gave.") from error


def _entry_item(row: Any) -> EntryItem:
    return EntryItem(
        id=row.id,
        agency=row.agency,
        effective_on=row.effective_on,
        recorded_at=row.recorded_at,
        kind=row.kind,
        period=row.period,
        legs=row.legs,
        amount_vnd=int(row.amount_vnd or 0),
    )


async def entry(tx: Tx, key: UUID, account: str = "", limit: int = 500, parts_limit: int = 500) -> EntryPage:
    """An entry with its legs (those of one account where asked) and its source. Raises NotFound."""
    row = (await tx.execute(sa.text("SELECT * FROM entry WHERE id = :id"), {"id": key})).one_or_none()
    if row is None:
        raise NotFound("There is no such entry, or not for you.")
    legs = await tx.execute(
        sa.text(
            "SELECT account, stream, line, amount_vnd FROM leg WHERE entry = :id "
            "AND (:account = '' OR account = :account) ORDER BY n LIMIT :limit"
        ),
        {"id": key, "account": account, "limit": limit},
    )
    parts = await tx.execute(
        sa.text(
            "SELECT stream, pair.line, pair.amount FROM part, unnest(lines, amounts) AS pair(line, amount) "
            "WHERE entry = :id ORDER BY stream, pair.amount DESC LIMIT :limit"
        ),
        {"id": key, "limit": parts_limit},
    )
    facts = await _facts(tx, "fact_id = :key", row.fact_id)
    return EntryPage(
        id=row.id,
        fact_id=row.fact_id,
        agency=row.agency,
        effective_on=row.effective_on,
        recorded_at=row.recorded_at,
        kind=row.kind,
        reversal_of=row.reversal_of,
        period=row.period,
        hash=bytes(row.hash).hex(),
        legs=[LegItem(leg.account, leg.stream, leg.line, leg.amount_vnd) for leg in legs],
        parts=[PartItem(p.stream, p.line, p.amount) for p in parts],
        fact=facts[0] if facts else None,
    )


async def fact(tx: Tx, key: UUID) -> FactItem:
    """A fact as it was archived. Raises NotFound."""
    found = await _facts(tx, "fact_id = :key", key)
    if not found:
        raise NotFound("There is no such fact, or not for you.")
    return found[0]


async def line(tx: Tx, key: UUID) -> LinePage:
    """An invoice line with its balances and its invoice's facts. Raises NotFound."""
    row = (
        await tx.execute(sa.text("SELECT invoice, state FROM line WHERE id = :id"), {"id": key})
    ).one_or_none()
    if row is None:
        raise NotFound("There is no such line, or not for you.")
    state = msgspec.convert(row.state, LineState)
    sums = await tx.execute(
        sa.text("SELECT account, sum(amount_vnd) AS amount FROM leg WHERE line = :id GROUP BY account"),
        {"id": key},
    )
    totals = {s.account: int(s.amount) for s in sums}
    for leg in earning_legs(state.stream, key, await _earned_by_day(tx, state)):
        totals[leg.account] = totals.get(leg.account, 0) + leg.amount_vnd
    balances = [LegItem(a, state.stream, key, amount) for a, amount in sorted(totals.items()) if amount]
    facts = await _facts(tx, "invoice = :key", row.invoice)
    return LinePage(key, state, balances, facts)


async def _earned_by_day(tx: Tx, state: LineState) -> int:
    """What the daily entries earned for a line, out of their parts."""
    if state.live_until is None:
        return 0
    found = await tx.scalar(
        sa.text(
            "SELECT sum(amounts[array_position(lines, CAST(:line AS uuid))]) FROM part WHERE agency = :agency "
            "AND effective_on BETWEEN :since AND :until AND stream = :stream AND CAST(:line AS uuid) = ANY(lines)"
        ),
        {
            "line": state.id,
            "agency": state.agency,
            "stream": state.stream,
            "since": state.booked_on,
            "until": state.live_until,
        },
    )
    return int(found or 0)


async def _facts(tx: Tx, condition: str, key: UUID) -> list[FactItem]:
    rows = await tx.execute(
        sa.text(
            f"SELECT fact_id, subject, recorded_at, body FROM archive WHERE {condition} ORDER BY seq LIMIT 50"  # noqa: S608 - a literal of ours
        ),
        {"key": key},
    )
    return [
        FactItem(row.fact_id, row.subject, row.recorded_at, msgspec.json.decode(bytes(row.body)))
        for row in rows
    ]
