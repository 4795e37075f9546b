"""The door for programs: what can be had, and taking it."""

from datetime import date, datetime
from operator import attrgetter
from typing import Annotated, Self
from uuid import UUID

import msgspec
from litestar import Response, get, post, put
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery, JSONBody

from services.events import queries
from services.events.actions import catalogue, deliverables, registrations, sponsorships
from services.events.actions.access import agencies_of, check_within, patron_of, runner_of, within
from services.events.actions.sponsorships import Application
from services.events.rules.registrations import MOST, Entry
from services.events.tables import DeliverableRow, EventRow, SponsorshipRow
from shared import auth, clock, sales
from shared.contracts.roles import EVENT_STAFF
from shared.db import Tx, enter, locked
from shared.errors import NotFound
from shared.gate import BUYS
from shared.http import etag, once, require_match
from shared.limits import limited
from shared.lists import Limit, Page, decode_cursor, page_of
from shared.request import Request
from shared.sales import Sale
from shared.service import transaction
from shared.strangers import Share, sharing

BASE = "/api/events/v1"

may_sponsor = auth.Right(scope="events:sponsor", own=True)
may_register = auth.Right(scope="events:register", own=True)
may_edit_events = auth.Right(roles=EVENT_STAFF, scope="events:edit")
may_check_in = auth.Right(roles=EVENT_STAFF, scope="events:check-in")
bookings = limited("events-book", per_minute=600, burst=300)


class EventFull(msgspec.Struct, frozen=True):
    """An event with all that is sold at it."""

    event: queries.EventView
    sellables: list[queries.SellableView]


Seen = Annotated[int, msgspec.Meta(ge=0, le=10**15)]


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What was taken, and the invoice to pay for it; none where it costs nothing."""

    id: UUID
    agency: str
    invoice: UUID | None
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    expires_at: datetime


class Order(msgspec.Struct, frozen=True):
    """What was taken, and where to pay for it before it is given to others: nowhere where it costs nothing."""

    order: Asked
    pay_url: str | None
    paid: bool


class TakePackage(Application, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A sponsor's application for one package.

    `seen_vnd` is its `total_vnd` as the sponsor saw it: another price is refused with `price-changed` (409).
    """

    package: UUID
    seen_vnd: Seen | None = None

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(
            package=UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70"),
            organisation="Công ty Cổ phần Yến sào Hòn Nội",
            tax_code="4299000018",
            industry=120_200,
            contact_name="Lê Quốc Bảo",
            contact_email="taitro@honnoi.example",
            contact_phone="0258 352 0520",
        )


class Register(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tickets for up to ten runners, by name.

    `seen_vnd` is what they cost together, by the `total_vnd` of each that the buyer saw: another price is refused with
    `price-changed` (409).
    """

    event: str
    entries: Annotated[list[Entry], msgspec.Meta(min_length=1, max_length=MOST)]
    seen_vnd: Seen | None = None

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(
            event="night-run",
            entries=[Entry(UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70"), "Trần Minh Khang")],
        )


class CheckIn(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The bib of who stands at the gate."""

    bib: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(bib=128)


class Proof(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a deliverable was delivered: an address, a document's number, a sentence."""

    proof: Annotated[str, msgspec.Meta(min_length=3, max_length=1000)]

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(proof="Biên bản nghiệm thu 12/2026, ảnh tại vạch đích đã gửi")


@get(f"{BASE}/events")
async def list_events(
    tx: NamedDependency[Tx], cursor: FromQuery[str] = "", limit: Limit = 50, agency: FromQuery[str] = ""
) -> Page[queries.EventView]:
    """Events, the latest first. Anyone may ask."""
    before = decode_cursor(cursor, tuple[datetime, UUID])
    found = await queries.events(tx, limit=limit, before=before, agency=agency)
    return page_of(found, limit, attrgetter("starts_at", "id"))


@get(f"{BASE}/events/{{slug:str}}")
async def show_event(tx: NamedDependency[Tx], slug: FromPath[str]) -> Response[EventFull]:
    """One event with packages and tickets; the ETag is what an edit has to name."""
    event = await queries.event(tx, slug)
    return Response(
        EventFull(event, await queries.sellables(tx, event.id)), headers={"ETag": etag(event.version)}
    )


@get(f"{BASE}/events/{{slug:str}}/availability")
async def show_availability(tx: NamedDependency[Tx], slug: FromPath[str]) -> list[queries.Left]:
    """What can be had at an event now: neither sold nor held."""
    event = await queries.event(tx, slug)
    return [
        queries.Left(id=each.id, kind=each.kind, title=each.title, capacity=each.capacity, left=each.left)
        for each in await queries.sellables(tx, event.id)
    ]


@post(f"{BASE}/events", guards=[may_edit_events])
async def create_event(
    request: Request, tx: NamedDependency[Tx], data: JSONBody[catalogue.NewEvent]
) -> queries.EventView:
    """Open an event for sale, with its packages and tickets."""

    async def work() -> queries.EventView:
        await catalogue.create_event(tx, data, clock.now(), auth.principal_of(request))
        return await queries.event(tx, data.slug)

    return await once(request, tx, work())


@put(f"{BASE}/events/{{slug:str}}", guards=[may_edit_events])
async def edit_event(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], data: JSONBody[catalogue.Details]
) -> Response[queries.EventView]:
    """Change an event's words and times. Send If-Match."""
    event = await _editable(request, tx, slug)
    await catalogue.edit_event(tx, event, data, auth.principal_of(request))
    return Response(await queries.event(tx, slug), headers={"ETag": etag(event.version)})


@put(f"{BASE}/events/{{slug:str}}/sellables/{{sellable:uuid}}", guards=[may_edit_events])
async def edit_sellable(
    request: Request,
    tx: NamedDependency[Tx],
    slug: FromPath[str],
    sellable: FromPath[UUID],
    data: JSONBody[catalogue.SellableEdit],
) -> Response[EventFull]:
    """Change a price or a capacity. Send If-Match with the event's ETag."""
    event = await _editable(request, tx, slug)
    await catalogue.edit_sellable(tx, event, sellable, data, auth.principal_of(request))
    full = EventFull(await queries.event(tx, slug), await queries.sellables(tx, event.id))
    return Response(full, headers={"ETag": etag(event.version)})


async def _editable(request: Request, tx: Tx, slug: str) -> EventRow:
    event: EventRow = await locked(tx, EventRow, (await queries.event_of_staff(tx, slug)).id)
    require_match(request, event.version)
    return event


@post(f"{BASE}/sponsorships", guards=[may_sponsor, bookings], opt=BUYS)
async def take_package(request: Request, data: JSONBody[TakePackage]) -> Order:
    """Hold a package for some hours and ask for its first instalment; `expires_at` says until when.

    Who has paid for one here before holds it for a day, and up to three at once; others one. Whoever let two go in a
    day holds the next for a quarter of an hour, and waits an hour before it. Refused with `sold-out`,
    `industry-taken`, `held-unpaid` or `let-go` (409); then nothing is held and nothing is charged. Where a newcomer of
    the same network let this package go unpaid, other newcomers wait an hour for it, and hold it for a quarter of one.
    """
    patron = patron_of(auth.principal_of(request))
    application = msgspec.convert(msgspec.to_builtins(data), _Unchecked)

    async def work(tx: Tx, share: Share) -> Order:
        await within(tx, auth.principal_of(request), package=data.package)
        sale = await sponsorships.take_package(
            tx, patron, data.package, application, clock.now(), share, data.seen_vnd
        )
        return _order(request, sale)

    budget = request.app.state.settings.budget_packages
    async with sharing(request, "hold:package", budget, 1) as share, transaction(request) as tx:
        return await once(request, tx, work(tx, share))


class _Unchecked(Application, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """The application within a larger body whose unknown fields were already refused."""


def _order(request: Request, sale: Sale) -> Order:
    settings = request.app.state.settings
    asked = Asked(
        id=sale.of,
        agency=sale.agency,
        invoice=sale.id if sale.waits else None,
        net_vnd=sale.net_vnd,
        vat_vnd=sale.vat_vnd,
        total_vnd=sale.total_vnd,
        expires_at=sale.expires_at,
    )
    link = settings.base_url + sales.pay_link(settings, "events", sale) if sale.waits else None
    return Order(asked, link, paid=sale.paid_at is not None)


@get(f"{BASE}/sponsorships", guards=[may_sponsor])
async def list_sponsorships(
    request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = "", limit: Limit = 50
) -> Page[queries.SponsorshipView]:
    """Your sponsorships, the newest first; of a key, those with its agency."""
    principal, before = auth.principal_of(request), decode_cursor(cursor, UUID)
    found = await queries.sponsorships_of(
        tx,
        patron_of(principal).owner,
        limit=limit,
        before=before,
        agencies=await agencies_of(tx, principal),
    )
    return page_of(found, limit)


@get(f"{BASE}/sponsorships/{{sponsorship:uuid}}", guards=[may_sponsor])
async def show_sponsorship(
    request: Request, tx: NamedDependency[Tx], sponsorship: FromPath[UUID]
) -> queries.SponsorshipView:
    """One of your sponsorships, with its instalments and deliverables."""
    principal = auth.principal_of(request)
    seen = await queries.sponsorship(tx, sponsorship, patron_of(principal).owner)
    await check_within(tx, principal, seen.agency)
    return seen


@post(f"{BASE}/sponsorships/{{sponsorship:uuid}}/cancellation", guards=[may_sponsor])
async def cancel_sponsorship(
    request: Request, tx: NamedDependency[Tx], sponsorship: FromPath[UUID]
) -> queries.SponsorshipView:
    """Give a package back before its first payment; it is free again once payments has closed the invoice.

    Money that is on its way by then goes back.
    """
    principal = auth.principal_of(request)
    owner = patron_of(principal).owner

    async def work() -> queries.SponsorshipView:
        seen = await queries.sponsorship(tx, sponsorship, owner)
        await check_within(tx, principal, seen.agency)
        await enter(tx, [seen.agency], owner)
        row = await tx.get_one(SponsorshipRow, sponsorship)
        await sponsorships.cancel(tx, row, clock.now(), principal.answers)
        return seen

    return await once(request, tx, work())


@post(f"{BASE}/registrations", guards=[may_register, bookings], opt=BUYS)
async def register(request: Request, data: JSONBody[Register]) -> Order:
    """Hold tickets for a quarter of an hour and ask for the money. `sold-out` (409) holds and charges nothing.

    What costs nothing is yours at once: `paid`, without an invoice.
    Who has paid here before may hold 40 unpaid, others ten (`held-unpaid`, 409), and in a crowd for five minutes.
    Whoever let two orders go in a day holds the next for five minutes, and waits as long before it (`let-go`, 409).
    """
    patron = runner_of(auth.principal_of(request))

    async def work(tx: Tx, share: Share) -> Order:
        await within(tx, auth.principal_of(request), slug=data.event)
        sale = await registrations.register(
            tx, patron, data.event, data.entries, clock.now(), share, data.seen_vnd
        )
        return _order(request, sale)

    budget, count = request.app.state.settings.budget_holds, len(data.entries)
    async with sharing(request, "hold:ticket", budget, count) as share, transaction(request) as tx:
        return await once(request, tx, work(tx, share))


@get(f"{BASE}/registrations/{{registration:uuid}}", guards=[may_register])
async def show_registration(
    request: Request, tx: NamedDependency[Tx], registration: FromPath[UUID]
) -> queries.RegistrationView:
    """One of your orders, with its bibs once it is paid."""
    principal = auth.principal_of(request)
    seen = await queries.registration(tx, registration, runner_of(principal).owner)
    await check_within(tx, principal, seen.agency)
    return seen


@post(f"{BASE}/events/{{slug:str}}/check-ins", guards=[may_check_in])
async def check_in(
    request: Request, tx: NamedDependency[Tx], slug: FromPath[str], data: JSONBody[CheckIn]
) -> queries.EntrantView:
    """Let the runner with a bib in. Refused with `already-in` the second time, `cancelled` where the ticket is void."""

    async def work() -> queries.EntrantView:
        event = await queries.event_of_staff(tx, slug)
        runner = await queries.entrant_by_bib(tx, event.id, data.bib)
        await registrations.check_in(tx, runner.id, auth.principal_of(request).id, clock.now())
        return await queries.entrant(tx, runner.id)

    return await once(request, tx, work())


@post(f"{BASE}/deliverables/{{deliverable:uuid}}/delivery", guards=[may_edit_events])
async def deliver(
    request: Request, tx: NamedDependency[Tx], deliverable: FromPath[UUID], data: JSONBody[Proof]
) -> queries.SponsorshipView:
    """Record that a sponsor got what was promised, with its proof."""

    async def work() -> queries.SponsorshipView:
        row: DeliverableRow | None = await locked(tx, DeliverableRow, deliverable)
        if row is None:
            raise NotFound("There is no such deliverable.")
        await deliverables.deliver(tx, row, data.proof, clock.now())
        return await queries.sponsorship(tx, row.sponsorship)

    return await once(request, tx, work())


routes = [
    list_events,
    show_event,
    show_availability,
    create_event,
    edit_event,
    edit_sellable,
    take_package,
    list_sponsorships,
    show_sponsorship,
    cancel_sponsorship,
    register,
    show_registration,
    check_in,
    deliver,
]
