"""The desk of ad operations: creatives that wait for a person, and every order with its delivery."""

from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.ads.actions import creatives
from services.ads.pages import words
from services.ads.queries import delivery
from services.ads.queries import orders as reading
from shared import auth, clock
from shared.agencies import names_of
from shared.contracts.roles import AD_STAFF
from shared.db import Tx
from shared.http import read_form
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import page
from shared.web.again import or_again

may_see_desk = auth.Right(roles={*AD_STAFF, "auditor"})
may_review = auth.Right(roles=AD_STAFF)
PER_PAGE = 25


class ReviewForm(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    verdict: Literal["approved", "refused", "stopped"]
    reason: Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""
    checks: list[str] = []


@get("/desk/ads", include_in_schema=False, guards=[may_see_desk])
async def show_queue(request: Request, tx: NamedDependency[Tx]) -> Template:
    return await _queue(request, tx)


async def _queue(request: Request, tx: Tx) -> Template:
    queue = await reading.queue(tx, request.app.state.settings)
    rejected = await delivery.rejections(tx, clock.now())
    return page(
        request,
        "ads_desk.html",
        queue=queue,
        names=await names_of(tx, [item.agency for item in queue]),
        waiting=await reading.queue_length(tx),
        rejected=rejected,
        words=words,
    )


@get("/desk/ads/orders", include_in_schema=False, guards=[may_see_desk])
async def show_orders(request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = "") -> Template:
    before = decode_cursor(cursor, UUID)
    found = await reading.orders(tx, request.app.state.settings, before=before, limit=PER_PAGE + 1)
    listed = page_of(found, PER_PAGE)
    return page(
        request,
        "ads_desk_orders.html",
        orders=listed.items,
        names=await names_of(tx, [order.agency for order in listed.items]),
        more=listed.next and f"?cursor={listed.next}",
        waiting=await reading.queue_length(tx),
        words=words,
    )


@get("/desk/ads/orders/{order_id:uuid}", include_in_schema=False, guards=[may_see_desk])
async def show_order(request: Request, tx: NamedDependency[Tx], order_id: FromPath[UUID]) -> Template:
    return await _order(request, tx, order_id)


async def _order(request: Request, tx: Tx, order_id: UUID) -> Template:
    order = await reading.order(tx, request.app.state.settings, order_id)
    return page(
        request,
        "ads_order.html",
        order=order,
        names=await names_of(tx, [order.agency]),
        days=await delivery.by_day(tx, order_id),
        words=words,
        desk=True,
    )


@post("/desk/ads/creatives/{creative_id:uuid}/review", include_in_schema=False, guards=[may_review])
async def review(
    request: Request, tx: NamedDependency[Tx], creative_id: FromPath[UUID], back: FromQuery[str] = ""
) -> Response[Any]:
    """Decide on a creative; refused, the page comes back with what was ticked and written."""

    async def work() -> Redirect:
        form = read_form(await request.form(), ReviewForm)
        decision = creatives.Review(verdict=form.verdict, reason=form.reason, checks=tuple(form.checks))
        principal = auth.principal_of(request)
        made = await creatives.review_creative(
            tx, request.app.state.settings, principal, creative_id, decision
        )
        return Redirect(f"/desk/ads/orders/{made.order}" if back == "order" else "/desk/ads", status_code=303)

    async def show() -> Template:
        if back != "order":
            return await _queue(request, tx)
        return await _order(request, tx, await reading.order_of(tx, creative_id))

    return await or_again(request, tx, work(), show)


routes = [show_queue, show_orders, show_order, review]
