"""Packages on sale with their prices of today, VAT shown."""

from collections.abc import Sequence
from datetime import date
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.subscriptions.rules.catalogue import (
    Grant,
    Price,
    ReaderGroup,
    Term,
    VatChoice,
    in_force,
    vat_class_of,
)
from services.subscriptions.tables import PackageRow, PriceRow, VatChoiceRow
from shared import clock, money
from shared.agencies import lineage
from shared.calendar import local_day
from shared.contracts.base import VatClass
from shared.db import Tx
from shared.errors import NotFound
from shared.money import Amount, priced


class Offer(msgspec.Struct, frozen=True):
    """One term of a package at today's price."""

    price: UUID
    term: Term
    net_vnd: int
    vat_class: VatClass
    vat_percent: int
    vat_vnd: int
    total_vnd: int


class Package(msgspec.Struct, frozen=True):
    """A package on sale."""

    id: UUID
    agency: str
    code: str
    title: str
    title_en: str
    summary: str
    summary_en: str
    reader_group: ReaderGroup
    grants: tuple[Grant, ...]
    offers: tuple[Offer, ...]


async def packages(tx: Tx, agency: str) -> list[Package]:
    """What an agency sells today; one that was succeeded sells nothing more, its heir does."""
    today = local_day(clock.now())
    rows = await tx.scalars(
        sa.select(PackageRow)
        .where(PackageRow.agency == agency, PackageRow.on_sale_from <= today)
        .where(sa.or_(PackageRow.on_sale_until.is_(None), PackageRow.on_sale_until > today))
        .order_by(PackageRow.id)
    )
    return [built for row in rows if (built := await _built(tx, row, today)).offers]


async def package(tx: Tx, key: UUID) -> Package:
    """One package. Raises NotFound when there is none or it is off sale."""
    today = local_day(clock.now())
    row = await tx.get(PackageRow, key)
    if row is None or row.on_sale_from > today or (row.on_sale_until and row.on_sale_until <= today):
        raise NotFound("There is no such package on sale.")
    return await _built(tx, row, today)


async def heir(tx: Tx, agency: str) -> str:
    """The agency that stands in this one's place today, over several steps."""
    return (await lineage(tx)).heir_of(agency, local_day(clock.now()))


async def sellers(tx: Tx) -> list[str]:
    """Agencies with something on sale today."""
    today = local_day(clock.now())
    return list(
        await tx.scalars(
            sa.select(PackageRow.agency)
            .where(PackageRow.on_sale_from <= today)
            .where(sa.or_(PackageRow.on_sale_until.is_(None), PackageRow.on_sale_until > today))
            .distinct()
            .order_by(PackageRow.agency)
        )
    )


async def offers(tx: Tx, row: PackageRow, today: date) -> tuple[Offer, ...]:
    """A package's terms at the prices and with the VAT of a day, shortest term first."""
    prices = [
        Price(p.id, Term(p.term_unit, p.term_count), p.net_vnd, p.since)  # type: ignore[arg-type]
        for p in await tx.scalars(sa.select(PriceRow).where(PriceRow.package == row.id))
    ]
    vat_class = vat_class_of(await _choices(tx, row.agency), row.product_class, today)
    return tuple(_offer(price, vat_class, today) for price in in_force(prices, today))


async def offer_again(tx: Tx, agency: str, row: PriceRow, product_class: str, tax_point: date) -> Offer:
    """A reader's own price for one more period, with the VAT of a day."""
    price = Price(row.id, Term(row.term_unit, row.term_count), row.net_vnd, row.since)  # type: ignore[arg-type]
    return _offer(price, vat_class_of(await _choices(tx, agency), product_class, tax_point), tax_point)


def _offer(price: Price, vat_class: VatClass, day: date) -> Offer:
    amount = priced(price.net_vnd, vat_class, day)
    percent = money.vat_percent(vat_class, day)
    return Offer(price.id, price.term, price.net_vnd, vat_class, percent, amount.vat_vnd, amount.gross_vnd)


async def price_of(
    tx: Tx, agency: str, product_class: str, net_vnd: int, tax_point: date
) -> tuple[VatClass, Amount]:
    """What a line costs on a day: its VAT class and its money."""
    vat_class = vat_class_of(await _choices(tx, agency), product_class, tax_point)
    return vat_class, priced(net_vnd, vat_class, tax_point)


async def _choices(tx: Tx, agency: str) -> list[VatChoice]:
    rows = await tx.scalars(sa.select(VatChoiceRow).where(VatChoiceRow.agency == agency))
    return [VatChoice(row.product_class, row.vat_class, row.since) for row in rows]  # type: ignore[arg-type]


async def offer_of(tx: Tx, sold: Sequence[Offer], price: UUID) -> Offer | None:
    """A price among those that are sold, or the one that has followed it for the same term."""
    if (same := next((offer for offer in sold if offer.price == price), None)) is not None:
        return same
    row = await tx.get(PriceRow, price)
    if row is None:
        return None
    term = Term(row.term_unit, row.term_count)  # type: ignore[arg-type]
    return next((offer for offer in sold if offer.term == term), None)


async def _built(tx: Tx, row: PackageRow, today: date) -> Package:
    return Package(
        row.id,
        row.agency,
        row.code,
        row.title,
        row.title_en,
        row.summary,
        row.summary_en,
        row.reader_group,  # type: ignore[arg-type]
        msgspec.convert(row.grants, tuple[Grant, ...]),
        await offers(tx, row, today),
    )
