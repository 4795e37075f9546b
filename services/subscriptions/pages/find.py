"""What subscriptions answers to the desk's one search and to a buyer's card: subscriptions, invoices, access today."""

from typing import Any
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.subscriptions.pages.words import COLLECTIONS, DESK, STANDINGS, title_of
from services.subscriptions.queries import find as queries
from services.subscriptions.queries.subscriptions import Invoice, Subscription, listed
from shared.db import Tx
from shared.request import Request
from shared.sought import Sought
from shared.web import N_, language_of, translate
from shared.web.doors import SEARCHED
from shared.web.formats import day
from shared.web.found import MOST, SHOWN, Part, Row, answer_card, answer_find, finds, part

INVOICES = N_("Phiếu thu thuê bao")

_, may_find = SEARCHED[DESK]


@get(f"{DESK}/find", include_in_schema=False, guards=[may_find, finds])
async def find(request: Request, tx: NamedDependency[Tx], q: FromQuery[str] = "") -> Template:
    """Invoices by number or amount."""

    async def look(wanted: Sought) -> list[Part]:
        found = await queries.found(tx, wanted, MOST)
        return [part(INVOICES, found, lambda one: _invoice(request, *one))]

    return await answer_find(request, DESK, q, look)


@get(f"{DESK}/card/{{buyer:uuid}}", include_in_schema=False, guards=[may_find])
async def show_card(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """What a person has subscribed to, whether they may read today, and what was asked of them."""
    found = await listed(tx, person=buyer, before=None, limit=SHOWN)
    asked = [(invoice, whole) for whole in found for invoice in whole.invoices]
    asked.sort(key=lambda one: one[0].opened_at, reverse=True)
    parts = [
        part(N_("Quyền đọc hôm nay"), found, lambda one: _subscription(request, one)),
        part(INVOICES, asked, lambda one: _invoice(request, *one)),
    ]
    return answer_card(request, DESK, buyer, parts)


def _subscription(request: Request, one: Subscription) -> Row:
    lang = language_of(request)
    label, kind = STANDINGS[one.standing]
    until = translate(lang, "đọc đến hết {day}", day=day(one.reads_until)) if one.reads_until else ""
    renews = translate(lang, "tự gia hạn") if one.renewal else ""
    return Row(
        title=title_of(request, one),
        note=" · ".join(text for text in (until, renews) if text),
        at=one.made_at,
        mark=(translate(lang, label), kind),
        buyer=one.person,
    )


def _invoice(request: Request, one: Invoice, whole: Subscription) -> Row:
    label, kind = COLLECTIONS[one.collection]
    return Row(
        title=one.number,
        note=f"{title_of(request, whole)} · {day(one.start)} – {day(one.last)}",
        at=one.opened_at,
        amount_vnd=one.total_vnd,
        mark=(translate(language_of(request), label), kind),
        buyer=whole.person,
    )


routes: list[Any] = [find, show_card]
