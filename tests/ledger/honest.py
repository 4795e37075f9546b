"""Sets of facts as honest senders could tell them, by chance: up to four lines in 121 days of two agencies.

The days hold a new year and either the end of the 8 % or a 29 February. Instants and ids never tie.
"""

from collections.abc import Callable
from datetime import date, timedelta
from functools import cache
from typing import Any
from uuid import UUID, uuid5

import msgspec
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from shared.calendar import start_of
from shared.contracts import Fact, payments
from shared.contracts.base import Delivery, Line, OnDate, PaidLine, Period
from shared.money import split_after
from tests.ledger import builders
from tests.ledger.reference import day_of, sold

SPAN = timedelta(days=120)
STARTS = (date(2026, 12, 1), date(2027, 12, 1))
AGENCIES = ("bkh", "tcnt")
RAILS = ("vnpay", "stripe", "vietqr", "cash")
STREAMS = {
    "ads": ("advertising.web", "advertising.airtime"),
    "events": ("ticket", "sponsorship.cash", "sponsorship.in_kind"),
    "subscriptions": ("subscription", "licence", "pass_through"),
}
TIMES = (timedelta(0), timedelta(hours=12), timedelta(hours=23, minutes=59, seconds=59))
"""At these times of a local day something is told: the first and the last are of another day in UTC or nearly so."""

Draw = Callable[[st.SearchStrategy[Any]], Any]


class Scene(msgspec.Struct, frozen=True):
    """What happened between two days, in the order in which it was thought of."""

    first: date
    last: date
    facts: tuple[Fact, ...]


@st.composite
def scenes(draw: Draw, most_lines: int = 4) -> Scene:
    teller = Teller(draw, draw(st.sampled_from(STARTS)))
    left = draw(st.integers(1, most_lines))
    while left:
        count = draw(st.integers(1, min(2, left)))
        tell_of_a_sale(teller, count)
        left -= count
    tell_of_money(teller)
    return Scene(teller.first, teller.last, tuple(teller.facts))


class Teller:
    """Draws days and amounts, and gives each fact an instant and an id of its own."""

    def __init__(self, draw: Draw, first: date) -> None:
        self.draw = draw
        self.first, self.last = first, first + SPAN
        self.facts: list[Any] = []
        self.named = 0
        self.moves: dict[UUID, dict[date, Any]] = {}
        """By line: on which day it got which other days."""
        self.signed: set[tuple[UUID, date]] = set()
        """(line, day): its order says its days of then, and so does nobody else need to."""

    def as_of(self, line: Line, on: date) -> Line:
        """A line as whoever speaks of it on a day says it: with its days of then."""
        moves = [day for day in self.moves.get(line.id, {}) if day <= on]
        return msgspec.structs.replace(line, earn=self.moves[line.id][max(moves)]) if moves else line

    def id(self) -> UUID:
        """Ids are in no order that means anything."""
        self.named += 1
        return uuid5(UUID(int=0), str(self.named))

    def whether(self, one_in: int = 2) -> bool:
        return bool(self.draw(st.integers(1, one_in)) == 1)

    def one_of(self, *choices: Any) -> Any:
        return self.draw(st.sampled_from(choices))

    def number(self, least: int, most: int) -> int:
        return int(self.draw(st.integers(least, most)))

    def day(self, since: date | None = None) -> date:
        since = since or self.first
        return since + timedelta(days=self.number(0, (self.last - since).days))

    def days(self, most: int, since: date | None = None) -> list[date]:
        return sorted(self.day(since) for _ in range(self.number(0, most)))

    def tell(self, fact: Any, on: date, **more: Any) -> Any:
        """Say it at some time of a day. What carries a day of its own may be told some days later."""
        at = start_of(on) + self.one_of(*TIMES) + timedelta(microseconds=len(self.facts))
        if hasattr(fact, "captured_at"):
            more["captured_at"] = at
        if hasattr(fact, "captured_at") or hasattr(fact, "on"):
            at += timedelta(days=self.number(0, 3))
        self.facts.append(msgspec.structs.replace(fact, id=self.id(), occurred_at=at, **more))
        return self.facts[-1]


def tell_of_a_sale(teller: Teller, count: int) -> None:
    """Some lines that are signed, invoiced on terms or prepaid, or two of it, and what becomes of each."""
    seller, payee = teller.one_of(*STREAMS), teller.one_of(*AGENCIES)
    lines = [a_line(teller, seller) for _ in range(count)]
    sale = {"agency": payee, "invoice": teller.id()}
    way, on = teller.one_of("on_terms", "on_terms", "prepaid", "prepaid", "signed"), teller.day()
    if way == "signed" or teller.whether(3):
        invoiced = {"on_terms": on, "prepaid": teller.first, "signed": teller.last + timedelta(days=1)}
        tell_of_an_order(teller, lines, payee, invoiced[way])
    if way == "on_terms":
        lines = tell_of_an_invoice(teller, lines, on, **sale)
    elif way == "prepaid":
        tell_of_payments(teller, lines, teller.first, collect="prepaid", **sale)
    for line in lines:
        if any(line.id == each.line.id for each in sold(teller.facts)):
            tell_of_what_becomes_of(teller, line, **sale)


def tell_of_an_invoice(teller: Teller, lines: list[Line], on: date, **sale: Any) -> list[Line]:
    """On terms, at its tax point; sometimes said twice, and sometimes paid before, where its days are those of then."""
    as_ever = all(teller.as_of(line, on) == line for line in lines)
    lines = [priced_on(teller.as_of(line, on), on) for line in lines]
    teller.tell(builders.opened(*lines, on=on, **sale), on)
    if teller.whether(6):
        again = teller.day(on)
        teller.tell(builders.opened(*(teller.as_of(line, again) for line in lines), on=again, **sale), again)
    since = teller.first if as_ever and teller.whether(5) else on
    tell_of_payments(teller, lines, since, collect="on_terms", **sale)
    return lines


def tell_of_what_becomes_of(teller: Teller, line: Line, *, agency: str, invoice: UUID) -> None:
    if isinstance(line.earn, Delivery):
        tell_of_deliveries(teller, line, agency)
    moved = False
    for on, earn in teller.moves.get(line.id, {}).items():
        moved = moved or (line.id, on) not in teller.signed or teller.whether()
        if moved:
            teller.tell(builders.moved(line, earn, on, agency=agency), on)
    tell_of_credits(teller, line, agency=agency, invoice=invoice)


def a_line(teller: Teller, seller: str) -> Line:
    net = teller.one_of(teller.number(1, 40), teller.number(1_000, 5_000_000), 310_000)
    earn = Delivery("impression", teller.number(1, 9)) if teller.whether(3) else some_days(teller)
    stream, taxed = teller.one_of(*STREAMS[seller]), teller.one_of("standard", "standard", "exempt")
    line = builders.a_line(
        net,
        earn=earn,
        stream=stream,
        agency=teller.one_of(*AGENCIES),
        vat_class=taxed,
        tax_point=teller.first,
    )
    line = msgspec.structs.replace(line, id=teller.id())
    if not isinstance(earn, Delivery):
        teller.moves[line.id] = {day: some_days(teller) for day in teller.days(2)}
    return line


def some_days(teller: Teller) -> Period | OnDate:
    start = teller.day(teller.first - timedelta(days=20))
    if teller.whether(3):
        return OnDate(start)
    return Period(start, start + timedelta(days=teller.one_of(0, 1, 6, 30, teller.number(0, 100))))


def priced_on(line: Line, tax_point: date) -> Line:
    """The agreed gross stays; net and VAT are split by the rate of the tax point."""
    amount = split_after(0, line.gross_vnd, line.vat_class, tax_point)
    return msgspec.structs.replace(line, net_vnd=amount.net_vnd, vat_vnd=amount.vat_vnd)


def tell_of_an_order(teller: Teller, lines: list[Line], payee: str, invoiced_on: date) -> None:
    """Signed, and perhaps changed: fewer lines, other prices, or other days, which nobody has to say besides."""
    order, on = teller.id(), teller.day()
    moves = [day for line in lines for day in teller.moves.get(line.id, {}) if day > on and teller.whether()]
    named = lines
    for each in sorted({on, *moves, *teller.days(2, on)}):
        if each != on and (each not in moves or teller.whether(3)):
            chosen = [line for line in lines if teller.whether()]
            named = [
                msgspec.structs.replace(line, net_vnd=teller.number(1, 2 * line.net_vnd)) for line in chosen
            ]
        fact = builders.promised(*lines, on=each, agency=payee, order=order)
        teller.tell(fact, each, lines=tuple(teller.as_of(line, each) for line in named))
        if each < invoiced_on:
            teller.signed |= {(line.id, each) for line in named}


def tell_of_payments(
    teller: Teller, lines: list[Line], since: date, *, agency: str, invoice: UUID, collect: str
) -> None:
    """Money in up to three parts, the last of which may be too much; some of it came late, out of suspense."""
    left = [line.gross_vnd for line in lines]
    days = teller.days(3, since)
    if collect == "prepaid" and days and teller.whether():
        lines = [teller.as_of(line, days[0]) for line in lines]
    for on in days:
        parts = [
            0 if teller.whether(4) else vnd if teller.whether() else teller.number(0, vnd) for vnd in left
        ]
        if teller.whether(12):
            parts[0] += teller.number(1, 2 * lines[0].gross_vnd)
        paid = [part for n, part in enumerate(_paid(lines, left, parts, on, collect)) if parts[n]]
        left = [max(0, vnd - part) for vnd, part in zip(left, parts, strict=True)]
        if paid:
            _capture(teller, paid, on, agency=agency, invoice=invoice, collect=collect)


def _paid(lines: list[Line], left: list[int], parts: list[int], on: date, collect: str) -> list[PaidLine]:
    """Each part with its VAT as payments splits it: by the rate of its day after all parts before, or the invoice's."""
    paid = []
    for line, open_vnd, part in zip(lines, left, parts, strict=True):
        if collect == "prepaid":
            vat_vnd = split_after(line.gross_vnd - open_vnd, part, line.vat_class, on).vat_vnd
            paid.append(PaidLine(priced_on(line, on), part, vat_vnd))
        else:
            paid.append(PaidLine(line, part, line.vat_vnd * part // line.gross_vnd))
    return paid


def _capture(teller: Teller, paid: list[PaidLine], on: date, **fields: Any) -> None:
    lines, payment, rail = [part.line for part in paid], teller.id(), teller.one_of(*RAILS)
    beyond = teller.number(1, 9_999) if teller.whether(8) else 0
    whole = sum(part.amount_vnd for part in paid) + beyond
    late = teller.whether(5)
    if late:
        came = teller.first + timedelta(days=teller.number(0, (on - teller.first).days))
        teller.tell(
            builders.unapplied(whole, came, rail), came, payment=payment, agency=fields["agency"],
            invoice=fields["invoice"],
        )  # fmt: skip
    fact = builders.captured(*lines, on=on, rail=rail, payment=payment, from_suspense=late, **fields)
    teller.tell(fact, on, lines=tuple(paid), amount_vnd=whole)


def tell_of_deliveries(teller: Teller, line: Line, payee: str) -> None:
    """Up to the ordered quantity and sometimes beyond it; part of it was none after all."""
    assert isinstance(line.earn, Delivery)
    for on in teller.days(3):
        quantity = teller.number(1, line.earn.quantity)
        teller.tell(builders.delivery(line, quantity, on, agency=payee), on)
        if teller.whether(4):
            undone = on if teller.whether() else teller.day(on)
            part = teller.number(1, quantity)
            teller.tell(builders.undelivered(line, part, undone, agency=payee), undone)


def tell_of_credits(teller: Teller, line: Line, *, agency: str, invoice: UUID) -> None:
    """Each within what is charged by its day and not credited yet; what was paid goes back in cash."""
    for on in teller.days(2):
        net, vat = _creditable(teller.facts, line, on)
        if net <= 0 or vat < 0:
            continue
        part = net if teller.whether() else teller.number(1, net)
        fact = builders.credit(line, part, vat * part // net, on, invoice, agency=agency)
        given = teller.tell(fact, on, credit=teller.id())
        paid = [each for each in teller.facts if isinstance(each, payments.PaymentCaptured)]
        if paid and teller.whether():
            back = teller.day(on)
            teller.tell(
                builders.refunded(given.gross_vnd, back), back,
                agency=agency, invoice=invoice, payment=paid[-1].payment, credit=given.credit,
            )  # fmt: skip


def _creditable(facts: list[Fact], line: Line, on: date) -> tuple[int, int]:
    """What may still be credited on a day: never more than on any later day, whose credits were thought of before."""
    sales = [sale for sale in sold(facts) if sale.line.id == line.id]
    if not sales:
        return 0, 0
    [sale] = sales
    net, vat = sale.charged(on)
    returned = sale.returned(date.max)
    return net - returned[0], vat - returned[1]


def tell_of_money(teller: Teller) -> None:
    """What becomes of the money beside its sales: unknown, sent back, disputed, settled."""
    for on in teller.days(1):
        stray = teller.tell(builders.unapplied(teller.number(1, 900_000), on), on, payment=teller.id())
        if teller.whether():
            back = teller.day(on)
            fact = builders.refunded(stray.amount_vnd, back, credited=False)
            teller.tell(fact, back, payment=stray.payment, invoice=None)
    captured = [fact for fact in teller.facts if isinstance(fact, payments.PaymentCaptured)]
    for fact in captured:
        if teller.whether(5):
            tell_of_a_chargeback(teller, fact)
    for on in teller.days(2):
        gross, fee, gap = teller.number(1, 900_000), teller.number(0, 9_000), teller.one_of(0, 0, -500, 700)
        settled = payments.SettlementReceived(
            agency=teller.one_of(*AGENCIES), settlement=teller.id(), rail=teller.one_of(*RAILS),
            gross_vnd=gross, fee_vnd=fee, net_vnd=gross - fee - gap, captures=(),
        )  # fmt: skip
        teller.tell(settled, on)


def tell_of_a_chargeback(teller: Teller, fact: payments.PaymentCaptured) -> None:
    disputed: dict[str, Any] = {
        "agency": fact.agency,
        "chargeback": teller.id(),
        "payment": fact.payment,
        "invoice": fact.invoice,
        "amount_vnd": teller.number(1, fact.amount_vnd),
    }
    on = teller.day(day_of(fact))
    teller.tell(payments.ChargebackOpened(**disputed), on)
    if teller.whether():
        closed = teller.day(on)
        outcome = teller.one_of("won", "lost")
        teller.tell(payments.ChargebackClosed(outcome=outcome, **disputed), closed)


@cache
def some_scenes(count: int) -> list[Scene]:
    """Always the same ones: of sixty those that say the most."""
    drawn: list[Scene] = []

    @settings(
        max_examples=60, derandomize=True, database=None, deadline=None, phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    @given(scenes())
    def draw(scene: Scene) -> None:
        drawn.append(scene)

    draw()
    return sorted(drawn, key=lambda scene: len(scene.facts))[-count:]
