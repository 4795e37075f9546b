"""Events for everybody: the list, one event with what can still be had, what one has bought."""

import sqlalchemy as sa
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Template

from services.events import queries
from services.events.actions.access import patron_of, runner_of
from services.events.pages.rights import may_buy
from services.events.pages.words import badge, order_state
from services.events.tables import RegistrationRow
from shared import auth
from shared.agencies import name_of
from shared.db import Tx, enter
from shared.request import Request
from shared.web import page


@get("/events", include_in_schema=False)
async def show_events(request: Request, tx: NamedDependency[Tx]) -> Template:
    found = await queries.events(tx)
    coming = [event for event in reversed(found) if not event.is_past]
    past = [event for event in found if event.is_past]
    return page(request, "events.html", coming=coming, past=past)


@get("/events/{slug:str}", include_in_schema=False)
async def show_event(request: Request, tx: NamedDependency[Tx], slug: FromPath[str]) -> Template:
    event = await queries.event(tx, slug)
    sellables = await queries.sellables(tx, event.id)
    await enter(tx, [event.agency], auth.principal_of(request).id)
    return page(
        request,
        "event.html",
        event=event,
        packages=[each for each in sellables if each.kind == "package"],
        tickets=[each for each in sellables if each.kind == "ticket"],
        sponsors=await queries.sponsor_names(tx, event.id),
        agency_name=await name_of(tx, event.agency),
    )


@get("/events/mine", guards=[may_buy], include_in_schema=False)
async def show_mine(request: Request, tx: NamedDependency[Tx]) -> Template:
    """What a person has bought here."""
    owner = runner_of(auth.principal_of(request)).owner
    keys = await tx.scalars(
        sa.select(RegistrationRow.id)
        .where(RegistrationRow.owner == owner)
        .order_by(RegistrationRow.created_at.desc())
    )
    orders = [await queries.registration(tx, key, owner) for key in keys]
    patron = patron_of(auth.principal_of(request))
    sponsorships = await queries.sponsorships_of(tx, patron.owner)
    return page(
        request,
        "events_mine.html",
        orders=[(order, badge(request, order_state(order))) for order in orders],
        sponsorships=[(each, badge(request, each.state)) for each in sponsorships],
    )


routes = [show_events, show_mine, show_event]
