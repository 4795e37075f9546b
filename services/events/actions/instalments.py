"""Later instalments become invoices before they are due, and unpaid ones are brought to mind."""

from datetime import date, datetime, timedelta
from typing import Any

import sqlalchemy as sa

from services.events.actions.invoices import SPONSORSHIP, invoice_number, line
from services.events.rules.sponsorships import OPEN_DAYS_BEFORE, REMINDERS, reminders_due
from services.events.rules.stock import VAT_CLASS
from services.events.tables import EventRow, InstalmentRow, SponsorshipRow
from shared import clock
from shared.calendar import local_day, show_day, start_of
from shared.contracts.base import Buyer
from shared.contracts.events import InvoiceOpened, MessageRequested
from shared.db import Tx
from shared.money import priced
from shared.outbox import emit

GIVEN_UP_AFTER = timedelta(days=365)
"""An instalment on terms stays payable for a year after it was due."""

_LATER = (
    sa.select(InstalmentRow, SponsorshipRow, EventRow)
    .join(SponsorshipRow, SponsorshipRow.id == InstalmentRow.sponsorship)
    .join(EventRow, EventRow.id == SponsorshipRow.event)
    .where(
        InstalmentRow.paid_at.is_(None),
        InstalmentRow.position > 1,
        SponsorshipRow.contracted_at.is_not(None),
        SponsorshipRow.cancelled_at.is_(None),
    )
    .order_by(InstalmentRow.due_on, InstalmentRow.id)
    .with_for_update(of=InstalmentRow)
)


async def open_due(tx: Tx, limit: int) -> int:
    """Invoice, on terms, each later instalment whose time has come; returns how many."""
    now = clock.now()
    today = local_day(now)
    due = _LATER.where(
        InstalmentRow.invoice.is_(None), InstalmentRow.due_on <= today + timedelta(days=OPEN_DAYS_BEFORE)
    )
    rows = (await tx.execute(due.limit(limit))).all()
    for part, sponsorship, event in rows:
        await _open(tx, part, sponsorship, event, today, now)
    return len(rows)


async def _open(
    tx: Tx, part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, today: date, now: datetime
) -> None:
    invoice = clock.new_id()
    due_at = start_of(max(part.due_on, today) + timedelta(days=1))
    part.invoice, part.opened_at, part.expires_at = invoice, now, due_at + GIVEN_UP_AFTER
    # Its tax point is the day of the invoice, not the day on which the sponsor signed.
    part.vat_vnd = priced(part.net_vnd, VAT_CLASS, today).vat_vnd
    part.reminders = reminders_due(part.due_on, today)
    title = f"{event.title} · {sponsorship.terms['title']} · {part.title}"
    opened = InvoiceOpened(
        agency=part.agency,
        invoice=invoice,
        number=invoice_number(invoice, now),
        buyer=Buyer(sponsorship.buyer_kind, sponsorship.buyer),  # type: ignore[arg-type]
        collect="on_terms",
        due_at=due_at,
        expires_at=part.expires_at,
        return_url=f"/events/sponsorships/{sponsorship.id}",
        lines=(
            line(
                part.agency,
                SPONSORSHIP,
                "sponsorship",
                title,
                part.net_vnd,
                part.vat_vnd,
                event.starts_at,
            ),
        ),
    )
    await emit(tx, opened, *_message(part, sponsorship, event, "events.instalment-opened"))


async def remind(tx: Tx, limit: int) -> int:
    """Bring unpaid instalments to mind, each reminder once; returns how many were written."""
    today = local_day(clock.now())
    next_is_due = (
        sa.and_(InstalmentRow.reminders == told, InstalmentRow.due_on <= today - timedelta(days=days))
        for told, days in enumerate(REMINDERS)
    )
    due = _LATER.where(InstalmentRow.invoice.is_not(None), sa.or_(*next_is_due)).limit(limit)
    rows = (await tx.execute(due)).all()
    for part, sponsorship, event in rows:
        part.reminders = reminders_due(part.due_on, today)
        await emit(tx, *_message(part, sponsorship, event, "events.instalment-reminder"))
    return len(rows)


def _message(
    part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, template: str
) -> list[MessageRequested]:
    if sponsorship.person is None:
        return []
    params: dict[str, Any] = {
        "event": event.title,
        "amount_vnd": part.net_vnd + part.vat_vnd - part.paid_vnd,
        "due_on": show_day(part.due_on),
        "path": f"/events/sponsorships/{sponsorship.id}",
    }
    return [MessageRequested(agency=part.agency, person=sponsorship.person, template=template, params=params)]
