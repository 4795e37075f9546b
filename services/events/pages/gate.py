"""The gate: staff scan or type, the runner is in, and nobody enters twice."""

import re
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from services.events import queries
from services.events.actions import registrations
from services.events.pages.rights import may_work_desk
from shared import auth, clock, links
from shared.db import Tx
from shared.errors import NotFound, Refused
from shared.http import once, read_form
from shared.request import Request
from shared.web import page
from shared.web.again import tell, told

GATE = "/desk/events/{slug:str}/check-in"


class GateForm(msgspec.Struct, frozen=True):
    """A bib number, or the address that the ticket's code holds."""

    ticket: Annotated[str, msgspec.Meta(min_length=1, max_length=600)]


@get(GATE, guards=[may_work_desk], include_in_schema=False)
async def show_gate(request: Request, tx: NamedDependency[Tx], slug: FromPath[str]) -> Template:
    """The gate; who was let in by the step before this page is said once, by what the step told."""
    event = await queries.event_of_staff(tx, slug)
    entered = told(request).get("entered")
    runner = await queries.entrant(tx, UUID(entered)) if entered else None
    return await _gate(request, tx, event, runner, None)


async def _gate(
    request: Request,
    tx: Tx,
    event: queries.EventView,
    runner: queries.EntrantView | None,
    refusal: Refused | None,
) -> Template:
    inside, expected = await queries.check_in_count(tx, event.id)
    return page(
        request,
        "gate.html",
        status_code=refusal.status if refusal else 200,
        event=event,
        runner=runner,
        refusal=refusal,
        inside=inside,
        expected=expected,
        latest=await queries.last_in(tx, event.id),
    )


@post(GATE, guards=[may_work_desk], include_in_schema=False)
async def check_in(request: Request, tx: NamedDependency[Tx], slug: FromPath[str]) -> Response[Any]:
    event = await queries.event_of_staff(tx, slug)
    form = read_form(await request.form(), GateForm)
    try:
        runner = await _runner(request, tx, event, form.ticket)
    except Refused as refusal:
        return await _gate(request, tx, event, None, refusal)

    async def work() -> Redirect:
        await registrations.check_in(tx, runner.id, auth.principal_of(request).id, clock.now())
        return Redirect(f"/desk/events/{slug}/check-in", status_code=303)

    try:
        async with tx.begin_nested():
            done = await once(request, tx, work())
    except Refused as refusal:
        return await _gate(request, tx, event, runner, refusal)
    return tell(request, done, request.url.path, entered=runner.id)


async def _runner(request: Request, tx: Tx, event: queries.EventView, text: str) -> queries.EntrantView:
    """Whose bib or ticket this is. Raises NotFound, also for a code that was altered or is of another event."""
    if text.isascii() and text.isdecimal() and len(text) <= 7:  # noqa: PLR2004
        return await queries.entrant_by_bib(tx, event.id, int(text))
    found = re.search(r"(/events/tickets/([0-9a-f-]{36}))\?(\S+)$", text)
    if found is None:
        raise NotFound("That is neither a bib nor a ticket.")
    links.opened(request.app.state.settings, found[1], found[3])
    runner = await queries.entrant(tx, UUID(found[2]))
    if runner.event != event.id:
        raise NotFound("That ticket is for another event.")
    return runner


routes = [show_gate, check_in]
