"""What the books hold of one invoice line, as a pure function of what happened to it.

An entry's legs are the difference of two positions, before and after a fact. Since a position depends only on sums
and on dated credits, never on the order of arrival, facts may come in any order and the balances are the same.
"""

from datetime import date, datetime, timedelta
from uuid import UUID

import msgspec

from shared.contracts.base import Collect, Delivery, Earn, Line, OnDate, Stream
from shared.money import share

DAY = timedelta(days=1)


class Leg(msgspec.Struct, frozen=True):
    """One side of an entry: debit positive, credit negative, in đồng."""

    account: str
    stream: str
    line: UUID | None
    amount_vnd: int


class Part(msgspec.Struct, frozen=True):
    """How much each line earned of what a day's entry earned for a stream; keeps such an entry at a few legs."""

    stream: str
    lines: tuple[UUID, ...]
    amounts: tuple[int, ...]


class Credit(msgspec.Struct, frozen=True, array_like=True):
    """What was taken back of a line on a local day."""

    on: date
    net_vnd: int
    vat_vnd: int


class LineState(msgspec.Struct, frozen=True, kw_only=True):
    """A line and everything that the ledger was told about it."""

    id: UUID
    agency: str
    seller: str
    """Who sold it; nobody else says what becomes of it."""
    invoice: UUID
    stream: Stream
    collect: Collect
    net_vnd: int
    vat_vnd: int
    earn: Earn
    billed: bool = False
    """Whether the invoice of a line on terms has been opened; a prepaid line is in the books as far as it is paid."""
    paid_vnd: int = 0
    booked_on: date | None = None
    """The first day on which the line is in the books; nothing is earned before it."""
    delivered: int = 0
    credits: tuple[Credit, ...] = ()
    moved_at: datetime | None = None
    """When it was last said that the line is earned on other days than its invoice says."""

    @property
    def starts_on(self) -> date | None:
        if isinstance(self.earn, Delivery):
            return None
        return self.earn.on if isinstance(self.earn, OnDate) else self.earn.start

    @property
    def ends_on(self) -> date | None:
        if isinstance(self.earn, Delivery):
            return None
        return self.earn.on if isinstance(self.earn, OnDate) else self.earn.end

    @property
    def live_until(self) -> date | None:
        """The last day on which passing time alone can earn something; None for a line earned by delivery."""
        if self.ends_on is None or self.booked_on is None:
            return None
        return max(self.ends_on, self.booked_on)


def new_line(line: Line, seller: str, invoice: UUID, collect: Collect) -> LineState:
    return LineState(
        id=line.id,
        agency=line.agency,
        seller=seller,
        invoice=invoice,
        stream=line.stream,
        collect=collect,
        net_vnd=line.net_vnd,
        vat_vnd=line.vat_vnd,
        earn=line.earn,
    )


def covered(line: LineState) -> tuple[int, int]:
    """(net, VAT) of the line that are in the books: all once billed on terms, else the part that is paid.

    VAT of a partial payment is cumulative, rounded down, so that full payment books exactly the line's VAT.
    """
    if line.collect == "on_terms":
        return (line.net_vnd, line.vat_vnd) if line.billed else (0, 0)
    gross = line.net_vnd + line.vat_vnd
    if gross == 0:
        return 0, 0
    part = within(line.paid_vnd, gross)
    vat = line.vat_vnd * part // gross
    return part - vat, vat


def within(amount: int, limit: int) -> int:
    """The amount, but not beyond the limit and not on zero's other side."""
    return max(0, min(amount, limit)) if limit >= 0 else min(0, max(amount, limit))


def earned(line: LineState, at: date) -> tuple[int, int]:
    """(earned until the end of a local day, credits taken out of what was not earned), both net in đồng.

    Over a period: floor(A·d/N) cumulative, so the last day ends at exactly A. A credit stops what its day has not
    earned; where it takes less than that, the rest is spread over the days that remain.
    """
    net, _ = covered(line)
    if line.stream == "pass_through":
        return 0, within(sum(c.net_vnd for c in line.credits), net)
    if isinstance(line.earn, Delivery):
        done = share(net, max(0, line.delivered), line.earn.quantity)
        return done, within(sum(c.net_vnd for c in line.credits), net - done)
    return _earned_in_time(line, net, at)


def _earned_in_time(line: LineState, net: int, at: date) -> tuple[int, int]:
    start, end = line.starts_on, line.ends_on
    if start is None or end is None:
        raise TypeError("A line earned by delivery has no dates.")
    base, amount, since, taken = 0, net, start, 0
    found: int | None = None
    for day in sorted({credit.on for credit in line.credits}):
        if found is None and at <= day:
            found = base + spread(amount, since, end, at)
        gone = base + spread(amount, since, end, day)
        rest = base + amount - gone
        take = within(sum(c.net_vnd for c in line.credits if c.on == day), rest)
        taken += take
        base, amount, since = gone, rest - take, max(day + DAY, start)
    if found is None:
        found = base + spread(amount, since, end, at)
    early = line.booked_on is None or at < line.booked_on
    return (0 if early else found), taken


def spread(amount: int, start: date, end: date, at: date) -> int:
    """floor(A·d/N) after day d of N; the last day ends at exactly A."""
    if at < start:
        return 0
    if at >= end:
        return amount
    return share(amount, (at - start).days + 1, (end - start).days + 1)


def booked(line: LineState) -> dict[str, int]:
    """Balances by account that a line has without its earning; they sum to minus what was paid."""
    net, vat = covered(line)
    _, taken = earned(line, date.max)
    credited = sum(c.net_vnd for c in line.credits)
    credited_vat = sum(c.vat_vnd for c in line.credits)
    if line.collect == "on_terms":
        open_vnd = net + vat - line.paid_vnd - credited - credited_vat
        advances = max(0, line.paid_vnd - net - vat)
        unused = max(0, -open_vnd) - advances
        claim = max(0, open_vnd)
    else:
        claim, advances, unused = 0, line.paid_vnd - net - vat, credited + credited_vat
    balances = {
        "output_vat": credited_vat - vat,
        "barter_clearing" if line.stream == "sponsorship.in_kind" else "receivable": claim,
        "customer_advances": -advances,
        "unused_credits": -unused,
    }
    if line.stream == "pass_through":
        balances["pass_through"] = credited - net
    else:
        balances["deferred_revenue"] = taken - net
        balances["deductions"] = credited - taken
    return balances


def booking_legs(before: LineState | None, after: LineState) -> list[Leg]:
    """Legs by which a fact moves a line's balances, its earning left aside."""
    old = booked(before) if before else {}
    new = booked(after)
    return [
        Leg(account, after.stream, after.id, new[account] - old.get(account, 0))
        for account in new
        if new[account] != old.get(account, 0)
    ]


def earning_legs(stream: str, line: UUID | None, amount_vnd: int) -> list[Leg]:
    """Legs that earn an amount: deferred revenue becomes revenue. In kind, the matching cost goes with it."""
    if amount_vnd == 0:
        return []
    if stream != "sponsorship.in_kind":
        return [
            Leg("deferred_revenue", stream, line, amount_vnd),
            Leg("revenue", stream, line, -amount_vnd),
        ]
    return [
        Leg("deferred_revenue", stream, line, amount_vnd),
        Leg("in_kind_revenue", stream, line, -amount_vnd),
        Leg("in_kind_cost", stream, line, amount_vnd),
        Leg("barter_clearing", stream, line, -amount_vnd),
    ]
