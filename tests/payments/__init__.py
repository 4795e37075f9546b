"""Builders for the tests of payments."""

from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

import sqlalchemy as sa

from services.payments.rules import vnpay
from shared import clock, links
from shared.calendar import local_day
from shared.contracts import subscriptions
from shared.contracts.base import Buyer, CreditedLine, Line, OnDate
from shared.settings import Settings
from tests.conftest import Flat

KNOWN = vnpay.terminals(Settings().vnpay_terminals)
BEHAVIOUR = "/gateway/vnpay-sim/behaviour"


def a_line(net_vnd: int = 90_000, vat_vnd: int = 9_000, agency: str = "bkh", **changes: Any) -> Line:
    given: dict[str, Any] = {
        "id": clock.new_id(),
        "agency": agency,
        "stream": "subscription",
        "product_class": "digital",
        "title": "Gói đọc báo một tháng",
        "net_vnd": net_vnd,
        "vat_class": "standard",
        "vat_vnd": vat_vnd,
        "earn": OnDate(local_day(clock.now())),
    }
    return Line(**{**given, **changes})


def an_invoice(*lines: Line, agency: str = "bkh", **changes: Any) -> subscriptions.InvoiceOpened:
    now = clock.now()
    given: dict[str, Any] = {
        "agency": agency,
        "invoice": clock.new_id(),
        "number": f"TB-{clock.new_secret(24).upper()}",
        "buyer": Buyer("person", clock.new_id()),
        "collect": "prepaid",
        "due_at": now + timedelta(hours=1),
        "expires_at": now + timedelta(hours=1),
        "return_url": "/subscribe/thanks",
        "lines": lines or (a_line(agency=agency),),
    }
    return subscriptions.InvoiceOpened(**{**given, **changes})


def taken(invoice: subscriptions.InvoiceOpened, payment: UUID) -> subscriptions.MoneyTaken:
    return subscriptions.MoneyTaken(agency=invoice.agency, payment=payment, invoice=invoice.invoice)


def declined(
    invoice: subscriptions.InvoiceOpened, payment: UUID, by: UUID | None = None
) -> subscriptions.MoneyDeclined:
    return subscriptions.MoneyDeclined(
        agency=invoice.agency, payment=payment, invoice=invoice.invoice, reason="sold-out", by=by
    )


def withdrawn(invoice: subscriptions.InvoiceOpened) -> subscriptions.InvoiceWithdrawn:
    return subscriptions.InvoiceWithdrawn(agency=invoice.agency, invoice=invoice.invoice, reason="hold-over")


def a_credit(
    invoice: subscriptions.InvoiceOpened, net_vnd: int, vat_vnd: int = 0, **changes: Any
) -> subscriptions.CreditGranted:
    line = CreditedLine(invoice.lines[0].id, net_vnd, vat_vnd)
    return subscriptions.CreditGranted(
        agency=invoice.agency,
        credit=clock.new_id(),
        invoice=invoice.invoice,
        reason="cancelled",
        lines=(line,),
        **changes,
    )


def link(settings: Settings, invoice: subscriptions.InvoiceOpened) -> str:
    return links.signed(
        settings, f"/pay/{invoice.invoice}", 3600, agency=invoice.agency, amount=invoice.total_vnd
    )


async def press_pay(flat: Flat, invoice: subscriptions.InvoiceOpened) -> str:
    """Open the pay page and press its button; returns the bank's address."""
    address = link(flat.kit.settings, invoice)
    shown = await flat.client.get(address)
    assert shown.status_code == 200, shown.text
    pressed = await flat.client.post(address, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.status_code == 303, pressed.text
    return pressed.headers["location"]


async def at_bank(flat: Flat, invoice: subscriptions.InvoiceOpened, choice: str = "pay") -> str:
    """Go to the bank and conclude there; returns the signed query of the notification, not sent yet."""
    bank = await press_pay(flat, invoice)
    shown = await flat.client.get(bank)
    assert shown.status_code == 200, shown.text
    params = {name: values[0] for name, values in parse_qs(urlsplit(bank).query).items()}
    form = {"terminal": params["vnp_TmnCode"], "reference": params["vnp_TxnRef"], "choice": choice}
    chosen = await flat.client.post("/gateway/vnpay-sim/bank", data=form)
    assert chosen.status_code == 303, chosen.text
    return urlsplit(chosen.headers["location"]).query


async def notify(flat: Flat, query: str) -> str:
    """Send a notification; returns the RspCode."""
    answer = await flat.client.get(f"/gateway/vnpay/ipn?{query}")
    assert answer.status_code == 200, answer.text
    return str(answer.json()["RspCode"])


async def paid_late(flat: Flat, invoice: subscriptions.InvoiceOpened) -> UUID:
    """Pay an invoice of which the bank tells only when it was closed; returns the money in suspense."""
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    async with flat.tx() as tx:
        await tx.execute(
            sa.text("UPDATE attempt SET state = 'expired' WHERE invoice = :id"), {"id": invoice.invoice}
        )
    await flat.receive(withdrawn(invoice))
    assert await notify(flat, query) == "00"
    return await money_of(flat, invoice)


async def money_of(flat: Flat, invoice: subscriptions.InvoiceOpened) -> UUID:
    """The latest money that came for an invoice."""
    latest = sa.text("SELECT id FROM capture WHERE invoice = :invoice ORDER BY id DESC LIMIT 1")
    async with flat.tx() as tx:
        return UUID(str(await tx.scalar(latest, {"invoice": invoice.invoice})))


async def paid(flat: Flat, invoice: subscriptions.InvoiceOpened) -> UUID:
    """Open, pay and confirm an invoice; returns the capture."""
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice)) == "00"
    return await money_of(flat, invoice)


async def one(flat: Flat, query: str, **values: Any) -> Any:
    """The one row or value of a query behind the service."""
    async with flat.tx() as tx:
        row = tuple((await tx.execute(sa.text(query), values)).one())
    return row if len(row) > 1 else row[0]


async def told(flat: Flat, *kinds: type[Any]) -> list[Any]:
    """Take the facts out of the outbox; those of some kinds, in their order."""
    return [fact for fact in await flat.facts() if isinstance(fact, kinds)]


async def state_of(flat: Flat, invoice: subscriptions.InvoiceOpened) -> tuple[str | None, list[str]]:
    """(outcome of the invoice, states of its attempts)."""
    async with flat.tx() as tx:
        outcome = await tx.scalar(
            sa.text("SELECT outcome FROM invoice WHERE id = :id"), {"id": invoice.invoice}
        )
        states = await tx.scalars(
            sa.text("SELECT state FROM attempt WHERE invoice = :id ORDER BY id"), {"id": invoice.invoice}
        )
        return outcome, list(states)


def tampered(query: str, **changes: str) -> str:
    """The same query with other values under the old signature."""
    params = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    digest = params.pop("vnp_SecureHash")
    return f"{vnpay.query_text({**params, **changes})}&vnp_SecureHash={digest}"


def resigned(query: str, terminal: str = "KHNEWS01", **changes: str) -> str:
    """A query with other values and a true signature of a terminal."""
    params = {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}
    return vnpay.signed_query(KNOWN[terminal].secret, {**params, "vnp_TmnCode": terminal, **changes})


async def misbehave(flat: Flat, **told: Any) -> None:
    answer = await flat.client.post(BEHAVIOUR, json=told)
    assert answer.status_code == 200, answer.text
