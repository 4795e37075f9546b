"""Later instalments become invoices before they are due, are brought to mind, and end with their sponsorship."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.events.rules.sponsorships import OPEN_DAYS_BEFORE, REMINDERS, reminders_due, tax_point
from services.events.rules.stock import VAT_CLASS, Cancelled, line
from services.events.tables import EventRow, InstalmentRow, SponsorshipRow
from shared import clock, sales, selling
from shared.calendar import local_day, show_day, start_of
from shared.contracts.base import Buyer, CreditedLine, Line
from shared.contracts.events import MessageRequested, OrderSigned
from shared.db import Tx
from shared.errors import Refused
from shared.jobs import Batch
from shared.money import split_after
from shared.outbox import emit
from shared.sales import SALE, Sale

GIVEN_UP_AFTER = timedelta(days=365)
"""How long after its due day an instalment is paid by its own page; it is owed after that, too."""


class LaterPaid(Refused):
    """A later instalment of the sponsorship is paid; it goes back first, so that never half does."""


_LATER = (
    sa.select(InstalmentRow.id, InstalmentRow, SponsorshipRow, EventRow)
    .join(SponsorshipRow, SponsorshipRow.id == InstalmentRow.sponsorship)
    .join(EventRow, EventRow.id == SponsorshipRow.event)
    .where(
        InstalmentRow.position > 1,
        SponsorshipRow.contracted_at.is_not(None),
        SponsorshipRow.cancelled_at.is_(None),
    )
    # Whoever cancels a sponsorship has its row: none of its instalments becomes an invoice beside that.
    .with_for_update(of=(InstalmentRow, SponsorshipRow))
)


def line_of(part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, tax_day: date) -> Line:
    """An instalment as it is promised and invoiced: one line, under the same id both times."""
    title = f"{event.title} · {sponsorship.terms['title']} · {part.title}"
    cost = split_after(part.before_vnd, part.gross_vnd, VAT_CLASS, tax_day)
    return line(part.id, part.agency, "sponsorship.cash", title, cost, local_day(event.starts_at))


async def _later(tx: Tx, sponsorship: SponsorshipRow) -> list[InstalmentRow]:
    rows = await tx.scalars(
        sa.select(InstalmentRow)
        .where(InstalmentRow.sponsorship == sponsorship.id, InstalmentRow.position > 1)
        .order_by(InstalmentRow.position)
    )
    return list(rows)


async def signed(tx: Tx, sponsorship: SponsorshipRow, event: EventRow, buyer: Buyer) -> list[OrderSigned]:
    """What a contract promises beyond its first instalment, with VAT as far as its rates are known; none, no fact."""
    today = local_day(clock.now())
    lines = tuple(
        line_of(part, sponsorship, event, tax_point(part.due_on, today))
        for part in await _later(tx, sponsorship)
    )
    if not lines:
        return []
    return [OrderSigned(agency=sponsorship.agency, order=sponsorship.id, buyer=buyer, lines=lines)]


def _unsigned(sponsorship: SponsorshipRow) -> OrderSigned:
    """Nothing is promised any more."""
    return OrderSigned(agency=sponsorship.agency, order=sponsorship.id, buyer=_buyer(sponsorship), lines=())


def _buyer(sponsorship: SponsorshipRow) -> Buyer:
    return Buyer(sponsorship.buyer_kind, sponsorship.buyer)  # type: ignore[arg-type]


async def open_due(tx: Tx, batch: Batch) -> None:
    """Invoice, on terms, each later instalment whose time has come."""
    today = local_day(clock.now())
    due = _LATER.where(
        InstalmentRow.invoice.is_(None), InstalmentRow.due_on <= today + timedelta(days=OPEN_DAYS_BEFORE)
    )
    for _, part, sponsorship, event in await batch.take(tx, due):
        await _open(tx, part, sponsorship, event, today)


async def _open(
    tx: Tx, part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, today: date
) -> None:
    invoice = clock.new_id()
    due_at = start_of(max(part.due_on, today) + timedelta(days=1))
    part.invoice, part.reminders = invoice, reminders_due(part.due_on, today)
    await tx.flush()
    sale = await selling.open_sale(
        tx,
        INSTALMENT,
        invoice=invoice,
        of=part.id,
        owner=part.owner,
        buyer=_buyer(sponsorship),
        number=sales.number("EV", invoice, clock.now()),
        # Its tax point is the day of the invoice, not the day on which the sponsor signed.
        lines=[line_of(part, sponsorship, event, today)],
        collect="on_terms",
        due_at=due_at,
        expires_at=due_at + GIVEN_UP_AFTER,
        return_url=f"/events/sponsorships/{sponsorship.id}",
    )
    if sale.waits:
        await emit(tx, *_message(part, sponsorship, event, sale.owed_vnd, "events.instalment-opened"))


async def remind(tx: Tx, batch: Batch) -> None:
    """Bring unpaid instalments to mind, each reminder once."""
    today = local_day(clock.now())
    next_is_due = (
        sa.and_(InstalmentRow.reminders == told, InstalmentRow.due_on <= today - timedelta(days=days))
        for told, days in enumerate(REMINDERS)
    )
    unpaid = _LATER.join(SALE, SALE.c.id == InstalmentRow.invoice).where(sales.waits(), sa.or_(*next_is_due))
    rows = await batch.take(tx, unpaid)
    asked = (await sales.find(tx, [part.invoice for _, part, *_ in rows])).values()
    owed = {sale.of: sale.owed_vnd for sale in asked}
    for _, part, sponsorship, event in rows:
        part.reminders = reminders_due(part.due_on, today)
        await emit(tx, *_message(part, sponsorship, event, owed[part.id], "events.instalment-reminder"))


async def end(tx: Tx, sponsorship: SponsorshipRow, by: UUID | None) -> None:
    """Of a sponsorship that is over nothing more is promised or owed: what is unpaid is withdrawn and credited.

    `by` is the person whose deed that is. Raises LaterPaid.
    """
    later = await _later(tx, sponsorship)
    if later:
        await emit(tx, _unsigned(sponsorship))
    for part in later:
        sale = await sales.lock(tx, part.invoice)
        if sale is None:
            continue
        if sale.paid_at is not None and sale.left_vnd:
            raise LaterPaid(f"{part.title} is paid: give it back first.")
        await selling.withdraw(tx, INSTALMENT, sale, "cancelled", by=by)
        if sale.left_vnd:
            rest = selling.parts(sale, sale.left_vnd)
            await selling.credit(tx, INSTALMENT, sale, rest, "cancelled", by=by)


async def _receive(tx: Tx, sale: Sale) -> None:
    """A later instalment is paid: nothing more to give. Raises Cancelled where its sponsorship is over."""
    over = (
        sa.select(SponsorshipRow.cancelled_at)
        .join(InstalmentRow, InstalmentRow.sponsorship == SponsorshipRow.id)
        .where(InstalmentRow.id == sale.of)
    )
    if await tx.scalar(over) is not None:
        raise Cancelled("The sponsorship of this instalment is over.")


async def _free(tx: Tx, sale: Sale) -> None:
    """Nothing is held for an instalment on terms: its sponsor is under contract."""


async def _allow(_tx: Tx, sale: Sale, amount_vnd: int, _by: UUID | None) -> tuple[CreditedLine, ...]:
    """What goes back of a later instalment is an allowance: the sponsorship stands."""
    return selling.parts(sale, amount_vnd)


INSTALMENT = selling.Kind(
    seller="events", name="instalment", deliver=_receive, take=_receive, free=_free, cancel=_allow
)
"""A later instalment of a sponsorship: on terms, with nothing held for it."""


def _message(
    part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, owed_vnd: int, template: str
) -> list[MessageRequested]:
    if sponsorship.person is None:
        return []
    params: dict[str, Any] = {
        "event": event.title,
        "amount_vnd": owed_vnd,
        "due_on": show_day(part.due_on),
        "path": f"/events/sponsorships/{sponsorship.id}",
    }
    return [MessageRequested(agency=part.agency, person=sponsorship.person, template=template, params=params)]
