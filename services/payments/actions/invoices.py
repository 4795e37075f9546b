"""Invoices: heard from the sellers, withdrawn, credited, and closed when no attempt can bring money any more."""

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.actions.refunds import hear_granted, hear_refused, refund_what_is_owed
from services.payments.rules import invoices as rules
from services.payments.rules.invoices import Invoice
from services.payments.tables import AttemptRow, CreditRow, InvoiceRow
from shared import clock
from shared.contracts import base
from shared.contracts.payments import InvoiceClosed
from shared.db import Tx, locked
from shared.errors import Waits
from shared.jobs import Batch
from shared.outbox import emit
from shared.waiting import arrived


def invoice_of(row: InvoiceRow) -> Invoice:
    """The row as the rules see it."""
    return msgspec.convert(row, Invoice, from_attributes=True)


async def open_invoice(tx: Tx, fact: base.InvoiceOpened) -> None:
    """Keep an invoice that a seller opened. One over nothing is none: the seller gave it away by itself.

    Said again on terms, what was asked for in advance is owed from now on, in whatever order the two are heard; money
    that came in between has paid it. Raises NotTheirs, OpenedOtherwise.
    """
    known: InvoiceRow | None = await locked(tx, InvoiceRow, fact.invoice)
    if known is not None:
        _again(known, fact)
        return
    row = InvoiceRow(
        id=fact.invoice,
        agency=fact.agency,
        seller=fact.publisher(),
        number=fact.number,
        buyer_kind=fact.buyer.kind,
        buyer=fact.buyer.id,
        collect=fact.collect,
        due_at=fact.due_at,
        expires_at=fact.expires_at,
        return_url=fact.return_url,
        lines=msgspec.to_builtins(fact.lines),
        total_vnd=fact.total_vnd,
        opened_at=fact.occurred_at,
    )
    tx.add(row)
    arrived(tx, f"invoice:{fact.invoice}")


def _again(row: InvoiceRow, fact: base.InvoiceOpened) -> None:
    _require_theirs(row, fact)
    if rules.becomes_owed(invoice_of(row), fact.collect, fact.lines):
        row.collect, row.lines = fact.collect, msgspec.to_builtins(fact.lines)
        row.due_at, row.expires_at = fact.due_at, fact.expires_at


async def theirs(tx: Tx, fact: base.Fact, invoice: UUID) -> InvoiceRow:
    """Lock the invoice of which its own seller speaks. Raises Waits where it is not here, NotTheirs for another's."""
    row: InvoiceRow | None = await locked(tx, InvoiceRow, invoice)
    if row is None:
        raise Waits(f"invoice:{invoice}")
    _require_theirs(row, fact)
    return row


def _require_theirs(row: InvoiceRow, fact: base.Fact) -> None:
    if row.seller != fact.publisher():
        raise rules.NotTheirs(f"{fact.subject()} speaks of invoice {row.number} of {row.seller}.")


async def withdraw_invoice(tx: Tx, fact: base.InvoiceWithdrawn, now: datetime) -> None:
    """Close an invoice that its seller no longer wants paid; an attempt under way may end first.

    Raises Waits, NotTheirs.
    """
    row = await theirs(tx, fact, fact.invoice)
    if row.withdrawn_at is None:
        row.withdrawn_at = now
    await close_if_over(tx, row, now)


async def credit_invoice(tx: Tx, fact: base.CreditGranted) -> None:
    """Note what a seller takes back, and send back what was captured beyond what is owed. Raises Waits, NotTheirs.

    Where nothing is owed any more and nothing came, the invoice is withdrawn by that.
    """
    row = await theirs(tx, fact, fact.invoice)
    rules.require_its_lines(invoice_of(row), fact.lines)
    tx.add(
        CreditRow(
            id=fact.credit,
            agency=row.agency,
            invoice=row.id,
            amount_vnd=rules.gross_of(fact.lines),
            lines=msgspec.to_builtins(fact.lines),
            granted_at=fact.occurred_at,
            granted_by=fact.by,
        )
    )
    await tx.flush()
    if fact.refund is not None:
        await hear_granted(tx, row, fact)
    await refund_what_is_owed(tx, row, fact.credit, fact.by)
    if row.withdrawn_at is None and rules.still_owed(row.total_vnd, await credited(tx, row.id)) == 0:
        row.withdrawn_at = clock.now()
        await close_if_over(tx, row, clock.now())


async def refuse_refund(tx: Tx, fact: base.RefundRefused) -> None:
    """The seller does not take back what the desk asked it to. Raises Waits, NotTheirs."""
    await hear_refused(tx, await theirs(tx, fact, fact.invoice), fact)


async def credited(tx: Tx, invoice: UUID) -> int:
    """How much of an invoice its seller took back."""
    total = sa.select(sa.func.sum(CreditRow.amount_vnd)).where(CreditRow.invoice == invoice)
    return int(await tx.scalar(total) or 0)


async def close_if_over(tx: Tx, row: InvoiceRow, now: datetime) -> None:
    """Close a locked invoice that is withdrawn or out of time, unless an attempt may still bring money."""
    outcome = rules.closing(invoice_of(row), in_flight=False, now=now)
    if outcome is None:
        return
    under_way = sa.exists().where(AttemptRow.invoice == row.id, AttemptRow.state.in_(("open", "held")))
    if not await tx.scalar(sa.select(under_way)):
        await emit(tx, closed(row, outcome))


def closed(row: InvoiceRow, outcome: base.Outcome) -> InvoiceClosed:
    """Set the outcome of a locked invoice; returns what its transaction has to say of it."""
    row.outcome = outcome
    row.closed_at = clock.now()
    return InvoiceClosed(agency=row.agency, invoice=row.id, outcome=outcome, seller=row.seller)


async def expire_invoices(tx: Tx, batch: Batch) -> None:
    """Close prepaid invoices whose time is over and for which no attempt is under way."""
    now = clock.now()
    over = (
        sa.select(InvoiceRow.id, InvoiceRow)
        .where(
            InvoiceRow.outcome.is_(None),
            sa.or_(InvoiceRow.expires_at <= now, InvoiceRow.withdrawn_at.is_not(None)),
            InvoiceRow.collect == "prepaid",
            ~sa.exists().where(AttemptRow.invoice == InvoiceRow.id, AttemptRow.state.in_(("open", "held"))),
        )
        .with_for_update(of=InvoiceRow, skip_locked=True)
    )
    for _, row in await batch.take(tx, over):
        await close_if_over(tx, row, now)
