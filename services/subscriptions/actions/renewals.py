"""Renewal by invitation: an invoice and a message before the end, a reminder, until it is paid or its time is over."""

from datetime import date, timedelta

import sqlalchemy as sa

from services.subscriptions.actions.invoices import open_invoice
from services.subscriptions.actions.periods import PERIOD, anchor_of
from services.subscriptions.queries.catalogue import offer_again
from services.subscriptions.rules.periods import INVITE_DAYS, REMIND_DAYS, RENEWAL_GRACE_DAYS
from services.subscriptions.tables import InvoiceRow, PackageRow, PeriodRow, PriceRow, SubscriptionRow
from shared import clock, money
from shared.agencies import lineage
from shared.calendar import local_day, show_day, start_of
from shared.contracts.subscriptions import MessageRequested
from shared.db import Tx
from shared.jobs import Batch
from shared.outbox import emit
from shared.sales import SALE, Sale, pay_link, read_sale, waits
from shared.settings import Settings

INVITATION = "subscriptions.renewal"
REMINDER = "subscriptions.renewal-reminder"


async def invite_renewals(tx: Tx, batch: Batch, settings: Settings) -> None:
    """Open the next invoice of each subscription that ends within a week and is to renew.

    The price is the one the reader bought at. An agency that was succeeded meanwhile leaves the invoice to its heir.
    """
    today = local_day(clock.now())
    asked = sa.exists().where(InvoiceRow.subscription == SubscriptionRow.id, InvoiceRow.n > PeriodRow.n)
    due = (
        sa.select(SubscriptionRow.id, SubscriptionRow, PriceRow, PackageRow, PeriodRow.n, PeriodRow.until)
        .join(PeriodRow, PeriodRow.subscription == SubscriptionRow.id)
        .join(PriceRow, PriceRow.id == SubscriptionRow.price)
        .join(PackageRow, PackageRow.id == SubscriptionRow.package)
        .where(
            SubscriptionRow.renewal,
            SubscriptionRow.cancelled_at.is_(None),
            PeriodRow.until > today,
            PeriodRow.until <= today + timedelta(days=INVITE_DAYS),
            ~asked,
        )
        .with_for_update(of=SubscriptionRow, skip_locked=True)
    )
    heirs = await lineage(tx)
    for _, subscription, price, package, n, until in await batch.take(tx, due):
        days = anchor_of(subscription, price).span(n + 1)
        if days.start != until:
            # Cut short: there is nothing to go on from, and what is left due would be found again for ever.
            subscription.renewal = False
            continue
        agency = heirs.heir_of(subscription.agency, until)
        expires_at = start_of(until + timedelta(days=RENEWAL_GRACE_DAYS))
        offer = await offer_again(tx, agency, price, package.product_class, local_day(clock.now()))
        sale = await open_invoice(tx, agency, subscription, package, offer, n + 1, days, expires_at)
        if sale.waits:
            await _tell(tx, settings, INVITATION, sale, package, days.start)


async def remind(tx: Tx, batch: Batch, settings: Settings) -> None:
    """Remind of renewals that are unpaid a day before the period ends."""
    today = local_day(clock.now())
    due = (
        sa.select(SALE, InvoiceRow, PackageRow)
        .join(InvoiceRow, InvoiceRow.id == SALE.c.id)
        .join(SubscriptionRow, SubscriptionRow.id == InvoiceRow.subscription)
        .join(PackageRow, PackageRow.id == SubscriptionRow.package)
        .where(
            waits(),
            InvoiceRow.n > 0,
            InvoiceRow.reminded_at.is_(None),
            InvoiceRow.start <= today + timedelta(days=REMIND_DAYS),
        )
        .with_for_update(of=[SALE, InvoiceRow], skip_locked=True)
    )
    for row in await batch.take(tx, due):
        row.InvoiceRow.reminded_at = clock.now()
        await _tell(tx, settings, REMINDER, read_sale(row), row.PackageRow, row.InvoiceRow.start)


async def _tell(
    tx: Tx, settings: Settings, template: str, sale: Sale, package: PackageRow, start: date
) -> None:
    """Ask accounts to write: what ends, what the next period costs with tax, and where to pay or to stop."""
    await emit(
        tx,
        MessageRequested(
            agency=sale.agency,
            person=sale.owner,
            template=template,
            params={
                "package": package.title,
                "ends_on": show_day(start - timedelta(days=1)),
                "amount": money.show(sale.total_vnd),
                "vat": money.show(sale.vat_vnd),
                "link": pay_link(settings, PERIOD.seller, sale),
                "cancel_link": "/subscribe/mine",
            },
        ),
    )
