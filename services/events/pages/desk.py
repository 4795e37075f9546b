"""The desk of those who run events: stock, sponsors with what they owe and what they are owed, the recount."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from services.events import queries
from services.events.actions import deliverables
from services.events.pages.rights import may_see_desk, may_work_desk
from services.events.pages.words import badge, part_state
from services.events.rules import industries
from services.events.tables import DeliverableRow
from shared import clock
from shared.agencies import names_of
from shared.db import Tx, locked, seen
from shared.errors import NotFound
from shared.http import once, read_form
from shared.request import Request
from shared.web import language_of, page
from shared.web.again import or_again


class ProofForm(msgspec.Struct, frozen=True):
    proof: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]


@get("/desk/events", guards=[may_see_desk], include_in_schema=False)
async def show_desk(request: Request, tx: NamedDependency[Tx]) -> Template:
    codes = seen(tx)
    events, recounts = await queries.desk(tx, codes), await queries.recounts(tx, codes)
    return page(
        request,
        "desk_events.html",
        events=events,
        recounts=recounts,
        names=await names_of(tx, {e.agency for e in events} | {r.agency for r in recounts}),
        now=clock.now(),
    )


@get("/desk/events/{slug:str}", guards=[may_see_desk], include_in_schema=False)
async def show_event(request: Request, tx: NamedDependency[Tx], slug: FromPath[str]) -> Template:
    event = await queries.event_of_staff(tx, slug)
    (figures,) = await queries.desk(tx, [event.agency], slug)
    return page(
        request,
        "desk_event.html",
        event=event,
        figures=figures,
        sellables=await queries.sellables(tx, event.id),
        sponsorships=[
            (each, badge(request, each.state)) for each in await queries.sponsorships_at(tx, event.id)
        ],
        recounts=await queries.recounts(tx, [event.agency]),
    )


@get("/desk/events/{slug:str}/sponsorships/{key:uuid}", guards=[may_see_desk], include_in_schema=False)
async def show_sponsorship(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], key: FromPath[UUID]
) -> Template:
    return await _sponsorship(request, tx, slug, key)


async def _sponsorship(request: Request, tx: Tx, slug: str, key: UUID) -> Template:
    event = await queries.event_of_staff(tx, slug)
    found = await queries.sponsorship(tx, key)
    return page(
        request,
        "desk_sponsorship.html",
        event=event,
        sponsorship=found,
        industry=industries.name(found.industry, language_of(request)),
        state=badge(request, found.state),
        states=[badge(request, part_state(found, part)) for part in found.instalments],
    )


@post(
    "/desk/events/{slug:str}/deliverables/{key:uuid}/delivery",
    guards=[may_work_desk],
    include_in_schema=False,
)
async def deliver(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], key: FromPath[UUID]
) -> Response[Any]:
    """Note the proof of a delivered promise; refused, the form comes back as it was filled in."""
    sent = await request.form()
    await queries.event_of_staff(tx, slug)
    row: DeliverableRow | None = await locked(tx, DeliverableRow, key)
    if row is None:
        raise NotFound("There is no such deliverable.")
    sponsorship = row.sponsorship

    async def work() -> Response[Any]:
        form = read_form(sent, ProofForm)
        return await once(request, tx, _deliver(tx, row, form.proof, slug))

    return await or_again(request, tx, work(), lambda: _sponsorship(request, tx, slug, sponsorship))


async def _deliver(tx: Tx, row: DeliverableRow, proof: str, slug: str) -> Redirect:
    await deliverables.deliver(tx, row, proof, clock.now())
    return Redirect(f"/desk/events/{slug}/sponsorships/{row.sponsorship}", status_code=303)


routes = [show_desk, show_event, show_sponsorship, deliver]
