"""The rule table: each kind of fact as balanced legs over semantic accounts. Pure; a missing predecessor waits."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import date
from typing import Any
from uuid import UUID

import msgspec

from services.ledger.rules import telling
from services.ledger.rules.lines import Leg, LineState, Part, affected, changes, earning_legs, moving_days
from shared.calendar import local_day
from shared.contracts import Fact, base, kinds, payments
from shared.contracts.base import Code
from shared.errors import Waits


class DayReached(Fact, frozen=True, kw_only=True, tag="ledger.day.reached.v1"):
    """The recognition job reached a local day. It is archived like a fact, so that a rebuild walks the same days."""

    on: date


class RegimeChosen(Fact, frozen=True, kw_only=True, tag="ledger.regime.chosen.v1"):
    """From a day on an agency keeps another chart of accounts: a re-mapping, never a re-posting."""

    since: date
    regime: str


class BooksReposted(Fact, frozen=True, kw_only=True, tag="ledger.books.reposted.v1"):
    """All that was archived until a number has been booked anew by the rules of now: its hashes are others since."""

    through: int
    digest: Code
    """The hash, in hexadecimal, to which the archive had come by the old rules."""


class Draft(msgspec.Struct, frozen=True):
    """An entry that a fact asks for, of one agency and one day; its legs sum to zero."""

    kind: str
    agency: str
    belongs_on: date
    legs: tuple[Leg, ...]
    parts: tuple[Part, ...] = ()


class Books(msgspec.Struct, frozen=True):
    """What the rules may know: the day reached, the lines that the facts name, rails of the payments that they name."""

    reached: date
    lines: Mapping[UUID, LineState]
    rails: Mapping[UUID, str]
    orders: Mapping[UUID, Sequence[base.OrderSigned]] = {}
    """What was said of the orders that the facts name."""


class Outcome(msgspec.Struct, frozen=True):
    """What a fact leads to: entries, lines as they are now, and the rail of the payment that it made known."""

    drafts: tuple[Draft, ...] = ()
    lines: tuple[LineState, ...] = ()
    rails: tuple[tuple[UUID, str], ...] = ()


MOST_DAYS = 40_000
"""So many days of lines may one fact change, some seconds of work: what reaches further back is for a person."""


class _Work:
    """Collects legs by entry while a rule goes through its fact."""

    def __init__(self, books: Books) -> None:
        self.books = books
        self.days = 0
        """How many days of lines were changed so far."""
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
        """Book what a line's new history differs by, on the days on which it does; the first of them is `on`."""
        through = max(self.books.reached, after.through, *moving_days(after))
        after = msgspec.structs.replace(after, through=through)
        first = telling.first_day(before, after, on)
        dates = affected(before, after, first, self.books.reached)
        self.days += len(dates)
        if self.days > MOST_DAYS:
            raise ValueError(f"What it says of {first} changes more than {MOST_DAYS} days of its lines.")
        moved = changes(before, after, dates, self.books.reached)
        earns = kind if kind == "delivery" else "recognition"
        for each in moved:
            earning = earning_legs(after.stream, after.id, each.earned_vnd, each.counter)
            counted = (telling.counted(leg, each.quantity) for leg in earning)
            self.add(earns, after.agency, each.on, *counted)
            rest = dict(each.balances)
            for leg in earning:
                rest[after.agency, leg.account] -= leg.amount_vnd
            for (agency, account), amount in rest.items():
                self.add(kind, agency, each.on, telling.leg_of(after, account, amount))
        self.lines[after.id] = after

    def outcome(self, *rails: tuple[UUID, str]) -> Outcome:
        drafts = (Draft(*key, tuple(legs)) for key, legs in self.legs.items() if legs)
        return Outcome(tuple(drafts), tuple(self.lines.values()), rails)


def invoice_opened(fact: base.InvoiceOpened, books: Books) -> Outcome:
    """On terms: receivable against output VAT and deferred revenue. Prepaid: nothing before the money."""
    if fact.collect == "prepaid":
        return Outcome()
    work = _Work(books)
    for line in fact.lines:
        before = work.line(line.id, fact.publisher())
        after = telling.opened(before, line, fact)
        work.change("invoice", before, after, telling.tax_point(fact))
    return work.outcome()


def order_signed(fact: base.OrderSigned, books: Books) -> Outcome:
    """What is promised is earned as it is delivered, also before it is billed. A line that is left out is no more."""
    work = _Work(books)
    said = [known for known in books.orders.get(fact.order, ()) if type(known) is type(fact)]
    said.append(fact)
    for key in sorted({line.id for each in said for line in each.lines}):
        before = work.line(key, fact.publisher())
        work.change("order", before, telling.promised(before, key, said), local_day(fact.occurred_at))
    return work.outcome()


def payment_captured(fact: payments.PaymentCaptured, books: Books) -> Outcome:
    """Cash in transit against VAT and deferred revenue (prepaid), or against the receivable (on terms).

    What its seller took of late money comes out of suspense, where its cash was booked when it came. A line of another
    agency is booked there; the two owe each other. Money beyond the lines is in suspense; the reverse cannot be.
    """
    work, on = _Work(books), local_day(fact.captured_at)
    party = fact.buyer.id if fact.buyer else None
    cash = "suspense" if fact.from_suspense else f"cash_in_transit:{fact.rail}"
    money = Leg(cash, "", None, fact.amount_vnd, party, fact.payment, reference=fact.reference)
    work.add("payment", fact.agency, on, money)
    for paid in fact.lines:
        before = work.line(paid.line.id, fact.seller)
        work.change("payment", before, telling.paid(before, paid, fact), on)
    rest = fact.amount_vnd - sum(paid.amount_vnd for paid in fact.lines)
    if rest < 0:
        raise ValueError(f"Payment {fact.payment} pays {-rest} đồng more of its lines than came.")
    work.add("payment", fact.agency, on, Leg("suspense", "", None, -rest, party, fact.payment))
    # What lay in suspense is in its rail's transit by the fact that laid it there.
    return work.outcome(*(() if fact.from_suspense else ((fact.payment, fact.rail),)))


def delivery_recorded(fact: base.DeliveryRecorded, books: Books) -> Outcome:
    """Earn floor(A·q/Q) cumulative: full delivery earns exactly the net. Waits for its line."""
    return _delivered(fact, fact.quantity, books)


def delivery_reversed(fact: base.DeliveryReversed, books: Books) -> Outcome:
    """What was recorded as delivered was none: it is earned no more. Waits for its line."""
    return _delivered(fact, -fact.quantity, books)


def _delivered(fact: base.DeliveryRecorded | base.DeliveryReversed, quantity: int, books: Books) -> Outcome:
    work = _Work(books)
    before = work.known(fact.line, fact.publisher())
    work.change("delivery", before, telling.delivered(before, fact.on, quantity), fact.on)
    return work.outcome()


def earning_moved(fact: base.EarningMoved, books: Books) -> Outcome:
    """A line is earned on other days than its invoice said, from this day on. Waits for its line.

    Of several moves the one that was said last holds, in whatever order they come.
    """
    work = _Work(books)
    before = work.known(fact.line, fact.publisher())
    work.change("moved", before, telling.moved(before, fact), local_day(fact.occurred_at))
    return work.outcome()


def credit_granted(fact: base.CreditGranted, books: Books) -> Outcome:
    """Unwind what is not earned, then deduct from revenue; VAT goes back at the line's own rate.

    The customer's side falls from the receivable, or becomes an unused credit. Waits for its lines and their invoice;
    what names a line of another invoice, or takes back more than was sold, is posted by nobody.
    """
    work, on = _Work(books), local_day(fact.occurred_at)
    for credited in fact.lines:
        before = work.known(credited.line, fact.publisher())
        if before.invoice is None:
            raise Waits(f"line:{credited.line}")
        work.change("credit", before, telling.credited(before, credited, fact), on)
    return work.outcome()


def money_unapplied(fact: payments.MoneyUnapplied, books: Books) -> Outcome:
    """Money that fits no invoice lies in suspense, from the day on which it came."""
    pair = (
        Leg(
            f"cash_in_transit:{fact.rail}",
            "",
            None,
            fact.amount_vnd,
            document=fact.payment,
            reference=fact.reference,
        ),
        Leg("suspense", "", None, -fact.amount_vnd, document=fact.payment),
    )
    return _simple(fact, books, "unapplied", pair, local_day(fact.captured_at), (fact.payment, fact.rail))


def refund_completed(fact: payments.RefundCompleted, books: Books) -> Outcome:
    """Cash goes back: against the credit that the seller granted, or out of suspense where there was none."""
    owed = (
        Leg("unused_credits", "", None, fact.amount_vnd, document=fact.invoice)
        if fact.credit
        else Leg("suspense", "", None, fact.amount_vnd, document=fact.payment)
    )
    cash = Leg(
        f"cash_in_transit:{fact.rail}",
        "",
        None,
        -fact.amount_vnd,
        document=fact.refund,
        reference=fact.reference,
    )
    return _simple(fact, books, "refund", (owed, cash))


def chargeback_opened(fact: payments.ChargebackOpened, books: Books) -> Outcome:
    """The rail took the cash back for as long as the dispute lasts. Waits for its payment."""
    return _disputed(fact, books, "disputed_cash", _transit(fact.payment, books))


def chargeback_closed(fact: payments.ChargebackClosed, books: Books) -> Outcome:
    """Won: the cash comes back. Lost: it is a bad debt; what the seller unwinds comes as a credit."""
    to = _transit(fact.payment, books) if fact.outcome == "won" else "bad_debt"
    return _disputed(fact, books, to, "disputed_cash")


def settlement_received(fact: payments.SettlementReceived, books: Books) -> Outcome:
    """Cash in transit arrives at the bank, less the rail's fee."""
    amounts = {
        "bank": fact.net_vnd,
        "fees": fact.fee_vnd,
        f"cash_in_transit:{fact.rail}": -fact.gross_vnd,
        "suspense": fact.gross_vnd - fact.net_vnd - fact.fee_vnd,
    }
    legs = (
        Leg(account, "", None, amount, document=fact.settlement, reference=fact.reference)
        for account, amount in amounts.items()
    )
    return _simple(fact, books, "settlement", legs)


def kept(_fact: Fact, _books: Books) -> Outcome:
    """Nothing to post: the fact is kept as a reference."""
    return Outcome()


Rule = Callable[[Any, Books], Outcome]

_RULES: dict[type[Fact], Rule] = {
    base.InvoiceOpened: invoice_opened,
    payments.PaymentCaptured: payment_captured,
    payments.MoneyUnapplied: money_unapplied,
    base.DeliveryRecorded: delivery_recorded,
    base.DeliveryReversed: delivery_reversed,
    base.EarningMoved: earning_moved,
    base.OrderSigned: order_signed,
    base.CreditGranted: credit_granted,
    payments.RefundCompleted: refund_completed,
    payments.RefundFailed: kept,
    payments.ChargebackOpened: chargeback_opened,
    payments.ChargebackClosed: chargeback_closed,
    payments.SettlementReceived: settlement_received,
    payments.EinvoiceIssued: kept,
    payments.EinvoiceAdjusted: kept,
    RegimeChosen: kept,
    BooksReposted: kept,
}
RULES = {kind: rule for named, rule in _RULES.items() for kind in kinds(named)}
"""By the very fact: what several sellers say alike has one rule. A day that is reached is `recognition`'s."""

VERSIONS: dict[int, Mapping[type[Fact], Rule]] = {1: RULES}
"""All rules by which something may be booked; one that is corrected is another version, and the old one stays."""

VERSION = max(VERSIONS)
"""By which facts are booked from now on; the archive keeps it beside each."""

_FIRST = (base.InvoiceOpened, base.OrderSigned, payments.PaymentCaptured)
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
    if isinstance(fact, base.OrderSigned):
        return [line.id for line in fact.lines]
    if isinstance(fact, payments.PaymentCaptured):
        return [paid.line.id for paid in fact.lines]
    if isinstance(fact, base.DeliveryRecorded | base.DeliveryReversed | base.EarningMoved):
        return [fact.line]
    if isinstance(fact, base.CreditGranted):
        return [credited.line for credited in fact.lines]
    return []


def _simple(
    fact: Fact,
    books: Books,
    kind: str,
    legs: Iterable[Leg],
    on: date | None = None,
    *rails: tuple[UUID, str],
) -> Outcome:
    work = _Work(books)
    work.add(kind, fact.agency, on or local_day(fact.occurred_at), *legs)
    return work.outcome(*rails)


def _transit(payment: UUID, books: Books) -> str:
    if payment not in books.rails:
        raise Waits(f"payment:{payment}")
    return f"cash_in_transit:{books.rails[payment]}"


def _disputed(
    fact: payments.ChargebackOpened | payments.ChargebackClosed, books: Books, to: str, of: str
) -> Outcome:
    pair = (
        Leg(to, "", None, fact.amount_vnd, document=fact.payment),
        Leg(of, "", None, -fact.amount_vnd, document=fact.payment),
    )
    return _simple(fact, books, "chargeback", pair)
