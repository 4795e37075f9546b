"""A reader's own subscriptions: what runs until when, what comes next at which price, and the way out."""

from typing import Annotated, Any
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, Template

from services.subscriptions.actions import subscriptions as actions
from services.subscriptions.actions.periods import PERIOD
from services.subscriptions.pages.rights import may_see_own
from services.subscriptions.pages.words import COLLECTIONS, GROUPS, STANDINGS, title_of
from services.subscriptions.queries import catalogue, periods, subscriptions
from services.subscriptions.queries.subscriptions import Subscription
from shared.agencies import name_of
from shared.auth import principal_of
from shared.calendar import local_day
from shared.db import Tx
from shared.http import once, read_form
from shared.request import Request
from shared.sales import pay_link
from shared.web import page
from shared.web.again import tell, told

MINE = "/subscribe/mine"


class CancelForm(msgspec.Struct, frozen=True):
    """Stop renewal, or (`at_once`) end today and get the unused days back."""

    at_once: Annotated[str, msgspec.Meta(max_length=3)] = ""


class Shown(msgspec.Struct, frozen=True):
    """A subscription as its card shows it."""

    subscription: Subscription
    title: str
    next_vnd: int
    refund_vnd: int
    pay_url: str
    pay_vnd: int


@get(MINE, guards=[may_see_own], include_in_schema=False)
async def show_mine(request: Request, tx: NamedDependency[Tx]) -> Template:
    """Everything of the reader, newest first."""
    held = await subscriptions.of_person(tx, _person(request))
    return page(
        request,
        "subscriptions_mine.html",
        cards=[await _shown(request, tx, one) for one in held],
        standings=STANDINGS,
        collections=COLLECTIONS,
        groups=GROUPS,
        cancelled=bool(told(request)),
    )


@post("/subscribe/mine/{subscription:uuid}/cancel", guards=[may_see_own], include_in_schema=False)
async def cancel(request: Request, tx: NamedDependency[Tx], subscription: FromPath[UUID]) -> Response[Any]:
    """One click, no questions."""
    form = read_form(await request.form(), CancelForm)
    done = await once(request, tx, _cancel(tx, subscription, _person(request), at_once=form.at_once == "yes"))
    return tell(request, done, MINE, cancelled=subscription)


async def _cancel(tx: Tx, subscription: UUID, person: UUID, *, at_once: bool) -> Redirect:
    await actions.cancel(tx, subscription, person=person, at_once=at_once)
    return Redirect(MINE, status_code=303)


@get("/subscribe/mine/{subscription:uuid}/contract", guards=[may_see_own], include_in_schema=False)
async def show_contract(request: Request, tx: NamedDependency[Tx], subscription: FromPath[UUID]) -> Template:
    """The contract as it was made, to print or keep."""
    held = await subscriptions.one(tx, subscription, _person(request))
    first = held.invoices[-1]
    return page(
        request,
        "subscriptions_contract.html",
        title=title_of(request, held),
        agency_name=await name_of(tx, held.agency),
        group=GROUPS[held.reader_group],
        number=first.number,
        made_on=local_day(held.made_at),
        term=held.term,
        net_vnd=first.net_vnd,
        vat_vnd=first.vat_vnd,
        vat_class=first.vat_class,
        renewal=held.renewal,
        terms_version=held.terms_version,
        back=MINE,
    )


async def _shown(request: Request, tx: Tx, held: Subscription) -> Shown:
    agency = await catalogue.heir(tx, held.agency)
    next_day = held.reads_until or local_day(held.made_at)
    _, following = await catalogue.price_of(tx, agency, held.product_class, held.net_vnd, next_day)
    waiting = next((invoice for invoice in held.invoices if invoice.collection == "open"), None)
    pay_url = ""
    if waiting is not None:
        sale = await subscriptions.payable(tx, waiting.id)
        pay_url = pay_link(request.app.state.settings, PERIOD.seller, sale) if sale is not None else ""
    return Shown(
        held,
        title_of(request, held),
        following.gross_vnd,
        await periods.refund_offered(tx, held.id) if held.standing in ("active", "upcoming") else 0,
        pay_url,
        waiting.total_vnd if waiting is not None else 0,
    )


def _person(request: Request) -> UUID:
    person = principal_of(request).id
    assert person is not None  # noqa: S101 - the guard lets only persons in
    return person


routes = [show_mine, cancel, show_contract]
