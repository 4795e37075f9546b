"""A period begins with its money, ends with its days, and goes back as its days and its price say."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.subscriptions.actions.disputes import disputed
from services.subscriptions.actions.version import bump
from services.subscriptions.queries.catalogue import offer_of, offers
from services.subscriptions.queries.periods import gross, is_on_its_way, meets_paid, unused
from services.subscriptions.rules.catalogue import Term, check_on_sale
from services.subscriptions.rules.periods import Anchor, Span, ended
from services.subscriptions.tables import InvoiceRow, PackageRow, PeriodRow, PriceRow, SubscriptionRow
from shared import clock, selling
from shared.calendar import local_day, show_day
from shared.contracts.base import CreditedLine, Period
from shared.contracts.subscriptions import EarningMoved, MessageRequested
from shared.db import Tx, locked
from shared.errors import PriceChanged, Refused, Waits
from shared.outbox import emit
from shared.sales import SALE, Sale, read_sale, waits


class AlreadySubscribed(Refused):
    """The person has a paid period of this package under way or to come."""


class Disputed(Refused):
    """A bank disputes this money, or took it back already: it does not go back a second time."""


class SubscriptionCancelled(Refused):
    """The subscription was cancelled before this money came: no further period begins."""


async def deliver(tx: Tx, sale: Sale) -> None:
    """Begin the period that was paid for. Raises SubscriptionCancelled, AlreadySubscribed.

    A first period, and a renewal whose money came after its time, begins on the day of the money where that is later
    than was asked for: so no paid day is lost, and the books are told the days in the same breath.
    """
    assert sale.paid_at is not None  # noqa: S101 - selling says so before it delivers
    invoice, subscription, price, package, suspended = await _sold(tx, sale)
    paid_on = local_day(sale.paid_at)
    if invoice.n == 0 or (sale.taken is not None and paid_on > invoice.start):
        subscription.anchor, subscription.anchored = max(invoice.start, paid_on), invoice.n
    days = anchor_of(subscription, price).span(invoice.n)
    if await meets_paid(tx, subscription.person, subscription.package, days):
        raise AlreadySubscribed("These days are paid already. This money goes back.")
    if days != Span(invoice.start, invoice.until):
        invoice.start, invoice.until = days.start, days.until
        earn = Period(days.start, days.last)
        await emit(tx, EarningMoved(agency=sale.agency, line=sale.lines[0].id, earn=earn))
    period = PeriodRow(
        id=clock.new_id(),
        agency=invoice.agency,
        subscription=subscription.id,
        person=subscription.person,
        package=subscription.package,
        invoice=invoice.id,
        n=invoice.n,
        start=days.start,
        until=days.until,
        suspended=suspended,
        started_at=clock.now(),
        change=await bump(tx),
    )
    tx.add(period)
    await tx.flush()
    if invoice.n == 0:
        await _drop_others(tx, subscription)
    await _tell(tx, sale, package, days)


async def _sold(tx: Tx, sale: Sale) -> sa.Row[InvoiceRow, SubscriptionRow, PriceRow, PackageRow, bool]:
    """What a locked sale is for, locked too, and whether a bank disputes its money. Raises SubscriptionCancelled."""
    found = await tx.execute(
        sa.select(InvoiceRow, SubscriptionRow, PriceRow, PackageRow, disputed(InvoiceRow.id))
        .join(SubscriptionRow, SubscriptionRow.id == InvoiceRow.subscription)
        .join(PriceRow, PriceRow.id == SubscriptionRow.price)
        .join(PackageRow, PackageRow.id == SubscriptionRow.package)
        .where(InvoiceRow.id == sale.id)
        .with_for_update(of=[InvoiceRow, SubscriptionRow], key_share=True)
        .execution_options(populate_existing=True)
    )
    sold = found.one()
    if sold.SubscriptionRow.cancelled_at is not None:
        raise SubscriptionCancelled("The subscription was cancelled before. This money goes back.")
    return sold


async def _drop_others(tx: Tx, begun: SubscriptionRow) -> None:
    """Who has the package is asked no more to pay for another term of it, chosen meanwhile."""
    others = (
        sa.select(SALE)
        .join(SubscriptionRow, SubscriptionRow.id == SALE.c.of)
        .join(InvoiceRow, InvoiceRow.id == SALE.c.id)
        .where(SALE.c.owner == begun.person, SubscriptionRow.package == begun.package)
        .where(InvoiceRow.n == 0, SubscriptionRow.id != begun.id, waits())
        # One that is locked is being paid or dropped itself; to wait for it could be to wait for each other.
        .with_for_update(of=SALE, skip_locked=True)
    )
    for row in (await tx.execute(others)).all():
        await selling.withdraw(tx, PERIOD, read_sale(row), "already-subscribed")


async def _tell(tx: Tx, sale: Sale, package: PackageRow, days: Span) -> None:
    """Write to the payer what they have now, in the transaction that gave it: once, and never for what was refused."""
    if not sale.total_vnd:
        return  # nobody paid; the page says that it is open
    params = {
        "package": package.title,
        "starts_on": show_day(days.start),
        "ends_on": show_day(days.last),
        "number": sale.number,
        "amount_vnd": sale.total_vnd,
        "vat_vnd": sale.vat_vnd,
        "path": "/subscribe/mine",
    }
    await emit(
        tx,
        MessageRequested(
            agency=sale.agency, person=sale.owner, template="subscriptions.begun", params=params
        ),
    )


async def take(tx: Tx, sale: Sale) -> None:
    """Late money buys its period where the price stands and the days are not paid otherwise.

    A renewal's price always stands: it is the reader's own. Raises SubscriptionCancelled, AlreadySubscribed, NotOnSale,
    PriceChanged; Waits while the reader is at a checkout.
    """
    invoice, subscription, _, package, _ = await _sold(tx, sale)
    await one_at_a_time(tx, subscription.person, patient=False)
    today = local_day(clock.now())
    if invoice.n == 0:
        check_on_sale(package.on_sale_from, package.on_sale_until, today)
        offer = await offer_of(tx, await offers(tx, package, today), subscription.price)
        asked = (subscription.price, sale.lines[0].vat_class)
        if offer is None or (offer.price, offer.vat_class) != asked:
            raise PriceChanged("Another price has followed the one that was asked for. This money goes back.")
    length = invoice.until - invoice.start
    start = max(invoice.start, today)
    if await meets_paid(tx, subscription.person, subscription.package, Span(start, start + length)):
        raise AlreadySubscribed("These days are paid already. This money goes back.")
    if await is_on_its_way(tx, subscription.person, subscription.package):
        raise AlreadySubscribed("Other money for these days was taken already. This money goes back.")


async def free(_tx: Tx, _sale: Sale) -> None:
    """A period that is not paid holds nothing: there is no stock of days."""


async def cancel(tx: Tx, sale: Sale, amount_vnd: int, by: UUID | None) -> tuple[CreditedLine, ...]:
    """So much of a period's price goes back. All of it ends access at once, what the unused days are worth ends it
    after today, and both end renewal; any other amount is an allowance, and access stays. Raises Disputed.
    """
    subscription = await lock_whole(tx, (await tx.get_one(InvoiceRow, sale.id)).subscription)
    paid = sa.select(PeriodRow).where(PeriodRow.invoice == sale.id).with_for_update()
    period = (await tx.scalars(paid)).one()
    if period.suspended:
        raise Disputed("A bank disputes this money, or took it back. Nothing goes back by us besides.")
    all_of_it, of_unused = selling.parts(sale, amount_vnd), unused(sale, period)
    whole = amount_vnd == sale.left_vnd
    if not whole and amount_vnd != gross(of_unused):
        return all_of_it
    await stop(tx, subscription, by)
    await end(tx, period, after_today=not whole)
    return all_of_it if whole else of_unused


PERIOD = selling.Kind(
    seller="subscriptions", name="period", deliver=deliver, take=take, free=free, cancel=cancel
)
"""What subscriptions sells."""


async def lock_whole(tx: Tx, subscription: UUID) -> Any:
    """Lock the sales of a subscription and then itself, as money that comes does; None where there is none."""
    await tx.execute(
        sa.select(SALE.c.id).where(SALE.c.of == subscription).order_by(SALE.c.id).with_for_update()
    )
    return await locked(tx, SubscriptionRow, subscription)


async def stop(tx: Tx, subscription: SubscriptionRow, by: UUID | None) -> None:
    """No further period, by this person's deed: what waits to be paid is withdrawn, and what comes late for what is
    not paid goes back. The subscription is locked as a whole.
    """
    subscription.cancelled_at = subscription.cancelled_at or clock.now()
    subscription.renewal = False
    unpaid = sa.select(SALE).where(SALE.c.of == subscription.id, SALE.c.paid_at.is_(None)).order_by(SALE.c.id)
    for row in (await tx.execute(unpaid.with_for_update())).all():
        await selling.withdraw(tx, PERIOD, read_sale(row), "cancelled", by=by)


async def end(tx: Tx, period: PeriodRow, *, after_today: bool) -> None:
    """End a period after today, or with the day before; every worker knows it within a second."""
    today = local_day(clock.now())
    last = today if after_today else today - timedelta(days=1)
    period.until = ended(Span(period.start, period.until), last).until
    period.change = await bump(tx)


def anchor_of(subscription: SubscriptionRow, price: PriceRow) -> Anchor:
    """What a subscription's boundaries are reckoned from; it has begun."""
    assert subscription.anchor is not None  # noqa: S101 - only a first payment leads here
    term = Term(price.term_unit, price.term_count)  # type: ignore[arg-type]
    return Anchor(subscription.anchor, subscription.anchored, term)


async def one_at_a_time(tx: Tx, person: UUID, *, patient: bool = True) -> None:
    """Two purchases of one person wait for each other, so that neither misses what the other opened or took.

    Who has locked rows before is not patient: it raises Waits and comes again, instead of waiting in a circle.
    """
    key = f"person:{person}"
    if patient:
        await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key})
    elif not await tx.scalar(
        sa.text("SELECT pg_try_advisory_xact_lock(hashtextextended(:key, 0))"), {"key": key}
    ):
        raise Waits(key)
