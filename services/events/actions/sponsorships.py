"""A sponsor takes a package, pays its instalments, and gets what was promised."""

from datetime import datetime, timedelta
from typing import Annotated
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.events.actions import holding, stock
from services.events.actions.invoices import SPONSORSHIP, Asked, Patron, credit, invoice_number, line, prepaid
from services.events.rules import industries
from services.events.rules.sponsorships import Terms, schedule
from services.events.rules.stock import VAT_CLASS, IndustryTaken, SoldOut, check_open, paid_after
from services.events.tables import (
    ClaimRow,
    DeliverableRow,
    EventRow,
    InstalmentRow,
    PackageRow,
    SellableRow,
    SponsorshipRow,
)
from shared import clock, identity
from shared.calendar import local_day
from shared.contracts.base import Line
from shared.contracts.events import InvoiceWithdrawn, MessageRequested
from shared.contracts.payments import PaymentCaptured
from shared.db import Tx, enter, locked
from shared.errors import NotFound, Refused
from shared.money import priced
from shared.outbox import emit
from shared.strangers import Share


class NotCancellable(Refused):
    """The sponsorship is paid or over; the agency has to be asked."""


class AlreadyDelivered(Refused):
    """The deliverable has its proof."""


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
) -> Asked:
    """Hold a package for a sponsor and ask for its first instalment; notes in `share` whether it took its part.

    Raises SoldOut, IndustryTaken, HeldUnpaid, LetGo, SalesClosed, NotFound. Of any number who ask at once for the last
    one, exactly one gets it; the others' transactions leave nothing behind.
    """
    event, sellable, row = await _package(tx, package)
    await enter(tx, [event.agency], patron.owner)
    check_open(event.title, event.sales_end_at, now)
    if sellable.held + sellable.sold >= sellable.capacity:
        raise SoldOut(_sold_out(sellable, event))
    share = share or Share()
    allowed = await holding.allowed(tx, patron, "package", 1, now, share, sellable.id)
    terms = terms_of(sellable, row)
    sponsorship = _sponsorship(event, sellable, patron, application, terms, now)
    tx.add(sponsorship)
    await tx.flush()
    if not await _claim(tx, sponsorship, event.number, exclusive=terms.exclusive):
        await tx.refresh(sellable)  # whoever has the industry may also have the last package
        if sellable.held + sellable.sold >= sellable.capacity:
            raise SoldOut(_sold_out(sellable, event))
        raise IndustryTaken(
            f"{industries.name(application.industry)}: a sponsor of {event.title} already has this industry. "
            "Nothing was charged."
        )
    first = _parts(tx, event, sponsorship, terms, now)
    asked = Asked(
        id=sponsorship.id,
        agency=event.agency,
        invoice=clock.new_id(),
        net_vnd=first.net_vnd,
        vat_vnd=first.vat_vnd,
        total_vnd=first.net_vnd + first.vat_vnd,
        expires_at=now + timedelta(seconds=allowed.ttl_s),
    )
    first.invoice, first.opened_at, first.expires_at = asked.invoice, now, asked.expires_at
    await tx.flush()
    address = f"/events/sponsorships/{sponsorship.id}"
    await emit(tx, prepaid(asked, patron.buyer, now, address, [_line(event, terms, first)]))
    await stock.hold(tx, patron, asked.invoice, [(sellable.id, 1)], now, allowed)
    share.used = not allowed.known
    return asked


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


async def _claim(tx: Tx, sponsorship: SponsorshipRow, event_number: int, *, exclusive: bool) -> bool:
    """Put the sponsor into its industry; False where another's claim is in the way.

    ON CONFLICT waits for a rival's transaction instead of failing, and two rivals cannot lock each other.
    """
    first, last, lowest, highest = industries.claim(
        sponsorship.industry, event_number, sponsorship.number, exclusive=exclusive
    )
    claimed = await tx.execute(
        insert(ClaimRow)
        .values(
            sponsorship=sponsorship.id,
            agency=sponsorship.agency,
            first=first,
            last=last,
            lowest=lowest,
            highest=highest,
        )
        .on_conflict_do_nothing()
        .returning(ClaimRow.sponsorship)
    )
    return claimed.first() is not None


def _parts(
    tx: Tx, event: EventRow, sponsorship: SponsorshipRow, terms: Terms, now: datetime
) -> InstalmentRow:
    """Write the instalments and deliverables; returns the first instalment."""
    today, event_day = local_day(now), local_day(event.starts_at)
    rows = [
        InstalmentRow(
            id=clock.new_id(),
            agency=event.agency,
            sponsorship=sponsorship.id,
            owner=sponsorship.owner,
            position=due.position,
            title=due.title,
            due_on=due.due_on,
            net_vnd=due.net_vnd,
            vat_vnd=priced(due.net_vnd, VAT_CLASS, due.due_on).vat_vnd,
            paid_vnd=0,
            reminders=0,
        )
        for due in schedule(terms, event_day, today)
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
    return rows[0]


def _line(event: EventRow, terms: Terms, part: InstalmentRow) -> Line:
    title = f"{event.title} · {terms.title} · {part.title}"
    return line(event.agency, SPONSORSHIP, "sponsorship", title, part.net_vnd, part.vat_vnd, event.starts_at)


async def book_payment(tx: Tx, fact: PaymentCaptured, now: datetime) -> bool:
    """Book money for an instalment; the first one contracts the sponsorship. False when it is not for one."""
    if not fact.pays_for(SPONSORSHIP):
        return False
    part = await tx.scalar(
        sa.select(InstalmentRow).where(InstalmentRow.invoice == fact.invoice).with_for_update()
    )
    if part is None:
        return False
    part.paid_vnd = paid_after(part.paid_vnd, fact.amount_vnd, part.net_vnd + part.vat_vnd)
    full = part.paid_vnd == part.net_vnd + part.vat_vnd
    if full:
        part.paid_at = now
    sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, part.sponsorship)
    if part.position == 1 and full and sponsorship.contracted_at is None:
        await _contract(tx, sponsorship, part, fact, now)
    elif sponsorship.cancelled_at is not None:
        part.credited_at = now
        await credit(tx, part.agency, fact.invoice, "cancelled", fact.lines)
    return True


async def _contract(
    tx: Tx, sponsorship: SponsorshipRow, part: InstalmentRow, fact: PaymentCaptured, now: datetime
) -> None:
    """Sell what was held. Where the hold was already freed, take it again, or give the money back."""
    if not await stock.sell(tx, fact.invoice, now):
        try:
            async with tx.begin_nested():
                await _take_again(tx, sponsorship, fact.invoice, now)
        except Refused as refusal:
            part.credited_at = now
            await credit(tx, part.agency, fact.invoice, refusal.code, fact.lines)
            await _tell(tx, sponsorship, "events.sponsorship-refunded")
            return
    sponsorship.contracted_at = now
    sponsorship.cancelled_at, sponsorship.cancel_reason = None, ""
    await _tell(tx, sponsorship, "events.sponsorship-contracted")


async def _take_again(tx: Tx, sponsorship: SponsorshipRow, invoice: UUID, now: datetime) -> None:
    number = await tx.scalar(sa.select(EventRow.number).where(EventRow.id == sponsorship.event))
    terms = msgspec.convert(sponsorship.terms, Terms)
    if not await _claim(tx, sponsorship, number or 0, exclusive=terms.exclusive):
        raise IndustryTaken("The money came after the industry was freed and taken by another.")
    await stock.take_again(tx, invoice, now)


async def close_invoice(tx: Tx, invoice: UUID, reason: str, now: datetime) -> bool:
    """The first instalment will not be paid any more: free the package and its industry."""
    part = await tx.scalar(sa.select(InstalmentRow).where(InstalmentRow.invoice == invoice))
    if part is None:
        return False
    sponsorship: SponsorshipRow = await locked(tx, SponsorshipRow, part.sponsorship)
    if part.position == 1 and await stock.free(tx, invoice, now):
        sponsorship.cancelled_at, sponsorship.cancel_reason = now, reason
        await tx.execute(sa.delete(ClaimRow).where(ClaimRow.sponsorship == sponsorship.id))
    return True


async def cancel(tx: Tx, sponsorship: SponsorshipRow, now: datetime) -> None:
    """The buyer no longer wants an unpaid package: payments is asked to stop, and its answer frees the stock.

    Raises NotCancellable once it is paid or over.
    """
    held = await tx.execute(
        sa.text(
            "UPDATE hold SET withdrawn_at = :now FROM instalment WHERE instalment.sponsorship = :id "
            "AND instalment.position = 1 AND hold.invoice = instalment.invoice AND withdrawn_at IS NULL "
            "AND sold_at IS NULL AND freed_at IS NULL RETURNING hold.invoice"
        ),
        {"now": now, "id": sponsorship.id},
    )
    row = held.first()
    if row is None:
        raise NotCancellable("Only a sponsorship that waits for its first payment can be cancelled here.")
    await emit(tx, InvoiceWithdrawn(agency=sponsorship.agency, invoice=row.invoice, reason="buyer-cancelled"))


async def deliver(tx: Tx, deliverable: DeliverableRow, proof: str, now: datetime) -> None:
    """Record that a promise was kept. Raises AlreadyDelivered."""
    if deliverable.delivered_at is not None:
        raise AlreadyDelivered("This was already delivered; its proof stands.")
    deliverable.delivered_at, deliverable.proof = now, proof
    await tx.flush()


async def _tell(tx: Tx, sponsorship: SponsorshipRow, template: str) -> None:
    if sponsorship.person is not None:
        title = await tx.scalar(sa.select(EventRow.title).where(EventRow.id == sponsorship.event))
        params = {"event": title, "path": f"/events/sponsorships/{sponsorship.id}"}
        await emit(
            tx,
            MessageRequested(
                agency=sponsorship.agency, person=sponsorship.person, template=template, params=params
            ),
        )


__all__ = [
    "Application",
    "book_payment",
    "cancel",
    "close_invoice",
    "deliver",
    "invoice_number",
    "take_package",
]
