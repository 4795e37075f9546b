"""Runners take tickets, see their bibs, and show a signed code at the gate."""

import re
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.events import queries
from services.events.actions import registrations
from services.events.actions.access import runner_of
from services.events.pages.payment import off_to_pay, pay_links
from services.events.pages.rights import bookings, may_buy, may_work_desk
from services.events.pages.words import badge, order_state, price
from services.events.rules.registrations import LINK_DAYS, MOST, Entry
from shared import auth, clock, links
from shared.agencies import lineage
from shared.calendar import local_day
from shared.db import Tx, enter
from shared.errors import Unprocessable
from shared.fields import field_refused
from shared.gate import BUYS
from shared.http import once, read_form
from shared.request import Request
from shared.service import transaction
from shared.settings import Settings
from shared.strangers import Share, sharing
from shared.web import page
from shared.web.again import or_again
from shared.web.qr import qr_code


class RunnersForm(msgspec.Struct, frozen=True):
    """One name and one kind of ticket for each runner, in order."""

    name: list[str] = []
    ticket: list[str] = []
    seen: list[str] = []
    """`ticket:price` of each kind that was shown."""


@get("/events/{slug:str}/register", guards=[may_buy], include_in_schema=False)
async def show_form(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], n: FromQuery[int] = 1
) -> Template:
    name = auth.principal_of(request).name
    rows = [(name if k == 0 else "", "") for k in range(min(max(n, 1), MOST))]
    return await _form(request, tx, slug, rows)


async def _form(request: Request, tx: Tx, slug: str, rows: list[tuple[str, str]]) -> Template:
    event = await queries.event(tx, slug)
    offered = [each for each in await queries.sellables(tx, event.id) if each.kind == "ticket" and each.left]
    return page(
        request,
        "register_form.html",
        event=event,
        options=[(str(each.id), f"{each.title} · {price(request, each.total_vnd)}") for each in offered],
        seen=[f"{each.id}:{each.total_vnd}" for each in offered],
        dear=all(each.total_vnd for each in offered),
        free=not any(each.total_vnd for each in offered),
        rows=rows,
        most=MOST,
    )


@post("/events/{slug:str}/register", guards=[may_buy, bookings], include_in_schema=False, opt=BUYS)
async def register(request: Request, slug: FromPath[str]) -> Response[Any]:
    """Hold the tickets, then off to pay; refused, the form comes back as it was filled in, with the prices of now.

    With `_people` only the number of rows changes: nobody types the names again.
    """
    form = await request.form()
    names, tickets = form.getall("name", []), form.getall("ticket", [])
    rows = [(str(a), str(b)) for a, b in zip(names, tickets, strict=False)][:MOST] or [("", "")]
    if "_people" in form:
        async with transaction(request) as tx:
            return await _form(request, tx, slug, _resized(rows, form["_people"]))
    patron = runner_of(auth.principal_of(request))

    async def work(tx: Tx, share: Share) -> Redirect:
        sent = read_form(form, RunnersForm)
        entries = _entries(sent)
        seen_vnd = _seen_vnd(sent)
        sale = await registrations.register(tx, patron, slug, entries, clock.now(), share, seen_vnd)
        return off_to_pay(request, sale, f"/events/registrations/{sale.of}")

    budget = request.app.state.settings.budget_holds
    async with sharing(request, "hold:ticket", budget, len(names)) as share, transaction(request) as tx:
        asked = once(request, tx, work(tx, share))
        return await or_again(request, tx, asked, lambda: _form(request, tx, slug, rows))


def _resized(rows: list[tuple[str, str]], people: object) -> list[tuple[str, str]]:
    """As many rows as were asked for; new ones run what the last one runs."""
    wanted = int(people) if isinstance(people, str) and re.fullmatch(r"[0-9]{1,2}", people) else len(rows)
    return (rows + [("", rows[-1][1])] * MOST)[: min(max(wanted, 1), MOST)]


def _entries(form: RunnersForm) -> list[Entry]:
    if len(form.name) != len(form.ticket):
        raise Unprocessable("Each runner needs a name and a ticket.")
    pairs = [{"name": name, "ticket": ticket} for name, ticket in zip(form.name, form.ticket, strict=True)]
    try:
        return msgspec.convert(pairs, list[Entry])
    except msgspec.ValidationError as error:
        raise field_refused(str(error)) from error


def _seen_vnd(form: RunnersForm) -> int:
    """What the tickets chosen cost together by the prices that the form showed; what it did not show was nothing."""
    pairs = (each.partition(":")[::2] for each in form.seen)
    prices = {ticket: int(price) for ticket, price in pairs if re.fullmatch(r"[0-9]{1,15}", price)}
    return sum(prices.get(ticket, 0) for ticket in form.ticket)


@get("/events/registrations/{key:uuid}", guards=[may_buy], include_in_schema=False)
async def show_order(request: Request, tx: NamedDependency[Tx], key: FromPath[UUID]) -> Template:
    """A runner's order: pay it, or open its tickets."""
    order = await queries.registration(tx, key, runner_of(auth.principal_of(request)).owner)
    settings = request.app.state.settings
    tickets = [(runner, ticket_link(settings, runner, order.starts_at)) for runner in order.entrants]
    return page(
        request,
        "registration.html",
        order=order,
        tickets=tickets,
        state=badge(request, order_state(order)),
        pay_url=(await pay_links(request, tx, [order.invoice])).get(order.invoice),
    )


def ticket_link(settings: Settings, runner: queries.EntrantView, starts_at: datetime) -> str:
    """The signed address of one ticket; who has it can run, so it can be handed on."""
    until = starts_at + timedelta(days=LINK_DAYS)
    ttl_s = max(3600, int((until - clock.now()).total_seconds()))
    return links.signed(settings, f"/events/tickets/{runner.id}", ttl_s, agency=runner.agency)


@get("/events/tickets/{key:uuid}", include_in_schema=False)
async def show_ticket(request: Request, key: FromPath[UUID]) -> Template:
    """One ticket with its code. Staff who open it at the gate can let the runner in."""
    settings: Settings = request.app.state.settings
    query = request.url.query
    agency = links.opened(settings, request.url.path, query)["agency"]
    principal = auth.principal_of(request)
    async with transaction(request) as tx:
        heir = (await lineage(tx)).heir_of(agency, local_day(clock.now()))
        await enter(tx, [agency], principal.id)
        runner = await queries.entrant(tx, key)
        event = await queries.event_by_id(tx, runner.event)
    return page(
        request,
        "ticket.html",
        runner=runner,
        event=event,
        code=await qr_code(f"{settings.base_url}{request.url.path}?{query}"),
        staff=heir in may_work_desk.agencies(principal),
    )


routes = [show_form, register, show_order, show_ticket]
