"""Booking by API: the rate card, orders, creatives, and the review by ad operations."""

from uuid import UUID

from litestar import Router, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.ads.actions import creatives, orders
from services.ads.actions.uploads import Upload, taken
from services.ads.queries import catalogue, delivery
from services.ads.queries import orders as reading
from shared import auth, clock
from shared.calendar import local_day
from shared.contracts.roles import AD_STAFF
from shared.db import Tx
from shared.gate import BUYS
from shared.http import once
from shared.limits import limited
from shared.lists import Limit, Page, decode_cursor, page_of
from shared.request import Request
from shared.service import transaction

may_book_ads = auth.Right(roles=AD_STAFF, scope="ads:book", own=True)
may_read_orders = auth.Right(roles={*AD_STAFF, "auditor"}, scope="ads:read", own=True)
may_review_creatives = auth.Right(roles=AD_STAFF, scope="ads:review")
booking_limit = limited("ads-book", per_minute=120, burst=60)


@get("/placements")
async def list_placements(
    tx: NamedDependency[Tx], agency: FromQuery[str] = ""
) -> list[catalogue.PlacementView]:
    """Placements for sale with their size, sections and rates; `cpm` is đồng for 1,000 impressions before VAT."""
    return await catalogue.placements(tx, local_day(clock.now()), agency)


@post("/orders", guards=[may_book_ads, booking_limit], opt=BUYS)
async def book(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[orders.NewOrder]
) -> reading.OrderView:
    """Book an order of line items; it is a draft until its creatives are there and it is submitted."""
    principal = auth.principal_of(request)
    return await once(request, tx, orders.book_order(tx, request.app.state.settings, principal, data))


@get("/orders", guards=[may_read_orders])
async def list_orders(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[reading.OrderView]:
    """Your orders, or your agency's, newest first."""
    found = await reading.orders(
        tx, request.app.state.settings, before=decode_cursor(cursor, UUID), limit=limit + 1
    )
    return page_of(found, limit)


@get("/orders/{order_id:uuid}", guards=[may_read_orders])
async def show_order(
    request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]
) -> reading.OrderView:
    """An order with its delivery so far, its status, and the link to pay it when it waits for money."""
    return await reading.order(tx, request.app.state.settings, order_id)


@get("/orders/{order_id:uuid}/delivery", guards=[may_read_orders])
async def show_delivery(
    request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]
) -> list[delivery.DayOfLine]:
    """Impressions, viewable impressions and clicks of an order by local day."""
    await reading.order(tx, request.app.state.settings, order_id)
    return await delivery.by_day(tx, order_id)


@post("/orders/{order_id:uuid}/creatives", guards=[may_book_ads, booking_limit], opt={"form": Upload})
async def upload_creative(request: Request, order_id: FromPath[UUID]) -> reading.CreativeView:
    """Upload an image as multipart form data: `file`, and `click_url` to which a click leads."""
    state = request.app.state
    image, click_url = await taken(await request.form())
    async with transaction(request) as tx:
        work = creatives.add_creative(tx, state.settings, order_id, image, click_url)
        made = await once(request, tx, work)
    await state.kit.files.put(image.content)
    return made


@post("/orders/{order_id:uuid}/submit", guards=[may_book_ads], status_code=200, opt=BUYS)
async def submit(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> reading.OrderView:
    """Hand the order to review; doing it again changes nothing."""
    return await orders.submit_order(tx, request.app.state.settings, order_id)


@post("/orders/{order_id:uuid}/cancel", guards=[may_book_ads], status_code=200)
async def cancel(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> reading.OrderView:
    """Stop the order; what was paid and not delivered is credited."""
    return await once(
        request,
        tx,
        orders.cancel_order(tx, request.app.state.settings, order_id, auth.principal_of(request).answers),
    )


@get("/review-queue", guards=[may_review_creatives])
async def review_queue(request: Request, tx: NamedDependency[Tx]) -> list[reading.Waiting]:
    """Creatives of your agencies that wait for a decision, oldest first."""
    return await reading.queue(tx, request.app.state.settings)


@post("/creatives/{creative_id:uuid}/review", guards=[may_review_creatives], status_code=200)
async def review(
    request: Request, tx: NamedDependency[Tx], creative_id: FromPath[UUID], data: JSONBody[creatives.Review]
) -> reading.CreativeView:
    """Approve, refuse or stop a creative; the last approval that an order needs opens its invoice."""
    principal = auth.principal_of(request)
    return await creatives.review_creative(tx, request.app.state.settings, principal, creative_id, data)


routes = [
    Router(
        "/api/ads/v1",
        route_handlers=[
            list_placements,
            book,
            list_orders,
            show_order,
            show_delivery,
            upload_creative,
            submit,
            cancel,
            review_queue,
            review,
        ],
    )
]
