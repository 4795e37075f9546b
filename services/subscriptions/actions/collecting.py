"""What payments says about our invoices: money starts a period, a close ends a wait, a dispute suspends."""

from collections.abc import Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.actions.invoicing import STREAM
from services.subscriptions.actions.version import bump
from services.subscriptions.rules.catalogue import Term
from services.subscriptions.rules.periods import span
from services.subscriptions.tables import (
    DisputeRow,
    InvoiceRow,
    MeterRow,
    PeriodRow,
    PriceRow,
    SubscriptionRow,
)
from shared import clock
from shared.calendar import local_day
from shared.contracts.payments import ChargebackClosed, ChargebackOpened, InvoiceClosed, PaymentCaptured
from shared.db import Tx, locked


async def start_period(tx: Tx, fact: PaymentCaptured) -> None:
    """Open access once all of an invoice has been paid; invoices of other sellers are none of ours.

    A first period starts on the day of the capture, so that paying after midnight costs no day.
    """
    if not fact.pays_for(STREAM):
        return
    invoice = await locked(tx, InvoiceRow, fact.invoice)
    if invoice is None:
        return
    before = invoice.captured_vnd
    total = invoice.net_vnd + invoice.vat_vnd
    invoice.captured_vnd = before + fact.amount_vnd
    if not before < total <= invoice.captured_vnd:
        return
    invoice.captured_at = fact.captured_at
    subscription, price = await _bought(tx, invoice.subscription)
    if invoice.n == 0:
        subscription.anchor = max(invoice.start, local_day(fact.captured_at))
    term = Term(price.term_unit, price.term_count)  # type: ignore[arg-type]
    paid = span(subscription.anchor, term, invoice.n)
    tx.add(
        PeriodRow(
            id=clock.new_id(),
            agency=invoice.agency,
            subscription=subscription.id,
            person=subscription.person,
            package=subscription.package,
            invoice=invoice.id,
            n=invoice.n,
            start=paid.start,
            until=paid.until,
            suspended=await _disputed(tx, invoice.id),
            started_at=clock.now(),
            change=await bump(tx),
        )
    )
    await tx.flush()


async def _bought(tx: Tx, subscription: UUID) -> tuple[Any, PriceRow]:
    """Lock a subscription; returns it with the price that it was bought at."""
    found = await tx.execute(
        sa.select(SubscriptionRow, PriceRow)
        .join(PriceRow, PriceRow.id == SubscriptionRow.price)
        .where(SubscriptionRow.id == subscription)
        .with_for_update(of=SubscriptionRow)
        .execution_options(populate_existing=True)
    )
    row, price = found.one()
    return row, price


async def close_invoices(tx: Tx, facts: Sequence[InvoiceClosed]) -> None:
    """Remember how invoices ended; what it means for their subscriptions is derived from it."""
    await tx.execute(
        _CLOSE,
        {
            "ids": [fact.invoice for fact in facts],
            "outcomes": [fact.outcome for fact in facts],
            "instants": [fact.occurred_at for fact in facts],
        },
    )


_CLOSE = sa.text(
    "UPDATE invoice SET outcome = c.outcome, closed_at = c.closed_at FROM unnest(CAST(:ids AS uuid[]), "
    "CAST(:outcomes AS text[]), CAST(:instants AS timestamptz[])) AS c (id, outcome, closed_at) "
    "WHERE invoice.id = c.id AND invoice.outcome IS NULL"
)


async def dispute(tx: Tx, fact: ChargebackOpened | ChargebackClosed) -> None:
    """Suspend access while a chargeback is open and after it is lost; the two facts may come in either order."""
    invoice = await locked(tx, InvoiceRow, fact.invoice)
    if invoice is None:
        return
    outcome = fact.outcome if isinstance(fact, ChargebackClosed) else None
    known = insert(DisputeRow).values(
        id=fact.chargeback, agency=invoice.agency, invoice=invoice.id, outcome=outcome
    )
    await tx.execute(
        known.on_conflict_do_update(
            index_elements=["id"],
            set_={"outcome": sa.func.coalesce(DisputeRow.outcome, known.excluded.outcome)},
        )
    )
    await tx.execute(
        sa.update(PeriodRow)
        .where(PeriodRow.invoice == invoice.id)
        .values(suspended=await _disputed(tx, invoice.id), change=await bump(tx))
    )


async def _disputed(tx: Tx, invoice: UUID) -> bool:
    lost_or_open = sa.or_(DisputeRow.outcome.is_(None), DisputeRow.outcome == "lost")
    return bool(await tx.scalar(sa.select(sa.exists().where(DisputeRow.invoice == invoice, lost_or_open))))


async def forget_person(tx: Tx, person: UUID) -> None:
    """Erase what the person read and stop what would write to them; paid contracts stay as documents of the books."""
    await tx.execute(sa.delete(MeterRow).where(MeterRow.reader == f"p:{person}"))
    await tx.execute(
        sa.update(SubscriptionRow).where(SubscriptionRow.person == person).values(renewal=False, next_path="")
    )
