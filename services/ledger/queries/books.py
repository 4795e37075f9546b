"""Reads of the books: trial balance, entries, lines and their facts, each as of a day and a recorded instant."""

from collections.abc import Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ledger.rules.lines import LineState, earning_legs, last_position, running_days
from shared import agencies, clock
from shared.calendar import local_day, start_of
from shared.contracts.base import FIRST, LAST, Earn
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
    party: UUID | None = None
    document: UUID | None = None
    due_on: date | None = None
    quantity: int | None = None
    reference: str = ""


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
    year: int
    number: int
    """Without gaps in the agency's book of the year."""
    belongs_on: date
    posted_on: date
    recorded_at: datetime
    kind: str
    reversal_of: UUID | None
    rules: int
    """The version of the rules by which it was booked."""
    hash: str
    legs: list[LegItem]
    legs_count: int
    """How many there are; `legs` holds the first 500."""
    parts: list[PartItem]
    """Of an entry that recognised a day: what each line earned, the first few hundred."""
    parts_count: int
    fact: FactItem | None


class LinePage(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice line as it stands today: how it is earned, its balances, and the facts of its invoice."""

    id: UUID
    agency: str
    payee: str
    """Whose invoice it is on; the two owe each other where they differ."""
    seller: str
    stream: str
    collect: Literal["promised", "prepaid", "on_terms"]
    invoice: UUID | None
    party: UUID | None
    due_on: date | None
    earn: Earn | None
    gross_vnd: int
    net_vnd: int
    """In the books: of the invoice on terms, or of the prepaid money."""
    vat_vnd: int
    earned_vnd: int
    paid_vnd: int
    credited_vnd: int
    delivered: int
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
    WHERE agency = ANY(:agencies) AND posted_on <= :on AND recorded_on < :recorded_on GROUP BY account
    UNION ALL
    SELECT leg.account, sum(greatest(leg.amount_vnd, 0)), sum(greatest(-leg.amount_vnd, 0))
    FROM entry JOIN leg ON leg.entry = entry.id AND leg.posted_on = entry.posted_on
    WHERE entry.agency = ANY(:agencies) AND entry.posted_on <= :on
      AND entry.recorded_at >= :recorded_from AND entry.recorded_at <= :recorded_at GROUP BY leg.account
) AS parts GROUP BY account
"""
_LATEST_SUMS = """
SELECT account, sum(debit_vnd) AS debit, sum(credit_vnd) AS credit FROM rollup
WHERE agency = ANY(:agencies) AND posted_on <= :on GROUP BY account
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
            "SELECT account, stream, line, amount_vnd, party, document, due_on, quantity, reference FROM leg "
            "WHERE entry = :id AND posted_on = :day AND (:account = '' OR account = :account) ORDER BY n LIMIT :limit"
        ),
        {"id": key, "day": row.posted_on, "account": account, "limit": limit},
    )
    parts = await tx.execute(
        sa.text(
            "SELECT stream, pair.line, pair.amount FROM part, unnest(lines, amounts) AS pair(line, amount) "
            "WHERE entry = :id AND posted_on = :day ORDER BY stream, pair.amount DESC LIMIT :limit"
        ),
        {"id": key, "day": row.posted_on, "limit": parts_limit},
    )
    counted = sa.text(
        "SELECT coalesce(sum(cardinality(lines)), 0) FROM part WHERE entry = :id AND posted_on = :day"
    )
    facts = await _facts(tx, "fact_id = :key", row.fact_id)
    return EntryPage(
        id=row.id,
        fact_id=row.fact_id,
        agency=row.agency,
        year=row.year,
        number=row.number,
        belongs_on=row.belongs_on,
        posted_on=row.posted_on,
        recorded_at=row.recorded_at,
        kind=row.kind,
        reversal_of=row.reversal_of,
        rules=row.rules,
        hash=bytes(row.hash).hex(),
        legs=[LegItem(*leg) for leg in legs],
        legs_count=row.legs,
        parts=[PartItem(p.stream, p.line, p.amount) for p in parts],
        parts_count=int(await tx.scalar(counted, {"id": key, "day": row.posted_on}) or 0),
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
    row = (await tx.execute(sa.text("SELECT state FROM line WHERE id = :id"), {"id": key})).one_or_none()
    if row is None:
        raise NotFound("There is no such line, or not for you.")
    state = msgspec.json.decode(row.state, type=LineState)
    now, today = last_position(state), local_day(clock.now())
    return LinePage(
        id=key,
        agency=state.agency,
        payee=state.payee,
        seller=state.seller,
        stream=state.stream,
        collect="on_terms" if state.claim else "prepaid" if state.paid else "promised",
        invoice=state.invoice,
        party=state.party,
        due_on=state.due_on,
        earn=now.earn,
        gross_vnd=state.gross_vnd,
        net_vnd=now.net_vnd,
        vat_vnd=now.vat_vnd,
        earned_vnd=now.earned(today),
        paid_vnd=now.paid_vnd,
        credited_vnd=now.credited_net_vnd + now.credited_vat_vnd,
        delivered=now.delivered,
        balances=await _balances(tx, state),
        facts=await _facts(tx, "about = ANY(:key)", [key for key in (state.order, state.invoice) if key]),
    )


async def _balances(tx: Tx, state: LineState) -> list[LegItem]:
    """What the legs of a line and its parts of the daily entries come to, by account."""
    sums = await tx.execute(
        sa.text("SELECT account, sum(amount_vnd) AS amount FROM leg WHERE line = :id GROUP BY account"),
        {"id": state.id},
    )
    totals = {s.account: int(s.amount) for s in sums}
    parts = await tx.execute(
        sa.text(
            "SELECT counter, sum(amounts[array_position(lines, CAST(:line AS uuid))]) AS amount FROM part "
            "WHERE agency = :agency AND posted_on BETWEEN :since AND :until AND stream = :stream "
            "AND CAST(:line AS uuid) = ANY(lines) GROUP BY counter"
        ),
        {"line": state.id, "agency": state.agency, "stream": state.stream, **_span(state)},
    )
    for part in parts:
        for leg in earning_legs(state.stream, state.id, int(part.amount), part.counter):
            totals[leg.account] = totals.get(leg.account, 0) + leg.amount_vnd
    return [LegItem(a, state.stream, state.id, amount) for a, amount in sorted(totals.items()) if amount]


def _span(state: LineState) -> dict[str, date]:
    """The days on which daily entries can have parts of a line."""
    dates = running_days(state, FIRST, LAST)
    return {"since": min(dates, default=LAST), "until": max(dates, default=FIRST)}


async def _facts(tx: Tx, condition: str, key: UUID | list[UUID]) -> list[FactItem]:
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
