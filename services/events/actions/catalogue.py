"""Staff set up events: what is sold at them, how many of each, at which price."""

from datetime import date, datetime, time, timedelta
from typing import Annotated, Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.actions import earning, instalments
from services.events.rules.sponsorships import DeliverableTerms, InstalmentTerms, check_instalments
from services.events.tables import EventRow, PackageRow, SellableRow
from shared import acts, clock
from shared.auth import Principal
from shared.calendar import ZONE, local_day
from shared.contracts.events import ActRecorded
from shared.db import Tx, check_acts_at, locked
from shared.errors import NotFound, Refused, Unprocessable

Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200)]
Price = Annotated[int, msgspec.Meta(ge=0, le=10**12)]
Count = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]


PAGES = frozenset({"card", "find", "mine", "sponsorships", "registrations", "tickets"})
"""Addresses below /events and below its desk that are no event."""


class SlugTaken(Refused):
    """Another event has this address."""


class BelowSold(Refused):
    """The capacity cannot go below what is held and sold."""


class NewPackage(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sponsorship package; the price is net of VAT."""

    title: Text
    tier: Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
    price_vnd: Price
    capacity: Count
    exclusive: bool = False
    benefits: Annotated[list[Text], msgspec.Meta(max_length=30)] = []
    instalments: Annotated[list[InstalmentTerms], msgspec.Meta(min_length=1, max_length=12)]
    deliverables: Annotated[list[DeliverableTerms], msgspec.Meta(max_length=30)] = []


class NewTicket(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of ticket; the price is net of VAT."""

    title: Text
    price_vnd: Price
    capacity: Count


class Details(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What staff may edit of an event."""

    title: Text
    summary: Annotated[str, msgspec.Meta(max_length=2000)] = ""
    place: Annotated[str, msgspec.Meta(max_length=200)] = ""
    charity: Annotated[str, msgspec.Meta(max_length=500)] = ""
    starts_at: Annotated[datetime, msgspec.Meta(tz=True)]
    sales_end_at: Annotated[datetime, msgspec.Meta(tz=True)]

    @classmethod
    def example(cls, today: date) -> "Details":
        starts_at = datetime.combine(today, time(4, 30), ZONE) + timedelta(days=90)
        return Details(
            title="Chạy bộ Bình minh Vịnh Vân Phong",
            summary="21 km dọc bờ vịnh, xuất phát lúc mặt trời mọc.",
            place="Bãi Dốc Lết, Ninh Hòa, Khánh Hòa",
            charity="Quỹ Học bổng Trường Sa",
            starts_at=starts_at,
            sales_end_at=starts_at - timedelta(days=7),
        )


class NewEvent(Details, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event with all that is sold at it."""

    agency: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    slug: Annotated[str, msgspec.Meta(min_length=2, max_length=80, pattern=r"^[a-z0-9]+(-[a-z0-9]+)*$")]
    packages: Annotated[list[NewPackage], msgspec.Meta(max_length=30)] = []
    tickets: Annotated[list[NewTicket], msgspec.Meta(max_length=30)] = []

    @classmethod
    def example(cls, today: date) -> "NewEvent":
        gold = NewPackage(
            title="Nhà tài trợ Vàng",
            tier="Vàng",
            price_vnd=80_000_000,
            capacity=2,
            exclusive=True,
            benefits=["Tên trên áo của vận động viên"],
            instalments=[InstalmentTerms("Khi ký", 50), InstalmentTerms("Trước ngày chạy", 50, 14)],
            deliverables=[DeliverableTerms("Ảnh tại vạch đích", -3)],
        )
        return NewEvent(
            **msgspec.structs.asdict(Details.example(today)),
            agency="bkh",
            slug="binh-minh-van-phong",
            packages=[gold],
            tickets=[NewTicket(title="21 km", price_vnd=550_000, capacity=500)],
        )


class SellableEdit(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new price and capacity; who has already bought keeps the old price."""

    price_vnd: Price
    capacity: Count

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(price_vnd=590_000, capacity=450)


async def create_event(tx: Tx, new: NewEvent, now: datetime, by: Principal | None = None) -> EventRow:
    """Open an event for sale. Raises NotAllowed, SlugTaken, Unprocessable."""
    check_acts_at(tx, new.agency)
    _check_times(new)
    if new.slug in PAGES:
        raise SlugTaken(f"/events/{new.slug} is a page of its own.")
    if await tx.scalar(sa.select(EventRow.id).where(EventRow.slug == new.slug)):
        raise SlugTaken(f"There is already an event at /events/{new.slug}.")
    event = EventRow(
        id=clock.new_id(),
        agency=new.agency,
        slug=new.slug,
        title=new.title,
        summary=new.summary,
        place=new.place,
        starts_at=new.starts_at,
        sales_end_at=new.sales_end_at,
        charity=new.charity,
        next_bib=1,
        version=1,
        created_at=now,
    )
    tx.add(event)
    await tx.flush()
    position = 0
    for position, package in enumerate(new.packages, start=1):
        check_instalments(package.instalments)
        sellable = _sellable(event, "package", position, package)
        tx.add(sellable)
        await tx.flush()
        tx.add(
            PackageRow(
                id=sellable.id,
                agency=event.agency,
                tier=package.tier,
                exclusive=package.exclusive,
                benefits=package.benefits,
                instalments=msgspec.to_builtins(package.instalments),
                deliverables=msgspec.to_builtins(package.deliverables),
            )
        )
    tx.add_all(
        _sellable(event, "ticket", n, ticket) for n, ticket in enumerate(new.tickets, start=position + 1)
    )
    await tx.flush()
    sold: list[NewPackage | NewTicket] = [*new.packages, *new.tickets]
    prices = {each.title: each.price_vnd for each in sold}
    said = {"title": event.title, "starts_at": event.starts_at, "prices_vnd": prices}
    await acts.record(tx, ActRecorded, event.agency, by, "event.create", event.id, said)
    return event


def _sellable(event: EventRow, kind: str, position: int, new: NewPackage | NewTicket) -> SellableRow:
    return SellableRow(
        id=clock.new_id(),
        agency=event.agency,
        event=event.id,
        kind=kind,
        title=new.title,
        position=position,
        price_vnd=new.price_vnd,
        capacity=new.capacity,
        held=0,
        sold=0,
    )


async def edit_event(tx: Tx, event: EventRow, details: Details, by: Principal | None = None) -> None:
    """Change an event's own words and times; the caller has checked its version under lock."""
    _check_times(details)
    stood = {name: getattr(event, name) for name in Details.__struct_fields__}
    after = {name: getattr(details, name) for name in stood if getattr(details, name) != stood[name]}
    for name, value in after.items():
        setattr(event, name, value)
    event.version += 1
    await tx.flush()
    if local_day(event.starts_at) != local_day(stood["starts_at"]):
        await earning.move(tx, event)
        await instalments.sign_again(tx, event)
    if after:
        before = {name: stood[name] for name in after}
        await acts.record(tx, ActRecorded, event.agency, by, "event.edit", event.id, after, before)


async def edit_sellable(
    tx: Tx, event: EventRow, sellable: UUID, edit: SellableEdit, by: Principal | None = None
) -> SellableRow:
    """Change a price or a capacity. Raises BelowSold, NotFound."""
    row: SellableRow | None = await locked(tx, SellableRow, sellable)
    if row is None or row.event != event.id:
        raise NotFound("There is nothing like that at this event.")
    if edit.capacity < row.held + row.sold:
        raise BelowSold(f"{row.held} are held and {row.sold} sold; the capacity cannot be {edit.capacity}.")
    stood = {"price_vnd": row.price_vnd, "capacity": row.capacity}
    after = {name: getattr(edit, name) for name in stood if getattr(edit, name) != stood[name]}
    row.price_vnd, row.capacity = edit.price_vnd, edit.capacity
    event.version += 1
    await tx.flush()
    if after:
        before = {name: stood[name] for name in after}
        said = {"title": f"{event.title} · {row.title}", **after}
        await acts.record(tx, ActRecorded, event.agency, by, "event.price", row.id, said, before)
    return row


def _check_times(details: Details) -> None:
    if details.sales_end_at > details.starts_at:
        raise Unprocessable("Sales must end before the event starts.")
