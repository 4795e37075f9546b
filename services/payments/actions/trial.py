"""The sandbox's own rail: a word that the money came. No bank, no terminal, and never a real agency."""

from uuid import UUID

from services.payments.actions.attempts import RailOff, new_attempt
from services.payments.actions.captures import capture
from services.payments.actions.invoices import credited, invoice_of
from services.payments.rules.invoices import require_payable, still_owed
from services.payments.tables import InvoiceRow
from shared import clock
from shared.contracts import sandbox
from shared.db import Tx, locked
from shared.errors import NotFound


async def pay(tx: Tx, invoice: UUID, address: str, language: str) -> None:
    """Take an invoice of a sandbox for paid. Raises NotFound, a refusal of the invoice's state, RailOff."""
    row: InvoiceRow | None = await locked(tx, InvoiceRow, invoice)
    if row is None:
        raise NotFound("There is no such invoice, or it has not arrived yet.")
    if not sandbox.is_sandbox(row.agency):
        raise RailOff("Only a sandbox is paid by word alone.")
    now = clock.now()
    require_payable(invoice_of(row), now)
    owed_vnd = still_owed(row.total_vnd, await credited(tx, row.id))
    attempt = await new_attempt(tx, row, "trial", "", owed_vnd, address[:64], language, now)
    attempt.state, attempt.ended_at = "paid", now
    await capture(tx, row, attempt, attempt.reference, now)
