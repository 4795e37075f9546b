"""Put packages, prices and VAT classes in place; a price is never changed, only followed by another."""

from datetime import date
from typing import Annotated, Self
from uuid import UUID

import msgspec
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.actions.version import bump
from services.subscriptions.queries.catalogue import offers
from services.subscriptions.rules.catalogue import Grant, ReaderGroup, Term
from services.subscriptions.tables import PackageRow, PriceRow, VatChoiceRow
from shared import acts, clock
from shared.auth import Principal
from shared.contracts.base import Code, VatClass
from shared.contracts.subscriptions import ActRecorded
from shared.db import Tx, check_acts_at
from shared.errors import NotFound, Refused, Unprocessable

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=300)]


class CodeTaken(Refused):
    """The agency has a package of this code already."""


class PriceStands(Refused):
    """There is a price from that day on already; a price is never changed."""


class PackageOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A new package."""

    agency: Code
    code: Code
    title: Text
    title_en: Text
    summary: Text
    summary_en: Text
    reader_group: ReaderGroup = "general"
    product_class: Code = "digital_news"
    grants: Annotated[tuple[Grant, ...], msgspec.Meta(min_length=1, max_length=50)]
    on_sale_from: date
    on_sale_until: date | None = None
    """The first day on which it is not sold any more; null for no end."""

    @classmethod
    def example(cls, today: date) -> Self:
        return cls(
            agency="bkh",
            code="cuoi-tuan",
            title="Đọc cuối tuần",
            title_en="Weekend reading",
            summary="Mọi bài của báo Khánh Hòa, thứ Bảy và Chủ Nhật.",
            summary_en="Every article of Báo Khánh Hòa, on Saturdays and Sundays.",
            grants=(Grant(agency="bkh"),),
            on_sale_from=today,
        )


class PriceOffer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A new price version of a package."""

    term: Term
    net_vnd: Annotated[int, msgspec.Meta(ge=0, le=10**9)]
    since: date

    @classmethod
    def example(cls, today: date) -> Self:
        return cls(term=Term("month", 1), net_vnd=57_273, since=today)


class Made(msgspec.Struct, frozen=True):
    """The id of what was made."""

    id: UUID


async def offer_package(tx: Tx, offer: PackageOffer, by: Principal | None = None) -> Made:
    """A package belongs to, and opens, agencies where one may offer it. Raises NotAllowed, CodeTaken, Unprocessable."""
    for agency in (offer.agency, *(grant.agency for grant in offer.grants)):
        check_acts_at(tx, agency)
    if offer.on_sale_until is not None and offer.on_sale_until <= offer.on_sale_from:
        raise Unprocessable("The sale must end after it begins.")
    package = clock.new_id()
    values = {**msgspec.structs.asdict(offer), "id": package, "grants": msgspec.to_builtins(offer.grants)}
    made = await tx.scalar(
        insert(PackageRow)
        .values(values)
        .on_conflict_do_nothing(index_elements=["agency", "code"])
        .returning(PackageRow.id)
    )
    if made is None:
        raise CodeTaken(f"{offer.agency} has a package {offer.code} already.")
    await bump(tx)
    said = {"title": offer.title, "on_sale_from": offer.on_sale_from}
    await acts.record(tx, ActRecorded, offer.agency, by, "package.offer", package, said)
    return Made(package)


async def set_price(tx: Tx, package: UUID, offer: PriceOffer, by: Principal | None = None) -> Made:
    """Raises NotFound, NotAllowed, PriceStands."""
    row = await tx.get(PackageRow, package)
    if row is None:
        raise NotFound("There is no such package.")
    check_acts_at(tx, row.agency)
    stood = next((o.net_vnd for o in await offers(tx, row, offer.since) if o.term == offer.term), None)
    price = clock.new_id()
    made = await tx.scalar(
        insert(PriceRow)
        .values(
            id=price,
            agency=row.agency,
            package=package,
            term_unit=offer.term.unit,
            term_count=offer.term.count,
            net_vnd=offer.net_vnd,
            since=offer.since,
            made_at=clock.now(),
        )
        .on_conflict_do_nothing(index_elements=["package", "term_unit", "term_count", "since"])
        .returning(PriceRow.id)
    )
    if made is None:
        raise PriceStands(f"This term has a price from {offer.since} on already; set one from another day.")
    before = {} if stood is None else {"price_vnd": stood}
    said = {"title": f"{row.title}, {offer.term}", "price_vnd": offer.net_vnd, "since": offer.since}
    await acts.record(tx, ActRecorded, row.agency, by, "package.price", package, said, before)
    return Made(price)


async def choose_vat_class(tx: Tx, agency: str, product_class: str, vat_class: VatClass, since: date) -> None:
    """Say how a product class is taxed from a day on. Raises PriceStands where that day has a choice already."""
    made = await tx.scalar(
        insert(VatChoiceRow)
        .values(
            agency=agency,
            product_class=product_class,
            since=since,
            vat_class=vat_class,
            chosen_at=clock.now(),
        )
        .on_conflict_do_nothing()
        .returning(VatChoiceRow.agency)
    )
    if made is None:
        raise PriceStands(f"{product_class} has a VAT class from {since} on already.")
