"""From the wall back to the article: offers, checkout in two steps, and the page after payment."""

from typing import Annotated, Any
from urllib.parse import quote
from uuid import UUID

import msgspec
from litestar import Response, get, post
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Redirect, Template

from services.subscriptions.actions.subscriptions import TERMS_VERSION, Order, subscribe
from services.subscriptions.pages.rights import may_subscribe
from services.subscriptions.pages.words import GROUP_NOTES, GROUPS, title_of
from services.subscriptions.queries import catalogue, subscriptions
from services.subscriptions.queries.catalogue import Offer, Package
from shared import clock
from shared.agencies import name_of
from shared.auth import principal_of
from shared.calendar import local_day
from shared.db import Tx
from shared.errors import NotFound, Refused
from shared.gate import BUYS
from shared.http import once, read_form
from shared.identity import is_local_path
from shared.request import Request
from shared.web import page
from shared.web.again import or_again


class TermsNotAccepted(Refused, status=422):
    """The reader has not agreed to the terms, or not confirmed the group that the price is for."""


class CheckoutForm(msgspec.Struct, frozen=True, kw_only=True):
    """The second step of the checkout."""

    price: UUID
    seen_vnd: int
    """The price with its tax that the form showed: no other is charged."""
    renewal: Annotated[str, msgspec.Meta(max_length=3)] = ""
    terms: Annotated[str, msgspec.Meta(max_length=3)] = ""
    group: Annotated[str, msgspec.Meta(max_length=3)] = ""
    next: Annotated[str, msgspec.Meta(max_length=500)] = ""


@get("/subscribe", include_in_schema=False)
async def show_offers(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str] = "",
) -> Template:
    """Packages by reader group. `next` is where the reader came from."""
    came_from = _local_path(request.query_params.get("next", ""))
    sellers = await catalogue.sellers(tx)
    chosen = await catalogue.heir(tx, agency) if agency else (sellers[0] if sellers else "")
    packages = await catalogue.packages(tx, chosen)
    names = {code: await name_of(tx, code) for code in sellers}
    return page(
        request,
        "subscriptions_offers.html",
        packages=[(p, title_of(request, p)) for p in packages],
        sellers=[(f"/subscribe?agency={code}&next={quote(came_from)}", name) for code, name in names.items()],
        here_now=f"/subscribe?agency={chosen}&next={quote(came_from)}",
        agency_name=names.get(chosen, ""),
        came_from=came_from,
        groups=GROUPS,
    )


@get("/subscribe/{package:uuid}", include_in_schema=False)
async def show_checkout(
    request: Request,
    tx: NamedDependency[Tx],
    package: FromPath[UUID],
    price: FromQuery[UUID | None] = None,
) -> Template:
    """Step one is signing in, step two the summary with price, VAT and terms."""
    return await _checkout(request, tx, package, price, request.query_params.get("next", ""))


async def _checkout(request: Request, tx: Tx, package: UUID, price: UUID | None, next_path: str) -> Template:
    found = await catalogue.package(tx, package)
    offer = await _offer(tx, found, price)
    principal = principal_of(request)
    came_from = _local_path(next_path)
    held = None
    if principal.kind == "person" and principal.id is not None:
        mine = await subscriptions.of_person(tx, principal.id)
        held = next((s for s in mine if s.package == package and s.standing in ("active", "upcoming")), None)
    return page(
        request,
        "subscriptions_checkout.html",
        package=found,
        title=title_of(request, found),
        offer=offer,
        came_from=came_from,
        address=f"/subscribe/{package}?price={offer.price}&next={quote(came_from, safe='')}",
        group=GROUPS[found.reader_group],
        group_note=GROUP_NOTES.get(found.reader_group, ""),
        agency_name=await name_of(tx, found.agency),
        held=held,
    )


@post("/subscribe/{package:uuid}", guards=[may_subscribe], include_in_schema=False, opt=BUYS)
async def order(request: Request, tx: NamedDependency[Tx], package: FromPath[UUID]) -> Response[Any]:
    """Make the contract and go to pay; refused, the checkout comes back as it was filled in."""
    sent = await request.form()

    async def work() -> Redirect:
        return await once(request, tx, _take(request, tx, await _agreed(tx, package, sent)))

    async def show() -> Template:
        price, next_path = (str(sent.get(name, "")) for name in ("price", "next"))
        return await _checkout(request, tx, package, _named(price), next_path)

    return await or_again(request, tx, work(), show)


def _named(price: str) -> UUID | None:
    """The price that a refused form names; none where what stands there is no price's name."""
    try:
        return UUID(price)
    except ValueError:
        return None


async def _agreed(tx: Tx, package: UUID, sent: Any) -> Order:
    """What the form orders. Raises TermsNotAccepted."""
    form = read_form(sent, CheckoutForm)
    found = await catalogue.package(tx, package)
    if form.terms != "yes":
        raise TermsNotAccepted("Agree to the terms to go on. Nothing was charged.", field="terms")
    if found.reader_group in GROUP_NOTES and form.group != "yes":
        raise TermsNotAccepted(
            "Confirm that the package is for your group. Nothing was charged.", field="group"
        )
    return Order(
        package=package,
        price=form.price,
        seen_vnd=form.seen_vnd,
        renewal=form.renewal == "yes",
        next_path=_local_path(form.next),
    )


async def _take(request: Request, tx: Tx, chosen: Order) -> Redirect:
    person = principal_of(request).id
    assert person is not None  # noqa: S101 - the guard lets only persons in
    opened = await subscribe(tx, request.app.state.settings, person, chosen)
    return Redirect(opened.pay_url, status_code=303)


@get("/subscribe/{package:uuid}/contract", include_in_schema=False)
async def show_draft(
    request: Request,
    tx: NamedDependency[Tx],
    package: FromPath[UUID],
    price: FromQuery[UUID | None] = None,
) -> Template:
    """The contract before anybody agrees to it, to read, print and keep."""
    found = await catalogue.package(tx, package)
    offer = await _offer(tx, found, price)
    return page(
        request,
        "subscriptions_contract.html",
        title=title_of(request, found),
        agency_name=await name_of(tx, found.agency),
        group=GROUPS[found.reader_group],
        number="",
        made_on=local_day(clock.now()),
        term=offer.term,
        net_vnd=offer.net_vnd,
        vat_vnd=offer.vat_vnd,
        vat_class=offer.vat_class,
        renewal=None,
        terms_version=TERMS_VERSION,
        back=f"/subscribe/{package}?price={offer.price}",
    )


@get("/subscribe/return/{invoice:uuid}", guards=[may_subscribe], include_in_schema=False)
async def show_return(request: Request, tx: NamedDependency[Tx], invoice: FromPath[UUID]) -> Template:
    """After the bank: confirming, then open. It asks again each second, or by itself every three without scripts."""
    person = principal_of(request).id
    assert person is not None  # noqa: S101 - the guard lets only persons in
    state = await subscriptions.return_state(tx, invoice, person)
    # Open means that the door knows it, not only the books: the next click must not meet the wall again.
    known = request.app.state.doorkeeper.snapshot.number
    ready = state.change is not None and state.change <= known
    over = state.collection in ("withdrawn", "expired") and not ready
    returned = 0 < state.total_vnd == state.credited_vnd
    return page(
        request,
        "subscriptions_return.html",
        state=state,
        title=title_of(request, state),
        step="returned" if returned else "open" if ready else "over" if over else "confirming",
        agency_name=await name_of(tx, state.agency),
    )


async def _offer(tx: Tx, package: Package, price: UUID | None) -> Offer:
    """The chosen term at today's price, or the shortest. Raises NotFound where the package has no such price."""
    found = await catalogue.offer_of(tx, package.offers, price) if price else next(iter(package.offers), None)
    if found is None:
        raise NotFound("This price is no longer in force; look at the package again.")
    return found


def _local_path(text: str) -> str:
    """The text if it is a path of this origin, else nothing: a link must not lead readers to a stranger."""
    return text if is_local_path(text) else ""


routes = [show_offers, show_checkout, order, show_draft, show_return]
