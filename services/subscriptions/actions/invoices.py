"""Open the invoice of one period; payments collects it."""

from datetime import datetime

from services.subscriptions.actions.periods import PERIOD
from services.subscriptions.queries.catalogue import Offer
from services.subscriptions.rules.periods import Span
from services.subscriptions.tables import InvoiceRow, PackageRow, SubscriptionRow
from shared import clock, sales, selling
from shared.calendar import start_of
from shared.contracts.base import Buyer, Line, Period, Stream
from shared.db import Tx
from shared.sales import Sale

RETURN_PATH = "/subscribe/return"
STREAM: Stream = "subscription"


async def open_invoice(
    tx: Tx,
    agency: str,
    subscription: SubscriptionRow,
    package: PackageRow,
    offer: Offer,
    n: int,
    span: Span,
    expires_at: datetime,
) -> Sale:
    """Ask for the money of period n, as it was offered; what costs nothing begins in the same transaction."""
    now, invoice = clock.now(), clock.new_id()
    row = InvoiceRow(
        id=invoice,
        agency=agency,
        subscription=subscription.id,
        person=subscription.person,
        n=n,
        start=span.start,
        until=span.until,
        reminded_at=None,
    )
    tx.add(row)
    await tx.flush()
    line = Line(
        id=clock.new_id(),
        agency=agency,
        stream=STREAM,
        product_class=package.product_class,
        # Without its days: they are fixed only when the money comes, and the paper must not say others.
        title=f"{package.title}, {offer.term}, kỳ {n + 1}",
        net_vnd=offer.net_vnd,
        vat_class=offer.vat_class,
        vat_vnd=offer.vat_vnd,
        earn=Period(span.start, span.last),
    )
    return await selling.open_sale(
        tx,
        PERIOD,
        of=subscription.id,
        owner=subscription.person,
        buyer=Buyer("person", subscription.person),
        number=sales.number("TB", invoice, now),
        lines=[line],
        expires_at=expires_at,
        return_url=f"{RETURN_PATH}/{invoice}",
        invoice=invoice,
        due_at=max(now, start_of(span.start)),
    )
