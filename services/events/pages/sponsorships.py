"""A sponsor takes a package in one form, and follows what becomes of it."""

from typing import Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from services.events import queries
from services.events.actions import sponsorships
from services.events.actions.access import patron_of
from services.events.actions.sponsorships import Application
from services.events.pages.payment import off_to_pay, pay_links
from services.events.pages.rights import bookings, may_buy
from services.events.pages.words import badge, part_state
from services.events.rules import industries
from services.events.rules.sponsorships import Due, Terms, schedule
from services.events.tables import SponsorshipRow
from shared import auth, clock
from shared.calendar import local_day
from shared.db import Tx, enter
from shared.gate import BUYS
from shared.http import once, read_form
from shared.request import Request
from shared.service import transaction
from shared.strangers import Share, sharing
from shared.web import language_of, page
from shared.web.again import or_again


class SponsorForm(Application, frozen=True, kw_only=True):
    """The application, with the price of the package that its form showed."""

    seen_vnd: int


EMPTY = {
    "organisation": "",
    "tax_code": "",
    "industry": "",
    "contact_name": "",
    "contact_email": "",
    "contact_phone": "",
}


@get("/events/{slug:str}/sponsor/{package:uuid}", guards=[may_buy], include_in_schema=False)
async def show_form(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], package: FromPath[UUID]
) -> Template:
    given = {**EMPTY, "contact_name": auth.principal_of(request).name}
    return await _form(request, tx, slug, package, given)


async def _form(
    request: Request,
    tx: Tx,
    slug: str,
    package: UUID,
    given: dict[str, str],
) -> Template:
    event = await queries.event(tx, slug)
    chosen = await queries.package(tx, event.id, package)
    return page(
        request,
        "sponsor_form.html",
        event=event,
        package=chosen,
        parts=_parts(event, chosen),
        industries=_industries(language_of(request)),
        given=given,
    )


def _parts(event: queries.EventView, chosen: queries.SellableView) -> list[Due]:
    today = local_day(clock.now())
    terms = msgspec.convert(msgspec.to_builtins(chosen), Terms)
    return schedule(terms, local_day(event.starts_at), today)


def _industries(lang: str) -> list[tuple[str, str]]:
    """What a sponsor may choose: no whole sector, which would keep too many away."""
    return [("", "–")] + [
        (str(code), industries.full_name(code, lang))
        for code in industries.INDUSTRIES
        if not industries.is_sector(code)
    ]


@post(
    "/events/{slug:str}/sponsor/{package:uuid}", guards=[may_buy, bookings], include_in_schema=False, opt=BUYS
)
async def take_package(request: Request, slug: FromPath[str], package: FromPath[UUID]) -> Response[Any]:
    """Hold the package, then off to pay; refused, the form comes back as it was filled in, with the price of now."""
    form = await request.form()
    patron = patron_of(auth.principal_of(request))

    async def work(tx: Tx, share: Share) -> Redirect:
        sent = read_form(form, SponsorForm)
        sale = await sponsorships.take_package(tx, patron, package, sent, clock.now(), share, sent.seen_vnd)
        return off_to_pay(request, sale, sponsorships.address(sale.of))

    budget = request.app.state.settings.budget_packages
    async with sharing(request, "hold:package", budget, 1) as share, transaction(request) as tx:
        return await or_again(
            request,
            tx,
            once(request, tx, work(tx, share)),
            lambda: _form(request, tx, slug, package, EMPTY),
        )


@get("/events/sponsorships/{key:uuid}", guards=[may_buy], include_in_schema=False)
async def show_sponsorship(request: Request, tx: NamedDependency[Tx], key: FromPath[UUID]) -> Template:
    """The sponsor's own page: state, instalments with their links, what was promised and its proof."""
    owner = patron_of(auth.principal_of(request)).owner
    seen = await queries.sponsorship(tx, key, owner)
    return page(
        request,
        "sponsorship.html",
        sponsorship=seen,
        event=await queries.event(tx, seen.event),
        industry=industries.name(seen.industry, language_of(request)),
        state=badge(request, seen.state),
        states=[badge(request, part_state(seen, part)) for part in seen.instalments],
        links=await pay_links(request, tx, [part.invoice for part in seen.instalments]),
    )


@post("/events/sponsorships/{key:uuid}/cancellation", guards=[may_buy], include_in_schema=False)
async def cancel(request: Request, tx: NamedDependency[Tx], key: FromPath[UUID]) -> Response[Any]:
    """Give the package back; the page says so, for until payments has answered it is still held."""
    principal = auth.principal_of(request)
    owner = patron_of(principal).owner

    async def work() -> Redirect:
        seen = await queries.sponsorship(tx, key, owner)
        await enter(tx, [seen.agency], owner)
        row = await tx.get_one(SponsorshipRow, key)
        await sponsorships.cancel(tx, row, clock.now(), principal.answers)
        return Redirect(sponsorships.address(key), status_code=303)

    return await once(request, tx, work())


routes = [show_form, take_package, show_sponsorship, cancel]
