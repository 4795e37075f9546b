"""The desk's page of attempts that VNPay suspects or whose end it does not tell, and of refused notifications."""

from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.payments import queries
from services.payments.actions import proposals
from services.payments.pages.desk import (
    DESK,
    PAGE,
    ChoiceForm,
    desk,
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

DECISIONS = 10
"""How many of the last decisions the page shows; the audit trail has all of them."""


@get(f"{DESK}/held", guards=[may_see_payments], include_in_schema=False)
async def show_held(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str | None] = None
) -> Template:
    """Money that VNPay calls suspect, attempts of whose end it says nothing that fits, and refused notifications."""
    proposed = await found.proposals(tx, "held")
    listed = page_of(await queries.refused_notifications(tx, PAGE, decode_cursor(cursor, UUID)), PAGE)
    return await desk(
        request,
        tx,
        "payments_held.html",
        f"{DESK}/held",
        held=[
            {**msgspec.structs.asdict(row), "proposal": proposed.get((row.agency, str(row.id)))}
            for row in await queries.held(tx)
        ],
        decided=await found.decisions(tx, DECISIONS),
        untold=await queries.untold_attempts(tx, clock.now()),
        refused=[Words(request).notification(row) for row in listed.items],
        next=listed.next,
    )


@post(f"{DESK}/held/{{attempt:uuid}}", guards=[may_handle_money], include_in_schema=False)
async def propose_held(request: Request, tx: NamedDependency[Tx], attempt: FromPath[UUID]) -> Redirect:
    """Propose to take suspect money, or to call the attempt failed, after looking it up at VNPay."""
    form = read_form(await request.form(), ChoiceForm)
    return await once(request, tx, _propose_held(tx, attempt, form, person_of(request)))


async def _propose_held(tx: Tx, attempt: UUID, form: ChoiceForm, by: UUID) -> Redirect:
    await proposals.propose_held(tx, attempt, by, good=form.choice == "yes")
    return Redirect(f"{DESK}/held", status_code=303)


routes = [show_held, propose_held]
