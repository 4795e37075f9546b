"""A reader takes a package, and ends it: the contract, from the invoice of its first period on."""

from datetime import timedelta
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.subscriptions.actions.invoices import RETURN_PATH, open_invoice
from services.subscriptions.actions.periods import (
    PERIOD,
    AlreadySubscribed,
    end,
    lock_whole,
    one_at_a_time,
    stop,
)
from services.subscriptions.queries.catalogue import Offer, offer_of, offers
from services.subscriptions.queries.periods import gross, is_on_its_way, meets_paid, unused
from services.subscriptions.queries.subscriptions import collection
from services.subscriptions.rules.catalogue import NotOnSale, check_on_sale
from services.subscriptions.rules.periods import Anchor, Span, ended
from services.subscriptions.rules.subscriptions import Life, may_cancel
from services.subscriptions.tables import InvoiceRow, MeterRow, PackageRow, PeriodRow, SubscriptionRow
from shared import clock, selling
from shared.calendar import local_day
from shared.db import Tx
from shared.errors import NotFound, Refused, Unprocessable
from shared.identity import is_local_path
from shared.money import check_seen
from shared.sales import SALE, Sale, find, pay_link, read_sale, waits
from shared.settings import Settings

CHECKOUT = timedelta(hours=2)
"""How long a checkout waits for its money."""

LEAST_LEFT = timedelta(minutes=10)
"""A checkout that has less time left is not taken up again."""

TERMS_VERSION = "2026-01"
"""The terms that the checkout shows and the contract names."""


class NothingToCancel(Refused):
    """The subscription is over, or was cancelled already."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the reader chose at the checkout."""

    package: UUID
    price: UUID
    seen_vnd: int | None = None
    """The gross price that the reader was shown, where one was: no other is charged."""
    renewal: bool = False
    next_path: str = ""
    """A path of this house, or nothing: never another site's address."""


class Opened(msgspec.Struct, frozen=True):
    """The invoice to pay, and where; of what costs nothing, the page that says so."""

    subscription: UUID
    invoice: UUID
    pay_url: str


async def subscribe(tx: Tx, settings: Settings, person: UUID, order: Order) -> Opened:
    """Make the contract and open its first invoice; nothing is granted before it is paid.

    A checkout of the same price that still waits is taken up again; one of another price is withdrawn.
    Raises NotFound, NotOnSale, PriceChanged, AlreadySubscribed.
    """
    if order.next_path and not is_local_path(order.next_path):
        raise Unprocessable("This is no path of this house, such as /subscribe.", field="next_path")
    now = clock.now()
    today = local_day(now)
    package = await tx.get(PackageRow, order.package)
    if package is None:
        raise NotFound("There is no such package.")
    offer = await _offered(tx, package, order)
    await one_at_a_time(tx, person)
    for sale, waiting in await _waiting(tx, person, package.id):
        same = (waiting.price, waiting.renewal, sale.total_vnd) == (
            offer.price,
            order.renewal,
            offer.total_vnd,
        )
        if same and sale.expires_at > now + LEAST_LEFT:
            waiting.next_path = order.next_path or waiting.next_path
            return _opened(settings, sale)
        await selling.withdraw(tx, PERIOD, sale, "another-price", by=person)
    days = Anchor(today, 0, offer.term).span(0)
    if await meets_paid(tx, person, package.id, days) or await is_on_its_way(tx, person, package.id):
        raise AlreadySubscribed("You have this package already. Nothing was charged.")
    subscription = SubscriptionRow(
        id=clock.new_id(),
        agency=package.agency,
        person=person,
        package=package.id,
        price=offer.price,
        renewal=order.renewal,
        anchor=None,
        anchored=0,
        next_path=order.next_path,
        terms_version=TERMS_VERSION,
        made_at=now,
        cancelled_at=None,
    )
    tx.add(subscription)
    await tx.flush()
    sale = await open_invoice(tx, package.agency, subscription, package, offer, 0, days, now + CHECKOUT)
    return _opened(settings, sale)


async def _offered(tx: Tx, package: PackageRow, order: Order) -> Offer:
    """The price that was chosen, as it is sold today. Raises NotOnSale, PriceChanged."""
    today = local_day(clock.now())
    check_on_sale(package.on_sale_from, package.on_sale_until, today)
    offer = await offer_of(tx, await offers(tx, package, today), order.price)
    if offer is None or (offer.price != order.price and order.seen_vnd is None):
        raise NotOnSale("This price is no longer in force; look at the package again. Nothing was charged.")
    check_seen(order.seen_vnd, offer.total_vnd)
    return offer


async def _waiting(tx: Tx, person: UUID, package: UUID) -> list[tuple[Sale, SubscriptionRow]]:
    """A person's checkouts of a package that can still be paid, and their contracts."""
    found = await tx.execute(
        sa.select(SALE, SubscriptionRow)
        .join(SubscriptionRow, SubscriptionRow.id == SALE.c.of)
        .join(InvoiceRow, InvoiceRow.id == SALE.c.id)
        .where(
            SALE.c.owner == person,
            SubscriptionRow.package == package,
            InvoiceRow.n == 0,
            waits(),
        )
        .order_by(SALE.c.id)
        .with_for_update(of=SALE)
    )
    return [(read_sale(row), row.SubscriptionRow) for row in found]


def _opened(settings: Settings, sale: Sale) -> Opened:
    where = pay_link(settings, PERIOD.seller, sale) if sale.waits else f"{RETURN_PATH}/{sale.id}"
    return Opened(sale.of, sale.id, where)


class Cancelled(msgspec.Struct, frozen=True):
    """What the cancellation gave back, VAT included; none when it only stops renewal."""

    subscription: UUID
    credited_vnd: int


async def cancel(
    tx: Tx, subscription: UUID, *, person: UUID | None = None, by: UUID | None = None, at_once: bool = False
) -> Cancelled:
    """Stop renewal; `at_once` also ends access after today and credits the unused days. A checkout is dropped.

    With `person` it must be theirs, and is their own deed; else it is staff's, who are named by `by`.
    Raises NotFound, NothingToCancel.
    """
    row = await lock_whole(tx, subscription)
    if row is None or (person is not None and row.person != person):
        raise NotFound("There is no such subscription.")
    today = local_day(clock.now())
    held = sa.select(PeriodRow).where(PeriodRow.subscription == row.id).order_by(PeriodRow.id)
    periods = (await tx.scalars(held.with_for_update())).all()
    spans = tuple(Span(period.start, period.until) for period in periods)
    again = row.cancelled_at is not None and not at_once
    asked = [read_sale(found) for found in await tx.execute(sa.select(SALE).where(SALE.c.of == row.id))]
    is_open = any(collection(sale) == "open" for sale in asked)
    if not may_cancel(Life(spans, invoice_open=is_open, cancelled=again, renewal=row.renewal), today):
        raise NothingToCancel("This subscription is over or was cancelled already. Nothing was changed.")
    await stop(tx, row, person or by)
    if not at_once:
        return Cancelled(row.id, 0)
    running = [p for p in periods if ended(Span(p.start, p.until), today).until < p.until]
    sold = await find(tx, [period.invoice for period in running])
    credited_vnd = 0
    for period in running:
        # What a bank took back, or may, does not go back a second time.
        back = () if period.suspended else unused(sold[period.invoice], period)
        await end(tx, period, after_today=True)
        await selling.credit(tx, PERIOD, sold[period.invoice], back, "cancelled", by=person or by)
        credited_vnd += gross(back)
    return Cancelled(row.id, credited_vnd)


async def forget_person(tx: Tx, person: UUID) -> None:
    """Erase what the person read and stop what would write to them; paid contracts stay as documents of the books."""
    await tx.execute(sa.delete(MeterRow).where(MeterRow.reader == f"p:{person}"))
    await tx.execute(
        sa.update(SubscriptionRow).where(SubscriptionRow.person == person).values(renewal=False, next_path="")
    )
