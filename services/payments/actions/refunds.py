"""Refunds: asked by a person or owed by a credit, approved, sent by a job, closed by the gateway's own answer."""

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.rules import refunds as rules
from services.payments.rules import vnpay
from services.payments.rules.invoices import owed_back
from services.payments.rules.refunds import Refund
from services.payments.tables import AttemptRow, CaptureRow, CreditRow, InvoiceRow, RefundRow
from shared import clock
from shared.contracts.payments import RefundCompleted, RefundFailed
from shared.db import Tx, locked
from shared.errors import NotFound
from shared.outbox import emit


class RefundOrder(msgspec.Struct, frozen=True):
    """A refund to send: its row's id and the signed request, the same in every try."""

    refund: UUID
    request: dict[str, str]


def refund_of(row: RefundRow) -> Refund:
    """The row as the rules see it."""
    return msgspec.convert(row, Refund, from_attributes=True)


async def ask_refund(tx: Tx, capture: UUID, amount_vnd: int, reason: str, by: UUID | None) -> RefundRow:
    """Ask for part or all of a capture to go back. Raises NotFound, or OverRefunded."""
    row: CaptureRow | None = await locked(tx, CaptureRow, capture)
    if row is None:
        raise NotFound("There is no such payment.")
    return await _ask(tx, row, amount_vnd, reason, by, None)


async def _ask(
    tx: Tx, capture: CaptureRow, amount_vnd: int, reason: str, by: UUID | None, credit: UUID | None
) -> RefundRow:
    now = clock.now()
    refund = clock.new_id()
    row = RefundRow(
        id=refund,
        agency=capture.agency,
        capture=capture.id,
        credit=credit,
        amount_vnd=amount_vnd,
        reason=reason,
        state=rules.first_state(amount_vnd, capture.amount_vnd - capture.refunding_vnd),
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
    if capture.rail == "trial":
        # Nothing came, so nothing has to go back: no gateway is asked and nobody has to approve.
        await _settle(tx, row, capture, "completed")
    return row


async def refund_what_is_owed(tx: Tx, invoice: InvoiceRow, credit: UUID | None = None) -> None:
    """Ask for what was captured of a locked invoice beyond what is owed after its credits.

    Called where a credit arrives and where money arrives, so that their order does not matter.
    """
    credits_ = (
        await tx.scalars(sa.select(CreditRow).where(CreditRow.invoice == invoice.id).order_by(CreditRow.id))
    ).all()
    if not credits_:
        return
    captures = (
        await tx.scalars(
            sa.select(CaptureRow)
            .where(CaptureRow.invoice == invoice.id, CaptureRow.applied)
            .order_by(CaptureRow.id)
            .with_for_update()
        )
    ).all()
    owed = owed_back(
        invoice.total_vnd,
        sum(credit.amount_vnd for credit in credits_),
        sum(row.amount_vnd for row in captures),
        sum(row.refunding_vnd for row in captures),
    )
    for row in captures:
        part = min(owed, row.amount_vnd - row.refunding_vnd)
        if part > 0:
            await _ask(tx, row, part, "credit", None, credit or credits_[-1].id)
            owed -= part


async def decide_refund(tx: Tx, refund: UUID, by: UUID, *, good: bool) -> RefundRow:
    """Approve or reject a refund above the threshold. Raises NotFound, NotAwaited, or SamePerson."""
    row, capture = await _with_capture(tx, refund)
    row.state = rules.approved(refund_of(row), by, good=good)
    row.approved_by = by if good else None
    row.next_try_at = clock.now()
    if row.state == "rejected":
        row.ended_at = clock.now()
        capture.refunding_vnd -= row.amount_vnd
    return row


async def clear_refund(tx: Tx, refund: UUID, *, went: bool) -> RefundRow:
    """Close a refund whose outcome a person has looked up at the gateway. Raises NotFound, or NotAwaited."""
    row, capture = await _with_capture(tx, refund)
    await _settle(tx, row, capture, rules.cleared(refund_of(row), went=went))
    return row


async def renew_refund(tx: Tx, refund: UUID, by: UUID) -> RefundRow:
    """Ask anew for a refund that failed, for the same credit. Raises NotFound, NotAwaited, or OverRefunded."""
    row, capture = await _with_capture(tx, refund)
    rules.require_failed(refund_of(row))
    renewed = sa.exists().where(
        RefundRow.credit == row.credit,
        RefundRow.capture == capture.id,
        RefundRow.state.not_in(rules.GIVEN_UP),
    )
    if row.credit is not None and await tx.scalar(sa.select(renewed)):
        raise rules.NotAwaited("This refund is on its way again already.")
    return await _ask(tx, capture, row.amount_vnd, row.reason, by, row.credit)


async def _with_capture(tx: Tx, refund: UUID) -> tuple[RefundRow, CaptureRow]:
    """Lock the capture, then the refund: the order that everybody keeps."""
    capture = await tx.scalar(sa.select(RefundRow.capture).where(RefundRow.id == refund))
    if capture is None:
        raise NotFound("There is no such refund.")
    held: CaptureRow = await locked(tx, CaptureRow, capture)
    row: RefundRow = await locked(tx, RefundRow, refund)
    return row, held


async def take_refunds_to_send(
    tx: Tx, known: dict[str, vnpay.Terminal], now: datetime, limit: int = 20
) -> list[RefundOrder]:
    """Mark refunds that are due as sent and return their requests; the caller commits, then asks the gateway."""
    rows = (
        await tx.scalars(
            sa.select(RefundRow)
            .join(CaptureRow, CaptureRow.id == RefundRow.capture)
            .join(AttemptRow, AttemptRow.id == CaptureRow.attempt)
            .where(
                RefundRow.state.in_(("due", "sent")),
                RefundRow.next_try_at <= now,
                AttemptRow.terminal.in_(known),
            )
            .order_by(RefundRow.next_try_at)
            .limit(limit)
            .with_for_update(of=RefundRow, skip_locked=True)
        )
    ).all()
    orders = []
    for row in rows:
        capture = await tx.get_one(CaptureRow, row.capture)
        attempt = await tx.get_one(AttemptRow, capture.attempt)
        row.tries += 1
        # Until an answer comes, the outcome is unknown: should we fall over now, the same request goes again.
        row.state, row.next_try_at = rules.unanswered(row.tries, now)
        if row.state == "sent":
            orders.append(RefundOrder(row.id, _request(row, capture, attempt, known[attempt.terminal])))
    return orders


def _request(
    row: RefundRow, capture: CaptureRow, attempt: AttemptRow, terminal: vnpay.Terminal
) -> dict[str, str]:
    full = row.amount_vnd == capture.amount_vnd
    params = {
        "vnp_RequestId": row.request,
        "vnp_Version": vnpay.VERSION,
        "vnp_Command": "refund",
        "vnp_TmnCode": terminal.code,
        "vnp_TransactionType": "02" if full else "03",
        "vnp_TxnRef": attempt.reference,
        "vnp_Amount": str(row.amount_vnd * 100),
        "vnp_TransactionNo": capture.gateway_no,
        "vnp_TransactionDate": vnpay.moment(attempt.started_at),
        "vnp_CreateBy": row.asked_by.hex if row.asked_by else "nguonthu",
        "vnp_CreateDate": vnpay.moment(row.asked_at),
        "vnp_IpAddr": "127.0.0.1",
        "vnp_OrderInfo": vnpay.plain(f"Hoan tien {row.request}"),
    }
    return vnpay.with_pipe_hash(terminal.secret, params, vnpay.REFUND_REQUEST)


async def hear_refund_answer(
    tx: Tx, known: dict[str, vnpay.Terminal], order: RefundOrder, answer: dict[str, str]
) -> None:
    """Close a refund by the gateway's answer. Raises BadSignature for one that cannot be believed."""
    terminal = known[order.request["vnp_TmnCode"]]
    if not vnpay.pipe_holds(terminal.secret, answer, vnpay.REFUND_ANSWER):
        raise vnpay.BadSignature("The answer to the refund bears no good signature.")
    row, capture = await _with_capture(tx, order.refund)
    if row.state != "sent":
        return
    code = answer.get("vnp_ResponseCode", "")
    row.response = code
    row.gateway_no = answer.get("vnp_TransactionNo", "")
    await _settle(tx, row, capture, rules.answered(code, answer.get("vnp_TransactionStatus", "")))


async def _settle(tx: Tx, row: RefundRow, capture: CaptureRow, state: rules.State) -> None:
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
        )
        await emit(tx, done)
        return
    capture.refunding_vnd -= row.amount_vnd
    failed = RefundFailed(
        agency=row.agency,
        refund=row.id,
        payment=capture.id,
        rail=capture.rail,  # type: ignore[arg-type]
        amount_vnd=row.amount_vnd,
        reason=row.response or "not-sent",
    )
    await emit(tx, failed)
