"""Who owes, and who hears what became of money: its payer by a letter, the audit trail by a fact."""

from typing import Any, Literal
from uuid import UUID

from services.payments.tables import InvoiceRow
from shared import acts
from shared.contracts import base, sandbox
from shared.contracts.payments import ActRecorded, MessageRequested
from shared.db import Tx
from shared.outbox import emit

News = Literal["late", "taken", "declined", "returned", "failed"]


def buyer_of(invoice: InvoiceRow) -> base.Buyer:
    """Who owes the invoice, as facts say it."""
    return base.Buyer(invoice.buyer_kind, invoice.buyer)  # type: ignore[arg-type]


async def tell_payer(tx: Tx, invoice: InvoiceRow, news: News, amount_vnd: int) -> None:
    """Write to who was to pay an invoice; accounts knows whom that reaches. In the sandbox nobody lost or got money."""
    if sandbox.is_sandbox(invoice.agency):
        return
    letter = MessageRequested(
        agency=invoice.agency,
        person=invoice.buyer,
        template=f"payments.money-{news}",
        params={"number": invoice.number, "amount_vnd": amount_vnd, "path": invoice.return_url},
    )
    await emit(tx, letter)


async def record_act(
    tx: Tx, agency: str, by: UUID | None, act: str, about: UUID | None, **details: Any
) -> None:
    """Let the audit trail keep what a person did about money."""
    await acts.record(tx, ActRecorded, agency, by, act, about, details)
