"""Refunds: asked by a person or owed by a credit, approved, answered by the seller, closed by the gateway's word."""

from collections.abc import Iterable
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.actions.telling import buyer_of, record_act, tell_payer
from services.payments.queries.refunds import refund_view
from services.payments.rules import captures as money
from services.payments.rules import refunds as rules
from services.payments.rules.captures import Capture
from services.payments.rules.invoices import NotTheirs, owed_back
from services.payments.rules.proposals import NotAwaited
from services.payments.rules.refunds import Besides, Cause, Refund
from services.payments.tables import CaptureRow, CreditRow, InvoiceRow, RefundRow
from shared import clock
from shared.calendar import local_day, start_of
from shared.contracts import base
from shared.contracts.payments import RefundAsked, RefundCompleted, RefundFailed
from shared.db import Tx, locked
from shared.errors import NotAllowed, NotFound
from shared.outbox import emit


def refund_of(row: RefundRow) -> Refund:
    """The row as the rules see it."""
    return msgspec.convert(row, Refund, from_attributes=True)


def capture_of(row: CaptureRow) -> Capture:
    """The row as the rules see it."""
    return msgspec.convert(row, Capture, from_attributes=True)


async def ask_refund(
    tx: Tx, capture: UUID, amount_vnd: int, reason: str, by: UUID | None, *, key: UUID | None = None
) -> RefundRow:
    """Ask for part or all of a capture to go back: of what was sold by its seller, out of suspense at once.

    `by` is the person who asks, or who answers for the `key` by which it is asked. Raises NotFound, OfferOpen,
    StillWithSeller, or OverRefunded.
    """
    invoice, row = await _located(tx, capture)
    money.require_free(capture_of(row), clock.now())
    rules.require_answered(dropped=await _is_dropped(tx, invoice))
    refund = await _ask(tx, invoice, row, amount_vnd, cause="person", reason=reason, by=by, key=key)
    details = {"amount_vnd": amount_vnd, "reason": reason} | ({"key": str(key)} if key else {})
    await record_act(tx, row.agency, by, "refund.ask", refund.id, **details)
    return refund


async def _located(tx: Tx, capture: UUID) -> tuple[InvoiceRow, CaptureRow]:
    """Lock the invoice, then the capture: the order that everybody keeps."""
    invoice = await tx.scalar(sa.select(CaptureRow.invoice).where(CaptureRow.id == capture))
    if invoice is None:
        raise NotFound("There is no such payment.")
    return await locked(tx, InvoiceRow, invoice), await locked(tx, CaptureRow, capture)


async def _is_dropped(tx: Tx, invoice: InvoiceRow) -> bool:
    of_invoice = sa.select(CaptureRow.id).where(CaptureRow.invoice == invoice.id)
    dropped = sa.exists().where(RefundRow.capture.in_(of_invoice), RefundRow.state == "dropped")
    return bool(await tx.scalar(sa.select(dropped)))


async def _ask(
    tx: Tx,
    invoice: InvoiceRow,
    capture: CaptureRow,
    amount_vnd: int,
    *,
    cause: Cause,
    reason: str = "",
    by: UUID | None = None,
    key: UUID | None = None,
    credit: UUID | None = None,
    renews: RefundRow | None = None,
) -> RefundRow:
    now, refund = clock.now(), clock.new_id()
    if renews is not None:
        # Its part of the payment passes to the new one.
        capture.refunding_vnd -= renews.amount_vnd
    two = await _needs_two(tx, invoice, capture, amount_vnd, by, now) or (key is not None and by is None)
    row = RefundRow(
        id=refund,
        agency=capture.agency,
        capture=capture.id,
        cause=cause,
        credit=credit,
        renews=renews.id if renews is not None else None,
        amount_vnd=amount_vnd,
        reason=reason,
        state=rules.first_state(
            amount_vnd,
            capture.amount_vnd - capture.refunding_vnd,
            two=two,
            seller=capture.applied and credit is None,
        ),
        request=refund.hex,
        asked_by=by,
        asked_at=now,
        next_try_at=now,
        tries=0,
        response="",
        gateway_no="",
    )
    capture.refunding_vnd += amount_vnd
    tx.add(row)
    await tx.flush()
    await _go_on(tx, invoice, capture, row)
    return row


async def _needs_two(
    tx: Tx, invoice: InvoiceRow, capture: CaptureRow, amount_vnd: int, by: UUID | None, now: datetime
) -> bool:
    """Whether a second person must approve, by all that goes back besides; who asks at the same moment waits here."""
    if capture.rail == "trial":
        return False  # nothing came, so nothing has to go back
    # The payer's word before the asker's: a clerk who pays for something and asks for others is both.
    await tx.execute(_ONE_AT_A_TIME, {"who": f"payer:{invoice.buyer}"})
    if by is not None:
        await tx.execute(_ONE_AT_A_TIME, {"who": f"asker:{by}"})
    going = sa.select(sa.func.coalesce(sa.func.sum(RefundRow.amount_vnd), 0)).where(
        RefundRow.state.not_in(rules.GIVEN_UP)
    )
    of_payer = (
        sa.select(CaptureRow.id)
        .join(InvoiceRow, InvoiceRow.id == CaptureRow.invoice)
        .where(InvoiceRow.buyer == invoice.buyer)
    )
    sums = await tx.execute(
        sa.select(
            going.where(RefundRow.capture == capture.id).scalar_subquery().label("capture_vnd"),
            going.where(RefundRow.capture.in_(of_payer), RefundRow.asked_at > now - rules.PAYERS_DAYS)
            .scalar_subquery()
            .label("payer_vnd"),
            going.where(RefundRow.asked_by == by, RefundRow.asked_at >= start_of(local_day(now)))
            .where(sa.true() if by is not None else sa.false())
            .scalar_subquery()
            .label("asker_vnd"),
        )
    )
    found = {name: int(vnd) for name, vnd in sums.one()._mapping.items()}  # noqa: SLF001 - SQLAlchemy's name
    return rules.needs_two(amount_vnd, Besides(**found))


_ONE_AT_A_TIME = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:who, 7))")


async def _go_on(tx: Tx, invoice: InvoiceRow, capture: CaptureRow, row: RefundRow) -> None:
    """Do what a refund's new state asks for: its seller hears of it, or the trial's money is back by word alone."""
    now = clock.now()
    row.next_try_at = now
    if row.state == "approved":
        row.approved_at = now
        asked = RefundAsked(
            agency=row.agency,
            refund=row.id,
            payment=capture.id,
            invoice=invoice.id,
            seller=invoice.seller,
            amount_vnd=row.amount_vnd,
            reason=row.reason,
            by=row.asked_by,
        )
        await emit(tx, asked)
    elif row.state == "due" and capture.rail == "trial":
        await settle(tx, invoice, capture, row, "completed")


async def refund_what_is_owed(
    tx: Tx, invoice: InvoiceRow, credit: UUID | None = None, by: UUID | None = None
) -> None:
    """Ask for what was captured of a locked invoice beyond what is owed after its credits.

    Called where a credit arrives, where money arrives and where a refund is given up, so that their order does not
    matter.
    """
    credits_ = await _credits(tx, invoice)
    if not credits_:
        return
    captures = await _applied(tx, invoice)
    owed = _owed(invoice, credits_, captures)
    for row in captures:
        part = min(owed, row.amount_vnd - row.refunding_vnd)
        if part > 0:
            last = credits_[-1]
            await _ask(
                tx,
                invoice,
                row,
                part,
                cause="credit",
                by=by if credit else last.granted_by,
                credit=credit or last.id,
            )
            owed -= part


async def _credits(tx: Tx, invoice: InvoiceRow) -> list[CreditRow]:
    query = sa.select(CreditRow).where(CreditRow.invoice == invoice.id).order_by(CreditRow.id)
    return list(await tx.scalars(query))


async def _applied(tx: Tx, invoice: InvoiceRow) -> list[CaptureRow]:
    query = sa.select(CaptureRow).where(CaptureRow.invoice == invoice.id, CaptureRow.applied)
    return list(await tx.scalars(query.order_by(CaptureRow.id).with_for_update()))


def _owed(invoice: InvoiceRow, credits_: Iterable[CreditRow], captures: Iterable[CaptureRow]) -> int:
    rows = list(captures)
    return owed_back(
        invoice.total_vnd,
        sum(credit.amount_vnd for credit in credits_),
        sum(row.amount_vnd for row in rows),
        sum(row.refunding_vnd for row in rows),
    )


async def return_declined(tx: Tx, invoice: InvoiceRow, capture: CaptureRow) -> None:
    """Send back what its seller did not want; above the threshold somebody approves by whose deed it is not."""
    left_vnd = capture.amount_vnd - capture.refunding_vnd
    if left_vnd > 0:
        await _ask(tx, invoice, capture, left_vnd, cause="declined", by=capture.answered_by)


async def hear_granted(tx: Tx, invoice: InvoiceRow, fact: base.CreditGranted) -> None:
    """The seller's credit answers what was asked: so much as it owes goes back, the rest was asked for nothing.

    What no longer waits for it is answered already; then the credit is one like any other.
    """
    found = await _asked(tx, invoice, fact.refund)
    if found is None:
        return
    row, capture = found
    if row.state != "dropped":
        capture.refunding_vnd -= row.amount_vnd
    owed_vnd = _owed(invoice, await _credits(tx, invoice), await _applied(tx, invoice))
    row.state, row.amount_vnd = rules.granted(refund_of(row), owed_vnd)
    if row.state == "refused":
        row.ended_at = clock.now()
        return
    row.credit, row.ended_at = fact.credit, None
    capture.refunding_vnd += row.amount_vnd
    await _go_on(tx, invoice, capture, row)


async def hear_refused(tx: Tx, invoice: InvoiceRow, fact: base.RefundRefused) -> None:
    """The seller does not take back what was asked: nothing goes, and whoever asked sees why."""
    found = await _asked(tx, invoice, fact.refund)
    if found is not None:
        row, capture = found
        row.response = fact.reason
        await _give_up(tx, invoice, capture, row, "refused")


async def _asked(tx: Tx, invoice: InvoiceRow, refund: UUID | None) -> tuple[RefundRow, CaptureRow] | None:
    """A refund that its seller may answer; None for one that has its answer. Raises NotTheirs for any other."""
    of_invoice = sa.select(RefundRow.capture).join(CaptureRow, CaptureRow.id == RefundRow.capture)
    capture = await tx.scalar(of_invoice.where(RefundRow.id == refund, CaptureRow.invoice == invoice.id))
    if capture is None:
        raise NotTheirs(f"Nobody asked for the refund {refund} of invoice {invoice.number}.")
    held: CaptureRow = await locked(tx, CaptureRow, capture)
    row: RefundRow = await locked(tx, RefundRow, refund)
    return (row, held) if row.state in rules.WITH_SELLER else None


async def _give_up(
    tx: Tx, invoice: InvoiceRow, capture: CaptureRow, row: RefundRow, state: rules.State
) -> None:
    """End a refund by which nothing goes back; what was kept for it is owed where a credit or a no came meanwhile."""
    kept = row.state != "dropped"
    row.state, row.ended_at = state, clock.now()
    if refund_of(row).waits_for_renewal or not kept:
        return
    capture.refunding_vnd -= row.amount_vnd
    if capture.answer == "declined":
        await return_declined(tx, invoice, capture)
    await refund_what_is_owed(tx, invoice)


async def decide_refund(tx: Tx, refund: UUID, by: UUID, *, good: bool) -> RefundRow:
    """Approve or reject as the second person. Raises NotFound, NotAwaited, or SamePerson."""
    invoice, capture, row = await with_capture(tx, refund)
    seller = capture.applied and row.credit is None
    owed_by = (await refund_view(tx, refund)).owed_by
    state = rules.approved(refund_of(row), by, good=good, seller=seller, owed_by=owed_by)
    act = "refund.approve" if good else "refund.withdraw" if by == row.asked_by else "refund.reject"
    await record_act(tx, row.agency, by, act, row.id, amount_vnd=row.amount_vnd)
    if good:
        row.state, row.approved_by = state, by
        await _go_on(tx, invoice, capture, row)
    else:
        await _give_up(tx, invoice, capture, row, state)
    return row


async def withdraw_refund(tx: Tx, refund: UUID, by: UUID) -> RefundRow:
    """Take back what one asked for and nobody has approved. Raises NotFound, NotAllowed, NotAwaited."""
    row = await tx.get(RefundRow, refund)
    if row is not None and row.asked_by != by:
        raise NotAllowed("Only who asked takes it back.")
    return await decide_refund(tx, refund, by, good=False)


async def drop_refund(tx: Tx, refund: UUID, by: UUID) -> None:
    """No longer wait for a seller that is silent: nothing goes now, and what it credits later still does.

    One person may, for no money moves by it. Raises NotFound, or NotAwaited.
    """
    invoice, capture, row = await with_capture(tx, refund)
    rules.require_silent(refund_of(row), clock.now())
    await record_act(tx, row.agency, by, "refund.drop", row.id, amount_vnd=row.amount_vnd)
    await _give_up(tx, invoice, capture, row, "dropped")


async def unclear_at(tx: Tx, refund: UUID) -> str:
    """Whose refund it is of which nobody knows whether it went. Raises NotFound, or NotAwaited."""
    row = await tx.get(RefundRow, refund)
    if row is None:
        raise NotFound("There is no such refund.")
    rules.require_unclear(refund_of(row))
    return row.agency


async def clear_refund(tx: Tx, refund: UUID, *, went: bool) -> None:
    """Close a refund by what two persons found at the gateway. Raises NotFound, or NotAwaited."""
    invoice, capture, row = await with_capture(tx, refund)
    await settle(tx, invoice, capture, row, rules.cleared(refund_of(row), went=went))


async def renew_refund(tx: Tx, refund: UUID, by: UUID) -> RefundRow:
    """Ask anew for what failed, or was rejected though it is owed, once. Raises NotFound, or NotAwaited."""
    invoice, capture, row = await with_capture(tx, refund)
    rules.require_renewable(refund_of(row))
    if await tx.scalar(sa.select(sa.exists().where(RefundRow.renews == row.id))):
        raise NotAwaited("This refund is on its way again already.")
    cause: Cause = row.cause  # type: ignore[assignment]
    anew = await _ask(
        tx,
        invoice,
        capture,
        row.amount_vnd,
        cause=cause,
        reason=row.reason,
        by=by,
        credit=row.credit,
        renews=row,
    )
    await record_act(tx, row.agency, by, "refund.renew", anew.id, amount_vnd=row.amount_vnd)
    return anew


async def with_capture(tx: Tx, refund: UUID) -> tuple[InvoiceRow, CaptureRow, RefundRow]:
    """Lock the invoice, the capture, then the refund."""
    capture = await tx.scalar(sa.select(RefundRow.capture).where(RefundRow.id == refund))
    if capture is None:
        raise NotFound("There is no such refund.")
    return *await _located(tx, capture), await locked(tx, RefundRow, refund)


async def settle(
    tx: Tx, invoice: InvoiceRow, capture: CaptureRow, row: RefundRow, state: rules.State
) -> None:
    """Write how a locked refund ended, and tell. One that failed keeps its part of the payment: it is still owed."""
    row.state = state
    if state == "unclear":
        return
    row.ended_at = clock.now()
    if state == "completed":
        done = RefundCompleted(
            agency=row.agency,
            refund=row.id,
            payment=capture.id,
            invoice=capture.invoice,
            rail=capture.rail,  # type: ignore[arg-type]
            amount_vnd=row.amount_vnd,
            credit=row.credit,
            buyer=buyer_of(invoice),
            reference=row.gateway_no,
        )
        await emit(tx, done)
        await tell_payer(tx, invoice, "returned", row.amount_vnd)
        return
    failed = RefundFailed(
        agency=row.agency,
        refund=row.id,
        payment=capture.id,
        rail=capture.rail,  # type: ignore[arg-type]
        amount_vnd=row.amount_vnd,
        reason=row.response or "not-sent",
    )
    await emit(tx, failed)
    await tell_payer(tx, invoice, "failed", row.amount_vnd)
