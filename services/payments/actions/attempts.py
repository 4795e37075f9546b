"""Attempts: started by the buyer, ended by VNPay's notification, by its answer to our question, or by a person."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog

from services.payments.actions.captures import capture
from services.payments.actions.invoices import close_if_over, invoice_of
from services.payments.actions.notifications import Reply, note
from services.payments.rules import attempts as rules
from services.payments.rules import vnpay
from services.payments.rules.attempts import Attempt
from services.payments.rules.invoices import require_payable, still_owed
from services.payments.rules.vnpay import Call, Terminal
from services.payments.tables import (
    AttemptRow,
    CaptureRow,
    CreditRow,
    InvoiceRow,
    ProposalRow,
    RailRow,
)
from shared import clock
from shared.contracts.base import Rail
from shared.db import Tx, locked
from shared.errors import NotFound, Refused
from shared.observe import REFUSED_NOTIFICATIONS

log = structlog.get_logger()


class RailOff(Refused):
    """The agency has not switched this way of paying on."""


def attempt_of(row: AttemptRow) -> Attempt:
    """The row as the rules see it."""
    return msgspec.convert(row, Attempt, from_attributes=True)


async def start_vnpay(
    tx: Tx, known: dict[str, Terminal], base_url: str, invoice: UUID, address: str, language: str
) -> str:
    """Begin an attempt, or go on with the one under way; returns VNPay's path and query for the buyer.

    Raises NotFound, a refusal of the invoice's state, AttemptUnderWay while an outcome is being asked for, RailOff.
    """
    row: InvoiceRow | None = await locked(tx, InvoiceRow, invoice)
    if row is None:
        raise NotFound("There is no such invoice, or it has not arrived yet.")
    now = clock.now()
    require_payable(invoice_of(row), now)
    terminal = vnpay.terminal_of(known, row.agency)
    attempt, switched_on, credited_vnd = await _so_far(tx, row)
    if terminal is None or not switched_on:
        raise RailOff("This agency does not take VNPay.")
    if attempt is None:
        owed_vnd = still_owed(row.total_vnd, credited_vnd)
        attempt = await new_attempt(
            tx, row, "vnpay", terminal.code, owed_vnd, vnpay.address(address), language, now
        )
    else:
        rules.may_go_on(attempt_of(attempt), now)
    return _pay_address(row, attempt, terminal, base_url)


async def _so_far(tx: Tx, invoice: InvoiceRow) -> tuple[AttemptRow | None, bool, int]:
    """Of a locked invoice: the attempt under way, whether its agency takes VNPay, and what was credited."""
    off = sa.exists().where(RailRow.agency == invoice.agency, RailRow.rail == "vnpay", ~RailRow.switched_on)
    credited = sa.select(sa.func.coalesce(sa.func.sum(CreditRow.amount_vnd), 0))
    under_way = sa.and_(AttemptRow.invoice == InvoiceRow.id, AttemptRow.state.in_(("open", "held")))
    found = await tx.execute(
        sa.select(AttemptRow, ~off, credited.where(CreditRow.invoice == invoice.id).scalar_subquery())
        .select_from(InvoiceRow)
        .outerjoin(AttemptRow, under_way)
        .where(InvoiceRow.id == invoice.id)
        # The bank may hold money of an earlier one while another is open: held comes first, and nobody pays more.
        .order_by(AttemptRow.state)
        .limit(1)
    )
    attempt, switched_on, credited_vnd = found.one()
    return attempt, switched_on, int(credited_vnd)


async def new_attempt(
    tx: Tx,
    invoice: InvoiceRow,
    rail: Rail,
    terminal: str,
    owed_vnd: int,
    address: str,
    language: str,
    now: datetime,
) -> AttemptRow:
    """Begin an attempt at what is owed of a locked invoice."""
    attempt = clock.new_id()
    expires_at = now + rules.LASTS
    row = AttemptRow(
        id=attempt,
        agency=invoice.agency,
        invoice=invoice.id,
        rail=rail,
        state="open",
        amount_vnd=owed_vnd,
        terminal=terminal,
        reference=attempt.hex,
        address=address,
        language=language,
        started_at=now,
        expires_at=expires_at,
        next_ask_at=rules.next_ask(expires_at, now),
        asks=0,
        response="",
        gateway_no="",
        bank="",
    )
    tx.add(row)
    await tx.flush()
    return row


def _pay_address(invoice: InvoiceRow, attempt: AttemptRow, terminal: Terminal, base_url: str) -> str:
    stream = str(invoice.lines[0]["stream"])
    params = {
        "vnp_Version": vnpay.VERSION,
        "vnp_Command": "pay",
        "vnp_TmnCode": terminal.code,
        "vnp_Amount": str(attempt.amount_vnd * 100),
        "vnp_CreateDate": vnpay.moment(attempt.started_at),
        "vnp_ExpireDate": vnpay.moment(attempt.expires_at),
        "vnp_CurrCode": "VND",
        "vnp_IpAddr": attempt.address,
        "vnp_Locale": "en" if attempt.language == "en" else "vn",
        "vnp_OrderInfo": vnpay.plain(f"Thanh toan {invoice.number}"),
        "vnp_OrderType": vnpay.ORDER_TYPES.get(stream, "other"),
        "vnp_ReturnUrl": f"{base_url}/gateway/vnpay/return",
        "vnp_TxnRef": attempt.reference,
    }
    return f"{vnpay.PAY_PATH}?{vnpay.signed_query(terminal.secret, params)}"


async def hear_vnpay(tx: Tx, known: dict[str, Terminal], raw: str, address: str) -> Reply:
    """Take an IPN as it was received: verify, record, conclude; returns the reply to send after the commit."""
    try:
        said = vnpay.notification(vnpay.opened_query(raw, known))
    except vnpay.BadSignature:
        return await note(tx, raw, address, "97", "bad-signature")
    found = await _attempt(tx, said.reference, said.gateway_no)
    if found is None or found[1].terminal != said.terminal:
        reason = "unknown-order" if found is None else "foreign-terminal"
        return await note(tx, raw, address, "01", reason, known[said.terminal].agency)
    invoice, attempt, is_known = found
    code, reason = await _hear(tx, invoice, attempt, said, is_known=is_known)
    return await note(tx, raw, address, code, reason, attempt.agency, attempt.id)


async def _attempt(
    tx: Tx, reference: str, gateway_no: str = ""
) -> sa.Row[InvoiceRow, AttemptRow, bool] | None:
    """Lock the invoice and its attempt; beside them, whether money is booked already under the gateway's number.

    What another order books under it at this very moment is not seen; the database takes a number once.
    """
    is_known = sa.exists().where(CaptureRow.rail == "vnpay", CaptureRow.gateway_no == gateway_no)
    found = await tx.execute(
        sa.select(InvoiceRow, AttemptRow, is_known)
        .join(AttemptRow, AttemptRow.invoice == InvoiceRow.id)
        .where(AttemptRow.reference == reference)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    return found.first()


async def _hear(
    tx: Tx, invoice: InvoiceRow, attempt: AttemptRow, said: vnpay.Notification, *, is_known: bool
) -> tuple[str, str]:
    if said.amount_vnd != attempt.amount_vnd:
        return "04", "wrong-amount"
    taken = said.verdict in ("paid", "suspect")
    if said.verdict == "unfinished" or (taken and not _numbered(said)):
        return "99", "unfinished"
    try:
        state = rules.heard(attempt_of(attempt), said.verdict)
    except rules.AlreadyConcluded:
        return "02", "repeated"
    if taken and is_known:
        return "99", "transaction-of-another-order"
    await _conclude(tx, invoice, attempt, state, said)
    return "00", said.verdict


def _numbered(said: vnpay.Notification) -> bool:
    return said.gateway_no not in ("", "0")


async def _conclude(
    tx: Tx, invoice: InvoiceRow, attempt: AttemptRow, state: rules.State, said: vnpay.Notification | None
) -> None:
    """Write how a locked attempt ended, book its money, and close the invoice where it waited only for this."""
    now = clock.now()
    if attempt.state == "held":
        await _drop_proposals(tx, attempt, now)
    attempt.state = state
    attempt.ended_at = None if state in ("open", "held") else now
    if said is not None:
        attempt.response, attempt.gateway_no, attempt.bank = said.response, said.gateway_no, said.bank
        attempt.paid_at = said.paid_at
    if state == "paid":
        await capture(tx, invoice, attempt, attempt.gateway_no, attempt.paid_at or now)
    await close_if_over(tx, invoice, now)


async def _drop_proposals(tx: Tx, attempt: AttemptRow, now: datetime) -> None:
    """Nobody has to decide any more what the bank has told meanwhile."""
    await tx.execute(
        sa.update(ProposalRow)
        .where(
            ProposalRow.act == "held",
            ProposalRow.about == str(attempt.id),
            ProposalRow.decided_at.is_(None),
        )
        .values(decided_at=now, agreed=False)
    )


async def note_return(tx: Tx, reference: str, now: datetime) -> tuple[UUID, str, int] | None:
    """The buyer came back: ask the bank soon should its notification not come. Changes no outcome.

    Returns the invoice, its agency and the amount for the signed link; None for an unknown reference.
    """
    row = await tx.scalar(sa.select(AttemptRow).where(AttemptRow.reference == reference))
    if row is None:
        return None
    if row.state == "open" and row.asks == 0:
        await tx.execute(
            sa.update(AttemptRow)
            .where(AttemptRow.id == row.id, AttemptRow.state == "open")
            .values(next_ask_at=sa.func.least(AttemptRow.next_ask_at, now + rules.ASK_SOON))
        )
    return row.invoice, row.agency, row.amount_vnd


async def ask_at_once(tx: Tx, known: dict[str, Terminal], now: datetime) -> None:
    """Let all that is open be asked for now: what VNPay told while nobody was there it may tell no more."""
    await tx.execute(
        sa.update(AttemptRow)
        .where(AttemptRow.state == "open", AttemptRow.next_ask_at > now, AttemptRow.terminal.in_(known))
        .values(next_ask_at=now)
    )


IS_DUE = "SELECT EXISTS (SELECT FROM attempt WHERE state = 'open' AND next_ask_at <= %(now)s) AS due"


async def take_questions(tx: Tx, known: dict[str, Terminal], now: datetime, limit: int = 20) -> list[Call]:
    """Choose attempts whose outcome is due to be asked for, and plan the question after this one."""
    rows = (
        await tx.scalars(
            sa.select(AttemptRow)
            .where(AttemptRow.state == "open", AttemptRow.next_ask_at <= now, AttemptRow.terminal.in_(known))
            .order_by(AttemptRow.next_ask_at)
            .limit(limit)
            .with_for_update(skip_locked=True)
        )
    ).all()
    for row in rows:
        row.asks += 1
        row.next_ask_at = rules.next_ask(row.expires_at, now)
    return [Call(row.id, _question(row, known[row.terminal], now)) for row in rows]


def _question(row: AttemptRow, terminal: Terminal, now: datetime) -> dict[str, str]:
    params = {
        "vnp_RequestId": clock.new_id().hex,
        "vnp_Version": vnpay.VERSION,
        "vnp_Command": "querydr",
        "vnp_TmnCode": terminal.code,
        "vnp_TxnRef": row.reference,
        "vnp_OrderInfo": vnpay.plain(f"Truy van {row.reference}"),
        "vnp_TransactionDate": vnpay.moment(row.started_at),
        "vnp_CreateDate": vnpay.moment(now),
        "vnp_IpAddr": "127.0.0.1",
    }
    return vnpay.with_pipe_hash(terminal.secret, params, vnpay.QUERY_REQUEST)


async def hear_answer(tx: Tx, known: dict[str, Terminal], question: Call, answer: dict[str, Any]) -> None:
    """Conclude an attempt from VNPay's answer. Raises BadSignature for one that cannot be believed.

    An answer about another amount, or an error code, concludes nothing: the next question is planned already.
    """
    terminal = known[question.body["vnp_TmnCode"]]
    if not vnpay.pipe_holds(terminal.secret, answer, vnpay.QUERY_ANSWER):
        raise vnpay.BadSignature("The answer to the question bears no good signature.")
    found = await _attempt(tx, question.body["vnp_TxnRef"])
    code = str(answer.get("vnp_ResponseCode", ""))
    if found is None or found[1].state != "open" or code not in ("00", "91"):
        return
    invoice, attempt, _ = found
    fields = {name: str(value) for name, value in answer.items()}
    said = vnpay.notification(fields) if code == "00" else None
    if said is not None and _unfit(attempt, said):
        REFUSED_NOTIFICATIONS.labels("vnpay", "unfit-answer").inc()
        log.warning("the answer does not fit the attempt", attempt=str(attempt.id), asks=attempt.asks)
        return
    verdict = said.verdict if said is not None else "unfinished"
    state = rules.answered(
        attempt_of(attempt), known_there=said is not None, verdict=verdict, now=clock.now()
    )
    if state != attempt.state:
        await _conclude(tx, invoice, attempt, state, said)


def _unfit(attempt: AttemptRow, said: vnpay.Notification) -> bool:
    taken = said.verdict in ("paid", "suspect")
    return (
        said.reference != attempt.reference
        or (taken and said.amount_vnd != attempt.amount_vnd)
        or (taken and not _numbered(said))
    )


async def held_at(tx: Tx, attempt: UUID) -> str:
    """Whose attempt it is whose money the gateway suspects. Raises NotFound, NothingHeld."""
    row = await tx.get(AttemptRow, attempt)
    if row is None:
        raise NotFound("There is no such attempt.")
    rules.decided(attempt_of(row), good=True)
    return row.agency


async def lock(tx: Tx, attempt: UUID) -> tuple[InvoiceRow, AttemptRow]:
    """Lock an attempt with its invoice. Raises NotFound."""
    reference = await tx.scalar(sa.select(AttemptRow.reference).where(AttemptRow.id == attempt))
    found = await _attempt(tx, reference) if reference else None
    if found is None:
        raise NotFound("There is no such attempt.")
    return found[0], found[1]


async def decide_held(tx: Tx, attempt: UUID, by: UUID, *, good: bool) -> AttemptRow:
    """Take suspect money, or call the attempt failed, as two persons agreed. Raises NotFound, NothingHeld."""
    invoice, row = await lock(tx, attempt)
    state = rules.decided(attempt_of(row), good=good)
    row.decided_by = by
    await _conclude(tx, invoice, row, state, None)
    return row
