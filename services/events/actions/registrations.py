"""Runners take tickets, get bib numbers when they have paid, are let in once, and get their money back unused."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from services.events.actions import earning, holding, stock
from services.events.actions.access import Patron
from services.events.rules.registrations import MOST, Entry, bib, wanted
from services.events.rules.stock import VAT_CLASS, Cancelled, SoldOut, check_open, line
from services.events.tables import EntrantRow, EventRow, RegistrationRow, SellableRow
from shared import clock, sales, selling
from shared.calendar import local_day, show_day
from shared.contracts.base import CreditedLine, Line
from shared.contracts.events import MessageRequested
from shared.db import Tx, enter, locked
from shared.errors import NotFound, Refused, Unprocessable
from shared.money import check_seen, priced, split
from shared.outbox import emit
from shared.sales import Sale
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
    seen_vnd: int | None = None,
) -> Sale:
    """Hold tickets for up to ten runners and ask for the money; notes in `share` whether they took their part.

    What costs nothing is theirs at once. Raises SoldOut when one of the kinds has too few left (then nothing is held),
    PriceChanged where the buyer saw another total, HeldUnpaid, LetGo, SalesClosed, NotFound.
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
    lines = [_line(event, sellables[ticket], quantity, now) for ticket, quantity in quantities]
    check_seen(seen_vnd, sum(each.gross_vnd for each in lines))
    share = share or Share()
    allowed = await holding.allowed(tx, patron, "ticket", len(entries), now, share)
    registration = RegistrationRow(
        id=clock.new_id(),
        agency=event.agency,
        event=event.id,
        owner=patron.owner,
        person=patron.person,
        created_at=now,
    )
    tx.add(registration)
    await tx.flush()
    tx.add_all(_entrant(registration, n, entry) for n, entry in enumerate(entries, start=1))
    await tx.flush()
    invoice = clock.new_id()
    await stock.hold(tx, patron, invoice, quantities, now, allowed)
    sale = await selling.open_sale(
        tx,
        REGISTRATION,
        invoice=invoice,
        of=registration.id,
        owner=patron.owner,
        buyer=patron.buyer,
        number=sales.number("EV", invoice, now),
        lines=lines,
        expires_at=now + timedelta(seconds=allowed.ttl_s),
        return_url=f"/events/registrations/{registration.id}",
    )
    share.used = not allowed.known
    return sale


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
    """So many times the price of one, which is what the buyer was shown."""
    day = local_day(now)
    # Split as payments splits it when the money comes: of one whole there is one rounding.
    cost = split(priced(ticket.price_vnd, VAT_CLASS, day).gross_vnd * quantity, VAT_CLASS, day)
    title = f"{event.title} · {ticket.title} × {quantity}"
    return line(clock.new_id(), event.agency, "ticket", title, cost, local_day(event.starts_at))


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


async def _deliver(tx: Tx, sale: Sale) -> None:
    """The order is paid: what it held is sold, and its runners get their bibs. Raises SoldOut."""
    order = await tx.get_one(RegistrationRow, sale.of)
    # Before its stock, as those who change an event or what it sells.
    event: EventRow = await locked(tx, EventRow, order.event)
    await stock.sell(tx, sale.id, clock.now())
    await _number(tx, order, event)
    await earning.follow(tx, sale, event)


async def _number(tx: Tx, order: RegistrationRow, event: EventRow) -> None:
    """Give each runner of an order the next bib of the locked event."""
    runners = list(
        await tx.scalars(
            sa.select(EntrantRow)
            .where(EntrantRow.registration == order.id, EntrantRow.bib.is_(None))
            .order_by(EntrantRow.position)
        )
    )
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


async def _take(tx: Tx, sale: Sale) -> None:
    """Late money: hold the tickets again, at the price agreed, while the sale is on. Raises SalesClosed, SoldOut."""
    order = await tx.get_one(RegistrationRow, sale.of)
    event = await tx.get_one(EventRow, order.event)
    check_open(event.title, event.sales_end_at, clock.now())
    await stock.hold_again(tx, sale.id)


async def _free(tx: Tx, sale: Sale) -> None:
    """The order will not be paid any more: others may have its tickets."""
    await stock.free(tx, sale.id, clock.now())


async def _cancel(tx: Tx, sale: Sale, amount_vnd: int, _by: UUID | None) -> tuple[CreditedLine, ...]:
    """All of it goes back: the tickets are void and can be sold again. Less than that is an allowance.

    Raises AlreadyIn where one of them was used.
    """
    if amount_vnd == sale.left_vnd:
        now = clock.now()
        void = sa.update(EntrantRow).values(voided_at=now).where(EntrantRow.registration == sale.of)
        await tx.execute(void.where(EntrantRow.checked_in_at.is_(None)))
        # Who is being let in at this moment is waited for above, and seen here.
        used = sa.select(sa.func.min(EntrantRow.bib)).where(EntrantRow.registration == sale.of)
        if number := await tx.scalar(used.where(EntrantRow.checked_in_at.is_not(None))):
            raise AlreadyIn(f"Bib {bib(number)} is already in.")
        await stock.take_back(tx, sale.id, now)
    return selling.parts(sale, amount_vnd)


REGISTRATION = selling.Kind(
    seller="events", name="registration", deliver=_deliver, take=_take, free=_free, cancel=_cancel
)
"""An order of tickets: prepaid, its tickets held until the money came."""


async def check_in(tx: Tx, entrant: UUID, staff: UUID | None, now: datetime) -> EntrantRow:
    """Let a runner in. Raises AlreadyIn the second time, also when two phones scan at once; Cancelled, NotPaid."""
    entered = await tx.execute(
        sa.update(EntrantRow)
        .where(
            EntrantRow.id == entrant,
            EntrantRow.bib.is_not(None),
            EntrantRow.checked_in_at.is_(None),
            EntrantRow.voided_at.is_(None),
        )
        .values(checked_in_at=now, checked_in_by=staff)
        .returning(EntrantRow.id)
    )
    row: EntrantRow | None = await tx.get(EntrantRow, entrant, populate_existing=True)
    if row is None:
        raise NotFound("There is no such ticket.")
    if entered.first() is not None:
        return row
    if row.voided_at is not None:
        raise Cancelled("This ticket is cancelled, and its money goes back.")
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
    # Before those who run, as money that comes has it.
    await tx.execute(sa.text("UPDATE hold SET person = NULL WHERE person = :person"), {"person": person})
    await tx.execute(
        sa.text(
            "UPDATE entrant SET name = '' FROM registration WHERE registration.person = :person "
            "AND entrant.registration = registration.id"
        ),
        {"person": person},
    )
    await tx.execute(
        sa.text("UPDATE registration SET person = NULL WHERE person = :person"), {"person": person}
    )
