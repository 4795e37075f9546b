"""Reads of the books: trial balance, entries, lines and their facts, each as of a day and a recorded instant."""

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
from shared.errors import NotFound


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
    legs_count: int
    """How many there are; `legs` holds the first 500."""
    parts: list[PartItem]
    """Of an entry that recognised a day: what each line earned, the first few hundred."""
    parts_count: int
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
    counted = sa.text("SELECT coalesce(sum(cardinality(lines)), 0) FROM part WHERE entry = :id")
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
        legs_count=row.legs,
        parts=[PartItem(p.stream, p.line, p.amount) for p in parts],
        parts_count=int(await tx.scalar(counted, {"id": key}) or 0),
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
            f"SELECT fact_id, subject, recorded_at, body FROM archive WHERE {condition} ORDER BY seq"  # noqa: S608 - a literal of ours
        ),
        {"key": key},
    )
    return [
        FactItem(row.fact_id, row.subject, row.recorded_at, msgspec.json.decode(bytes(row.body)))
        for row in rows
    ]
