"""The rule table: each kind of fact as balanced legs over semantic accounts. Pure; a missing predecessor waits."""

from collections.abc import Callable, Iterable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from services.ledger.rules.lines import (
    DAY,
    Credit,
    Leg,
    LineState,
    Part,
    booking_legs,
    earned,
    earning_legs,
    new_line,
)
from shared.calendar import days, local_day
from shared.contracts import Fact, base, kinds, payments
from shared.errors import Waits


class DayReached(Fact, frozen=True, kw_only=True, tag="ledger.day.reached.v1"):
    """The recognition job reached a local day. It is archived like a fact, so that a rebuild walks the same days."""

    on: date


class Draft(msgspec.Struct, frozen=True):
    """An entry that a fact asks for; its legs sum to zero."""

    kind: str
    agency: str
    effective_on: date
    legs: tuple[Leg, ...]
    parts: tuple[Part, ...] = ()


class Books(msgspec.Struct, frozen=True):
    """What the rules may know: the lines that the facts name, rails of known payments, the day reached."""

    through: date
    lines: Mapping[UUID, LineState]
    rails: Mapping[UUID, str]


class Outcome(msgspec.Struct, frozen=True):
    """What a fact leads to: entries, lines as they are now, and the payment that it made known."""

    drafts: tuple[Draft, ...] = ()
    lines: tuple[LineState, ...] = ()
    payment: tuple[UUID, str, UUID] | None = None
    """(payment, rail, invoice)"""


MOST_DAYS = 40_000
"""So many days of lines may one fact change, some seconds of work: what reaches further back is for a person."""


class _Work:
    """Collects legs by entry while a rule goes through its fact."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.days = 0
        """How many days of lines were worked out so far."""
        self.legs: dict[tuple[str, str, date], list[Leg]] = {}
        self.lines: dict[UUID, LineState] = {}

    def line(self, key: UUID, seller: str) -> LineState | None:
        """A line as it is by now. Raises ValueError where another seller speaks of it: that is posted by nobody."""
        found = self.lines.get(key) or self.books.lines.get(key)
        if found is not None and found.seller != seller:
            raise ValueError(f"Line {key} was sold by {found.seller}: {seller} has no say in it.")
        return found

    def known(self, key: UUID, seller: str) -> LineState:
        """The same of a line that must be there. Raises Waits until it is, and its seller can be told."""
        found = self.line(key, seller)
        if found is None:
            raise Waits(f"line:{key}")
        return found

    def add(self, kind: str, agency: str, on: date, *legs: Leg) -> None:
        self.legs.setdefault((kind, agency, on), []).extend(leg for leg in legs if leg.amount_vnd)

    def change(self, kind: str, before: LineState | None, after: LineState, on: date) -> None:
        """Book a line's new state on a day, and what it has earned by it on each day until the one reached."""
        self.add(kind, after.agency, on, *booking_legs(before, after))
        if isinstance(after.earn, base.Delivery):
            was = earned(before, on)[0] if before else 0
            self.add(
                "recognition" if kind != "delivery" else kind,
                after.agency,
                on,
                *earning_legs(after.stream, after.id, earned(after, on)[0] - was),
            )
        else:
            # Of a day that is not reached yet only what changed before it: the day itself comes with its own turn.
            posted = 0
            first = min(on, self.books.through)
            self.days += (self.books.through - first).days
            if self.days > MOST_DAYS:
                raise ValueError(f"What it says of {on} changes more than {MOST_DAYS} days of its lines.")
            for day in days(first, self.books.through):
                owed = earned(after, day)[0] - (earned(before, day)[0] if before else 0)
                self.add(
                    "recognition",
                    after.agency,
                    max(on, day),
                    *earning_legs(after.stream, after.id, owed - posted),
                )
                posted = owed
        self.lines[after.id] = after

    def outcome(self, payment: tuple[UUID, str, UUID] | None = None) -> Outcome:
        drafts = (Draft(*key, tuple(legs)) for key, legs in self.legs.items() if legs)
        return Outcome(tuple(drafts), tuple(self.lines.values()), payment)


def invoice_opened(fact: base.InvoiceOpened, books: Books) -> Outcome:
    """On terms: receivable against output VAT and deferred revenue. Prepaid: nothing before the money."""
    if fact.collect == "prepaid":
        return Outcome()
    work, on = _Work(books), local_day(fact.occurred_at)
    for line in fact.lines:
        before = work.line(line.id, fact.publisher())
        known = before or new_line(line, fact.publisher(), fact.invoice, fact.collect)
        after = msgspec.structs.replace(known, billed=True, booked_on=_first(before, on))
        work.change("invoice", before, after, on)
    return work.outcome()


def payment_captured(fact: payments.PaymentCaptured, books: Books) -> Outcome:
    """Cash in transit against VAT and deferred revenue (prepaid), or against the receivable (on terms).

    What its seller took of late money comes out of suspense, where its cash was booked when it came. A line of another
    agency is booked there; the two owe each other. Money beyond the lines is in suspense.
    """
    work, on = _Work(books), local_day(fact.captured_at)
    cash = "suspense" if fact.from_suspense else f"cash_in_transit:{fact.rail}"
    work.add("payment", fact.agency, on, Leg(cash, "", None, fact.amount_vnd))
    for paid in fact.lines:
        before = work.line(paid.line.id, fact.seller)
        known = before or new_line(paid.line, fact.seller, fact.invoice, fact.collect)
        prepaid = known.collect == "prepaid"
        after = msgspec.structs.replace(
            known,
            paid_vnd=known.paid_vnd + paid.amount_vnd,
            booked_on=_first(before, on) if prepaid else known.booked_on,
        )
        if after.agency != fact.agency:
            ours = Leg(f"due_to:{after.agency}", after.stream, after.id, -paid.amount_vnd)
            theirs = Leg(f"due_from:{fact.agency}", after.stream, after.id, paid.amount_vnd)
            work.add("payment", fact.agency, on, ours)
            work.add("payment", after.agency, on, theirs)
        work.change("payment", before, after, on)
    rest = fact.amount_vnd - sum(paid.amount_vnd for paid in fact.lines)
    work.add("payment", fact.agency, on, Leg("suspense", "", None, -rest))
    return work.outcome((fact.payment, fact.rail, fact.invoice))


def delivery_recorded(fact: base.DeliveryRecorded, books: Books) -> Outcome:
    """Earn floor(A·q/Q) cumulative: full delivery earns exactly the net. Waits for its line."""
    return _delivered(fact, fact.quantity, books)


def delivery_reversed(fact: base.DeliveryReversed, books: Books) -> Outcome:
    """What was recorded as delivered was none: it is earned no more. Waits for its line."""
    return _delivered(fact, -fact.quantity, books)


def _delivered(fact: base.DeliveryRecorded | base.DeliveryReversed, quantity: int, books: Books) -> Outcome:
    work = _Work(books)
    before = work.known(fact.line, fact.publisher())
    after = msgspec.structs.replace(before, delivered=before.delivered + quantity)
    work.change("delivery", before, after, fact.on)
    return work.outcome()


def earning_moved(fact: base.EarningMoved, books: Books) -> Outcome:
    """A line is earned on other days than its invoice said; what is earned by now follows. Waits for its line.

    Of several moves the one that was said last holds, in whatever order they come.
    """
    work = _Work(books)
    before = work.known(fact.line, fact.publisher())
    if before.moved_at is not None and before.moved_at >= fact.occurred_at:
        return Outcome()
    after = msgspec.structs.replace(before, earn=fact.earn, moved_at=fact.occurred_at)
    work.change("moved", before, after, local_day(fact.occurred_at))
    return work.outcome()


def credit_granted(fact: base.CreditGranted, books: Books) -> Outcome:
    """Unwind what is not earned, then deduct from revenue; VAT goes back at the line's own rate.

    The customer's side falls from the receivable, or becomes an unused credit. Waits for its lines; what names a line
    of another invoice is posted by nobody, as payments sends nothing back for it.
    """
    work, on = _Work(books), local_day(fact.occurred_at)
    for credited in fact.lines:
        before = work.known(credited.line, fact.publisher())
        if before.invoice != fact.invoice:
            raise ValueError(f"Line {before.id} is of invoice {before.invoice}, not of {fact.invoice}.")
        credit = Credit(on, credited.net_vnd, credited.vat_vnd)
        work.change("credit", before, msgspec.structs.replace(before, credits=(*before.credits, credit)), on)
    return work.outcome()


def money_unapplied(fact: payments.MoneyUnapplied, books: Books) -> Outcome:
    """Money that fits no invoice lies in suspense, from the day on which it came."""
    pair = (
        Leg(f"cash_in_transit:{fact.rail}", "", None, fact.amount_vnd),
        Leg("suspense", "", None, -fact.amount_vnd),
    )
    return _simple(fact, books, "unapplied", pair, local_day(fact.captured_at))


def refund_completed(fact: payments.RefundCompleted, books: Books) -> Outcome:
    """Cash goes back: against the credit that the seller granted, or out of suspense where there was none."""
    owed = "unused_credits" if fact.credit else "suspense"
    pair = (
        Leg(owed, "", None, fact.amount_vnd),
        Leg(f"cash_in_transit:{fact.rail}", "", None, -fact.amount_vnd),
    )
    return _simple(fact, books, "refund", pair)


def chargeback_opened(fact: payments.ChargebackOpened, books: Books) -> Outcome:
    """The rail took the cash back for as long as the dispute lasts. Waits for its payment."""
    return _disputed(fact, books, "disputed_cash", _transit(fact.payment, books))


def chargeback_closed(fact: payments.ChargebackClosed, books: Books) -> Outcome:
    """Won: the cash comes back. Lost: it is a bad debt; what the seller unwinds comes as a credit."""
    to = _transit(fact.payment, books) if fact.outcome == "won" else "bad_debt"
    return _disputed(fact, books, to, "disputed_cash")


def settlement_received(fact: payments.SettlementReceived, books: Books) -> Outcome:
    """Cash in transit arrives at the bank, less the rail's fee."""
    legs = (
        Leg("bank", "", None, fact.net_vnd),
        Leg("fees", "", None, fact.fee_vnd),
        Leg(f"cash_in_transit:{fact.rail}", "", None, -fact.gross_vnd),
        Leg("suspense", "", None, fact.gross_vnd - fact.net_vnd - fact.fee_vnd),
    )
    return _simple(fact, books, "settlement", legs)


def kept(_fact: Fact, _books: Books) -> Outcome:
    """Nothing to post: the fact is kept as a reference."""
    return Outcome()


def day_reached(fact: DayReached, books: Books) -> Outcome:
    """What the lines earned on one local day: an entry an agency, a pair of legs a stream, and each line's part."""
    parts: dict[str, dict[str, list[tuple[UUID, int]]]] = {}
    for line in books.lines.values():
        amount = earned(line, fact.on)[0] - earned(line, fact.on - DAY)[0]
        if amount:
            parts.setdefault(line.agency, {}).setdefault(line.stream, []).append((line.id, amount))
    return Outcome(tuple(_day_draft(agency, fact.on, streams) for agency, streams in parts.items()))


def _day_draft(agency: str, on: date, streams: Mapping[str, list[tuple[UUID, int]]]) -> Draft:
    legs: list[Leg] = []
    parts: list[Part] = []
    for stream, pairs in sorted(streams.items()):
        lines, amounts = zip(*pairs, strict=True)
        legs += earning_legs(stream, None, sum(amounts))
        parts.append(Part(stream, lines, amounts))
    return Draft("recognition", agency, on, tuple(legs), tuple(parts))


Rule = Callable[[Any, Books], Outcome]

_RULES: dict[type[Fact], Rule] = {
    base.InvoiceOpened: invoice_opened,
    payments.PaymentCaptured: payment_captured,
    payments.MoneyUnapplied: money_unapplied,
    base.DeliveryRecorded: delivery_recorded,
    base.DeliveryReversed: delivery_reversed,
    base.EarningMoved: earning_moved,
    base.OrderSigned: kept,
    base.CreditGranted: credit_granted,
    payments.RefundCompleted: refund_completed,
    payments.RefundFailed: kept,
    payments.ChargebackOpened: chargeback_opened,
    payments.ChargebackClosed: chargeback_closed,
    payments.SettlementReceived: settlement_received,
    payments.EinvoiceIssued: kept,
    payments.EinvoiceAdjusted: kept,
    DayReached: day_reached,
}
RULES = {kind: rule for named, rule in _RULES.items() for kind in kinds(named)}
"""By the very fact: what several sellers say alike has one rule."""

_FIRST = (base.InvoiceOpened, payments.PaymentCaptured)
_LAST = (base.CreditGranted, base.EarningMoved, payments.ChargebackClosed)


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Sort a batch so that what makes lines known comes before what needs them."""
    return sorted(
        facts, key=lambda fact: 0 if isinstance(fact, _FIRST) else 2 if isinstance(fact, _LAST) else 1
    )


def lines_of(fact: Fact) -> list[UUID]:
    """The lines that a fact names."""
    if isinstance(fact, base.InvoiceOpened):
        return [line.id for line in fact.lines] if fact.collect == "on_terms" else []
    if isinstance(fact, payments.PaymentCaptured):
        return [paid.line.id for paid in fact.lines]
    if isinstance(fact, base.DeliveryRecorded | base.DeliveryReversed | base.EarningMoved):
        return [fact.line]
    if isinstance(fact, base.CreditGranted):
        return [credited.line for credited in fact.lines]
    return []


def _first(line: LineState | None, on: date) -> date:
    return min(line.booked_on, on) if line and line.booked_on else on


def _simple(fact: Fact, books: Books, kind: str, legs: Iterable[Leg], on: date | None = None) -> Outcome:
    work = _Work(books)
    work.add(kind, fact.agency, on or local_day(fact.occurred_at), *legs)
    return work.outcome()


def _transit(payment: UUID, books: Books) -> str:
    if payment not in books.rails:
        raise Waits(f"payment:{payment}")
    return f"cash_in_transit:{books.rails[payment]}"


def _disputed(
    fact: payments.ChargebackOpened | payments.ChargebackClosed, books: Books, to: str, of: str
) -> Outcome:
    pair = (Leg(to, "", None, fact.amount_vnd), Leg(of, "", None, -fact.amount_vnd))
    return _simple(fact, books, "chargeback", pair)
