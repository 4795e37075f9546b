"""Refunds on their way: sent with the same request in every try, closed by the gateway's own answer."""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.payments.actions.refunds import settle, with_capture
from services.payments.rules import refunds as rules
from services.payments.rules import vnpay
from services.payments.tables import AttemptRow, CaptureRow, RefundRow
from shared.db import Tx

IS_DUE = "SELECT EXISTS (SELECT FROM refund WHERE state IN ('due', 'sent') AND next_try_at <= %(now)s) AS due"


async def take_refunds_to_send(
    tx: Tx, known: dict[str, vnpay.Terminal], now: datetime, limit: int = 20
) -> list[vnpay.Call]:
    """Mark refunds that are due as sent and return their requests; the caller commits, then asks the gateway.

    One that was tried often enough becomes unclear, and is looked up by people.
    """
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
    calls = []
    for row in rows:
        capture = await tx.get_one(CaptureRow, row.capture)
        attempt = await tx.get_one(AttemptRow, capture.attempt)
        row.tries += 1
        # Until an answer comes, the outcome is unknown: should we fall over now, the same request goes again.
        row.state, row.next_try_at = rules.unanswered(row.tries, now)
        if row.state == "sent":
            calls.append(vnpay.Call(row.id, _request(row, capture, attempt, known[attempt.terminal])))
    return calls


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
    tx: Tx, known: dict[str, vnpay.Terminal], order: vnpay.Call, answer: dict[str, Any]
) -> None:
    """Close a refund by the gateway's answer. Raises BadSignature for one that cannot be believed."""
    terminal = known[order.body["vnp_TmnCode"]]
    if not vnpay.pipe_holds(terminal.secret, answer, vnpay.REFUND_ANSWER):
        raise vnpay.BadSignature("The answer to the refund bears no good signature.")
    invoice, capture, row = await with_capture(tx, order.about)
    if row.state != "sent":
        return
    code = answer.get("vnp_ResponseCode", "")
    row.response = code
    row.gateway_no = answer.get("vnp_TransactionNo", "")
    await settle(tx, invoice, capture, row, rules.answered(code, answer.get("vnp_TransactionStatus", "")))
