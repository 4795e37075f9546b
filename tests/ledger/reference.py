"""The reference ledger: what the books are to say on each day, reckoned anew for each day from all facts until then.

It is slow on purpose, keeps nothing from one day to the next, and shares no line with the rules of the ledger: whoever
knows bookkeeping can read it from top to bottom and say whether it is right. Debits are positive.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec

from shared.calendar import days, local_day
from shared.contracts import Fact, base, payments
from shared.contracts.base import Delivery, Line, OnDate

Balances = dict[tuple[str, str], int]
"""Đồng by (agency, account); what is zero is left out."""

Entry = tuple[str, str, int]
"""(agency, account, đồng)"""


def history(facts: Iterable[Fact], first: date, last: date) -> dict[date, Balances]:
    """The balances at the end of each day from first to last. A fact that is told twice counts once."""
    told = sorted({fact.id: fact for fact in facts}.values(), key=lambda fact: fact.occurred_at)
    cash = [(day_of(fact), entry) for fact in told for entry in cash_entries(fact, told)]
    sales = sold(told)
    return {
        day: added(
            [entry for on, entry in cash if on <= day]
            + [entry for sale in sales for entry in sale.entries(day)]
        )
        for day in days(first, last)
    }


def added(entries: Iterable[Entry]) -> Balances:
    total: Counter[tuple[str, str]] = Counter()
    for agency, account, amount in entries:
        total[agency, account] += amount
    return {key: amount for key, amount in total.items() if amount}


def day_of(fact: Fact) -> date:
    """The local day of business that a fact is of, whenever it was told."""
    if isinstance(fact, payments.PaymentCaptured | payments.MoneyUnapplied):
        return local_day(fact.captured_at)
    if isinstance(fact, base.DeliveryRecorded | base.DeliveryReversed):
        return fact.on
    return local_day(fact.occurred_at)


# Cash: what each fact does by itself, whatever else was told


def cash_entries(fact: Any, told: Iterable[Fact]) -> Iterator[Entry]:
    """What a fact of payments does to cash, suspense and disputes, at the agency that speaks."""
    for account, amount in _cash(fact, told):
        yield fact.agency, account, amount


def _cash(fact: Any, told: Iterable[Fact]) -> Iterator[tuple[str, int]]:
    match fact:
        case payments.PaymentCaptured():
            yield "suspense" if fact.from_suspense else f"cash_in_transit:{fact.rail}", fact.amount_vnd
            yield "suspense", sum(paid.amount_vnd for paid in fact.lines) - fact.amount_vnd
        case payments.MoneyUnapplied():
            yield f"cash_in_transit:{fact.rail}", fact.amount_vnd
            yield "suspense", -fact.amount_vnd
        case payments.RefundCompleted():
            yield "unused_credits" if fact.credit else "suspense", fact.amount_vnd
            yield f"cash_in_transit:{fact.rail}", -fact.amount_vnd
        case payments.ChargebackOpened():
            yield "disputed_cash", fact.amount_vnd
            yield _transit(fact.payment, told), -fact.amount_vnd
        case payments.ChargebackClosed():
            yield _transit(fact.payment, told) if fact.outcome == "won" else "bad_debt", fact.amount_vnd
            yield "disputed_cash", -fact.amount_vnd
        case payments.SettlementReceived():
            yield "bank", fact.net_vnd
            yield "fees", fact.fee_vnd
            yield f"cash_in_transit:{fact.rail}", -fact.gross_vnd
            yield "suspense", fact.gross_vnd - fact.net_vnd - fact.fee_vnd


def _transit(payment: UUID, told: Iterable[Fact]) -> str:
    came = [f for f in told if isinstance(f, payments.PaymentCaptured | payments.MoneyUnapplied)]
    [rail] = {f.rail for f in came if f.payment == payment}
    return f"cash_in_transit:{rail}"


# Sales: what was told of one line, and what it comes to on a day


class Paid(msgspec.Struct, frozen=True):
    """A part of a payment that is a line's."""

    on: date
    gross: int
    vat: int
    prepaid: bool


class Sale(msgspec.Struct):
    """One line, and all that was ever told of it."""

    line: Line
    payee: str
    """The agency of the invoice, at which the customer's side stands."""
    signed: list[tuple[datetime, UUID, int]] = []
    """(said at, order, promised net): nothing where the order names the line no more."""
    opened: list[tuple[datetime, int, int]] = []
    """(opened at, net, VAT) of its invoice on terms"""
    paid: list[Paid] = []
    delivered: list[tuple[date, int]] = []
    """(day, quantity): what was reversed is negative."""
    said: list[tuple[datetime, date, date]] = []
    """(said at, first day, last day) of its earning: by its order, by its invoice on terms, or because they moved"""
    credited: list[tuple[date, int, int]] = []
    """(day, net, VAT)"""

    def charged(self, day: date) -> tuple[int, int]:
        """Net and VAT that the customer owes or has paid for: of the invoice on terms, else of the money that came."""
        opened = [(at, net, vat) for at, net, vat in self.opened if local_day(at) <= day]
        if opened:
            _, net, vat = min(opened)
            return net, vat
        came = [paid for paid in self.paid if paid.on <= day and paid.prepaid]
        gross, vat = sum(paid.gross for paid in came), sum(paid.vat for paid in came)
        if gross > self.line.gross_vnd:
            vat, gross = vat * self.line.gross_vnd // gross, self.line.gross_vnd
        return gross - vat, vat

    def promised(self, day: date) -> int:
        """The net of the orders that are in force at the end of a day; of one order what was said last holds."""
        last = {order: net for at, order, net in sorted(self.signed) if local_day(at) <= day}
        return sum(last.values())

    def billed(self, day: date) -> bool:
        return self.charged(day) != (0, 0)

    def basis(self, day: date) -> int:
        """The net that is earned by and by: what is charged, or before anything is, what is promised."""
        if self.line.stream == "pass_through":
            return 0
        return self.charged(day)[0] if self.billed(day) else self.promised(day)

    def returned(self, day: date) -> tuple[int, int]:
        """Net and VAT that were credited until a day."""
        credited = [(net, vat) for on, net, vat in self.credited if on <= day]
        return sum(net for net, _ in credited), sum(vat for _, vat in credited)

    def earned(self, day: date) -> tuple[int, int]:
        """What was earned until a day, and what credits took before it could be: both of the basis of that day."""
        if self.line.stream == "pass_through":
            return 0, within(self.returned(day)[0], self.charged(day)[0])
        if isinstance(self.line.earn, Delivery):
            return self._earned_by_delivery(self.line.earn.quantity, day)
        return self._earned_by_days(day)

    def _earned_by_delivery(self, ordered: int, day: date) -> tuple[int, int]:
        delivered = within(sum(quantity for on, quantity in self.delivered if on <= day), ordered)
        basis = self.basis(day)
        earned = basis * delivered // ordered
        return earned, within(self.returned(day)[0], basis - earned)

    def _earned_by_days(self, day: date) -> tuple[int, int]:
        """Go through the days on which something happened, in their order: first basis and days, then credits."""
        plan, taken = Plan.of(self.line), 0
        for on in sorted({each for each in self._happened() if each <= day}):
            plan = plan.changed_by(self.basis(on) - self.basis(on - timedelta(days=1)))
            plan = plan.moved_to(*self.days(on))
            credited = sum(net for given_on, net, _ in self.credited if given_on == on)
            if credited:
                plan, took = plan.credited(on, credited)
                taken += took
        return plan.earned(day), taken

    def days(self, day: date) -> tuple[date, date]:
        """First and last day of earning, as they were said last until a day, or as they were sold."""
        said = [days for at, *days in sorted(self.said) if local_day(at) <= day]
        return (said[-1][0], said[-1][1]) if said else days_of(self.line.earn)

    def _happened(self) -> Iterator[date]:
        yield from (local_day(at) for at, *_ in [*self.signed, *self.opened, *self.said])
        yield from (paid.on for paid in self.paid)
        yield from (on for on, *_ in self.credited)

    def entries(self, day: date) -> Iterator[Entry]:
        """The balances of all accounts on which this line stands, on a day."""
        ours = list(self._sellers_side(day))
        yield from ((self.line.agency, account, amount) for account, amount in ours)
        yield from ((self.payee, account, amount) for account, amount in self._customers_side(day))
        if self.line.agency != self.payee:
            between = sum(amount for _, amount in ours)
            yield self.line.agency, f"due_from:{self.payee}", -between
            yield self.payee, f"due_to:{self.line.agency}", between

    def _sellers_side(self, day: date) -> Iterator[tuple[str, int]]:
        """VAT, what is still to be earned or billed, revenue, and what was credited after it was earned."""
        (net, vat), (net_back, vat_back) = self.charged(day), self.returned(day)
        yield "output_vat", vat_back - vat
        if self.line.stream == "pass_through":
            yield "pass_through", net_back - net
            return
        earned, taken = self.earned(day)
        yield ("deferred_revenue" if self.billed(day) else "unbilled_delivery"), earned + taken - net
        yield "deductions", net_back - taken
        if self.line.stream == "sponsorship.in_kind":
            yield from (("in_kind_revenue", -earned), ("in_kind_cost", earned), ("barter_clearing", -earned))
        else:
            yield "revenue", -earned

    def _customers_side(self, day: date) -> Iterator[tuple[str, int]]:
        """What the customer owes; what they paid ahead of the invoice; what they have left from credits."""
        charged, returned = sum(self.charged(day)), sum(self.returned(day))
        paid = sum(each.gross for each in self.paid if each.on <= day)
        owed = charged - paid - returned
        ahead = max(0, paid - charged)
        in_kind = self.line.stream == "sponsorship.in_kind"
        yield ("barter_clearing" if in_kind else "receivable"), max(0, owed)
        yield "customer_advances", -ahead
        yield "unused_credits", ahead - max(0, -owed)


class Plan(msgspec.Struct, frozen=True):
    """What a line has earned before `since` and what it earns evenly from then to `end`."""

    start: date
    end: date
    since: date
    before: int = 0
    amount: int = 0

    @classmethod
    def of(cls, line: Line) -> "Plan":
        start, end = days_of(line.earn)
        return cls(start=start, end=end, since=start)

    def earned(self, day: date) -> int:
        """Until the end of a day; rounded down towards nothing, and on the last day the whole."""
        return self.before + evenly(self.amount, self.since, self.end, day)

    def changed_by(self, amount: int) -> "Plan":
        """More or less is to be earned: what of it lies on days that a credit has cut off counts as earned on them."""
        by_then = evenly(amount, self.start, self.end, self.since - timedelta(days=1))
        return msgspec.structs.replace(
            self, before=self.before + by_then, amount=self.amount + amount - by_then
        )

    def moved_to(self, start: date, end: date) -> "Plan":
        """All of it is earned on other days, as if it had always been so; the same days change nothing."""
        if (start, end) == (self.start, self.end):
            return self
        return Plan(start=start, end=end, since=start, before=0, amount=self.before + self.amount)

    def credited(self, on: date, net: int) -> tuple["Plan", int]:
        """A credit takes from the days after its own as far as they reach; the rest is spread over what is left."""
        gone = self.earned(on)
        left = self.before + self.amount - gone
        took = within(net, left)
        since = max(on + timedelta(days=1), self.start)
        return msgspec.structs.replace(self, since=since, before=gone, amount=left - took), took


def within(amount: int, most: int) -> int:
    return max(0, min(amount, most))


def evenly(amount: int, first: date, last: date, day: date) -> int:
    """What of an amount falls on the days from first to `day`, when it is spread evenly until last."""
    if day < first:
        return 0
    if day >= last:
        return amount
    part = abs(amount) * ((day - first).days + 1) // ((last - first).days + 1)
    return part if amount > 0 else -part


def days_of(earn: base.Earn) -> tuple[date, date]:
    """First and last day on which a line is earned that is not earned by delivery."""
    if isinstance(earn, Delivery):
        raise TypeError(f"{earn} has no days.")
    return (earn.on, earn.on) if isinstance(earn, OnDate) else (earn.start, earn.end)


def sold(told: Iterable[Fact]) -> list[Sale]:
    """All lines that somebody owes, paid for or was promised, each with what was told of it."""
    told = list(told)
    sales: dict[UUID, Sale] = {}
    for fact in told:
        for line in _lines_of(fact):
            sales.setdefault(line.id, Sale(line, fact.agency))
    for fact in told:
        _tell(fact, sales)
    return list(sales.values())


def _lines_of(fact: Any) -> list[Line]:
    if isinstance(fact, payments.PaymentCaptured):
        return [paid.line for paid in fact.lines]
    if isinstance(fact, base.OrderSigned) or (
        isinstance(fact, base.InvoiceOpened) and fact.collect == "on_terms"
    ):
        return list(fact.lines)
    return []


def _tell(fact: Fact, sales: dict[UUID, Sale]) -> None:
    """Write down with each line what a fact says of it."""
    match fact:
        case base.OrderSigned():
            named = {line.id: line.net_vnd for line in fact.lines}
            for sale in sales.values():
                sale.signed.append((fact.occurred_at, fact.order, named.get(sale.line.id, 0)))
            _say_days(fact, sales)
        case base.InvoiceOpened(collect="on_terms"):
            for line in fact.lines:
                sales[line.id].opened.append((fact.occurred_at, line.net_vnd, line.vat_vnd))
            _say_days(fact, sales)
        case payments.PaymentCaptured():
            prepaid = fact.collect == "prepaid"
            for paid in fact.lines:
                part = Paid(day_of(fact), paid.amount_vnd, paid.vat_vnd, prepaid)
                sales[paid.line.id].paid.append(part)
        case base.DeliveryRecorded():
            sales[fact.line].delivered.append((fact.on, fact.quantity))
        case base.DeliveryReversed():
            sales[fact.line].delivered.append((fact.on, -fact.quantity))
        case base.EarningMoved():
            sales[fact.line].said.append((fact.occurred_at, *days_of(fact.earn)))
        case base.CreditGranted():
            for credited in fact.lines:
                sales[credited.line].credited.append((day_of(fact), credited.net_vnd, credited.vat_vnd))


def _say_days(fact: base.OrderSigned | base.InvoiceOpened, sales: dict[UUID, Sale]) -> None:
    for line in fact.lines:
        if not isinstance(line.earn, Delivery):
            sales[line.id].said.append((fact.occurred_at, *days_of(line.earn)))
