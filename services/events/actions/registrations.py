"""Runners take tickets, get bib numbers when they have paid, and are let in once."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from services.events.actions import holding, stock
from services.events.actions.invoices import TICKET, Asked, Patron, credit, line, prepaid
from services.events.rules.registrations import MOST, Entry, bib, wanted
from services.events.rules.stock import VAT_CLASS, SoldOut, check_open, paid_after
from services.events.tables import EntrantRow, EventRow, RegistrationRow, SellableRow
from shared import clock
from shared.calendar import local_day, show_day
from shared.contracts.base import Line
from shared.contracts.events import MessageRequested
from shared.contracts.payments import PaymentCaptured
from shared.db import Tx, enter, locked
from shared.errors import NotFound, Refused, Unprocessable
from shared.money import priced
from shared.outbox import emit
from shared.strangers import Share


class AlreadyIn(Refused):
    """The ticket was used: nobody enters twice."""


class NotPaid(Refused):
    """The ticket has no bib, because its order is not paid."""


async def register(
    tx: Tx,
    patron: Patron,
    slug: str,
    entries: Sequence[Entry],
    now: datetime,
    share: Share | None = None,
) -> Asked:
    """Hold tickets for up to ten runners and ask for the money; notes in `share` whether they took their part.

    Raises SoldOut when one of the kinds has too few left (then nothing is held), HeldUnpaid, LetGo, SalesClosed,
    NotFound.
    """
    if not 1 <= len(entries) <= MOST:
        raise Unprocessable(f"An order has 1 to {MOST} tickets.")
    event = await tx.scalar(sa.select(EventRow).where(EventRow.slug == slug))
    if event is None:
        raise NotFound("There is no such event.")
    await enter(tx, [event.agency], patron.owner)
    check_open(event.title, event.sales_end_at, now)
    quantities = wanted(entries)
    sellables = await _tickets(tx, event, [ticket for ticket, _ in quantities])
    share = share or Share()
    allowed = await holding.allowed(tx, patron, "ticket", len(entries), now, share)
    lines = [_line(event, sellables[ticket], quantity, now) for ticket, quantity in quantities]
    registration = RegistrationRow(
        id=clock.new_id(),
        agency=event.agency,
        event=event.id,
        owner=patron.owner,
        person=patron.person,
        invoice=clock.new_id(),
        net_vnd=sum(each.net_vnd for each in lines),
        vat_vnd=sum(each.vat_vnd for each in lines),
        paid_vnd=0,
        created_at=now,
        expires_at=now + timedelta(seconds=allowed.ttl_s),
        cancel_reason="",
    )
    tx.add(registration)
    await tx.flush()
    tx.add_all(_entrant(registration, n, entry) for n, entry in enumerate(entries, start=1))
    await tx.flush()
    asked = Asked(
        id=registration.id,
        agency=event.agency,
        invoice=registration.invoice,
        net_vnd=registration.net_vnd,
        vat_vnd=registration.vat_vnd,
        total_vnd=registration.net_vnd + registration.vat_vnd,
        expires_at=registration.expires_at,
    )
    await emit(tx, prepaid(asked, patron.buyer, now, f"/events/registrations/{registration.id}", lines))
    await stock.hold(tx, patron, registration.invoice, quantities, now, allowed)
    share.used = not allowed.known
    return asked


async def _tickets(tx: Tx, event: EventRow, ids: list[UUID]) -> dict[UUID, SellableRow]:
    rows = await tx.scalars(
        sa.select(SellableRow).where(
            SellableRow.id.in_(ids), SellableRow.event == event.id, SellableRow.kind == "ticket"
        )
    )
    found = {row.id: row for row in rows}
    for ticket in ids:
        if ticket not in found:
            raise NotFound(f"{event.title} has no such ticket.")
        if found[ticket].held + found[ticket].sold >= found[ticket].capacity:
            raise SoldOut(f"{found[ticket].title} of {event.title} is sold out. Nothing was charged.")
    return found


def _line(event: EventRow, ticket: SellableRow, quantity: int, now: datetime) -> Line:
    cost = priced(ticket.price_vnd * quantity, VAT_CLASS, local_day(now))
    title = f"{event.title} · {ticket.title} × {quantity}"
    return line(event.agency, TICKET, "ticket", title, cost.net_vnd, cost.vat_vnd, event.starts_at)


def _entrant(registration: RegistrationRow, position: int, entry: Entry) -> EntrantRow:
    return EntrantRow(
        id=clock.new_id(),
        agency=registration.agency,
        registration=registration.id,
        event=registration.event,
        sellable=entry.ticket,
        owner=registration.owner,
        position=position,
        name=" ".join(entry.name.split()),
    )


async def book_payment(tx: Tx, fact: PaymentCaptured, now: datetime) -> bool:
    """Book money for an order; when it is all there the runners get their bibs. False when it is not for one."""
    if not fact.pays_for(TICKET):
        return False
    order = await tx.scalar(
        sa.select(RegistrationRow).where(RegistrationRow.invoice == fact.invoice).with_for_update()
    )
    if order is None:
        return False
    order.paid_vnd = paid_after(order.paid_vnd, fact.amount_vnd, order.net_vnd + order.vat_vnd)
    if order.paid_vnd < order.net_vnd + order.vat_vnd:
        return True
    order.paid_at = now
    if not await stock.sell(tx, fact.invoice, now):
        try:
            async with tx.begin_nested():
                await stock.take_again(tx, fact.invoice, now)
        except SoldOut as refusal:
            order.credited_at = now
            await credit(tx, order.agency, fact.invoice, refusal.code, fact.lines)
            return True
    order.cancelled_at, order.cancel_reason = None, ""
    await _number(tx, order)
    return True


async def _number(tx: Tx, order: RegistrationRow) -> None:
    """Give each runner of an order the next bib of the event."""
    runners = list(
        await tx.scalars(
            sa.select(EntrantRow)
            .where(EntrantRow.registration == order.id, EntrantRow.bib.is_(None))
            .order_by(EntrantRow.position)
        )
    )
    event: EventRow = await locked(tx, EventRow, order.event)
    for runner in runners:
        runner.bib = event.next_bib
        event.next_bib += 1
    if order.person is not None:
        params = {
            "event": event.title,
            "day": show_day(local_day(event.starts_at)),
            "bibs": ", ".join(bib(runner.bib) for runner in runners if runner.bib),
            "path": f"/events/registrations/{order.id}",
        }
        await emit(
            tx,
            MessageRequested(
                agency=order.agency, person=order.person, template="events.tickets-ready", params=params
            ),
        )


async def close_invoice(tx: Tx, invoice: UUID, reason: str, now: datetime) -> bool:
    """The order will not be paid any more: free its tickets."""
    order = await tx.scalar(
        sa.select(RegistrationRow).where(RegistrationRow.invoice == invoice).with_for_update()
    )
    if order is None:
        return False
    if await stock.free(tx, invoice, now):
        order.cancelled_at, order.cancel_reason = now, reason
    return True


async def check_in(tx: Tx, entrant: UUID, staff: UUID | None, now: datetime) -> EntrantRow:
    """Let a runner in. Raises AlreadyIn the second time, also when two phones scan at once; NotPaid, NotFound."""
    entered = await tx.execute(
        sa.update(EntrantRow)
        .where(EntrantRow.id == entrant, EntrantRow.bib.is_not(None), EntrantRow.checked_in_at.is_(None))
        .values(checked_in_at=now, checked_in_by=staff)
        .returning(EntrantRow.id)
    )
    row: EntrantRow | None = await tx.get(EntrantRow, entrant, populate_existing=True)
    if row is None:
        raise NotFound("There is no such ticket.")
    if entered.first() is not None:
        return row
    if row.bib is None:
        raise NotPaid("This ticket is not paid.")
    raise AlreadyIn(
        f"Bib {bib(row.bib)} is already in.", at=row.checked_in_at.isoformat() if row.checked_in_at else ""
    )


async def erase_person(tx: Tx, person: UUID) -> None:
    """Overwrite what names a person; the papers that the tax law keeps hold the organisation, not them."""
    await tx.execute(
        sa.text(
            "UPDATE sponsorship SET contact_name = '', contact_email = '', contact_phone = '', person = NULL "
            "WHERE person = :person"
        ),
        {"person": person},
    )
    await tx.execute(
        sa.text(
            "UPDATE entrant SET name = '' FROM registration WHERE registration.person = :person "
            "AND entrant.registration = registration.id"
        ),
        {"person": person},
    )
    for forget in ("registration", "hold"):
        await tx.execute(
            sa.text(f"UPDATE {forget} SET person = NULL WHERE person = :person"),  # noqa: S608 - our own names
            {"person": person},
        )
