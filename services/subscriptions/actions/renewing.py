"""Renewal by invitation: an invoice and a message before the end, a reminder, and the end of what nobody pays."""

from datetime import timedelta

import sqlalchemy as sa

from services.subscriptions.actions.invoicing import open_invoice, pay_link, withdraw
from services.subscriptions.queries.catalogue import heir
from services.subscriptions.rules.catalogue import Term
from services.subscriptions.rules.periods import (
    INVITE_DAYS,
    REMIND_DAYS,
    RENEWAL_GRACE_DAYS,
    boundary,
    span,
)
from services.subscriptions.tables import InvoiceRow, PackageRow, PriceRow, SubscriptionRow
from shared import clock, money
from shared.calendar import local_day, show_day, start_of
from shared.contracts.subscriptions import MessageRequested
from shared.db import Tx
from shared.outbox import emit
from shared.settings import Settings

INVITATION = "subscription-renewal"
REMINDER = "subscription-renewal-reminder"

_DUE = sa.text(
    "SELECT s.id, max(p.n) AS n, max(p.until) AS until FROM period p "
    "JOIN subscription s ON s.id = p.subscription "
    "WHERE s.renewal AND s.cancelled_at IS NULL AND p.until > :today AND p.until <= :horizon "
    "AND NOT EXISTS (SELECT FROM invoice i WHERE i.subscription = s.id AND i.n > p.n) "
    "AND NOT EXISTS (SELECT FROM period q WHERE q.subscription = s.id AND q.n > p.n) "
    "GROUP BY s.id ORDER BY s.id LIMIT :limit"
)


async def invite_renewals(tx: Tx, limit: int, settings: Settings) -> int:
    """Open the next invoice of each subscription that ends within a week and is to renew; returns how many.

    The price is the one the reader bought at. An agency that was succeeded meanwhile leaves the invoice to its heir.
    """
    today = local_day(clock.now())
    due = (
        await tx.execute(
            _DUE, {"today": today, "horizon": today + timedelta(days=INVITE_DAYS), "limit": limit}
        )
    ).all()
    for found in due:
        subscription = await tx.get(SubscriptionRow, found.id, with_for_update={"skip_locked": True})
        if subscription is None or subscription.anchor is None:
            continue
        price = await tx.get_one(PriceRow, subscription.price)
        package = await tx.get_one(PackageRow, subscription.package)
        term = Term(price.term_unit, price.term_count)  # type: ignore[arg-type]
        n = found.n + 1
        if found.until != boundary(subscription.anchor, term, n):
            continue  # cut short by a cancellation
        expires_at = start_of(found.until + timedelta(days=RENEWAL_GRACE_DAYS))
        agency = await heir(tx, subscription.agency, found.until)
        invoice = await open_invoice(
            tx,
            agency,
            subscription,
            package,
            price.net_vnd,
            n,
            span(subscription.anchor, term, n),
            expires_at,
        )
        await _tell(tx, settings, INVITATION, invoice, package)
    return len(due)


async def remind(tx: Tx, limit: int, settings: Settings) -> int:
    """Remind of renewals that are unpaid a day before the period ends; returns how many."""
    today = local_day(clock.now())
    due = await tx.execute(
        sa.select(InvoiceRow, PackageRow)
        .join(SubscriptionRow, SubscriptionRow.id == InvoiceRow.subscription)
        .join(PackageRow, PackageRow.id == SubscriptionRow.package)
        .where(
            InvoiceRow.n > 0,
            InvoiceRow.reminded_at.is_(None),
            InvoiceRow.outcome.is_(None),
            InvoiceRow.captured_at.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
            InvoiceRow.start <= today + timedelta(days=REMIND_DAYS),
        )
        .order_by(InvoiceRow.id)
        .limit(limit)
        .with_for_update(of=InvoiceRow, skip_locked=True)
    )
    told = due.all()
    for invoice, package in told:
        invoice.reminded_at = clock.now()
        await _tell(tx, settings, REMINDER, invoice, package)
    return len(told)


async def expire_unpaid(tx: Tx, limit: int) -> int:
    """Withdraw invoices whose time is over; returns how many."""
    due = await tx.scalars(
        sa.select(InvoiceRow)
        .where(
            InvoiceRow.expires_at <= clock.now(),
            InvoiceRow.outcome.is_(None),
            InvoiceRow.captured_at.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
        )
        .order_by(InvoiceRow.expires_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )
    rows = due.all()
    for row in rows:
        await withdraw(tx, row, "unpaid")
    return len(rows)


async def _tell(tx: Tx, settings: Settings, template: str, invoice: InvoiceRow, package: PackageRow) -> None:
    """Ask accounts to write: what ends, what the next period costs with tax, and where to pay or to stop."""
    ends_on = show_day(invoice.start - timedelta(days=1))
    await emit(
        tx,
        MessageRequested(
            agency=invoice.agency,
            person=invoice.person,
            template=template,
            params={
                "package": package.title,
                "ends_on": ends_on,
                "amount": money.show(invoice.net_vnd + invoice.vat_vnd),
                "vat": money.show(invoice.vat_vnd),
                "link": pay_link(settings, invoice),
                "cancel_link": "/subscribe/mine",
            },
        ),
    )
