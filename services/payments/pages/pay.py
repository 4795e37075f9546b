"""Paying: one screen behind a signed link, the way to the bank, the way back, and the result as it becomes known."""

import contextlib
from collections.abc import AsyncIterator
from uuid import UUID

import msgspec
from litestar import get, post
from litestar.di import NamedDependency
from litestar.params import FromPath
from litestar.response import Redirect, ServerSentEvent, Template

from services.payments import queries
from services.payments.actions import attempts, trial
from services.payments.gateways import address_of
from services.payments.pages import words
from services.payments.rules import invoices as rules
from services.payments.rules import vnpay
from shared import clock, links, live
from shared.agencies import name_of
from shared.contracts import sandbox
from shared.db import Tx, enter
from shared.errors import NotFound, Refused
from shared.limits import client_address, limited
from shared.request import Request
from shared.settings import Settings
from shared.web import language_of, page, translate

BACK_TTL_S = 2 * 86_400
LIVE_S = 120
LOOK_S = 0.5
REFRESH_S = 4
"""How often the page looks again by itself where it waits, without any script."""

PAYABLE = ("preparing", "new", "failed", "open")
"""The faces of the page from which one goes on to the bank, or waits to."""


class Link(msgspec.Struct, frozen=True):
    """What a signed link says."""

    agency: str
    amount_vnd: int
    seller: str = ""
    """Whose invoice it leads to; payments' own links, which follow the seller's, need not say it again."""
    back: str = ""
    """The code with which the buyer came back from the bank."""


async def entered(request: Request, tx: Tx, invoice: UUID) -> tuple[Link, bool]:
    """Check the link and let the transaction see its agency's rows; also whether the link is in time.

    Raises NotFound: one seller's key opens no other seller's invoice. One that has not arrived yet is nobody's.
    """
    query = request.scope["query_string"].decode("latin-1")
    said, in_time = links.read_pay_link(request.app.state.settings, invoice, query)
    link = Link(said["agency"], int(said["amount"]), said.get("seller", ""), back=said.get("back", ""))
    await enter(tx, [link.agency])
    seller = await queries.seller_of(tx, invoice)
    if link.seller and seller not in ("", link.seller):
        raise NotFound(links.NOT_OURS)
    return link, in_time


async def opened(request: Request, tx: Tx, invoice: UUID) -> Link:
    """As `entered`, where a late link opens nothing. Raises NotFound, LinkExpired."""
    link, in_time = await entered(request, tx, invoice)
    if not in_time:
        raise links.LinkExpired(links.TOO_LATE)
    return link


@get("/pay/{invoice:uuid}", include_in_schema=False)
async def show_pay(request: Request, tx: NamedDependency[Tx], invoice: FromPath[UUID]) -> Template:
    """The one screen: what for, how much, one button; then the result. A late link shows, and pays no more."""
    link, in_time = await entered(request, tx, invoice)
    bill = await queries.bill(tx, invoice)
    known = vnpay.terminals(request.app.state.settings.vnpay_terminals)
    address = f"/pay/{invoice}?{request.scope['query_string'].decode('latin-1')}"
    agency = bill.invoice.agency if bill else link.agency
    state = state_of(bill, came_back=bool(link.back))
    if not in_time and state in PAYABLE:
        state = "late"
    return page(
        request,
        "pay.html",
        status_code=410 if state == "late" else 200,
        bill=bill,
        link=link,
        state=state,
        address=address,
        live_address=address.replace("?", "/live?", 1),
        agency_name=await name_of(tx, agency, translate(language_of(request), sandbox.LABEL)),
        refresh_s=REFRESH_S if state in ("preparing", "waiting") or _is_asked(bill) else 0,
        failure=words.FAILURES.get(bill.attempt.response if bill and bill.attempt else "", words.FAILED),
        rail=_rail(bill, link.agency, known),
        simulator=_banner(request, link.agency),
    )


def _is_asked(bill: queries.Bill | None) -> bool:
    return bill is not None and any(came.face == "asking" for came in bill.money)


def _rail(bill: queries.Bill | None, agency: str, known: dict[str, vnpay.Terminal]) -> str:
    """How the invoice can be paid here; in the sandbox by nothing but its own rail."""
    if sandbox.is_sandbox(agency):
        return "trial"
    return "vnpay" if bill and "vnpay" in bill.rails and vnpay.terminal_of(known, agency) else ""


def _banner(request: Request, agency: str) -> str:
    """What the page says where no real money moves."""
    if sandbox.is_sandbox(agency):
        return translate(language_of(request), words.TRIAL)
    return "" if request.app.state.settings.vnpay_url else translate(language_of(request), words.SIMULATED)


def state_of(bill: queries.Bill | None, *, came_back: bool) -> str:
    """Which face the page shows."""
    if bill is None:
        return "preparing"
    now, attempt = clock.now(), bill.attempt
    if attempt is not None and attempt.state in ("open", "held"):
        # Until the bank's time is over the buyer may go there again; after that we ask, and the buyer waits.
        asking = came_back or now >= attempt.expires_at
        if attempt.state == "open" and not asking and bill.invoice.withdrawn_at is not None:
            return "withdrawn"
        return "held" if attempt.state == "held" else "waiting" if asking else "open"
    face = rules.standing(bill.invoice, now)
    if any(came.face != "received" for came in bill.money) and not _is_kept(bill):
        return "settled"  # what is said of its money says all
    if face == "paid" and bill.invoice.was_called_off and not any(came.late for came in bill.money):
        return "unsure"  # no seller says that it keeps what it was not asked about: it credits what it does not keep
    return "failed" if face == "new" and attempt is not None else face


def _is_kept(bill: queries.Bill) -> bool:
    """Whether some money pays for it, whole or in part."""
    return any(came.face == "received" for came in bill.money)


# Only who was given the signed link can send this, so that no other site's form can; programs pay the sandbox by it.
@post(
    "/pay/{invoice:uuid}",
    guards=[limited("pay", per_minute=600, burst=200)],
    opt={"exclude_from_csrf": True},
    include_in_schema=False,
)
async def start(request: Request, tx: NamedDependency[Tx], invoice: FromPath[UUID]) -> Redirect:
    """To the bank; in the sandbox, paid by this word alone.

    Needs no idempotency key: while an attempt is under way, the same one goes on, and nothing is paid twice.
    """
    link = await opened(request, tx, invoice)
    settings: Settings = request.app.state.settings
    known = vnpay.terminals(settings.vnpay_terminals)
    who = (client_address(request), language_of(request))
    # The page itself says why it cannot be paid (now), better than an error page would.
    back = Redirect(f"/pay/{invoice}?{request.scope['query_string'].decode('latin-1')}", status_code=303)
    if sandbox.is_sandbox(link.agency):
        # A program hears why not; that it was paid before is what it wanted.
        with contextlib.suppress(rules.AlreadyPaid):
            await trial.pay(tx, invoice, *who)
        return back
    try:
        address = await attempts.start_vnpay(tx, known, settings.base_url, invoice, *who)
    except Refused:
        return back
    return Redirect(address_of(settings) + address, status_code=303)


@get("/gateway/vnpay/return", opt={"worker": True}, include_in_schema=False)
async def come_back(request: Request, tx: NamedDependency[Tx]) -> Redirect:
    """Where VNPay sends the buyer. It shows; what counts is the notification."""
    settings: Settings = request.app.state.settings
    raw = request.scope["query_string"].decode("latin-1")
    said = vnpay.notification(vnpay.opened_query(raw, vnpay.terminals(settings.vnpay_terminals)))
    found = await attempts.note_return(tx, said.reference, clock.now())
    if found is None:
        raise NotFound("There is no such payment.")
    invoice, agency, amount_vnd = found
    back = links.signed(
        settings, f"/pay/{invoice}", BACK_TTL_S, agency=agency, amount=amount_vnd, back=said.response
    )
    return Redirect(back, status_code=303)


@get("/pay/{invoice:uuid}/live", include_in_schema=False)
async def watch(request: Request, tx: NamedDependency[Tx], invoice: FromPath[UUID]) -> ServerSentEvent:
    """Tell the open page as soon as the result is known."""
    link = await opened(request, tx, invoice)
    return live.stream(request, _news(request, invoice, link))


async def _news(request: Request, invoice: UUID, link: Link) -> AsyncIterator[str]:
    """One message when the outcome is known; the stream outlives the request, so it opens its own transactions."""
    kit = request.app.state.kit
    lang = language_of(request)
    async for _ in live.ticks(LOOK_S, LIVE_S):
        async with kit.database.web_tx([link.agency]) as tx:
            outcome, attempt = await queries.state_of(tx, invoice)
        word = words.NEWS.get(outcome) or words.NEWS.get(attempt)
        if word is not None:
            yield msgspec.json.encode({"pay-news": translate(lang, word)}).decode()
            return


routes = [show_pay, start, come_back, watch]
