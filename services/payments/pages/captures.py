"""The desk's lists of money that came and money in suspense, and the form by which one asks for it to go back."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.payments import queries
from services.payments.actions import refunds
from services.payments.pages.desk import DESK, PAGE, desk, may_handle_money, may_see_payments, person_of
from services.payments.pages.words import Words
from services.payments.queries import refunds as found
from services.payments.rules.refunds import TWO_PERSONS_FROM_VND
from shared import clock
from shared.agencies import name_of
from shared.contracts import sandbox
from shared.contracts.base import Positive
from shared.db import Tx
from shared.http import WHOLE_NUMBER, once, read_form
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import language_of, translate
from shared.web.again import or_again


class RefundForm(msgspec.Struct, frozen=True):
    amount_vnd: Positive
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


@get(DESK, guards=[may_see_payments], include_in_schema=False)
async def show_captures(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that came, newest first."""
    listed = page_of(await queries.captures(tx, PAGE, decode_cursor(cursor, UUID)), PAGE)
    rows = [Words(request).capture(row) for row in listed.items]
    return await desk(request, tx, "payments_captures.html", DESK, captures=rows, next=listed.next)


@get(f"{DESK}/captures/{{capture:uuid}}", guards=[may_see_payments], include_in_schema=False)
async def show_capture(request: Request, tx: NamedDependency[Tx], capture: FromPath[UUID]) -> Template:
    """One capture, its refunds, and the form to ask for one."""
    return await _capture(request, tx, capture)


async def _capture(request: Request, tx: Tx, capture: UUID) -> Template:
    shown, words = await queries.capture_view(tx, capture), Words(request)
    return await desk(
        request,
        tx,
        "payments_capture.html",
        DESK,
        capture=shown,
        sold=await queries.sold_by(tx, capture),
        agency_name=await name_of(tx, shown.agency, translate(language_of(request), sandbox.LABEL)),
        reason=words.reason(shown.reason),
        offered=words.offer(shown, clock.now()),
        answer=words.answer(shown),
        refunds=[words.refund(row) for row in await found.refunds(tx, capture=capture)],
        threshold_vnd=TWO_PERSONS_FROM_VND,
        whole=WHOLE_NUMBER,
    )


@post(f"{DESK}/captures/{{capture:uuid}}/refunds", guards=[may_handle_money], include_in_schema=False)
async def ask_refund(request: Request, tx: NamedDependency[Tx], capture: FromPath[UUID]) -> Response[Any]:
    """Ask for a refund of part or all of a capture; refused, the form comes back as it was filled in."""

    async def work() -> Redirect:
        form = read_form(await request.form(), RefundForm)
        return await once(request, tx, _ask(tx, capture, form, person_of(request)))

    return await or_again(request, tx, work(), lambda: _capture(request, tx, capture))


async def _ask(tx: Tx, capture: UUID, form: RefundForm, by: UUID) -> Redirect:
    await refunds.ask_refund(tx, capture, form.amount_vnd, form.reason, by)
    return Redirect(f"{DESK}/captures/{capture}", status_code=303)


@get(f"{DESK}/suspense", guards=[may_see_payments], include_in_schema=False)
async def show_suspense(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that fits no open invoice: offered to its seller, on its way back, or the desk's to return."""
    listed = page_of(await queries.captures(tx, PAGE, decode_cursor(cursor, UUID), suspense=True), PAGE)
    rows = [Words(request).suspense(row, clock.now()) for row in listed.items]
    return await desk(
        request,
        tx,
        "payments_suspense.html",
        f"{DESK}/suspense",
        captures=rows,
        silent=await found.unanswered(tx, clock.now()),
        next=listed.next,
    )


routes = [show_captures, show_capture, ask_refund, show_suspense]
