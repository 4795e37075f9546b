"""Who buys, and the invoice they are asked to pay."""

from datetime import datetime
from uuid import UUID

import msgspec

from shared import clock, links
from shared.calendar import local_day
from shared.contracts.base import Buyer, CreditedLine, Line, OnDate, PaidLine, Stream
from shared.contracts.events import CreditGranted, InvoiceOpened
from shared.db import Tx
from shared.money import allocate
from shared.outbox import emit
from shared.settings import Settings

TICKET: Stream = "ticket"
SPONSORSHIP: Stream = "sponsorship.cash"
"""What events sells; money for anything else is another seller's."""


class Patron(msgspec.Struct, frozen=True):
    """Who buys: whose rows these will be, whom accounts may write to, and who the buyer is towards the books."""

    owner: UUID
    person: UUID | None
    buyer: Buyer


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What a buyer gets back: what they took, and the invoice to pay."""

    id: UUID
    agency: str
    invoice: UUID
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    expires_at: datetime


def invoice_number(invoice: UUID, now: datetime) -> str:
    """What buyers see and quote: the day, and the end of the invoice's id."""
    return f"EV{local_day(now):%y%m%d}-{invoice.hex[-6:].upper()}"


def line(
    agency: str,
    stream: Stream,
    product_class: str,
    title: str,
    net_vnd: int,
    vat_vnd: int,
    event_at: datetime,
) -> Line:
    """A line that is earned whole on the day of the event."""
    return Line(
        id=clock.new_id(),
        agency=agency,
        stream=stream,
        product_class=product_class,
        title=title,
        net_vnd=net_vnd,
        vat_class="standard",
        vat_vnd=vat_vnd,
        earn=OnDate(local_day(event_at)),
    )


def prepaid(asked: Asked, buyer: Buyer, now: datetime, return_url: str, lines: list[Line]) -> InvoiceOpened:
    """The fact that a held thing waits for its money."""
    return InvoiceOpened(
        agency=asked.agency,
        invoice=asked.invoice,
        number=invoice_number(asked.invoice, now),
        buyer=buyer,
        collect="prepaid",
        due_at=asked.expires_at,
        expires_at=asked.expires_at,
        return_url=return_url,
        lines=tuple(lines),
    )


async def credit(tx: Tx, agency: str, invoice: UUID, reason: str, lines: tuple[PaidLine, ...]) -> None:
    """Give back all that came for an invoice: what it was for is gone."""
    await emit(
        tx,
        CreditGranted(
            agency=agency,
            credit=clock.new_id(),
            invoice=invoice,
            reason=reason,
            lines=tuple(_credited(paid) for paid in lines),
        ),
    )


def _credited(paid: PaidLine) -> CreditedLine:
    net_vnd, vat_vnd = allocate(paid.amount_vnd, [paid.line.net_vnd, paid.line.vat_vnd])
    return CreditedLine(line=paid.line.id, net_vnd=net_vnd, vat_vnd=vat_vnd)


def pay_link(settings: Settings, agency: str, invoice: UUID, total_vnd: int, expires_at: datetime) -> str:
    """The signed address where an invoice is paid, open as long as the invoice is."""
    ttl_s = max(60, int((expires_at - clock.now()).total_seconds()))
    return links.pay_link(settings, "events", invoice, ttl_s, agency=agency, amount_vnd=total_vnd)
