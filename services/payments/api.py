"""The doors for programs: VNPay's notification, and invoices, captures and refunds for those who may see money."""

from datetime import date
from typing import Annotated, Self
from uuid import UUID

import msgspec
import structlog
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.payments import queries
from services.payments.actions import attempts, notifications, refunds
from services.payments.queries import refunds as found
from services.payments.rules import vnpay
from shared import auth
from shared.contracts.base import Positive
from shared.contracts.roles import OVERSEERS
from shared.db import Tx
from shared.errors import BadInput
from shared.http import once
from shared.kit import Kit
from shared.limits import client_address, limited
from shared.lists import Limit, Page, decode_cursor, page_of
from shared.request import Request

"""Roles that may look at money."""

may_read_payments = auth.Right(roles=OVERSEERS, scope="payments:read")
may_read_invoices = auth.Right(roles=OVERSEERS, scope="payments:read", own=True)
may_ask_refunds = auth.Right(roles={"finance"}, scope="payments:refund")
may_approve_refunds = auth.Right(roles={"finance_approver"})


class RefundAsked(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A refund to ask for: part or all of a capture."""

    capture: UUID
    amount_vnd: Positive
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70"), 150_000, "Bạn đọc trả hai lần cho một kỳ")


class Decision(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A second person's decision."""

    approve: bool

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(approve=True)


@get(
    "/gateway/vnpay/ipn",
    guards=[limited("vnpay-ipn", per_minute=6000, burst=2000)],
    include_in_schema=False,
)
async def hear_vnpay(request: Request) -> notifications.Reply:
    """VNPay's notification. The transaction commits here, before the reply exists, and 99 asks for a repeat."""
    kit: Kit = request.app.state.kit
    raw = request.scope["query_string"].decode("latin-1")
    known, address = vnpay.terminals(kit.settings.vnpay_terminals), client_address(request)
    try:
        async with kit.database.worker_tx() as tx:
            reply = await attempts.hear_vnpay(tx, known, raw, address)
    except Exception:  # noqa: BLE001 - whatever broke, VNPay must hear 99 and the notification be kept
        structlog.get_logger().exception("notification broke us")
        async with kit.database.worker_tx() as tx:
            reply = await notifications.note_fault(tx, raw, address)
    return reply


@get("/api/payments/v1/invoices/{invoice:uuid}", guards=[may_read_invoices])
async def show_invoice(tx: NamedDependency[Tx], invoice: FromPath[UUID]) -> queries.InvoiceView:
    """An invoice and what was paid of it, for its buyer and for those who look after the agency's money."""
    return await queries.invoice_view(tx, invoice)


@get("/api/payments/v1/captures", guards=[may_read_payments])
async def list_captures(
    tx: NamedDependency[Tx],
    cursor: FromQuery[str] = "",
    limit: Limit = 50,
) -> Page[queries.CaptureView]:
    """Money that came, newest first."""
    return page_of(await queries.captures(tx, limit, decode_cursor(cursor, UUID)), limit)


@post("/api/payments/v1/refunds", guards=[may_ask_refunds])
async def ask_refund(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[RefundAsked]
) -> found.RefundView:
    """Ask for a refund: its seller takes back what was sold, or says why not; large sums wait for a second person.

    Whoever made the key by which it is asked has asked for it, and approves none of it.
    """
    return await once(request, tx, _ask(tx, data, auth.principal_of(request)))


async def _ask(tx: Tx, data: RefundAsked, who: auth.Principal) -> found.RefundView:
    key = who.id if who.kind == "key" else None
    row = await refunds.ask_refund(tx, data.capture, data.amount_vnd, data.reason, who.answers, key=key)
    return await found.refund_view(tx, row.id)


@get("/api/payments/v1/refunds/{refund:uuid}", guards=[may_read_payments])
async def show_refund(tx: NamedDependency[Tx], refund: FromPath[UUID]) -> found.RefundView:
    """How far a refund is."""
    return await found.refund_view(tx, refund)


@post("/api/payments/v1/refunds/{refund:uuid}/decision", guards=[may_approve_refunds])
async def decide_refund(
    request: Request,
    tx: NamedDependency[Tx],
    refund: FromPath[UUID],
    data: JSONBody[Decision],
) -> found.RefundView:
    """Approve or reject a refund as the second person; a key is no person."""
    principal = auth.principal_of(request)
    return await once(request, tx, _decide(tx, refund, principal.id, data))


async def _decide(tx: Tx, refund: UUID, by: UUID | None, data: Decision) -> found.RefundView:
    if by is None:
        raise BadInput("Only a person approves.")
    await refunds.decide_refund(tx, refund, by, good=data.approve)
    return await found.refund_view(tx, refund)


routes = [hear_vnpay, show_invoice, list_captures, ask_refund, show_refund, decide_refund]
