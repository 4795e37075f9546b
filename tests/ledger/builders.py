"""Small builders of facts, with agencies, days and amounts that are easy to add up."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4, uuid5

from shared.calendar import start_of
from shared.contracts import PUBLISHERS, base, payments
from shared.contracts.base import Buyer, CreditedLine, Delivery, Line, OnDate, PaidLine, Period
from shared.money import priced


def noon(day: date) -> datetime:
    return start_of(day) + timedelta(hours=12)


def a_line(
    net_vnd: int = 100_000,
    *,
    earn: base.Earn | None = None,
    stream: Any = "subscription",
    agency: str = "bkh",
    vat_class: Any = "standard",
    tax_point: date = date(2026, 11, 1),
) -> Line:
    return Line(
        id=uuid4(),
        agency=agency,
        stream=stream,
        product_class="web",
        title="Gói tháng",
        net_vnd=net_vnd,
        vat_class=vat_class,
        vat_vnd=priced(net_vnd, vat_class, tax_point).vat_vnd,
        earn=earn or Period(date(2026, 11, 1), date(2026, 11, 30)),
    )


def delivered(quantity: int = 1000, unit: str = "impression") -> Delivery:
    return Delivery(unit, quantity)


def invoice_of(line: Line) -> UUID:
    """The invoice of a line, where a test names none."""
    return uuid5(line.id, "invoice")


def seller_of(line: Line) -> str:
    """Who sells such a line."""
    if line.stream.startswith("advertising"):
        return "ads"
    return (
        "events" if line.stream in ("ticket", "sponsorship.cash", "sponsorship.in_kind") else "subscriptions"
    )


def said(fact: str, line: Line, /, **fields: Any) -> Any:
    """A fact about a line as its seller says it, or as another one (`by`) does."""
    kind = getattr(PUBLISHERS[fields.pop("by", seller_of(line))], fact)
    return kind(**{"agency": line.agency, **fields})


def captured(
    *lines: Line,
    on: date = date(2026, 11, 1),
    paid: list[int] | None = None,
    vat: list[int] | None = None,
    agency: str = "bkh",
    rail: Any = "vnpay",
    collect: Any = "prepaid",
    **more: Any,
) -> payments.PaymentCaptured:
    """Money for some lines, whole or the `paid` parts of them, with the VAT inside as payments splits it."""
    amounts = paid or [line.gross_vnd for line in lines]
    taxes = vat or [_vat_within(line, amount) for line, amount in zip(lines, amounts, strict=True)]
    return payments.PaymentCaptured(
        agency=agency,
        occurred_at=noon(on),
        payment=more.pop("payment", uuid4()),
        invoice=more.pop("invoice", invoice_of(lines[0])),
        seller=more.pop("seller", seller_of(lines[0])),
        rail=rail,
        collect=collect,
        amount_vnd=more.pop("amount_vnd", sum(amounts)),
        captured_at=noon(on),
        lines=tuple(PaidLine(*part) for part in zip(lines, amounts, taxes, strict=True)),
        **more,
    )


def _vat_within(line: Line, amount_vnd: int) -> int:
    whole = amount_vnd == line.gross_vnd
    return line.vat_vnd if whole else line.vat_vnd * amount_vnd // line.gross_vnd


def opened(
    *lines: Line, on: date = date(2026, 11, 1), collect: Any = "on_terms", **more: Any
) -> base.InvoiceOpened:
    fact: base.InvoiceOpened = said(
        "InvoiceOpened",
        lines[0],
        agency=more.pop("agency", "bkh"),
        occurred_at=noon(on),
        invoice=more.pop("invoice", invoice_of(lines[0])),
        number="AD-1",
        buyer=Buyer("organisation", uuid4()),
        collect=collect,
        due_at=noon(on) + timedelta(days=30),
        expires_at=noon(on) + timedelta(days=30),
        return_url="/advertise/orders",
        lines=lines,
        **more,
    )
    return fact


def promised(*lines: Line, on: date, **more: Any) -> base.OrderSigned:
    """An order of some lines; without an `order` of its own it is another one than all before."""
    given = {
        "agency": "bkh",
        "order": uuid4(),
        "buyer": Buyer("organisation", uuid4()),
        "lines": lines,
        **more,
    }
    fact: base.OrderSigned = said("OrderSigned", lines[0], occurred_at=noon(on), **given)
    return fact


def ordered(*lines: Line, on: date = date(2026, 11, 1), **more: Any) -> base.OrderSigned:
    """A contract over some lines, which are not invoiced yet."""
    fact: base.OrderSigned = said(
        "OrderSigned",
        lines[0],
        agency=more.pop("agency", "bkh"),
        occurred_at=noon(on),
        order=more.pop("order", uuid5(lines[0].id, "order")),
        buyer=Buyer("organisation", uuid4()),
        lines=lines,
        **more,
    )
    return fact


def delivery(line: Line, quantity: int, on: date = date(2026, 11, 2), **more: Any) -> base.DeliveryRecorded:
    fact: base.DeliveryRecorded = said(
        "DeliveryRecorded", line, occurred_at=noon(on), line=line.id, quantity=quantity, on=on, **more
    )
    return fact


def undelivered(
    line: Line, quantity: int, on: date = date(2026, 11, 2), **more: Any
) -> base.DeliveryReversed:
    given = {"line": line.id, "quantity": quantity, "on": on, "reason": "robots", **more}
    fact: base.DeliveryReversed = said("DeliveryReversed", line, occurred_at=noon(on), **given)
    return fact


def credit(
    line: Line, net_vnd: int, vat_vnd: int, on: date, invoice: UUID | None = None, **more: Any
) -> base.CreditGranted:
    fact: base.CreditGranted = said(
        "CreditGranted",
        line,
        occurred_at=noon(on),
        credit=uuid4(),
        invoice=invoice or invoice_of(line),
        reason="cancelled",
        lines=(CreditedLine(line.id, net_vnd, vat_vnd),),
        **more,
    )
    return fact


def refunded(amount_vnd: int, on: date, *, credited: bool = True, **more: Any) -> payments.RefundCompleted:
    return payments.RefundCompleted(
        agency="bkh",
        occurred_at=noon(on),
        refund=uuid4(),
        payment=more.pop("payment", uuid4()),
        invoice=uuid4(),
        rail="vnpay",
        amount_vnd=amount_vnd,
        credit=uuid4() if credited else None,
        **more,
    )


def unapplied(amount_vnd: int, on: date, rail: Any = "vnpay", **more: Any) -> payments.MoneyUnapplied:
    """Money that came on a day, and was told of a week later."""
    return payments.MoneyUnapplied(
        agency="bkh",
        occurred_at=noon(on + timedelta(days=7)),
        payment=uuid4(),
        rail=rail,
        amount_vnd=amount_vnd,
        reason="invoice-closed",
        captured_at=noon(on),
        invoice=uuid4(),
        offered_to="events",
        **more,
    )


def moved(line: Line, earn: base.Earn, on: date, **more: Any) -> base.EarningMoved:
    fact: base.EarningMoved = said(
        "EarningMoved", line, occurred_at=noon(on), line=line.id, earn=earn, **more
    )
    return fact


def a_ticket(on: date, net_vnd: int = 250_000) -> Line:
    return a_line(net_vnd, earn=OnDate(on), stream="ticket")
