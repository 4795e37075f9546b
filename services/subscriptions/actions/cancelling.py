"""A reader ends a subscription: no further period, or none from tomorrow with the unused days given back."""

from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.subscriptions.actions.invoicing import withdraw
from services.subscriptions.actions.version import bump
from services.subscriptions.rules.periods import Span, ended, unearned
from services.subscriptions.rules.subscriptions import Life, may_cancel
from services.subscriptions.tables import CreditRow, InvoiceRow, PeriodRow, SubscriptionRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import CreditedLine
from shared.contracts.subscriptions import CreditGranted
from shared.db import Tx, locked
from shared.errors import NotFound, Refused
from shared.money import Amount
from shared.outbox import emit


class NothingToCancel(Refused):
    """The subscription is over, or was cancelled already."""


class Cancelled(msgspec.Struct, frozen=True):
    """What the cancellation gave back, VAT included; none when it only stops renewal."""

    subscription: UUID
    credited_vnd: int


async def cancel(
    tx: Tx, subscription: UUID, *, person: UUID | None = None, at_once: bool = False
) -> Cancelled:
    """Stop renewal; `at_once` also ends access after today and credits the unused days.

    With `person` it must be theirs. Raises NotFound, NothingToCancel.
    """
    row = await locked(tx, SubscriptionRow, subscription)
    if row is None or (person is not None and row.person != person):
        raise NotFound("There is no such subscription.")
    today = local_day(clock.now())
    periods = list(
        await tx.scalars(sa.select(PeriodRow).where(PeriodRow.subscription == row.id).with_for_update())
    )
    life = Life(
        tuple(Span(p.start, p.until) for p in periods), False, row.cancelled_at is not None, row.renewal
    )
    if not may_cancel(msgspec.structs.replace(life, cancelled=life.cancelled and not at_once), today):
        raise NothingToCancel("This subscription is over or was cancelled already. Nothing was changed.")
    row.cancelled_at = row.cancelled_at or clock.now()
    row.renewal = False
    open_ones = await tx.scalars(
        sa.select(InvoiceRow)
        .where(
            InvoiceRow.subscription == row.id,
            InvoiceRow.captured_at.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
            InvoiceRow.outcome.is_(None),
        )
        .with_for_update()
    )
    for invoice in open_ones:
        await withdraw(tx, invoice, "cancelled")
    if not at_once:
        return Cancelled(row.id, 0)
    running = [p for p in periods if ended(Span(p.start, p.until), today).until < p.until]
    return Cancelled(row.id, sum([await _end(tx, period) for period in running]))


async def refund_offered(tx: Tx, subscription: UUID) -> int:
    """What `cancel(at_once=True)` would credit now, VAT included."""
    today = local_day(clock.now())
    periods = await tx.scalars(
        sa.select(PeriodRow).where(PeriodRow.subscription == subscription, PeriodRow.until > today)
    )
    return sum([(await unused(tx, period))[1].gross_vnd for period in periods])


async def unused(tx: Tx, period: PeriodRow) -> tuple[InvoiceRow, Amount]:
    """What ending a period today would give back; the page that offers it and the credit itself both ask here."""
    invoice = await tx.get_one(InvoiceRow, period.invoice)
    amount = unearned(
        Amount(invoice.net_vnd, invoice.vat_vnd),
        invoice.vat_class,  # type: ignore[arg-type]
        local_day(invoice.opened_at),
        Span(period.start, period.until),
        local_day(clock.now()),
    )
    return invoice, amount


async def _end(tx: Tx, period: PeriodRow) -> int:
    invoice, amount = await unused(tx, period)
    period.until = ended(Span(period.start, period.until), local_day(clock.now())).until
    period.change = await bump(tx)
    if amount.gross_vnd == 0:
        return 0
    credit = CreditRow(
        id=clock.new_id(),
        agency=invoice.agency,
        invoice=invoice.id,
        person=period.person,
        net_vnd=amount.net_vnd,
        vat_vnd=amount.vat_vnd,
        reason="cancelled",
        granted_at=clock.now(),
    )
    tx.add(credit)
    await tx.flush()
    await emit(
        tx,
        CreditGranted(
            agency=invoice.agency,
            credit=credit.id,
            invoice=invoice.id,
            reason="cancelled",
            lines=(CreditedLine(invoice.line, amount.net_vnd, amount.vat_vnd),),
        ),
    )
    return amount.gross_vnd
