"""What ads answers to the desk's one search and to a buyer's card: orders."""

from typing import Any
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.ads.pages.words import STATUS
from services.ads.queries import find as queries
from services.ads.queries.orders import OrderView
from shared.db import Tx
from shared.request import Request
from shared.sought import Sought
from shared.web import N_, language_of, translate
from shared.web.doors import SEARCHED
from shared.web.found import MOST, Part, Row, answer_card, answer_find, finds, part

DESK = "/desk/ads"
ORDERS = N_("Đơn quảng cáo")

_, may_find = SEARCHED[DESK]


@get(f"{DESK}/find", include_in_schema=False, guards=[may_find, finds])
async def find(request: Request, tx: NamedDependency[Tx], q: FromQuery[str] = "") -> Template:
    """Orders by number, name or amount."""

    async def look(wanted: Sought) -> list[Part]:
        found = await queries.found(tx, request.app.state.settings, wanted, MOST)
        return [part(ORDERS, found, lambda one: _order(request, *one))]

    return await answer_find(request, DESK, q, look)


@get(f"{DESK}/card/{{buyer:uuid}}", include_in_schema=False, guards=[may_find])
async def show_card(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """What an organisation has booked."""
    found = await queries.of_buyer(tx, request.app.state.settings, buyer, MOST)
    return answer_card(
        request, DESK, buyer, [part(ORDERS, found, lambda order: _order(request, order, buyer))]
    )


def _order(request: Request, order: OrderView, buyer: UUID | None) -> Row:
    label, kind = STATUS[order.status]
    return Row(
        title=order.number,
        note=order.name,
        at=order.booked_at,
        amount_vnd=order.total_vnd,
        mark=(translate(language_of(request), label), kind),
        buyer=buyer,
        href=f"{DESK}/orders/{order.id}",
    )


routes: list[Any] = [find, show_card]
