"""What payments answers to the desk's one search and to a buyer's card: invoices, money that came, refunds."""

from typing import Any
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.payments.pages.words import OUTCOMES, PAID, REASONS, STATES, Words
from services.payments.queries import find as queries
from shared.db import Tx
from shared.request import Request
from shared.sought import Sought
from shared.web import N_, language_of, translate
from shared.web.doors import SEARCHED
from shared.web.found import MOST, Part, Row, answer_card, answer_find, finds, part

DESK = "/desk/payments"
INVOICES, CAME, BACK = N_("Phiếu yêu cầu thanh toán"), N_("Tiền đã nhận"), N_("Hoàn tiền")

_, may_find = SEARCHED[DESK]


@get(f"{DESK}/find", include_in_schema=False, guards=[may_find, finds])
async def find(request: Request, tx: NamedDependency[Tx], q: FromQuery[str] = "") -> Template:
    """Payments by document number, the bank's number, reference, memo or amount."""

    async def look(wanted: Sought) -> list[Part]:
        return _parts(
            request,
            await queries.invoices(tx, wanted, MOST),
            await queries.captures(tx, wanted, MOST),
            await queries.refunds(tx, wanted, MOST),
        )

    return await answer_find(request, DESK, q, look)


@get(f"{DESK}/card/{{buyer:uuid}}", include_in_schema=False, guards=[may_find])
async def show_card(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """What a buyer was asked for, what came, and what goes back."""
    parts = _parts(
        request,
        await queries.invoices_of(tx, buyer, MOST),
        await queries.captures_of(tx, buyer, MOST),
        await queries.refunds_of(tx, buyer, MOST),
    )
    return answer_card(request, DESK, buyer, parts)


def _parts(
    request: Request, invoices: list[queries.Billed], came: list[queries.Came], back: list[queries.Back]
) -> list[Part]:
    return [
        part(INVOICES, invoices, lambda one: _invoice(request, one)),
        part(CAME, came, lambda one: _capture(request, one)),
        part(BACK, back, lambda one: _refund(request, one)),
    ]


def _invoice(request: Request, one: queries.Billed) -> Row:
    return Row(
        title=one.number,
        note=", ".join(line.title for line in one.lines),
        at=one.opened_at,
        amount_vnd=one.total_vnd,
        mark=_mark(request, OUTCOMES[one.outcome]),
        buyer=one.buyer,
    )


def _capture(request: Request, one: queries.Came) -> Row:
    held = (REASONS.get(one.reason, one.reason), "warn")
    return Row(
        title=one.number or one.gateway_no,
        note=f"{one.rail.upper()} {one.bank}".strip() + f" · {one.gateway_no}",
        at=one.captured_at,
        amount_vnd=one.amount_vnd,
        mark=_mark(request, (PAID, "success") if one.applied else held),
        buyer=one.buyer,
        href=f"{DESK}/captures/{one.id}",
    )


def _refund(request: Request, one: queries.Back) -> Row:
    return Row(
        title=one.number or str(one.id),
        note=Words(request).cause(one.cause, one.reason),
        at=one.asked_at,
        amount_vnd=one.amount_vnd,
        mark=_mark(request, STATES[one.state]),
        buyer=one.buyer,
        href=f"{DESK}/captures/{one.capture}",
    )


def _mark(request: Request, mark: tuple[str, str]) -> tuple[str, str]:
    return translate(language_of(request), mark[0]), mark[1]


routes: list[Any] = [find, show_card]
