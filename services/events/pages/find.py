"""What events answers to the desk's one search and to a buyer's card: orders of tickets, and sponsorships."""

from typing import Any
from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.events.pages.words import badge, order_state
from services.events.queries import RegistrationView, SponsorshipView
from services.events.queries import find as queries
from shared.db import Tx
from shared.request import Request
from shared.sought import Sought
from shared.web import N_
from shared.web.doors import SEARCHED
from shared.web.found import MOST, Part, Row, answer_card, answer_find, finds, part

DESK = "/desk/events"

_, may_find = SEARCHED[DESK]


@get(f"{DESK}/find", include_in_schema=False, guards=[may_find, finds])
async def find(request: Request, tx: NamedDependency[Tx], q: FromQuery[str] = "") -> Template:
    """Orders and sponsorships by name, e-mail, phone, tax code, bib, number or amount."""

    async def look(wanted: Sought) -> list[Part]:
        tickets = await queries.registrations(tx, wanted, MOST)
        return _parts(request, tickets, await queries.sponsorships(tx, wanted, MOST))

    return await answer_find(request, DESK, q, look)


@get(f"{DESK}/card/{{buyer:uuid}}", include_in_schema=False, guards=[may_find])
async def show_card(request: Request, tx: NamedDependency[Tx], buyer: FromPath[UUID]) -> Template:
    """What a buyer has taken of events."""
    tickets = await queries.registrations_of(tx, buyer, MOST)
    parts = _parts(request, tickets, await queries.sponsorships_of(tx, buyer, MOST))
    return answer_card(request, DESK, buyer, parts)


def _parts(
    request: Request,
    tickets: list[tuple[RegistrationView, UUID]],
    sponsors: list[tuple[SponsorshipView, UUID]],
) -> list[Part]:
    return [
        part(N_("Đơn vé"), tickets, lambda one: _registration(request, *one)),
        part(N_("Tài trợ"), sponsors, lambda one: _sponsorship(request, *one)),
    ]


def _registration(request: Request, one: RegistrationView, buyer: UUID) -> Row:
    runners = [" ".join(filter(None, (runner.name, runner.bib_text))) for runner in one.entrants]
    return Row(
        title=one.number,
        note=f"{one.event_title} · {', '.join(runners)}",
        at=one.created_at,
        amount_vnd=one.total_vnd,
        mark=badge(request, order_state(one)),
        buyer=buyer,
        href=f"{DESK}/{one.event}",
    )


def _sponsorship(request: Request, one: SponsorshipView, buyer: UUID) -> Row:
    reached = (one.contact_name, one.contact_phone, one.contact_email)
    return Row(
        title=one.organisation,
        note=" · ".join(text for text in (one.event_title, one.package, *reached) if text),
        at=one.created_at,
        amount_vnd=sum(part.total_vnd for part in one.instalments),
        mark=badge(request, one.state),
        buyer=buyer,
        href=f"{DESK}/{one.event}/sponsorships/{one.id}",
    )


routes: list[Any] = [find, show_card]
