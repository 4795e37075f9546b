"""A reader takes a package: the contract, and the invoice of its first period."""

from datetime import timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.subscriptions.actions.invoicing import open_invoice, pay_link, withdraw
from services.subscriptions.rules.catalogue import NotOnSale, Price, Term, check_on_sale, in_force
from services.subscriptions.rules.periods import span
from services.subscriptions.tables import InvoiceRow, PackageRow, PeriodRow, PriceRow, SubscriptionRow
from shared import clock
from shared.calendar import local_day
from shared.db import Tx
from shared.errors import NotFound, Refused, Unprocessable
from shared.identity import is_local_path
from shared.settings import Settings

CHECKOUT = timedelta(hours=2)
"""How long a checkout waits for its money."""

TERMS_VERSION = "2026-01"
"""The terms that the checkout shows and the contract names."""


class AlreadySubscribed(Refused):
    """The person has a paid period of this package under way or to come."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader chose at the checkout."""

    package: UUID
    price: UUID
    renewal: bool = False
    next_path: str = ""
    """A path of this house, or nothing: never another site's address."""


class Opened(msgspec.Struct, frozen=True):
    """The invoice to pay, and where."""

    subscription: UUID
    invoice: UUID
    pay_url: str


async def subscribe(tx: Tx, settings: Settings, person: UUID, order: Order) -> Opened:
    """Make the contract and open its first invoice; nothing is granted before it is paid.

    A checkout of the same price that still waits is taken up again; one of another price is withdrawn.
    Raises NotFound, NotOnSale, AlreadySubscribed.
    """
    if order.next_path and not is_local_path(order.next_path):
        raise Unprocessable("This is no path of this house, such as /subscribe.", field="next_path")
    now = clock.now()
    today = local_day(now)
    package = await tx.get(PackageRow, order.package)
    if package is None:
        raise NotFound("There is no such package.")
    check_on_sale(package.on_sale_from, package.on_sale_until, today)
    rows = await tx.scalars(sa.select(PriceRow).where(PriceRow.package == package.id))
    prices = [Price(r.id, Term(r.term_unit, r.term_count), r.net_vnd, r.since) for r in rows]  # type: ignore[arg-type]
    price = next((p for p in in_force(prices, today) if p.id == order.price), None)
    if price is None:
        raise NotOnSale("This price is no longer in force; look at the package again. Nothing was charged.")
    await _one_at_a_time(tx, person)
    held = await _waiting(tx, person, package.id)
    for invoice, subscription in held:
        if subscription.price == price.id and subscription.renewal == order.renewal:
            subscription.next_path = order.next_path or subscription.next_path
            return Opened(subscription.id, invoice.id, pay_link(settings, invoice))
        await withdraw(tx, invoice, "another-price")
    if await _reading(tx, person, package.id, today):
        raise AlreadySubscribed("You have this package already. Nothing was charged.")
    subscription = SubscriptionRow(
        id=clock.new_id(),
        agency=package.agency,
        person=person,
        package=package.id,
        price=price.id,
        renewal=order.renewal,
        anchor=None,
        next_path=order.next_path,
        terms_version=TERMS_VERSION,
        made_at=now,
        cancelled_at=None,
    )
    tx.add(subscription)
    await tx.flush()
    invoice = await open_invoice(
        tx,
        package.agency,
        subscription,
        package,
        price.net_vnd,
        0,
        span(today, price.term, 0),
        now + CHECKOUT,
    )
    return Opened(subscription.id, invoice.id, pay_link(settings, invoice))


async def _one_at_a_time(tx: Tx, person: UUID) -> None:
    """Two checkouts of one person wait for each other, so that neither misses the other's invoice."""
    await tx.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": f"person:{person}"}
    )


async def _waiting(tx: Tx, person: UUID, package: UUID) -> list[tuple[InvoiceRow, SubscriptionRow]]:
    found = await tx.execute(
        sa.select(InvoiceRow, SubscriptionRow)
        .join(SubscriptionRow, SubscriptionRow.id == InvoiceRow.subscription)
        .where(
            InvoiceRow.person == person,
            SubscriptionRow.package == package,
            InvoiceRow.n == 0,
            InvoiceRow.captured_at.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
            InvoiceRow.outcome.is_(None),
            InvoiceRow.expires_at > clock.now() + timedelta(minutes=10),
        )
        .with_for_update(of=InvoiceRow)
    )
    return [(invoice, subscription) for invoice, subscription in found]


async def _reading(tx: Tx, person: UUID, package: UUID, today: object) -> bool:
    return bool(
        await tx.scalar(
            sa.select(
                sa.exists().where(
                    PeriodRow.person == person, PeriodRow.package == package, PeriodRow.until > today
                )
            )
        )
    )
