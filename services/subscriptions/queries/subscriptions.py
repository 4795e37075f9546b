"""Subscriptions with their periods and invoices: a reader's own, the desk's list and figures, what programs ask."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.subscriptions.rules.catalogue import Term
from services.subscriptions.rules.periods import Span
from services.subscriptions.rules.subscriptions import Life, Standing, may_cancel, standing
from services.subscriptions.tables import (
    InvoiceRow,
    PackageRow,
    PeriodRow,
    PriceRow,
    SubscriptionRow,
)
from shared import clock
from shared.calendar import local_day, month_of
from shared.contracts.base import VatClass
from shared.db import Tx
from shared.errors import NotFound
from shared.sales import SALE, Sale, find, read_sale

Collection = Literal["open", "paid", "withdrawn", "expired"]


class Invoice(msgspec.Struct, frozen=True):
    """What was asked for one period, and how that ended."""

    id: UUID
    number: str
    agency: str
    start: date
    last: date
    net_vnd: int
    vat_vnd: int
    vat_class: VatClass
    total_vnd: int
    credited_vnd: int
    opened_at: datetime
    expires_at: datetime
    collection: Collection


class Subscription(msgspec.Struct, frozen=True):
    """A contract with everything that follows from it."""

    id: UUID
    agency: str
    person: UUID
    package: UUID
    title: str
    title_en: str
    reader_group: str
    term: Term
    net_vnd: int
    product_class: str
    standing: Standing
    reads_until: date | None
    """Last day of access."""
    renewal: bool
    may_cancel: bool
    cancelled_at: datetime | None
    made_at: datetime
    terms_version: str
    periods: tuple[Span, ...]
    invoices: tuple[Invoice, ...]


class Figures(msgspec.Struct, frozen=True):
    """How an agency's subscriptions stand this month."""

    active: int
    new: int
    """First periods that began this month."""
    churned: int
    """Whose last period ended this month with none after it."""
    renewing: int


class ReturnState(msgspec.Struct, frozen=True):
    """What the page after payment shows."""

    invoice: UUID
    agency: str
    title: str
    title_en: str
    next_path: str
    collection: Collection
    total_vnd: int
    credited_vnd: int
    reads_until: date | None
    change: int | None


_FIGURES = sa.text(
    "SELECT count(DISTINCT p.person) FILTER (WHERE p.start <= :today AND p.until > :today) AS active, "
    "count(*) FILTER (WHERE p.n = 0 AND p.start >= :month AND p.start <= :today) AS new, "
    "count(*) FILTER (WHERE p.until > :month AND p.until <= :today AND NOT EXISTS ("
    "SELECT FROM period q WHERE q.subscription = p.subscription AND q.n > p.n)) AS churned, "
    "count(DISTINCT p.subscription) FILTER (WHERE s.renewal AND p.start <= :today AND p.until > :today) AS renewing "
    "FROM period p JOIN subscription s ON s.id = p.subscription "
    "WHERE p.until > :month AND (CAST(:agencies AS text[]) IS NULL OR p.agency = ANY (:agencies))"
)


async def of_person(tx: Tx, person: UUID) -> list[Subscription]:
    """A person's subscriptions, newest first."""
    return await built(
        tx,
        sa.select(SubscriptionRow)
        .where(SubscriptionRow.person == person)
        .order_by(SubscriptionRow.id.desc()),
    )


async def one(tx: Tx, key: UUID, person: UUID | None = None) -> Subscription:
    """Raises NotFound when there is none, or it is another person's."""
    found = await built(tx, sa.select(SubscriptionRow).where(SubscriptionRow.id == key))
    if not found or (person is not None and found[0].person != person):
        raise NotFound("There is no such subscription.")
    return found[0]


async def listed(tx: Tx, *, person: UUID | None, before: UUID | None, limit: int) -> list[Subscription]:
    """Subscriptions that the transaction may see, newest first, one more than the limit where there are more."""
    wanted = sa.select(SubscriptionRow)
    if person is not None:
        wanted = wanted.where(SubscriptionRow.person == person)
    if before is not None:
        wanted = wanted.where(SubscriptionRow.id < before)
    return await built(tx, wanted.order_by(SubscriptionRow.id.desc()).limit(limit + 1))


async def figures(tx: Tx, agencies: Sequence[str] | None = None) -> Figures:
    """Counts of this month, over what the transaction may see."""
    today = local_day(clock.now())
    row = (
        await tx.execute(
            _FIGURES,
            {"today": today, "month": month_of(today), "agencies": list(agencies) if agencies else None},
        )
    ).one()
    return Figures(row.active, row.new, row.churned, row.renewing)


async def return_state(tx: Tx, invoice: UUID, person: UUID) -> ReturnState:
    """Raises NotFound when the invoice is not this person's."""
    row = (
        await tx.execute(
            sa.select(SALE, SubscriptionRow, PackageRow, PeriodRow)
            .join(SubscriptionRow, SubscriptionRow.id == SALE.c.of)
            .join(PackageRow, PackageRow.id == SubscriptionRow.package)
            .outerjoin(PeriodRow, PeriodRow.invoice == SALE.c.id)
            .where(SALE.c.id == invoice, SALE.c.owner == person)
        )
    ).first()
    if row is None:
        raise NotFound("There is no such invoice.")
    sale, period = read_sale(row), row.PeriodRow
    return ReturnState(
        sale.id,
        sale.agency,
        row.PackageRow.title,
        row.PackageRow.title_en,
        row.SubscriptionRow.next_path,
        collection(sale),
        sale.total_vnd,
        sale.credited_vnd,
        period.until - timedelta(days=1) if period is not None else None,
        period.change if period is not None else None,
    )


async def payable(tx: Tx, invoice: UUID) -> Sale | None:
    """The sale of an invoice, if it can still be paid."""
    sale = (await find(tx, [invoice])).get(invoice)
    return sale if sale is not None and sale.waits and sale.expires_at > clock.now() else None


def collection(sale: Sale) -> Collection:
    """How the collection of an invoice stands."""
    if sale.paid_at is not None:
        return "paid"
    if sale.outcome is not None:
        return sale.outcome
    return "withdrawn" if sale.withdrawn_at is not None and sale.taken is None else "open"


async def built(tx: Tx, wanted: Any) -> list[Subscription]:
    """Read what belongs to the subscriptions in four queries, however many they are."""
    rows = list(await tx.scalars(wanted))
    keys = [row.id for row in rows]
    packages = await _by_id(tx, PackageRow, {row.package for row in rows})
    prices = await _by_id(tx, PriceRow, {row.price for row in rows})
    periods: dict[UUID, list[PeriodRow]] = defaultdict(list)
    for period in await tx.scalars(
        sa.select(PeriodRow).where(PeriodRow.subscription.in_(keys)).order_by(PeriodRow.n)
    ):
        periods[period.subscription].append(period)
    invoices: dict[UUID, list[Invoice]] = defaultdict(list)
    for asked in await tx.execute(
        sa.select(SALE, InvoiceRow)
        .join(InvoiceRow, InvoiceRow.id == SALE.c.id)
        .where(SALE.c.of.in_(keys))
        .order_by(SALE.c.opened_at.desc())
    ):
        invoices[asked.of].append(_invoice(read_sale(asked), asked.InvoiceRow))
    return [
        _subscription(row, packages[row.package], prices[row.price], periods[row.id], invoices[row.id])
        for row in rows
    ]


async def _by_id(tx: Tx, kind: Any, keys: set[UUID]) -> dict[UUID, Any]:
    return {row.id: row for row in await tx.scalars(sa.select(kind).where(kind.id.in_(keys)))}


def _invoice(sale: Sale, row: InvoiceRow) -> Invoice:
    return Invoice(
        sale.id,
        sale.number,
        sale.agency,
        row.start,
        row.until - timedelta(days=1),
        sale.net_vnd,
        sale.vat_vnd,
        sale.lines[0].vat_class,
        sale.total_vnd,
        sale.credited_vnd,
        sale.opened_at,
        sale.expires_at,
        collection(sale),
    )


def _subscription(
    row: SubscriptionRow,
    package: PackageRow,
    price: PriceRow,
    periods: list[PeriodRow],
    invoices: list[Invoice],
) -> Subscription:
    today = local_day(clock.now())
    spans = tuple(Span(p.start, p.until) for p in periods if not p.suspended)
    life = Life(
        spans,
        invoice_open=any(i.collection == "open" for i in invoices),
        cancelled=row.cancelled_at is not None,
        renewal=row.renewal,
        returned=any(0 < i.total_vnd == i.credited_vnd for i in invoices),
    )
    return Subscription(
        row.id,
        row.agency,
        row.person,
        row.package,
        package.title,
        package.title_en,
        package.reader_group,
        Term(price.term_unit, price.term_count),  # type: ignore[arg-type]
        price.net_vnd,
        package.product_class,
        standing(life, today),
        max((s.last for s in spans if s.days), default=None),
        row.renewal,
        may_cancel(life, today),
        row.cancelled_at,
        row.made_at,
        row.terms_version,
        spans,
        tuple(invoices),
    )
