"""A sponsor takes a package; its first instalment contracts it, and a refund of that ends it whole."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.actions import claims, earning, holding, instalments, stock
from services.events.actions.access import Patron
from services.events.rules import industries
from services.events.rules.sponsorships import Terms, schedule
from services.events.rules.stock import VAT_CLASS, Cancelled, IndustryTaken, SoldOut, check_open
from services.events.tables import (
    DeliverableRow,
    EventRow,
    InstalmentRow,
    PackageRow,
    SellableRow,
    SponsorshipRow,
)
from shared import clock, identity, sales, selling
from shared.calendar import local_day
from shared.contracts.base import CreditedLine
from shared.contracts.events import MessageRequested
from shared.db import Tx, enter, locked
from shared.errors import NotFound, Refused
from shared.money import check_seen, priced
from shared.outbox import emit
from shared.sales import Sale
from shared.strangers import Share


class NotCancellable(Refused):
    """The sponsorship is paid or over; the agency has to be asked."""


class Application(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a sponsor types in; it stays in this service."""

    organisation: Annotated[str, msgspec.Meta(min_length=2, max_length=200)]
    """The sponsor's name, as its invoices bear it."""
    tax_code: Annotated[str, msgspec.Meta(max_length=20)] = ""
    industry: Annotated[int, msgspec.Meta(ge=100_000, le=999_999)]
    contact_name: Annotated[str, msgspec.Meta(min_length=2, max_length=100)]
    contact_email: Annotated[str, msgspec.Meta(max_length=254)]
    contact_phone: Annotated[str, msgspec.Meta(max_length=30, pattern=r"^[0-9+(). -]*$")] = ""


async def take_package(
    tx: Tx,
    patron: Patron,
    package: UUID,
    application: Application,
    now: datetime,
    share: Share | None = None,
    seen_vnd: int | None = None,
) -> Sale:
    """Hold a package for a sponsor and ask for its first instalment; notes in `share` whether it took its part.

    Raises SoldOut, IndustryTaken, HeldUnpaid, LetGo, SalesClosed, NotFound, and PriceChanged where the sponsor saw
    another price, VAT of today included. Of any number who ask at once for the last one, exactly one gets it; the
    others' transactions leave nothing behind.
    """
    event, sellable, row = await _package(tx, package)
    await enter(tx, [event.agency], patron.owner)
    check_open(event.title, event.sales_end_at, now)
    check_seen(seen_vnd, priced(sellable.price_vnd, VAT_CLASS, local_day(now)).gross_vnd)
    if sellable.held + sellable.sold >= sellable.capacity:
        raise SoldOut(_sold_out(sellable, event))
    share = share or Share()
    allowed = await holding.allowed(tx, patron, "package", 1, now, share, sellable.id)
    sponsorship = _sponsorship(event, sellable, patron, application, terms_of(sellable, row), now)
    tx.add(sponsorship)
    await tx.flush()
    if not await claims.claim(tx, sponsorship):
        await tx.refresh(sellable)  # whoever has the industry may also have the last package
        if sellable.held + sellable.sold >= sellable.capacity:
            raise SoldOut(_sold_out(sellable, event))
        raise IndustryTaken(
            f"{industries.name(application.industry)}: a sponsor of {event.title} already has this industry. "
            "Nothing was charged."
        )
    first = await _promise(tx, event, sponsorship, now)
    first.invoice = invoice = clock.new_id()
    await tx.flush()
    await stock.hold(tx, patron, invoice, [(sellable.id, 1)], now, allowed)
    sale = await selling.open_sale(
        tx,
        SPONSORSHIP,
        invoice=invoice,
        of=sponsorship.id,
        owner=patron.owner,
        buyer=patron.buyer,
        number=sales.number("EV", invoice, now),
        lines=[instalments.line_of(first, sponsorship, event, local_day(now))],
        expires_at=now + timedelta(seconds=allowed.ttl_s),
        return_url=address(sponsorship.id),
    )
    share.used = not allowed.known
    return sale


def address(sponsorship: UUID) -> str:
    """Where its sponsor follows it."""
    return f"/events/sponsorships/{sponsorship}"


async def _package(tx: Tx, package: UUID) -> tuple[EventRow, SellableRow, PackageRow]:
    found = (
        await tx.execute(
            sa.select(EventRow, SellableRow, PackageRow)
            .join(SellableRow, SellableRow.event == EventRow.id)
            .join(PackageRow, PackageRow.id == SellableRow.id)
            .where(PackageRow.id == package)
        )
    ).first()
    if found is None:
        raise NotFound("There is no such package.")
    return found[0], found[1], found[2]


def terms_of(sellable: SellableRow, row: PackageRow) -> Terms:
    """A package's terms as they stand."""
    return msgspec.convert(
        {
            "title": sellable.title,
            "price_vnd": sellable.price_vnd,
            "tier": row.tier,
            "exclusive": row.exclusive,
            "benefits": row.benefits,
            "instalments": row.instalments,
            "deliverables": row.deliverables,
        },
        Terms,
    )


def _sold_out(sellable: SellableRow, event: EventRow) -> str:
    return f"{sellable.title} of {event.title} is sold out. Nothing was charged."


def _sponsorship(
    event: EventRow,
    sellable: SellableRow,
    patron: Patron,
    application: Application,
    terms: Terms,
    now: datetime,
) -> SponsorshipRow:
    industries.span(application.industry)
    return SponsorshipRow(
        id=clock.new_id(),
        agency=event.agency,
        event=event.id,
        package=sellable.id,
        owner=patron.owner,
        person=patron.person,
        buyer_kind=patron.buyer.kind,
        buyer=patron.buyer.id,
        organisation=application.organisation.strip(),
        tax_code=identity.tax_code(application.tax_code) if application.tax_code.strip() else "",
        industry=application.industry,
        contact_name=application.contact_name.strip(),
        contact_email=identity.email(application.contact_email, "contact_email"),
        contact_phone=(
            identity.phone(application.contact_phone, "contact_phone")
            if application.contact_phone.strip()
            else ""
        ),
        terms=msgspec.to_builtins(terms),
        created_at=now,
        proposed_at=now,
        accepted_at=now,
        cancel_reason="",
    )


async def _promise(tx: Tx, event: EventRow, sponsorship: SponsorshipRow, now: datetime) -> InstalmentRow:
    """Write the instalments and deliverables; returns the first instalment."""
    terms = msgspec.convert(sponsorship.terms, Terms)
    event_day = local_day(event.starts_at)
    rows = [
        InstalmentRow(
            id=clock.new_id(),
            agency=event.agency,
            sponsorship=sponsorship.id,
            owner=sponsorship.owner,
            position=due.position,
            title=due.title,
            due_on=due.due_on,
            before_vnd=due.before_vnd,
            gross_vnd=due.gross_vnd,
            reminders=0,
        )
        for due in schedule(terms, event_day, local_day(now))
    ]
    tx.add_all(rows)
    tx.add_all(
        DeliverableRow(
            id=clock.new_id(),
            agency=event.agency,
            sponsorship=sponsorship.id,
            owner=sponsorship.owner,
            title=promised.title,
            due_on=event_day - timedelta(days=promised.days_before),
            proof="",
        )
        for promised in terms.deliverables
    )
    await tx.flush()
    return rows[0]


async def cancel(tx: Tx, sponsorship: SponsorshipRow, now: datetime, by: UUID | None = None) -> None:
    """The buyer no longer wants an unpaid package: payments is asked to stop, and its answer frees the stock.

    Money that is on its way goes back, and `by`, whose deed it is, does not approve that. Raises NotCancellable once
    it is paid or over.
    """
    sale = await sales.lock(tx, await _invoice(tx, sponsorship))
    if sale is None or not await selling.withdraw(tx, SPONSORSHIP, sale, "buyer-cancelled", by=by):
        raise NotCancellable("Only a sponsorship that waits for its first payment can be cancelled here.")
    sponsorship.given_back_at = now
    await tx.flush()


async def _invoice(tx: Tx, sponsorship: SponsorshipRow) -> UUID | None:
    """The invoice of the first instalment."""
    of = sa.select(InstalmentRow.invoice).where(InstalmentRow.sponsorship == sponsorship.id)
    found: UUID | None = await tx.scalar(of.where(InstalmentRow.position == 1))
    return found


async def _contract(tx: Tx, sale: Sale) -> None:
    """The first instalment is paid: what was held is sold. Raises Cancelled, IndustryTaken, SoldOut."""
    sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, sale.of)
    # Whoever gives the event another day is waited for: what is paid here is earned on the day of then.
    event: EventRow = await locked(tx, EventRow, sponsorship.event)
    await _hold_again(tx, sponsorship, sale)
    await stock.sell(tx, sale.id, clock.now())
    sponsorship.contracted_at = clock.now()
    await emit(tx, *await instalments.signed(tx, sponsorship, event, sale.buyer))
    await earning.follow(tx, sale, event)
    if sponsorship.person is not None:
        params = {"event": event.title, "path": address(sponsorship.id)}
        told = MessageRequested(
            agency=sponsorship.agency,
            person=sponsorship.person,
            template="events.sponsorship-contracted",
            params=params,
        )
        await emit(tx, told)


async def _take(tx: Tx, sale: Sale) -> None:
    """Late money: hold package and industry again, at the price agreed, while the sale is on.

    Raises SalesClosed, Cancelled, IndustryTaken, SoldOut.
    """
    sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, sale.of)
    event = await tx.get_one(EventRow, sponsorship.event)
    check_open(event.title, event.sales_end_at, clock.now())
    await _hold_again(tx, sponsorship, sale)


async def _hold_again(tx: Tx, sponsorship: SponsorshipRow, sale: Sale) -> None:
    if sponsorship.given_back_at is not None:
        raise Cancelled("The sponsor gave the package back before its money came.")
    if not await claims.claim(tx, sponsorship):
        raise IndustryTaken("The money came after the industry was freed and taken by another.")
    await stock.hold_again(tx, sale.id)
    sponsorship.cancelled_at, sponsorship.cancel_reason = None, ""
    await tx.flush()


async def _free(tx: Tx, sale: Sale) -> None:
    """The first instalment will not be paid any more: package and industry are free for others."""
    sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, sale.of)
    if await stock.free(tx, sale.id, clock.now()):
        await _end(tx, sponsorship, "given-back" if sponsorship.given_back_at else "unpaid")


async def _refund(tx: Tx, sale: Sale, amount_vnd: int, by: UUID | None) -> tuple[CreditedLine, ...]:
    """All of the first instalment goes back: the sponsorship is over, with what was still to be paid of it.

    Less than that is an allowance. Raises LaterPaid: never half of what was paid goes back.
    """
    if amount_vnd == sale.left_vnd:
        sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, sale.of)
        await _end(tx, sponsorship, "refunded")
        await instalments.end(tx, sponsorship, by)
        await stock.take_back(tx, sale.id, clock.now())
    return selling.parts(sale, amount_vnd)


async def _end(tx: Tx, sponsorship: SponsorshipRow, reason: str) -> None:
    sponsorship.cancelled_at, sponsorship.cancel_reason = clock.now(), reason
    await claims.leave(tx, sponsorship.id)
    await tx.flush()


SPONSORSHIP = selling.Kind(
    seller="events", name="sponsorship", deliver=_contract, take=_take, free=_free, cancel=_refund
)
"""The first instalment of a sponsorship: prepaid, package and industry held until the money came."""
