"""VNPay played by ourselves: its own books, its signatures, its repeats, and the faults it is told to make."""

import asyncio
from datetime import datetime, timedelta
from typing import Annotated, Literal

import httpx
import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.payments import gateways
from services.payments.rules import vnpay
from services.payments.rules.vnpay import Terminal
from services.payments.tables import SimBehaviourRow, SimRefundRow, SimTransactionRow
from shared import clock
from shared.db import Tx, locked
from shared.errors import NotFound, Refused
from shared.kit import Kit

IPN_PATH = "/gateway/vnpay/ipn"
REPEAT_AFTER = timedelta(seconds=2)
"""VNPay itself waits five minutes; here nobody should have to."""

REPEATS_MAX = 10
HELD_BACK = timedelta(seconds=2)
SEND_TIMEOUT_S = 10
BATCH = 50

Choice = Literal["pay", "suspect", "cancel", "funds", "otp"]
OUTCOMES: dict[str, tuple[str, str, str]] = {
    "pay": ("paid", "00", "00"),
    "suspect": ("suspect", "07", "07"),
    "cancel": ("failed", "24", "02"),
    "funds": ("failed", "51", "02"),
    "otp": ("failed", "13", "02"),
    "refuse": ("failed", "75", "02"),
    "expire": ("failed", "11", "02"),
}
"""State, response code and transaction status by what the buyer chose."""


class Behaviour(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the simulator has been told to do wrong; by default nothing."""

    duplicate: Annotated[int, msgspec.Meta(ge=0, le=20)] = 0
    """Send each notification so many times more, all at once."""
    delay_s: Annotated[float, msgspec.Meta(ge=0, le=3600)] = 0
    """Send notifications so much later."""
    reorder: bool = False
    """Hold notifications back and send the newest first."""
    forge: bool = False
    """Before each true notification send one with an altered amount and one signed by a stranger."""
    lose_reply: bool = False
    """Never hear our reply, and so repeat what was confirmed."""
    silent: bool = False
    """Send no notification at all."""
    refuse: bool = False
    """Decline payments (75) and refunds (status 09)."""
    lose_answer: bool = False
    """Do what querydr and refund ask, then answer with a time-out."""


class Unpayable(Refused, status=422):
    """The pay request contradicts itself or what came before."""


class Totals(msgspec.Struct, frozen=True):
    """The simulator's own books in one line."""

    count: int
    amount_vnd: int
    refunded_vnd: int
    suspect_vnd: int
    by_terminal: dict[str, int]


async def behaviour(tx: Tx) -> Behaviour:
    row = await tx.get(SimBehaviourRow, 1)
    return msgspec.convert(row.told, Behaviour) if row is not None else Behaviour()


async def behave(tx: Tx, told: Behaviour) -> Behaviour:
    """Take orders about what to do wrong from now on."""
    await tx.execute(
        insert(SimBehaviourRow)
        .values(id=1, told=msgspec.to_builtins(told))
        .on_conflict_do_update(index_elements=["id"], set_={"told": msgspec.to_builtins(told)})
    )
    return told


async def open_payment(tx: Tx, known: dict[str, Terminal], raw: str) -> SimTransactionRow:
    """Take a buyer who comes with a signed pay request. Raises BadSignature, Unpayable."""
    params = vnpay.opened_query(raw, known)
    expires_at = vnpay.read_moment(params.get("vnp_ExpireDate", ""))
    amount = params.get("vnp_Amount", "")
    if params.get("vnp_Command") != "pay" or not amount.isdecimal() or expires_at is None:
        raise Unpayable("The pay request lacks a command, an amount or an expiry.")
    opened = (
        insert(SimTransactionRow)
        .values(
            terminal=params["vnp_TmnCode"],
            reference=params["vnp_TxnRef"],
            amount_vnd=int(amount) // 100,
            created=params["vnp_CreateDate"],
            expires_at=expires_at,
            order_info=params["vnp_OrderInfo"],
            return_url=params["vnp_ReturnUrl"],
            state="waiting",
            response="",
            status="01",
            bank="NCB",
            refunded_vnd=0,
            notified=0,
            reply="",
        )
        # A buyer who comes again changes nothing; this "update" locks and returns the row.
        .on_conflict_do_update(
            index_elements=["terminal", "reference"], set_={"reference": params["vnp_TxnRef"]}
        )
        .returning(SimTransactionRow)
        .execution_options(populate_existing=True)
    )
    row = (await tx.scalars(opened)).one()
    if row.amount_vnd * 100 != int(amount):
        raise Unpayable("This reference came before with another amount.")
    return row


async def _transaction(tx: Tx, terminal: str, reference: str) -> SimTransactionRow:
    row: SimTransactionRow | None = await locked(tx, SimTransactionRow, (terminal, reference))
    if row is None:
        raise NotFound("The simulator knows no such transaction.")
    return row


async def choose(tx: Tx, terminal: str, reference: str, choice: str) -> SimTransactionRow:
    """Conclude a waiting transaction as the buyer chose; a second choice changes nothing."""
    row = await _transaction(tx, terminal, reference)
    conclude(row, choice, await behaviour(tx))
    return row


def conclude(row: SimTransactionRow, choice: str, told: Behaviour) -> None:
    """End a locked transaction, where it still waits, as the buyer chose and as the simulator was told."""
    now = clock.now()
    if row.state == "waiting":
        refused = told.refuse and choice == "pay"
        end(row, "expire" if now >= row.expires_at else "refuse" if refused else choice, now)
        row.notify_at = None if told.silent else now + timedelta(seconds=told.delay_s)


def pay_late(row: SimTransactionRow) -> None:
    """A bank that let its buyer pay says so at last, though the transaction was called over by then."""
    if row.response != OUTCOMES["expire"][1]:
        raise Unpayable("Only a transaction whose time ran out is paid late.")
    now = clock.now()
    end(row, "pay", now)
    row.notify_at = now


def end(row: SimTransactionRow, choice: str, now: datetime) -> None:
    """End a locked transaction at a moment, whatever it was before: what the bank itself says, nobody told it to."""
    row.state, row.response, row.status = OUTCOMES[choice]
    row.paid_at = now


def said(row: SimTransactionRow) -> dict[str, str]:
    """The fields of the IPN and of the return for a concluded transaction."""
    taken = row.state in ("paid", "suspect")
    return {
        "vnp_TmnCode": row.terminal,
        "vnp_Amount": str(row.amount_vnd * 100),
        "vnp_BankCode": row.bank,
        "vnp_BankTranNo": f"VNP{row.number}" if taken else "",
        "vnp_CardType": "ATM",
        "vnp_PayDate": vnpay.moment(row.paid_at) if row.paid_at else "",
        "vnp_OrderInfo": row.order_info,
        "vnp_TransactionNo": str(row.number) if taken else "0",
        "vnp_ResponseCode": row.response,
        "vnp_TransactionStatus": row.status,
        "vnp_TxnRef": row.reference,
    }


def notification_query(row: SimTransactionRow, known: dict[str, Terminal]) -> str:
    return vnpay.signed_query(known[row.terminal].secret, said(row))


_IS_DUE = "SELECT EXISTS (SELECT FROM sim_transaction WHERE notify_at <= %(now)s) AS due"


async def send_notifications(kit: Kit) -> None:
    """Send what is due, by real HTTP to the merchant's address; repeat until 00 or 02."""
    if not (await kit.database.glance(_IS_DUE, {"now": clock.now()})).due:
        return
    known = vnpay.terminals(kit.settings.vnpay_terminals)
    async with kit.database.worker_tx() as tx:
        told = await behaviour(tx)
        due = await _take_due(tx, told)
    if not due:
        return
    async with httpx.AsyncClient(timeout=SEND_TIMEOUT_S, trust_env=False) as client:
        address = gateways.inside(kit.settings) + IPN_PATH
        replies = await asyncio.gather(*(_send(client, address, row, known, told) for row in due))
    async with kit.database.worker_tx() as tx:
        for row, reply in zip(due, replies, strict=True):
            await acknowledge(tx, row, "" if told.lose_reply else reply)


async def _take_due(tx: Tx, told: Behaviour) -> list[SimTransactionRow]:
    now = clock.now()
    number = SimTransactionRow.number
    rows = (
        await tx.scalars(
            sa.select(SimTransactionRow)
            .where(SimTransactionRow.notify_at <= (now - HELD_BACK if told.reorder else now))
            .order_by(number.desc() if told.reorder else number)
            .limit(BATCH)
            .with_for_update(skip_locked=True)
        )
    ).all()
    for row in rows:
        row.notified += 1
        row.notify_at = now + REPEAT_AFTER if row.notified < REPEATS_MAX else None
    return list(rows)


async def _send(
    client: httpx.AsyncClient,
    address: str,
    row: SimTransactionRow,
    known: dict[str, Terminal],
    told: Behaviour,
) -> str:
    query = notification_query(row, known)
    if told.forge:
        altered = query.replace(f"vnp_Amount={row.amount_vnd * 100}&", "vnp_Amount=100&")
        stranger = vnpay.signed_query("of-a-stranger", said(row))
        await asyncio.gather(*(_tell(client, address, forged) for forged in (altered, stranger)))
    replies = await asyncio.gather(*(_tell(client, address, query) for _ in range(told.duplicate + 1)))
    return replies[0]


async def _tell(client: httpx.AsyncClient, address: str, query: str) -> str:
    """The merchant's RspCode; empty where no reply came."""
    try:
        answer = await client.get(f"{address}?{query}")
        return str(answer.json()["RspCode"])
    except (httpx.HTTPError, ValueError, KeyError, TypeError):
        return ""


async def acknowledge(tx: Tx, row: SimTransactionRow, reply: str) -> None:
    """Note the merchant's reply on a row that another transaction read."""
    note_reply(await _transaction(tx, row.terminal, row.reference), reply)


def note_reply(row: SimTransactionRow, reply: str) -> None:
    """Note the merchant's reply; 00 and 02 end the repeats."""
    row.reply = reply
    if reply in ("00", "02"):
        row.notify_at = None


async def answer(tx: Tx, known: dict[str, Terminal], body: dict[str, str]) -> dict[str, str]:
    """Answer querydr or refund, signed as VNPay signs it."""
    command = body.get("vnp_Command", "")
    orders = {
        "querydr": (vnpay.QUERY_REQUEST, vnpay.QUERY_ANSWER),
        "refund": (vnpay.REFUND_REQUEST, vnpay.REFUND_ANSWER),
    }
    terminal = known.get(body.get("vnp_TmnCode", ""))
    asked, answered = orders.get(command, (vnpay.QUERY_REQUEST, vnpay.QUERY_ANSWER))
    if terminal is None:
        return {"vnp_ResponseCode": "02", "vnp_Message": "Merchant is not valid"}
    if command not in orders:
        fields = {"vnp_ResponseCode": "03", "vnp_Message": "Unknown command"}
    elif not vnpay.pipe_holds(terminal.secret, body, asked):
        fields = {"vnp_ResponseCode": "97", "vnp_Message": "Invalid checksum"}
    else:
        fields = await (_query(tx, body) if command == "querydr" else _refund(tx, body))
    basis = {"vnp_ResponseId": clock.new_id().hex, "vnp_Command": command, "vnp_TmnCode": terminal.code}
    return vnpay.with_pipe_hash(terminal.secret, {**basis, **fields}, answered)


async def _query(tx: Tx, body: dict[str, str]) -> dict[str, str]:
    try:
        row = await _transaction(tx, body["vnp_TmnCode"], body.get("vnp_TxnRef", ""))
    except NotFound:
        return {"vnp_ResponseCode": "91", "vnp_Message": "Transaction not found"}
    if row.state == "waiting" and clock.now() >= row.expires_at:
        end(row, "expire", row.expires_at)
    return {**_about(row), "vnp_TransactionType": "01", "vnp_TransactionStatus": row.status}


def _about(row: SimTransactionRow) -> dict[str, str]:
    kept = ("vnp_TxnRef", "vnp_Amount", "vnp_BankCode", "vnp_PayDate", "vnp_TransactionNo", "vnp_OrderInfo")
    fields = said(row)
    return {"vnp_ResponseCode": "00", "vnp_Message": "Success", **{name: fields[name] for name in kept}}


async def _refund(tx: Tx, body: dict[str, str]) -> dict[str, str]:
    try:
        row = await _transaction(tx, body["vnp_TmnCode"], body.get("vnp_TxnRef", ""))
    except NotFound:
        return {"vnp_ResponseCode": "91", "vnp_Message": "Transaction not found"}
    request, amount = body.get("vnp_RequestId", ""), body.get("vnp_Amount", "")
    if await tx.get(SimRefundRow, request) is not None:
        return {**_about(row), "vnp_ResponseCode": "94", "vnp_Message": "Duplicate request"}
    if row.state != "paid":
        return {**_about(row), "vnp_ResponseCode": "95", "vnp_Message": "The payment did not succeed"}
    if not amount.isdecimal() or not 0 < int(amount) <= (row.amount_vnd - row.refunded_vnd) * 100:
        return {**_about(row), "vnp_ResponseCode": "03", "vnp_Message": "More than is left"}
    refused = (await behaviour(tx)).refuse
    if not refused:
        row.refunded_vnd += int(amount) // 100
    tx.add(
        SimRefundRow(
            request=request,
            terminal=row.terminal,
            reference=row.reference,
            amount_vnd=0 if refused else int(amount) // 100,
            handled_at=clock.now(),
        )
    )
    return {
        **_about(row),
        "vnp_Amount": amount,
        "vnp_TransactionType": body.get("vnp_TransactionType", ""),
        "vnp_TransactionStatus": "09" if refused else "05",
    }


async def totals(tx: Tx) -> Totals:
    """What the simulator has taken and sent back, for comparing with the books of payments."""
    rows = (
        await tx.execute(
            sa.select(
                SimTransactionRow.terminal,
                SimTransactionRow.state,
                sa.func.count().label("count"),
                sa.func.sum(SimTransactionRow.amount_vnd).label("amount_vnd"),
                sa.func.sum(SimTransactionRow.refunded_vnd).label("refunded_vnd"),
            )
            .where(SimTransactionRow.state.in_(("paid", "suspect")))
            .group_by(SimTransactionRow.terminal, SimTransactionRow.state)
        )
    ).all()
    paid = [row for row in rows if row.state == "paid"]
    return Totals(
        count=sum(int(row[2]) for row in paid),
        amount_vnd=sum(int(row.amount_vnd) for row in paid),
        refunded_vnd=sum(int(row.refunded_vnd) for row in paid),
        suspect_vnd=sum(int(row.amount_vnd) for row in rows if row.state == "suspect"),
        by_terminal={row.terminal: int(row.amount_vnd) for row in paid},
    )
