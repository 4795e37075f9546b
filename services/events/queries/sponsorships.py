"""Sponsorships with their instalments and deliverables."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.events.queries.sales import standing_of
from services.events.rules import industries
from services.events.rules.sponsorships import State, state_of, tax_point
from services.events.rules.stock import VAT_CLASS, Standing
from services.events.tables import DeliverableRow, InstalmentRow
from shared import clock, sales
from shared.calendar import local_day
from shared.db import Tx
from shared.errors import NotFound
from shared.money import split_after
from shared.sales import Sale


class PartView(msgspec.Struct, frozen=True, kw_only=True):
    """One instalment of a sponsorship; VAT as it was paid or is owed on terms, before that as far as is known today."""

    position: int
    title: str
    due_on: date
    net_vnd: int
    vat_vnd: int
    total_vnd: int
    paid_vnd: int
    credited_vnd: int
    """What goes back, or went back."""
    state: Standing | Literal["planned"]
    """`planned` is no invoice yet."""
    invoice: UUID | None
    expires_at: datetime | None
    paid_at: datetime | None


class PromiseView(msgspec.Struct, frozen=True, kw_only=True):
    """One deliverable of a sponsorship."""

    id: UUID
    title: str
    due_on: date
    delivered_at: datetime | None
    proof: str


class SponsorshipView(msgspec.Struct, frozen=True, kw_only=True):
    """A sponsorship as its sponsor and the agency see it."""

    id: UUID
    agency: str
    event: str
    event_title: str
    number: int
    organisation: str
    tax_code: str
    industry: int
    contact_name: str
    contact_email: str
    contact_phone: str
    package: str
    tier: str
    price_vnd: int
    benefits: list[str]
    state: State
    cancel_reason: str
    given_back_at: datetime | None
    created_at: datetime
    instalments: list[PartView] = []
    deliverables: list[PromiseView] = []

    @property
    def paid_vnd(self) -> int:
        return sum(max(0, part.paid_vnd - part.credited_vnd) for part in self.instalments)

    @property
    def industry_name(self) -> str:
        return industries.name(self.industry)


async def sponsor_names(tx: Tx, event_id: UUID) -> list[tuple[str, str]]:
    """(tier, name) of the contracted sponsors, whose names are shown as their package promises."""
    rows = await tx.execute(
        sa.text(
            "SELECT terms->>'tier' AS tier, organisation FROM sponsorship JOIN sellable ON sellable.id = package "
            "WHERE sponsorship.event = :event AND contracted_at IS NOT NULL AND cancelled_at IS NULL "
            "ORDER BY position, number"
        ),
        {"event": event_id},
    )
    return [(row.tier, row.organisation) for row in rows]


_SPONSORSHIP = (
    "SELECT s.*, e.slug, e.title AS event_title, e.starts_at "
    "FROM sponsorship s JOIN event e ON e.id = s.event WHERE "
)


async def sponsorship(tx: Tx, key: UUID, owner: UUID | None = None) -> SponsorshipView:
    """One sponsorship that the transaction may see, and that belongs to `owner` where one is given."""
    found = await sponsorships_where(
        tx,
        "s.id = :id AND (CAST(:owner AS uuid) IS NULL OR s.owner = :owner)",
        {"id": key, "owner": owner},
    )
    if not found:
        raise NotFound("There is no such sponsorship.")
    return found[0]


async def sponsorships_of(
    tx: Tx,
    owner: UUID,
    *,
    limit: int | None = None,
    before: UUID | None = None,
    agencies: list[str] | None = None,
) -> list[SponsorshipView]:
    """A buyer's sponsorships, or those with some agencies, the newest first, all without a limit.

    One more than the limit tells that others follow.
    """
    return await sponsorships_where(
        tx,
        "s.owner = :owner AND (CAST(:before AS uuid) IS NULL OR s.id < :before) "
        "AND (CAST(:agencies AS text[]) IS NULL OR s.agency = ANY(:agencies)) ORDER BY s.id DESC LIMIT :limit",
        {
            "owner": owner,
            "before": before,
            "agencies": agencies,
            "limit": None if limit is None else limit + 1,
        },
    )


async def sponsorships_at(tx: Tx, event_id: UUID) -> list[SponsorshipView]:
    """All sponsorships of an event, the newest first."""
    return await sponsorships_where(tx, "s.event = :event ORDER BY s.number DESC", {"event": event_id})


async def sponsorships_where(tx: Tx, where: str, values: dict[str, Any]) -> list[SponsorshipView]:
    """Sponsorships `s` that meet an SQL condition of ours, in the order that it names."""
    rows = [*(await tx.execute(sa.text(_SPONSORSHIP + where), values)).mappings()]
    ids = [row["id"] for row in rows]
    parts = await _parts(tx, {row["id"]: local_day(row["starts_at"]) for row in rows})
    promises = await _promises(tx, ids)
    return [_view(row, parts.get(row["id"], []), promises.get(row["id"], [])) for row in rows]


def _view(row: Any, parts: list[PartView], promises: list[PromiseView]) -> SponsorshipView:
    delivered = sum(promise.delivered_at is not None for promise in promises)
    state = state_of(
        row["proposed_at"],
        row["accepted_at"],
        row["contracted_at"],
        row["cancelled_at"],
        delivered,
        len(promises),
    )
    return SponsorshipView(
        id=row["id"],
        agency=row["agency"],
        event=row["slug"],
        event_title=row["event_title"],
        number=row["number"],
        organisation=row["organisation"],
        tax_code=row["tax_code"],
        industry=row["industry"],
        contact_name=row["contact_name"],
        contact_email=row["contact_email"],
        contact_phone=row["contact_phone"],
        package=row["terms"]["title"],
        tier=row["terms"]["tier"],
        price_vnd=row["terms"]["price_vnd"],
        benefits=row["terms"]["benefits"],
        state=state,
        cancel_reason=row["cancel_reason"],
        given_back_at=row["given_back_at"],
        created_at=row["created_at"],
        instalments=parts,
        deliverables=promises,
    )


async def _parts(tx: Tx, event_days: Mapping[UUID, date]) -> dict[UUID, list[PartView]]:
    """The instalments of sponsorships, each of which has the day of its event."""
    rows = list(
        await tx.scalars(
            sa.select(InstalmentRow)
            .where(InstalmentRow.sponsorship.in_(event_days))
            .order_by(InstalmentRow.position)
            .execution_options(populate_existing=True)
        )
    )
    asked = await sales.find(tx, [row.invoice for row in rows])
    found: dict[UUID, list[PartView]] = {}
    for row in rows:
        sale = asked.get(row.invoice) if row.invoice else None
        found.setdefault(row.sponsorship, []).append(_part(row, sale, event_days[row.sponsorship]))
    return found


def _part(row: InstalmentRow, sale: Sale | None, event_day: date) -> PartView:
    charged = sale if sale and (sale.paid_at is not None or sale.collect == "on_terms") else None
    day = tax_point(row.due_on, event_day, local_day(clock.now()))
    cost = charged or split_after(row.before_vnd, row.gross_vnd, VAT_CLASS, day)
    return PartView(
        position=row.position,
        title=row.title,
        due_on=row.due_on,
        net_vnd=cost.net_vnd,
        vat_vnd=cost.vat_vnd,
        total_vnd=cost.net_vnd + cost.vat_vnd,
        paid_vnd=sale.captured_vnd if sale else 0,
        credited_vnd=sale.credited_vnd if sale else 0,
        state=standing_of(sale) if sale else "planned",
        invoice=row.invoice,
        expires_at=sale.expires_at if sale else None,
        paid_at=sale.paid_at if sale else None,
    )


async def _promises(tx: Tx, ids: Sequence[UUID]) -> dict[UUID, list[PromiseView]]:
    rows = await tx.scalars(
        sa.select(DeliverableRow)
        .where(DeliverableRow.sponsorship.in_(ids))
        .order_by(DeliverableRow.due_on, DeliverableRow.title)
    )
    found: dict[UUID, list[PromiseView]] = {}
    for row in rows:
        values = {name: getattr(row, name) for name in PromiseView.__struct_fields__}
        found.setdefault(row.sponsorship, []).append(PromiseView(**values))
    return found
