"""Later instalments are asked for before they are due, owed from their event on, and end with their sponsorship."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from services.events.actions import earning
from services.events.rules.sponsorships import OPEN_DAYS_BEFORE, REMINDERS, reminders_due, tax_point
from services.events.rules.stock import VAT_CLASS, Cancelled, line
from services.events.tables import EventRow, InstalmentRow, SponsorshipRow
from shared import clock, sales, selling
from shared.calendar import local_day, show_day, start_of
from shared.contracts.base import LONGEST, Buyer, CreditedLine, Line
from shared.contracts.events import MessageRequested, OrderSigned
from shared.db import Tx, locked
from shared.errors import Refused
from shared.jobs import Batch
from shared.money import split_after
from shared.outbox import emit
from shared.sales import SALE, Sale

GIVEN_UP_AFTER = LONGEST
"""How long after its due day an instalment can be paid: it never ends by the clock, however far its event moves."""


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
    """An instalment as it is promised, asked for and owed: one line, under the same id each time."""
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
    today, event_day = local_day(clock.now()), local_day(event.starts_at)
    lines = tuple(
        line_of(part, sponsorship, event, tax_point(part.due_on, event_day, today))
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


async def sign_again(tx: Tx, event: EventRow) -> None:
    """The event of this locked row has another day: what its sponsors have promised is earned on that."""
    contracted = await tx.scalars(
        sa.select(SponsorshipRow)
        .where(
            SponsorshipRow.event == event.id,
            SponsorshipRow.contracted_at.is_not(None),
            SponsorshipRow.cancelled_at.is_(None),
        )
        .order_by(SponsorshipRow.id)
    )
    for sponsorship in contracted.all():
        await emit(tx, *await signed(tx, sponsorship, event, _buyer(sponsorship)))


async def open_due(tx: Tx, batch: Batch) -> None:
    """Ask, in advance, for each later instalment whose time has come: three weeks before, or when its event begins."""
    now = clock.now()
    today = local_day(now)
    soon = today + timedelta(days=OPEN_DAYS_BEFORE)
    due = _LATER.where(
        InstalmentRow.invoice.is_(None),
        sa.or_(InstalmentRow.due_on <= soon, EventRow.starts_at <= now),
    )
    for _, part, sponsorship, event in await batch.take(tx, due):
        await _open(tx, part, sponsorship, event, today)


async def _open(
    tx: Tx, part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, today: date
) -> None:
    invoice, due_at = clock.new_id(), _due_at(part, today)
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
        lines=[line_of(part, sponsorship, event, today)],
        due_at=due_at,
        expires_at=due_at + GIVEN_UP_AFTER,
        return_url=_page(sponsorship),
    )
    if sale.waits:
        await emit(tx, *_message(part, sponsorship, event, sale.owed_vnd, "events.instalment-opened"))


def _due_at(part: InstalmentRow, asked_on: date) -> datetime:
    return start_of(max(part.due_on, asked_on) + timedelta(days=1))


def _page(sponsorship: SponsorshipRow) -> str:
    return f"/events/sponsorships/{sponsorship.id}"


async def claim_due(tx: Tx, batch: Batch) -> None:
    """When an event begins its sponsorships are delivered: what was asked for and not paid by then is owed.

    Its tax point is the event's day, also where we come late. It stays owed where the event gets another day after all.
    """
    now = clock.now()
    unpaid = _LATER.join(SALE, SALE.c.id == InstalmentRow.invoice).where(
        sales.waits(), SALE.c.collect == "prepaid", EventRow.starts_at <= now
    )
    rows = await batch.take(tx, unpaid)
    # Money that comes locks its sale, then the event: so do we, all of the one before any of the other.
    asked = [await sales.lock(tx, part.invoice) for _, part, *_ in rows]
    for key in sorted({event.id for *_, event in rows}):
        await locked(tx, EventRow, key)
    for sale, (_, part, sponsorship, event) in zip(asked, rows, strict=True):
        if sale is not None and sale.waits and event.starts_at <= now:
            day = local_day(event.starts_at)
            await selling.claim(
                tx,
                INSTALMENT,
                sale,
                [line_of(part, sponsorship, event, day)],
                tax_point=day,
                due_at=_due_at(part, local_day(sale.opened_at)),
                return_url=_page(sponsorship),
            )


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
    """Of a sponsorship that is over nothing more is promised or owed: what is unpaid is withdrawn.

    What was owed on terms is in the books, and is credited. `by` is the person whose deed that is. Raises LaterPaid.
    """
    later = await _later(tx, sponsorship)
    for part in later:
        sale = await sales.lock(tx, part.invoice)
        if sale is None:
            continue
        if sale.paid_at is not None and sale.left_vnd:
            raise LaterPaid(f"{part.title} is paid: give it back first.")
        await selling.withdraw(tx, INSTALMENT, sale, "cancelled", by=by)
        if sale.left_vnd and sale.collect == "on_terms":
            rest = selling.parts(sale, sale.left_vnd)
            await selling.credit(tx, INSTALMENT, sale, rest, "cancelled", by=by)
    if later:
        # Whoever gives the event another day says anew what is promised of it: nothing, once this is said.
        await locked(tx, EventRow, sponsorship.event)
        await emit(tx, _unsigned(sponsorship))


async def _receive(tx: Tx, sale: Sale) -> None:
    """A later instalment is paid, and earned on the event's day as it stands. Raises Cancelled as `_take` does."""
    await _take(tx, sale)
    of = (
        sa.select(SponsorshipRow.event)
        .join(InstalmentRow, InstalmentRow.sponsorship == SponsorshipRow.id)
        .where(InstalmentRow.id == sale.of)
    )
    event: EventRow = await locked(tx, EventRow, await tx.scalar(of))
    await earning.follow(tx, sale, event)


async def _take(tx: Tx, sale: Sale) -> None:
    """Late money for a later instalment is welcome. Raises Cancelled where its sponsorship is over."""
    over = (
        sa.select(SponsorshipRow.cancelled_at)
        .join(InstalmentRow, InstalmentRow.sponsorship == SponsorshipRow.id)
        .where(InstalmentRow.id == sale.of)
    )
    if await tx.scalar(over) is not None:
        raise Cancelled("The sponsorship of this instalment is over.")


async def _free(_tx: Tx, _sale: Sale) -> None:
    """Nothing is held for a later instalment: its sponsor is under contract."""


async def _allow(_tx: Tx, sale: Sale, amount_vnd: int, _by: UUID | None) -> tuple[CreditedLine, ...]:
    """What goes back of a later instalment is an allowance: the sponsorship stands."""
    return selling.parts(sale, amount_vnd)


INSTALMENT = selling.Kind(
    seller="events", name="instalment", deliver=_receive, take=_take, free=_free, cancel=_allow
)
"""A later instalment of a sponsorship: asked for in advance, owed from the event on, with nothing held for it."""


def _message(
    part: InstalmentRow, sponsorship: SponsorshipRow, event: EventRow, owed_vnd: int, template: str
) -> list[MessageRequested]:
    if sponsorship.person is None:
        return []
    params: dict[str, Any] = {
        "event": event.title,
        "amount_vnd": owed_vnd,
        "due_on": show_day(part.due_on),
        "path": _page(sponsorship),
    }
    return [MessageRequested(agency=part.agency, person=sponsorship.person, template=template, params=params)]
