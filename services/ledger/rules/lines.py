"""What the books hold of one invoice line on a day, as a pure function of its dated movements.

A line is signed, opened, moved, paid, delivered and credited, each on a local day. Its balances at the end of a day
follow from what is dated until then, never from when it was heard: so facts may come in any order, and the books of
each day are the same. An entry's legs are the difference of two such histories (`changes`).
"""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import NamedTuple
from uuid import UUID

import msgspec

from services.ledger.rules.earning import DAY, Plan, held
from shared.calendar import days, local_day
from shared.contracts.base import Delivery, Earn, OnDate, Period, Stream
from shared.money import share

Key = tuple[str, str]
"""(agency, account)"""


class Leg(msgspec.Struct, frozen=True):
    """One side of an entry: debit positive, credit negative, in đồng; with what its source says of it."""

    account: str
    stream: str
    line: UUID | None
    amount_vnd: int
    party: UUID | None = None
    """Who owes or is owed."""
    document: UUID | None = None
    """The paper: an invoice, a payment, a refund, a settlement."""
    due_on: date | None = None
    quantity: int | None = None
    """How much of the line's unit was delivered by it."""
    reference: str = ""
    """By what the rail or the bank knows the money."""


class Part(msgspec.Struct, frozen=True):
    """How much each line earned of what a day's entry earned for a stream; keeps such an entry at a few legs."""

    stream: str
    counter: str
    """The account against which it was earned."""
    digest: bytes
    """SHA-256 over each line's id (16 bytes) and amount (8 bytes), in the order of the ids."""


class Promise(msgspec.Struct, frozen=True, array_like=True):
    """What a signed order said of the line at an instant; without a net it is promised no more."""

    at: datetime
    net_vnd: int | None
    earn: Earn | None


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """The invoice on terms: its tax point, and its split."""

    on: date
    net_vnd: int
    vat_vnd: int


class Said(msgspec.Struct, frozen=True, array_like=True):
    """From when on the line is earned how: of all that was said, the last holds."""

    at: datetime
    earn: Earn


class Paid(msgspec.Struct, frozen=True, array_like=True):
    """What came on a day. VAT is due by prepaid money; what is paid on terms had its VAT by the invoice."""

    on: date
    prepaid: bool
    amount_vnd: int
    vat_vnd: int


class Done(msgspec.Struct, frozen=True, array_like=True):
    """What was delivered on a day, less what of that day was taken back."""

    on: date
    quantity: int


class Credit(msgspec.Struct, frozen=True, array_like=True):
    """What was taken back of the line on a day."""

    on: date
    net_vnd: int
    vat_vnd: int


class LineState(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A line and everything that the ledger was told about it; movements are in the order of their days."""

    id: UUID
    agency: str
    """Whose revenue it is."""
    payee: str
    """Whose invoice it is on: there the customer owes and pays."""
    seller: str
    """Who sold it; nobody else says what becomes of it."""
    stream: Stream
    gross_vnd: int
    """What was agreed; it stays, whatever the rate of VAT becomes."""
    invoice: UUID | None = None
    """None while it is promised alone."""
    order: UUID | None = None
    """By which it was promised, if it was."""
    party: UUID | None = None
    due_on: date | None = None
    sold_as: Earn | None = None
    """How it is earned as payments repeats it from the invoice."""
    promised: tuple[Promise, ...] = ()
    claim: Claim | None = None
    said: tuple[Said, ...] = ()
    paid: tuple[Paid, ...] = ()
    delivered: tuple[Done, ...] = ()
    credits: tuple[Credit, ...] = ()
    through: date = date.min
    """The last day on which what time alone earns is booked already, where that is later than the day reached."""


def moving_days(line: LineState) -> set[date]:
    """The days on which something happened to a line."""
    found = {local_day(p.at) for p in line.promised}
    found |= {local_day(s.at) for s in line.said}
    if line.claim:
        found.add(line.claim.on)
    for each in (line.paid, line.delivered, line.credits):
        found |= {movement.on for movement in each}
    return found


def running_days(line: LineState, first: date, last: date) -> set[date]:
    """Days between two on which time alone may earn something, by whatever was said of the line."""
    kinds = {line.sold_as, *(p.earn for p in line.promised), *(s.earn for s in line.said)}
    found: set[date] = set()
    for earn in kinds:
        if isinstance(earn, OnDate) and first <= earn.on <= last:
            found.add(earn.on)
        elif isinstance(earn, Period):
            found |= set(days(max(first, earn.start), min(last, earn.end)))
    return found


class Position(msgspec.Struct, frozen=True):
    """How a line stands after some of its days; `earned` and `balances` say it of the days until the next one."""

    line: LineState
    net_vnd: int = 0
    """In the books: of the invoice on terms, or of the prepaid money."""
    vat_vnd: int = 0
    basis_vnd: int = 0
    """What is earned in all: the net in the books, or before anything is billed the net that is promised."""
    paid_vnd: int = 0
    prepaid_vnd: int = 0
    prepaid_vat_vnd: int = 0
    delivered: int = 0
    credited_net_vnd: int = 0
    credited_vat_vnd: int = 0
    taken_vnd: int = 0
    """How much of the credits was not earned yet."""
    earn: Earn | None = None
    plan: Plan | None = None
    """How time earns it, where it does."""

    def moved(self, day: date, today: "_Day") -> "Position":
        """After all that happened on the next day on which something did."""
        paid = [p for p in today.paid if p.prepaid]
        counted = msgspec.structs.replace(
            self,
            paid_vnd=self.paid_vnd + sum(p.amount_vnd for p in today.paid),
            prepaid_vnd=self.prepaid_vnd + sum(p.amount_vnd for p in paid),
            prepaid_vat_vnd=self.prepaid_vat_vnd + sum(p.vat_vnd for p in paid),
            delivered=self.delivered + today.delivered,
            credited_net_vnd=self.credited_net_vnd + sum(c.net_vnd for c in today.credits),
            credited_vat_vnd=self.credited_vat_vnd + sum(c.vat_vnd for c in today.credits),
        )
        net, vat, basis = counted.covered(day)
        earn, plan = counted.earn_on(day), self.plan
        if earn != self.earn:
            left = self.basis_vnd - self.taken_vnd
            plan = None if earn is None or isinstance(earn, Delivery) else Plan.of(earn, left)
        if plan:
            plan = plan.grown(basis - self.basis_vnd)
        after = msgspec.structs.replace(
            counted, net_vnd=net, vat_vnd=vat, basis_vnd=basis, earn=earn, plan=plan
        )
        return after.with_credits(day, [c.net_vnd for c in today.credits])

    def with_credits(self, day: date, today: Sequence[int]) -> "Position":
        """What the credits of a day take of what is not earned by its end."""
        if self.plan is None:
            taken = held(self.credited_net_vnd, self.basis_vnd - self.earned(day))
            return msgspec.structs.replace(self, taken_vnd=taken)
        if not today:
            return self
        plan, taken = self.plan.cut(sum(today), day)
        return msgspec.structs.replace(self, plan=plan, taken_vnd=self.taken_vnd + taken)

    def earned(self, day: date) -> int:
        """Net earned until the end of a day, which lies before the next one on which something happened."""
        if self.line.stream == "pass_through" or self.basis_vnd == 0:
            return 0
        if self.plan is not None:
            return self.plan.earned(day)
        if isinstance(self.earn, Delivery):
            return share(self.basis_vnd, max(0, self.delivered), self.earn.quantity)
        return 0

    @property
    def counted(self) -> int:
        """How much of the line's unit is delivered and earned."""
        return self.delivered if self.basis_vnd and isinstance(self.earn, Delivery) else 0

    @property
    def counter(self) -> str:
        """Against what revenue is earned: before a line is billed or paid, it is what will be billed."""
        return "unbilled_delivery" if self.net_vnd == 0 and self.vat_vnd == 0 else "deferred_revenue"

    def balances(self, day: date) -> dict[Key, int]:
        """Balances by agency and account; they sum to minus what was paid, whose cash its own fact books."""
        line, earned = self.line, self.earned(day)
        credited = self.credited_net_vnd + self.credited_vat_vnd
        sale = {"output_vat": self.credited_vat_vnd - self.vat_vnd}
        if line.stream == "pass_through":
            sale["pass_through"] = self.credited_net_vnd - self.net_vnd
        else:
            sale[self.counter] = earned + self.taken_vnd - self.net_vnd
            sale["deductions"] = self.credited_net_vnd - self.taken_vnd
            sale |= _revenue(line.stream, earned)
        gross = self.net_vnd + self.vat_vnd
        open_vnd = gross - self.paid_vnd - credited
        advances = max(0, self.paid_vnd - gross)
        found = {(line.agency, account): amount for account, amount in sale.items()}
        if line.agency != line.payee:
            owed = sum(sale.values())
            found[line.agency, f"due_from:{line.payee}"] = -owed
            found[line.payee, f"due_to:{line.agency}"] = owed
        claim = (line.payee, "barter_clearing" if line.stream == "sponsorship.in_kind" else "receivable")
        found[claim] = found.get(claim, 0) + max(0, open_vnd)
        found[line.payee, "customer_advances"] = -advances
        found[line.payee, "unused_credits"] = advances - max(0, -open_vnd)
        return found

    def covered(self, day: date) -> tuple[int, int, int]:
        """(net, VAT, basis) on a day. Money that paid all of it in advance split it once and for all."""
        line, came = self.line, self.prepaid_vnd
        if line.claim and line.claim.on <= day and held(came, line.gross_vnd) != line.gross_vnd:
            return line.claim.net_vnd, line.claim.vat_vnd, line.claim.net_vnd
        if came:
            gross, vat = held(came, line.gross_vnd), self.prepaid_vat_vnd
            if gross != came:
                vat = share(vat, abs(gross), abs(came))
            return gross - vat, vat, gross - vat
        promised = [p.net_vnd for p in line.promised if local_day(p.at) <= day]
        return 0, 0, (promised[-1] or 0) if promised else 0

    def earn_on(self, day: date) -> Earn | None:
        """How it is earned on a day, by what was said last until then."""
        line = self.line
        said = [s.earn for s in line.said if local_day(s.at) <= day]
        if said:
            return said[-1]
        if line.sold_as is not None and line.paid and line.paid[0].on <= day:
            return line.sold_as
        promised = [p.earn for p in line.promised if p.earn is not None and local_day(p.at) <= day]
        return promised[-1] if promised else None


def _revenue(stream: str, earned_vnd: int) -> dict[str, int]:
    """Revenue of what is earned. In kind, the matching cost goes with it, and is shown beside, never inside."""
    if stream != "sponsorship.in_kind":
        return {"revenue": -earned_vnd}
    return {"in_kind_revenue": -earned_vnd, "in_kind_cost": earned_vnd, "barter_clearing": -earned_vnd}


def earning_legs(stream: str, line: UUID | None, amount_vnd: int, counter: str) -> list[Leg]:
    """Legs that earn an amount: what is deferred, or will be billed, becomes revenue."""
    if amount_vnd == 0:
        return []
    legs = [Leg(counter, stream, line, amount_vnd)]
    return legs + [Leg(account, stream, line, vnd) for account, vnd in _revenue(stream, amount_vnd).items()]


class Moved(msgspec.Struct, frozen=True):
    """What a day's balances of a line change by; `earned_vnd` of it is earned, by `quantity`, against `counter`."""

    on: date
    balances: Mapping[Key, int]
    earned_vnd: int
    quantity: int
    counter: str


class _Stand(NamedTuple):
    """How a line stands at the end of a day."""

    balances: Mapping[Key, int] = {}
    earned_vnd: int = 0
    quantity: int = 0
    counter: str = ""

    def since(self, before: "_Stand") -> "_Stand":
        if not before.balances:
            return self
        keys = dict.fromkeys((*self.balances, *before.balances))
        moved = {key: self.balances.get(key, 0) - before.balances.get(key, 0) for key in keys}
        earned, quantity = self.earned_vnd - before.earned_vnd, self.quantity - before.quantity
        return _Stand(moved, earned, quantity, self.counter)


class _Day:
    """What happened on a day, but for what was said."""

    def __init__(self) -> None:
        self.paid: list[Paid] = []
        self.delivered = 0
        self.credits: list[Credit] = []


def affected(before: LineState | None, after: LineState, first: date, reached: date) -> list[date]:
    """The days on which two histories may differ, where they do not before `first`."""
    through, was_through = max(reached, after.through), _through(before, reached)
    # What time alone earned since is booked on its own days, before the day on which something else happens.
    first = min(first, was_through + DAY)
    lines = [line for line in (before, after) if line]
    return sorted({day for line in lines for day in _dates(line, first, through)})


def changes(before: LineState | None, after: LineState, dates: Sequence[date], reached: date) -> list[Moved]:
    """The difference of two histories by day, on the days on which they may differ.

    Of the old one is booked what is dated until it is through; the new one is booked until `after.through`.
    """
    old = _history(before, dates, _through(before, reached))
    new = _history(after, dates, max(reached, after.through))
    found, ahead = [], _Stand()
    for day, was, now in zip(dates, old, new, strict=True):
        differs = now.since(was)
        moved = differs.since(ahead)
        if any(moved.balances.values()):
            found.append(Moved(day, moved.balances, moved.earned_vnd, moved.quantity, now.counter))
        ahead = differs
    return found


def _through(before: LineState | None, reached: date) -> date:
    return max(reached, before.through) if before else reached


def _dates(line: LineState, first: date, last: date) -> set[date]:
    return {day for day in moving_days(line) if first <= day <= last} | running_days(line, first, last)


def _happened(line: LineState) -> list[tuple[date, _Day]]:
    """What happened to a line by day, in order."""
    found = {day: _Day() for day in sorted(moving_days(line))}
    for paid in line.paid:
        found[paid.on].paid.append(paid)
    for done in line.delivered:
        found[done.on].delivered += done.quantity
    for credit in line.credits:
        found[credit.on].credits.append(credit)
    return list(found.items())


def _history(line: LineState | None, dates: Sequence[date], through: date) -> list[_Stand]:
    """How a line stands at the end of each day, as far as it is through."""
    if line is None:
        return [_Stand()] * len(dates)
    position, happened = Position(line), _happened(line)
    found, n = [], 0
    for day in dates:
        at = min(day, through)
        while n < len(happened) and happened[n][0] <= at:
            position = position.moved(*happened[n])
            n += 1
        stand = _Stand(position.balances(at), position.earned(at), position.counted, position.counter)
        found.append(stand)
    return found


def last_position(line: LineState) -> Position:
    """How a line stands after all that happened to it; time goes on earning by its plan."""
    position = Position(line)
    for day, today in _happened(line):
        position = position.moved(day, today)
    return position
