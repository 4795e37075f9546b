"""What a fact tells of a line becomes one of its movements; what cannot be true is refused, for a person to see."""

from collections.abc import Iterable, Sequence
from datetime import date, timedelta
from typing import Any, TypeVar
from uuid import UUID

import msgspec

from services.ledger.rules.earning import held
from services.ledger.rules.lines import (
    Claim,
    Credit,
    Done,
    Leg,
    LineState,
    Paid,
    Promise,
    Said,
    moving_days,
)
from shared.calendar import local_day, start_of
from shared.contracts import base, payments

T = TypeVar("T", Promise, Said)

MOMENT = timedelta(microseconds=1)

CUSTOMERS = frozenset({"receivable", "customer_advances", "unused_credits", "barter_clearing"})
"""Accounts that somebody owes or is owed by: their legs name the party, the invoice and its due day."""


def opened(before: LineState | None, line: base.Line, fact: base.InvoiceOpened) -> LineState:
    """Invoiced on terms: of several openings the first is the tax point."""
    known = _invoiced(before or _new(line, fact.agency, fact.publisher()), line, fact.agency, fact.invoice)
    said_at = start_of(fact.tax_point) if fact.tax_point else fact.occurred_at
    claim = Claim(tax_point(fact), line.net_vnd, line.vat_vnd)
    return msgspec.structs.replace(
        known,
        party=fact.buyer.id,
        due_on=local_day(fact.due_at - MOMENT),  # due at midnight is due by the end of the day before
        claim=min((claim, known.claim), key=_by_day) if known.claim else claim,
        said=_in_order((*known.said, Said(said_at, line.earn))),
    )


def tax_point(fact: base.InvoiceOpened) -> date:
    """The day on which an invoice on terms has its VAT, and is owed."""
    return fact.tax_point or local_day(fact.occurred_at)


def promised(before: LineState | None, key: UUID, said: Sequence[base.OrderSigned]) -> LineState:
    """By all that was said of its order: a line that the last of it leaves out is promised no more."""
    by_line = [(fact, {line.id: line for line in fact.lines}.get(key)) for fact in said]
    fact, line = next((fact, line) for fact, line in by_line if line is not None)
    known = before or _new(line, fact.agency, fact.publisher())
    _check_same(known, line, fact.agency)
    if known.order not in (None, fact.order):
        raise ValueError(f"Line {key} was promised by order {known.order}, not by {fact.order}.")
    promises = (
        Promise(fact.occurred_at, line.net_vnd if line else None, line.earn if line else None)
        for fact, line in by_line
    )
    return msgspec.structs.replace(
        known, order=fact.order, party=known.party or fact.buyer.id, promised=_in_order(tuple(promises))
    )


def paid(before: LineState | None, part: base.PaidLine, fact: payments.PaymentCaptured) -> LineState:
    """Money came for the line, on the day of the money. Raises ValueError for more VAT than money."""
    line = part.line
    if part.amount_vnd * line.gross_vnd < 0:
        raise ValueError(f"Line {line.id} over {line.gross_vnd} đồng cannot be paid {part.amount_vnd}.")
    if held(part.vat_vnd, part.amount_vnd) != part.vat_vnd:
        raise ValueError(f"Of {part.amount_vnd} đồng for line {line.id} cannot {part.vat_vnd} be VAT.")
    known = _invoiced(before or _new(line, fact.agency, fact.seller), line, fact.agency, fact.invoice)
    movement = Paid(local_day(fact.captured_at), fact.collect == "prepaid", part.amount_vnd, part.vat_vnd)
    return msgspec.structs.replace(
        known,
        party=known.party or (fact.buyer.id if fact.buyer else None),
        # What several payments repeat is the same; were it not, the order in which they came would not matter.
        sold_as=min((line.earn, known.sold_as or line.earn), key=_plainly),
        paid=_added(known.paid, movement, ("on", "prepaid")),
    )


def delivered(before: LineState, on: date, quantity: int) -> LineState:
    return msgspec.structs.replace(before, delivered=_added(before.delivered, Done(on, quantity), ("on",)))


def moved(before: LineState, fact: base.EarningMoved) -> LineState:
    return msgspec.structs.replace(before, said=_in_order((*before.said, Said(fact.occurred_at, fact.earn))))


def credited(before: LineState, part: base.CreditedLine, fact: base.CreditGranted) -> LineState:
    """Raises ValueError for a line of another invoice, and for more than was sold."""
    if before.invoice != fact.invoice:
        raise ValueError(f"Line {before.id} is of invoice {before.invoice}, not of {fact.invoice}.")
    _check_payee(before, fact.agency)
    gone = sum(c.net_vnd + c.vat_vnd for c in before.credits) + part.net_vnd + part.vat_vnd
    if any(held(vnd, before.gross_vnd) != vnd for vnd in (gone, part.net_vnd, part.vat_vnd)):
        raise ValueError(f"Line {before.id} was sold for {before.gross_vnd} đồng: {gone} cannot be credited.")
    credit = Credit(local_day(fact.occurred_at), part.net_vnd, part.vat_vnd)
    return msgspec.structs.replace(before, credits=_added(before.credits, credit, ("on",)))


def first_day(before: LineState | None, after: LineState, on: date) -> date:
    """From which day on two histories may differ, where a fact of a day made one of the other."""
    if before is None:
        return min(moving_days(after), default=on)
    found = [on]
    if before.claim and after.claim and before.claim != after.claim:
        found += (before.claim.on, after.claim.on)
    if before.sold_as not in (None, after.sold_as):
        found.append(after.paid[0].on)
    return min(found)


def leg_of(line: LineState, account: str, amount_vnd: int) -> Leg:
    """A leg of a line; what somebody owes or is owed says who, by which paper, and until when."""
    if account not in CUSTOMERS:
        return Leg(account, line.stream, line.id, amount_vnd)
    return Leg(account, line.stream, line.id, amount_vnd, line.party, line.invoice, line.due_on)


def counted(leg: Leg, quantity: int) -> Leg:
    """Revenue that was delivered says how much of its unit was."""
    if not quantity or leg.account not in ("revenue", "in_kind_revenue"):
        return leg
    return msgspec.structs.replace(leg, quantity=quantity)


def _new(line: base.Line, payee: str, seller: str) -> LineState:
    return LineState(
        id=line.id,
        agency=line.agency,
        payee=payee,
        seller=seller,
        stream=line.stream,
        gross_vnd=line.gross_vnd,
    )


def _invoiced(known: LineState, line: base.Line, payee: str, invoice: UUID) -> LineState:
    """Raises ValueError where an invoice does not sell what the books know."""
    _check_same(known, line, payee)
    if known.invoice not in (None, invoice):
        raise ValueError(f"Line {known.id} is of invoice {known.invoice}, not of {invoice}.")
    if known.invoice is not None and known.gross_vnd != line.gross_vnd:
        raise ValueError(f"Line {known.id} was sold for {known.gross_vnd} đồng, not for {line.gross_vnd}.")
    return msgspec.structs.replace(known, invoice=invoice, gross_vnd=line.gross_vnd)


def _check_same(known: LineState, line: base.Line, payee: str) -> None:
    """Raises ValueError where a line is told of as another's, or as something else."""
    _check_payee(known, payee)
    if (known.agency, known.stream) != (line.agency, line.stream):
        raise ValueError(
            f"Line {known.id} is {known.stream} of {known.agency}, not {line.stream} of {line.agency}."
        )


def _check_payee(known: LineState, payee: str) -> None:
    if known.payee != payee:
        raise ValueError(f"Line {known.id} is owed to {known.payee}, not to {payee}.")


def _added(known: tuple[Any, ...], movement: Any, alike: tuple[str, ...]) -> tuple[Any, ...]:
    """Movements in the order of their days, with one more: what falls on the same day is summed."""
    sums = {name: getattr(movement, name) for name in movement.__struct_fields__ if name not in alike}
    rest = []
    for each in known:
        if all(getattr(each, name) == getattr(movement, name) for name in alike):
            sums = {name: value + getattr(each, name) for name, value in sums.items()}
        else:
            rest.append(each)
    summed = msgspec.structs.replace(movement, **sums)
    return tuple(sorted((*rest, summed), key=lambda each: tuple(getattr(each, name) for name in alike)))


def _in_order(said: Iterable[T]) -> tuple[T, ...]:
    """By the instant at which it was said; what was said twice is said once."""
    return tuple(sorted(set(said), key=lambda each: (each.at, _plainly(each))))


def _by_day(claim: Claim) -> tuple[date, bytes]:
    return claim.on, _plainly(claim)


def _plainly(value: Any) -> bytes:
    return msgspec.json.encode(value)
