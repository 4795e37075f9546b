"""Packages on sale with their prices of today, VAT shown."""

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
from shared.money import priced


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


async def heir(tx: Tx, agency: str, day: date | None = None) -> str:
    """The agency that stands in this one's place on a day, over several steps; today where none is named."""
    return (await lineage(tx)).heir_of(agency, day or local_day(clock.now()))


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


async def _built(tx: Tx, row: PackageRow, today: date) -> Package:
    prices = [
        Price(p.id, Term(p.term_unit, p.term_count), p.net_vnd, p.since)  # type: ignore[arg-type]
        for p in await tx.scalars(sa.select(PriceRow).where(PriceRow.package == row.id))
    ]
    choices = [
        VatChoice(c.product_class, c.vat_class, c.since)  # type: ignore[arg-type]
        for c in await tx.scalars(sa.select(VatChoiceRow).where(VatChoiceRow.agency == row.agency))
    ]
    vat_class = vat_class_of(choices, row.product_class, today)
    percent = money.vat_percent(vat_class, today)
    offers = []
    for price in in_force(prices, today):
        amount = priced(price.net_vnd, vat_class, today)
        offers.append(
            Offer(price.id, price.term, price.net_vnd, vat_class, percent, amount.vat_vnd, amount.gross_vnd)
        )
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
        tuple(offers),
    )
