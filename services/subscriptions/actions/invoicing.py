"""Open and withdraw the invoice of one period; payments collects it."""

from datetime import date, datetime, timedelta

import sqlalchemy as sa

from services.subscriptions.rules.catalogue import VatChoice, vat_class_of
from services.subscriptions.rules.periods import Span
from services.subscriptions.tables import InvoiceRow, PackageRow, SubscriptionRow, VatChoiceRow
from shared import clock, links
from shared.calendar import local_day, show_day, start_of
from shared.contracts.base import Buyer, Line, Period, Stream, VatClass
from shared.contracts.subscriptions import InvoiceOpened, InvoiceWithdrawn
from shared.db import Tx
from shared.money import Amount, priced
from shared.outbox import emit
from shared.settings import Settings

RETURN_PATH = "/subscribe/return"
STREAM: Stream = "subscription"


async def price_of(
    tx: Tx, agency: str, product_class: str, net_vnd: int, tax_point: date
) -> tuple[VatClass, Amount]:
    """What a line costs on a day: its VAT class and its money."""
    rows = await tx.scalars(sa.select(VatChoiceRow).where(VatChoiceRow.agency == agency))
    choices = [VatChoice(r.product_class, r.vat_class, r.since) for r in rows]  # type: ignore[arg-type]
    vat_class = vat_class_of(choices, product_class, tax_point)
    return vat_class, priced(net_vnd, vat_class, tax_point)


async def open_invoice(
    tx: Tx,
    agency: str,
    subscription: SubscriptionRow,
    package: PackageRow,
    net_vnd: int,
    n: int,
    span: Span,
    expires_at: datetime,
) -> InvoiceRow:
    """Store the invoice of period n and say that it wants to be paid."""
    now = clock.now()
    vat_class, amount = await price_of(tx, agency, package.product_class, net_vnd, local_day(now))
    invoice = clock.new_id()
    row = InvoiceRow(
        id=invoice,
        agency=agency,
        subscription=subscription.id,
        person=subscription.person,
        number=f"TB{local_day(now):%y%m%d}-{invoice.hex[-8:].upper()}",
        n=n,
        start=span.start,
        until=span.until,
        line=clock.new_id(),
        net_vnd=amount.net_vnd,
        vat_class=vat_class,
        vat_vnd=amount.vat_vnd,
        opened_at=now,
        expires_at=expires_at,
        reminded_at=None,
        captured_vnd=0,
        captured_at=None,
        withdrawn_at=None,
        outcome=None,
        closed_at=None,
    )
    tx.add(row)
    line = Line(
        id=row.line,
        agency=agency,
        stream=STREAM,
        product_class=package.product_class,
        title=f"{package.title}, {show_day(span.start)} – {show_day(span.last)}",
        net_vnd=amount.net_vnd,
        vat_class=vat_class,
        vat_vnd=amount.vat_vnd,
        earn=Period(span.start, span.last),
    )
    await tx.flush()
    await emit(
        tx,
        InvoiceOpened(
            agency=agency,
            invoice=invoice,
            number=row.number,
            buyer=Buyer("person", subscription.person),
            collect="prepaid",
            due_at=max(now, start_of(span.start)),
            expires_at=expires_at,
            return_url=f"{RETURN_PATH}/{invoice}",
            lines=(line,),
        ),
    )
    return row


async def withdraw(tx: Tx, row: InvoiceRow, reason: str) -> None:
    """Say that an unpaid invoice is no longer wanted; what it held goes when payments has closed it."""
    row.withdrawn_at = clock.now()
    await emit(tx, InvoiceWithdrawn(agency=row.agency, invoice=row.id, reason=reason))


def pay_link(settings: Settings, row: InvoiceRow) -> str:
    """The buyer's way to payments, good as long as the invoice is."""
    ttl_s = max(int((row.expires_at - clock.now()) / timedelta(seconds=1)), 1)
    amount_vnd = row.net_vnd + row.vat_vnd
    return links.pay_link(settings, "subscriptions", row.id, ttl_s, agency=row.agency, amount_vnd=amount_vnd)
