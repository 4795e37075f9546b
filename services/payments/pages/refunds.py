"""The desk's page of money on its way back: what waits for a person, what is owed, and the rest."""

from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.payments.actions import proposals, refunds
from services.payments.pages.desk import (
    DESK,
    PAGE,
    ChoiceForm,
    desk,
    may_approve,
    may_handle_money,
    may_see_payments,
    person_of,
)
from services.payments.pages.words import Words
from services.payments.queries import refunds as found
from shared import clock
from shared.db import Tx
from shared.http import once, read_form
from shared.lists import decode_cursor, page_of
from shared.request import Request


@get(f"{DESK}/refunds", guards=[may_see_payments], include_in_schema=False)
async def show_refunds(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Refunds that wait for a person, then those still owed, then the others, the latest first."""
    words, proposed = Words(request), await found.proposals(tx, "finding")
    now = clock.now()
    others = await found.refunds(
        tx, where=found.unattended(now), limit=PAGE, before=decode_cursor(cursor, UUID)
    )
    listed = page_of(others, PAGE)
    return await desk(
        request,
        tx,
        "payments_refunds.html",
        f"{DESK}/refunds",
        waiting=[
            {**words.refund(row), "proposal": proposed.get((row.agency, str(row.id)))}
            for row in await found.refunds(tx, where=found.at_desk(now))
        ],
        to_renew=[words.refund(row) for row in await found.refunds(tx, where=found.to_renew())],
        others=[words.refund(row) for row in listed.items],
        silent=await found.unanswered(tx, now),
        next=listed.next,
    )


@post(f"{DESK}/refunds/{{refund:uuid}}/decision", guards=[may_approve], include_in_schema=False)
async def decide_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Approve or reject as the second person."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _decide_refund(tx, refund, form, person_of(request)))


async def _decide_refund(tx: Tx, refund: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    await refunds.decide_refund(tx, refund, by, good=form.choice == "yes")
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/withdrawal", guards=[may_handle_money], include_in_schema=False)
async def withdraw_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Take back what one asked for oneself."""
    return await once(request, tx, _withdraw_refund(tx, refund, person_of(request)))


async def _withdraw_refund(tx: Tx, refund: UUID, by: UUID) -> Redirect:
    await refunds.withdraw_refund(tx, refund, by)
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/end", guards=[may_handle_money], include_in_schema=False)
async def drop_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """No longer wait for a seller that has been silent for an hour."""
    return await once(request, tx, _drop_refund(tx, refund, person_of(request)))


async def _drop_refund(tx: Tx, refund: UUID, by: UUID) -> Redirect:
    await refunds.drop_refund(tx, refund, by)
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/finding", guards=[may_handle_money], include_in_schema=False)
async def propose_finding(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Say what VNPay's portal shows about a refund whose answer never came; another person looks too."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _propose_finding(tx, refund, form, person_of(request)))


async def _propose_finding(tx: Tx, refund: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    await proposals.propose_finding(tx, refund, by, went=form.choice == "yes")
    return Redirect(f"{DESK}/refunds", status_code=303)


@post(f"{DESK}/refunds/{{refund:uuid}}/renewal", guards=[may_handle_money], include_in_schema=False)
async def renew_refund(request: Request, tx: NamedDependency[Tx], refund: FromPath[UUID]) -> Redirect:
    """Ask anew for what is still owed."""
    return await once(request, tx, _renew_refund(tx, refund, person_of(request)))


async def _renew_refund(tx: Tx, refund: UUID, by: UUID) -> Redirect:
    await refunds.renew_refund(tx, refund, by)
    return Redirect(f"{DESK}/refunds", status_code=303)


routes = [show_refunds, decide_refund, withdraw_refund, drop_refund, propose_finding, renew_refund]
