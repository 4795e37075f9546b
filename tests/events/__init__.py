"""Builders for the tests of events: an event with packages and tickets, who buys, and money that comes."""

from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec

from services.events.actions.access import Patron
from services.events.actions.catalogue import NewEvent, NewPackage, NewTicket, create_event
from services.events.actions.sponsorships import Application
from services.events.rules.sponsorships import DeliverableTerms, InstalmentTerms
from services.events.tables import EventRow
from shared import clock
from shared.contracts.base import Buyer, Line, PaidLine
from shared.contracts.events import InvoiceOpened
from shared.contracts.payments import InvoiceClosed, MoneyUnapplied, PaymentCaptured, RefundAsked
from tests.conftest import Flat

HALVES = [InstalmentTerms("Đợt 1", 50, 0), InstalmentTerms("Đợt 2", 50, 14)]
BANK, DIGITAL_BANK, FINANCE, TELECOM, BEER = 100100, 100101, 100000, 110100, 120500
VALID_TAX_CODE = "0100109106"


def a_package(**changes: Any) -> NewPackage:
    given = {
        "title": "Vàng",
        "tier": "gold",
        "price_vnd": 200_000_000,
        "capacity": 3,
        "exclusive": True,
        "benefits": ["Logo trên áo"],
        "instalments": HALVES,
        "deliverables": [DeliverableTerms("Logo trên áo", 7), DeliverableTerms("Gian hàng", 0)],
    }
    return NewPackage(**(given | changes))


def a_new_event(**changes: Any) -> NewEvent:
    starts_at = changes.pop("starts_at", clock.now() + timedelta(days=40))
    given = {
        "agency": "bkh",
        "slug": "night-run",
        "title": "Night Run",
        "starts_at": starts_at,
        "sales_end_at": starts_at - timedelta(hours=1),
        "packages": [a_package()],
        "tickets": [
            NewTicket(title="5 km", price_vnd=300_000, capacity=20),
            NewTicket(title="10 km", price_vnd=400_000, capacity=10),
        ],
    }
    return NewEvent(**(given | changes))


async def an_event(flat: Flat, **changes: Any) -> EventRow:
    """An event that is on sale; `.slug` and the ids of what it sells by `stock`."""
    async with flat.tx() as tx:
        return await create_event(tx, a_new_event(**changes), clock.now())


async def stock(flat: Flat) -> dict[str, dict[str, Any]]:
    """Each sellable's row by its title."""
    import sqlalchemy as sa

    async with flat.tx() as tx:
        rows = await tx.execute(sa.text("SELECT * FROM sellable"))
        return {row["title"]: dict(row) for row in rows.mappings()}


def counts(row: dict[str, Any]) -> tuple[int, int]:
    return row["held"], row["sold"]


def a_patron(person: UUID | None = None) -> Patron:
    person = person or uuid4()
    return Patron(person, person, Buyer("person", person))


def an_application(**changes: Any) -> Application:
    given = {
        "organisation": "Ngân hàng Biển Xanh",
        "industry": BANK,
        "contact_name": "Trần Thị Hoa",
        "contact_email": "hoa@bienxanh.example",
    }
    return Application(**(given | changes))


def a_body(package: UUID, **changes: Any) -> dict[str, Any]:
    """The same application as JSON."""
    return {"package": str(package), **msgspec.to_builtins(an_application(**changes))}


def a_capture(invoice: UUID, lines: tuple[Line, ...], agency: str = "bkh", **changes: Any) -> PaymentCaptured:
    given = {
        "agency": agency,
        "payment": uuid4(),
        "invoice": invoice,
        "seller": "events",
        "rail": "vnpay",
        "collect": "prepaid",
        "amount_vnd": sum(line.gross_vnd for line in lines),
        "captured_at": datetime.now(UTC),
        "lines": tuple(PaidLine(line, line.gross_vnd, line.vat_vnd) for line in lines),
    }
    return PaymentCaptured(**(given | changes))


def a_closing(invoice: UUID, outcome: str, agency: str = "bkh") -> InvoiceClosed:
    return InvoiceClosed(agency=agency, invoice=invoice, outcome=outcome, seller="events")  # type: ignore[arg-type]


def an_offer(opened: InvoiceOpened, **changes: Any) -> MoneyUnapplied:
    """Money that came after its invoice was closed, offered to events."""
    given = {
        "agency": opened.agency,
        "payment": uuid4(),
        "rail": "vietqr",
        "amount_vnd": opened.total_vnd,
        "reason": "invoice-closed",
        "captured_at": clock.now(),
        "invoice": opened.invoice,
        "offered_to": "events",
    }
    return MoneyUnapplied(**(given | changes))


def a_refund(opened: InvoiceOpened, amount_vnd: int = 0) -> RefundAsked:
    """The desk wants so much of an invoice to go back; all of it where no amount is given."""
    return RefundAsked(
        agency=opened.agency,
        refund=uuid4(),
        payment=uuid4(),
        invoice=opened.invoice,
        seller="events",
        amount_vnd=amount_vnd or opened.total_vnd,
        reason="Khách không chạy được",
        by=uuid4(),
    )
