"""The desk's page of the ways of paying, and the decision about all that one person proposed."""

from uuid import UUID

from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from services.payments import queries
from services.payments.actions import proposals
from services.payments.pages.desk import (
    DESK,
    ChoiceForm,
    desk,
    may_approve,
    may_handle_money,
    may_see_payments,
    person_of,
)
from services.payments.queries import refunds as found
from services.payments.rules import vnpay
from services.payments.rules.proposals import Act
from shared import auth
from shared.agencies import name_of
from shared.db import Tx
from shared.http import once, read_form
from shared.request import Request


@get(f"{DESK}/rails", guards=[may_see_payments], include_in_schema=False)
async def show_rails(request: Request, tx: NamedDependency[Tx]) -> Template:
    """The ways of paying of each agency whose money the person looks after."""
    principal = auth.principal_of(request)
    known = vnpay.terminals(request.app.state.settings.vnpay_terminals)
    mine, proposed = may_handle_money.agencies(principal), await found.proposals(tx, "rail")
    shown = [
        {
            "code": agency,
            "name": await name_of(tx, agency),
            "on": "vnpay" in await queries.rails_of(tx, agency),
            "terminal": terminal.code if (terminal := vnpay.terminal_of(known, agency)) else "",
            "mine": agency in mine,
            "proposal": proposed.get((agency, "vnpay")),
        }
        for agency in sorted(may_see_payments.agencies(principal))
    ]
    return await desk(request, tx, "payments_rails.html", f"{DESK}/rails", agencies=shown)


@post(f"{DESK}/rails/{{agency:str}}", guards=[may_handle_money], include_in_schema=False)
async def propose_rail(request: Request, tx: NamedDependency[Tx], agency: FromPath[str]) -> Redirect:
    """Propose to switch VNPay on or off for an agency."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _propose_rail(tx, agency, form, person_of(request)))


async def _propose_rail(tx: Tx, agency: str, form: ChoiceForm, by: UUID) -> Redirect:
    await proposals.propose_rail(tx, agency, "vnpay", by, on=form.choice == "yes")
    return Redirect(f"{DESK}/rails", status_code=303)


@post(f"{DESK}/proposals/{{proposal:uuid}}", guards=[may_approve], include_in_schema=False)
async def decide_proposal(request: Request, tx: NamedDependency[Tx], proposal: FromPath[UUID]) -> Redirect:
    """Agree as the second person to what the first one proposed, or do not; agreed, it is done."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _decide(tx, proposal, form, person_of(request)))


@post(f"{DESK}/proposals/{{proposal:uuid}}/withdrawal", guards=[may_handle_money], include_in_schema=False)
async def withdraw_proposal(request: Request, tx: NamedDependency[Tx], proposal: FromPath[UUID]) -> Redirect:
    """Take back what one proposed oneself."""
    return await once(request, tx, _withdraw(tx, proposal, person_of(request)))


async def _withdraw(tx: Tx, proposal: UUID, by: UUID) -> Redirect:
    return Redirect(PAGES[await proposals.withdraw_proposal(tx, proposal, by)], status_code=303)


async def _decide(tx: Tx, proposal: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    act = await proposals.decide_proposal(tx, proposal, by, agreed=form.choice == "yes")
    return Redirect(PAGES[act], status_code=303)


PAGES: dict[Act, str] = {
    "held": f"{DESK}/held",
    "finding": f"{DESK}/refunds",
    "rail": f"{DESK}/rails",
}
"""Where one proposes what."""


routes = [show_rails, propose_rail, decide_proposal, withdraw_proposal]
