"""The desk of payments: money that came, money held by VNPay, money in suspense, and refunds that wait for a person."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.payments import queries
from services.payments.actions import attempts, rails, refunds
from services.payments.pages.words import Words
from services.payments.rules import vnpay
from services.payments.rules.refunds import TWO_PERSONS_FROM_VND
from shared import auth
from shared.agencies import name_of
from shared.contracts.base import Positive
from shared.contracts.roles import OVERSEERS
from shared.db import Tx
from shared.errors import NotSignedIn
from shared.http import once, read_form
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import language_of, page, translate
from shared.web.again import or_again

DESK = "/desk/payments"
PAGE = 50

may_see_payments = auth.Right(roles=OVERSEERS)
may_handle_money = auth.Right(roles={"finance"})
may_approve = auth.Right(roles={"finance_approver"})

UNATTENDED = ("due", "sent", "completed", "rejected")
"""The states in which a refund needs nobody."""


class RefundForm(msgspec.Struct, frozen=True):
    amount_vnd: Positive
    reason: Annotated[str, msgspec.Meta(min_length=3, max_length=200)]


class ChoiceForm(msgspec.Struct, frozen=True):
    choice: Literal["yes", "no"]


async def _tabs(tx: Tx, lang: str) -> list[tuple[Any, ...]]:
    """The desk's parts; where something may wait for a person, with how much."""
    return [
        (DESK, translate(lang, "Tiền đã nhận")),
        (f"{DESK}/held", translate(lang, "Bị nghi ngờ"), len(await queries.held(tx))),
        (
            f"{DESK}/suspense",
            translate(lang, "Tiền treo"),
            await queries.suspense_count(tx),
        ),
        (
            f"{DESK}/refunds",
            translate(lang, "Hoàn tiền"),
            len(await queries.refunds(tx, states=("asked", "unclear"))),
        ),
        (f"{DESK}/rails", translate(lang, "Cách trả")),
    ]


async def _desk(request: Request, tx: Tx, template: str, current: str, **context: Any) -> Template:
    tabs = await _tabs(tx, language_of(request))
    return page(request, template, tabs=tabs, current=current, **context)


def _person(request: Request) -> UUID:
    person = auth.principal_of(request).id
    if person is None:
        raise NotSignedIn("Sign in to decide about money.")
    return person


@get(DESK, guards=[may_see_payments], include_in_schema=False)
async def show_captures(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that came, newest first."""
    listed = page_of(await queries.captures(tx, PAGE, decode_cursor(cursor, UUID)), PAGE)
    rows = [Words(request).capture(row) for row in listed.items]
    return await _desk(request, tx, "payments_captures.html", DESK, captures=rows, next=listed.next)


@get(f"{DESK}/captures/{{capture:uuid}}", guards=[may_see_payments], include_in_schema=False)
async def show_capture(request: Request, tx: NamedDependency[Tx], capture: FromPath[UUID]) -> Template:
    """One capture, its refunds, and the form to ask for one."""
    return await _capture(request, tx, capture)


async def _capture(request: Request, tx: Tx, capture: UUID) -> Template:
    found, words = await queries.capture_view(tx, capture), Words(request)
    return await _desk(
        request,
        tx,
        "payments_capture.html",
        DESK,
        capture=found,
        reason=words.reason(found.reason),
        refunds=[words.refund(row) for row in await queries.refunds(tx, capture=capture)],
        threshold_vnd=TWO_PERSONS_FROM_VND,
    )


@post(f"{DESK}/captures/{{capture:uuid}}/refunds", guards=[may_handle_money], include_in_schema=False)
async def ask_refund(request: Request, tx: NamedDependency[Tx], capture: FromPath[UUID]) -> Response[Any]:
    """Ask for a refund of part or all of a capture; refused, the form comes back as it was filled in."""

    async def work() -> Redirect:
        form = read_form(await request.form(), RefundForm)
        return await once(request, tx, _ask(tx, capture, form, _person(request)))

    return await or_again(request, tx, work(), lambda: _capture(request, tx, capture))


async def _ask(tx: Tx, capture: UUID, form: RefundForm, by: UUID) -> Redirect:
    await refunds.ask_refund(tx, capture, form.amount_vnd, form.reason, by)
    return Redirect(f"{DESK}/captures/{capture}", status_code=303)


@get(f"{DESK}/held", guards=[may_see_payments], include_in_schema=False)
async def show_held(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that VNPay calls suspect, and the notifications that were refused."""
    listed = page_of(await queries.refused_notifications(tx, PAGE, decode_cursor(cursor, UUID)), PAGE)
    return await _desk(
        request,
        tx,
        "payments_held.html",
        f"{DESK}/held",
        held=await queries.held(tx),
        refused=[Words(request).notification(row) for row in listed.items],
        next=listed.next,
    )


@post(f"{DESK}/held/{{attempt:uuid}}", guards=[may_handle_money], include_in_schema=False)
async def decide_held(request: Request, tx: NamedDependency[Tx], attempt: FromPath[UUID]) -> Redirect:
    """Take suspect money, or call the attempt failed, after looking it up at VNPay."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _decide_held(tx, attempt, form, _person(request)))


async def _decide_held(tx: Tx, attempt: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    await attempts.decide_held(tx, attempt, by, good=form.choice == "yes")
    return Redirect(f"{DESK}/held", status_code=303)


@get(f"{DESK}/suspense", guards=[may_see_payments], include_in_schema=False)
async def show_suspense(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that fits no open invoice."""
    listed = page_of(await queries.captures(tx, PAGE, decode_cursor(cursor, UUID), suspense=True), PAGE)
    rows = [Words(request).capture(row) for row in listed.items]
    return await _desk(
        request, tx, "payments_suspense.html", f"{DESK}/suspense", captures=rows, next=listed.next
    )


@get(f"{DESK}/refunds", guards=[may_see_payments], include_in_schema=False)
async def show_refunds(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Refunds that wait for a person, then the others, the latest first."""
    words = Words(request)
    others = await queries.refunds(tx, states=UNATTENDED, limit=PAGE, before=decode_cursor(cursor, UUID))
    listed = page_of(others, PAGE)
    return await _desk(
        request,
        tx,
        "payments_refunds.html",
        f"{DESK}/refunds",
        waiting=[words.refund(row) for row in await queries.refunds(tx, states=("asked", "unclear"))],
        failed=[words.refund(row) for row in await queries.refunds(tx, failed=True)],
        others=[words.refund(row) for row in listed.items],
        next=listed.next,
        me=_person(request),
    )


@post(f"{DESK}/refunds/{{refund:uuid}}/decision", guards=[may_approve], include_in_schema=False)
async def decide_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Approve or reject as the second person."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _decide_refund(tx, refund, form, _person(request)))


async def _decide_refund(tx: Tx, refund: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    await refunds.decide_refund(tx, refund, by, good=form.choice == "yes")
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/finding", guards=[may_handle_money], include_in_schema=False)
async def clear_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Say what VNPay's portal shows about a refund whose answer never came."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _clear_refund(tx, refund, form))


async def _clear_refund(tx: Tx, refund: UUID, form: ChoiceForm) -> Redirect:
    await refunds.clear_refund(tx, refund, went=form.choice == "yes")
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/renewal", guards=[may_handle_money], include_in_schema=False)
async def renew_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Try a failed refund anew; the money is still owed."""
    return await once(request, tx, _renew_refund(tx, refund, _person(request)))


async def _renew_refund(tx: Tx, refund: UUID, by: UUID) -> Redirect:
    await refunds.renew_refund(tx, refund, by)
    return Redirect(f"{DESK}/refunds", status_code=303)


@get(f"{DESK}/rails", guards=[may_see_payments], include_in_schema=False)
async def show_rails(request: Request, tx: NamedDependency[Tx]) -> Template:
    """The ways of paying of each agency whose money the person looks after."""
    principal = auth.principal_of(request)
    known = vnpay.terminals(request.app.state.settings.vnpay_terminals)
    mine = may_handle_money.agencies(principal)
    shown = [
        {
            "code": agency,
            "name": await name_of(tx, agency),
            "on": "vnpay" in await queries.rails_of(tx, agency),
            "terminal": terminal.code if (terminal := vnpay.terminal_of(known, agency)) else "",
            "mine": agency in mine,
        }
        for agency in sorted(may_see_payments.agencies(principal))
    ]
    return await _desk(request, tx, "payments_rails.html", f"{DESK}/rails", agencies=shown)


@post(f"{DESK}/rails/{{agency:str}}", guards=[may_handle_money], include_in_schema=False)
async def switch_rail(request: Request, tx: NamedDependency[Tx], agency: FromPath[str]) -> Redirect:
    """Switch VNPay on or off for an agency."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _switch_rail(tx, agency, form, _person(request)))


async def _switch_rail(tx: Tx, agency: str, form: ChoiceForm, by: UUID) -> Redirect:
    await rails.switch_rail(tx, agency, "vnpay", by, on=form.choice == "yes")
    return Redirect(f"{DESK}/rails", status_code=303)


routes = [
    renew_refund,
    show_rails,
    switch_rail,
    show_captures,
    show_capture,
    ask_refund,
    show_held,
    decide_held,
    show_suspense,
    show_refunds,
    decide_refund,
    clear_refund,
]
