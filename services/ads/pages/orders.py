"""Pages for advertisers: what is for sale, booking, and each order from its creatives to its delivery."""

from collections.abc import Coroutine
from datetime import date, timedelta
from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.ads.actions import creatives, orders
from services.ads.actions.images import Picture
from services.ads.actions.uploads import taken
from services.ads.api.orders import booking_limit
from services.ads.pages import words
from services.ads.queries import catalogue, delivery
from services.ads.queries import orders as reading
from shared import auth, clock
from shared.agencies import names_of
from shared.calendar import local_day
from shared.db import Tx
from shared.errors import NotAllowed, Refused
from shared.gate import BUYS
from shared.http import once, read_form
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.service import transaction
from shared.web import page
from shared.web.again import again, or_again

is_signed_in = auth.Right(own=True)
PER_PAGE = 20
FIRST_DAYS, FLIGHT_DAYS = 3, 14


class BookForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line, as people book it."""

    placement: Annotated[str, msgspec.Meta(pattern=r"^[a-z0-9-]+/[a-z0-9-]+/[0-9]{1,12}$")]
    """agency/code/price as seen"""
    name: orders.Text
    starts_on: date
    ends_on: date
    budget_vnd: Annotated[int, msgspec.Meta(gt=0, le=10**11)]
    sections: list[str] = []


@get("/advertise", include_in_schema=False)
async def show_rate_card(request: Request, tx: NamedDependency[Tx]) -> Template:
    today = local_day(clock.now())
    placements = await catalogue.placements(tx, today)
    agencies: dict[str, list[catalogue.PlacementView]] = {}
    for placement in placements:
        agencies.setdefault(placement.agency_name, []).append(placement)
    example = {
        "agency": placements[0].agency if placements else "bkh",
        "code": placements[0].code if placements else "article-mid",
        "starts_on": today + timedelta(days=FIRST_DAYS),
        "ends_on": today + timedelta(days=FIRST_DAYS + FLIGHT_DAYS),
        "base": request.app.state.settings.base_url,
    }
    return page(request, "ads_rate_card.html", agencies=agencies, words=words, example=example)


def registration(request: Request) -> Redirect | None:
    """Where whoever is no advertiser yet registers first, and comes back from; nothing for advertisers."""
    if auth.principal_of(request).organisation is not None:
        return None
    here = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return Redirect(
        "/account/organisation", query_params={"kind": "advertiser", "next": here}, status_code=303
    )


def _as_advertiser(request: Request) -> auth.Principal:
    principal = auth.principal_of(request)
    if principal.organisation is None:
        raise NotAllowed("This account acts for no advertiser. Register your organisation first.")
    return principal


@get("/advertise/orders", include_in_schema=False, guards=[is_signed_in])
async def show_orders(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = ""
) -> Response[Any]:
    return registration(request) or await _orders(request, tx, cursor)


async def _orders(request: Request, tx: Tx, cursor: str) -> Template:
    _as_advertiser(request)
    before = decode_cursor(cursor, UUID)
    found = await reading.orders(tx, request.app.state.settings, before=before, limit=PER_PAGE + 1)
    listed = page_of(found, PER_PAGE)
    names = await names_of(tx, [order.agency for order in listed.items])
    more = listed.next and f"?cursor={listed.next}"
    return page(request, "ads_orders.html", orders=listed.items, names=names, more=more, words=words)


@get("/advertise/new", include_in_schema=False, guards=[is_signed_in])
async def show_booking(
    request: Request, tx: NamedDependency[Tx], placement: FromQuery[str] = ""
) -> Response[Any]:
    return registration(request) or await _booking(request, tx, placement)


async def _booking(request: Request, tx: Tx, placement: str = "") -> Template:
    today = local_day(clock.now())
    own = auth.is_registered.agencies(_as_advertiser(request))
    names = await names_of(tx, own)
    offered = {
        f"{found.agency}/{found.code}/{found.rates[0].price_vnd}": found
        for found in await catalogue.placements(tx, today)
        if found.agency in own
    }
    return page(
        request,
        "ads_booking.html",
        placements=offered,
        chosen=next((value for value in offered if value.startswith(f"{placement}/")), ""),
        known_at=", ".join(names[agency] for agency in sorted(own)),
        words=words,
        starts_on=today + timedelta(days=FIRST_DAYS),
        ends_on=today + timedelta(days=FIRST_DAYS + FLIGHT_DAYS - 1),
    )


@post("/advertise/new", include_in_schema=False, guards=[is_signed_in, booking_limit], opt=BUYS)
async def book(request: Request, tx: NamedDependency[Tx]) -> Response[Any]:
    """Book; refused, the form comes back as it was filled in."""

    async def work() -> Redirect:
        form = read_form(await request.form(), BookForm)
        principal = _as_advertiser(request)
        return await once(request, tx, _book(request, tx, principal, form))

    return await or_again(request, tx, work(), lambda: _booking(request, tx))


async def _book(request: Request, tx: Tx, principal: auth.Principal, form: BookForm) -> Redirect:
    agency, code, price_vnd = form.placement.split("/")
    line = orders.NewLine(
        placements=(code,),
        price_vnd=int(price_vnd),
        sections=tuple(form.sections),
        starts_on=form.starts_on,
        ends_on=form.ends_on,
        budget_vnd=form.budget_vnd,
    )
    wanted = orders.NewOrder(agency=agency, name=form.name, line_items=(line,))
    made = await orders.book_order(tx, request.app.state.settings, principal, wanted)
    return Redirect(f"/advertise/orders/{made.id}", status_code=303)


@get("/advertise/orders/{order_id:uuid}", include_in_schema=False, guards=[is_signed_in])
async def show_order(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> Template:
    return await _order(request, tx, order_id)


async def _order(request: Request, tx: Tx, order_id: UUID) -> Template:
    _as_advertiser(request)
    order = await reading.order(tx, request.app.state.settings, order_id)
    return page(
        request,
        "ads_order.html",
        order=order,
        names=await names_of(tx, [order.agency]),
        days=await delivery.by_day(tx, order_id),
        words=words,
        desk=False,
    )


@post(
    "/advertise/orders/{order_id:uuid}/creatives",
    include_in_schema=False,
    guards=[is_signed_in, booking_limit],
)
async def upload(request: Request, order_id: FromPath[UUID]) -> Response[Any]:
    _as_advertiser(request)
    state = request.app.state

    async def work(tx: Tx, image: Picture, click_url: str) -> Redirect:
        await creatives.add_creative(tx, state.settings, order_id, image, click_url)
        return Redirect(f"/advertise/orders/{order_id}", status_code=303)

    try:
        image, click_url = await taken(await request.form())
        async with transaction(request) as tx:
            done = await once(request, tx, work(tx, image, click_url))
        await state.kit.files.put(image.content)
    except Refused as refusal:
        async with transaction(request) as tx:
            return await again(request, refusal, lambda: _order(request, tx, order_id))
    return done


@post("/advertise/orders/{order_id:uuid}/submit", include_in_schema=False, guards=[is_signed_in], opt=BUYS)
async def submit(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> Response[Any]:
    _as_advertiser(request)
    work = _done(orders.submit_order(tx, request.app.state.settings, order_id))
    return await or_again(request, tx, work, lambda: _order(request, tx, order_id))


async def _done(act: Coroutine[Any, Any, reading.OrderView]) -> Redirect:
    return Redirect(f"/advertise/orders/{(await act).id}", status_code=303)


@post("/advertise/orders/{order_id:uuid}/cancel", include_in_schema=False, guards=[is_signed_in])
async def cancel(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> Response[Any]:
    _as_advertiser(request)
    by = auth.principal_of(request).id
    work = _done(orders.cancel_order(tx, request.app.state.settings, order_id, by))
    return await or_again(request, tx, work, lambda: _order(request, tx, order_id))


routes = [show_rate_card, show_orders, show_booking, book, show_order, upload, submit, cancel]
