"""What payments reads of invoices, money that came and attempts, as Structs."""

from datetime import datetime
from typing import Any, TypeVar
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.queries.refunds import standing_still, titles, untold
from services.payments.rules import captures as money
from services.payments.rules.captures import Capture
from services.payments.rules.invoices import Invoice, split_on, still_owed
from services.payments.rules.refunds import ON_THEIR_WAY
from services.payments.tables import (
    AttemptRow,
    CaptureRow,
    CreditRow,
    InvoiceRow,
    NotificationRow,
    RailRow,
    RefundRow,
)
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import Collect, Line, Outcome, Rail
from shared.db import Tx
from shared.errors import NotFound

View = TypeVar("View", bound=msgspec.Struct)


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """The last try at paying."""

    id: UUID
    state: str
    response: str
    amount_vnd: int
    started_at: datetime
    expires_at: datetime
    decided_by: UUID | None

    @property
    def was_given_back(self) -> bool:
        """Whether the bank took the money, held it, and gave it back, as two persons looked up there."""
        return self.state == "failed" and self.decided_by is not None


class Money(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came for an invoice, as its payer sees it."""

    amount_vnd: int
    face: money.Face
    late: bool
    back_vnd: int
    """What went back of it."""
    going_vnd: int
    """What is on its way back."""
    owed_vnd: int
    """What must go back and does not move yet. What somebody only wished to return is none of these."""


class Bill(msgspec.Struct, frozen=True, kw_only=True):
    """What the pay page shows of an invoice."""

    invoice: Invoice
    """Of what may still be paid, with the VAT that money of today would bear."""
    pay_by: datetime | None
    """When it is due; none once that is past."""
    owed_vnd: int
    attempt: Attempt | None
    rails: frozenset[str]
    money: tuple[Money, ...]
    """All that came, the oldest first."""


class InvoiceView(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as programs see it."""

    id: UUID
    agency: str
    seller: str
    number: str
    collect: Collect
    due_at: datetime
    expires_at: datetime
    total_vnd: int
    lines: tuple[Line, ...]
    outcome: Outcome | None
    """Null while it may still be paid."""
    closed_at: datetime | None
    captured_vnd: int = 0
    refunded_vnd: int = 0


class CaptureView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came."""

    id: UUID
    agency: str
    invoice: UUID | None
    rail: Rail
    gateway_no: str
    bank: str
    amount_vnd: int
    refunding_vnd: int
    captured_at: datetime
    applied: bool
    reason: str
    """Why it came to lie in suspense."""
    recorded_at: datetime
    """When we learned of it; from then on late money is its seller's to answer for."""
    offered_to: str
    """The seller that takes or declines late money."""
    answer: money.Answer | None
    """What the seller said of late money; `too-late` is a taking of what had gone back by then."""
    answer_reason: str
    """Why the seller declined."""
    number: str | None = None
    """The number of the invoice."""

    def is_offered(self, now: datetime) -> bool:
        """Whether its seller has it to answer for, and the desk not yet."""
        return money.is_offered(msgspec.convert(self, Capture, from_attributes=True), now)

    @property
    def desk_from(self) -> datetime:
        """From when on the desk may return it."""
        return self.recorded_at + money.OFFER_LASTS


class Sold(msgspec.Struct, frozen=True, kw_only=True):
    """What money was paid for, as the desk sees it."""

    buyer: UUID
    """Who pays, by an opaque id."""
    titles: tuple[str, ...]
    """By the lines of the invoice."""
    decided_by: UUID | None
    """Who agreed to take the money where VNPay had suspected it."""


class HeldView(msgspec.Struct, frozen=True, kw_only=True):
    """Money that VNPay calls suspect, waiting for a person."""

    id: UUID
    agency: str
    number: str
    amount_vnd: int
    gateway_no: str
    bank: str
    started_at: datetime
    buyer: UUID
    """Who pays, by an opaque id."""
    sold: tuple[str, ...]
    """What is sold, by the titles of its lines."""


class UntoldView(msgspec.Struct, frozen=True, kw_only=True):
    """An attempt whose outcome VNPay has not told, however often it was asked."""

    id: UUID
    agency: str
    number: str
    amount_vnd: int
    reference: str
    """What VNPay knows it by."""
    asks: int
    started_at: datetime


class NotificationView(msgspec.Struct, frozen=True, kw_only=True):
    id: UUID
    received_at: datetime
    address: str
    reply: str
    reason: str
    raw: str


_LAST = (AttemptRow.state != "held", AttemptRow.id.desc())
"""The attempt that the buyer is shown: one whose money the bank holds, else the latest."""


async def seller_of(tx: Tx, invoice: UUID) -> str:
    """Who opened the invoice; empty while it has not arrived."""
    return await tx.scalar(sa.select(InvoiceRow.seller).where(InvoiceRow.id == invoice)) or ""


async def bill(tx: Tx, invoice: UUID) -> Bill | None:
    """What the pay page shows; None while the invoice has not arrived."""
    row = await tx.get(InvoiceRow, invoice)
    if row is None:
        return None
    credited = await tx.scalar(
        sa.select(sa.func.sum(CreditRow.amount_vnd)).where(CreditRow.invoice == invoice)
    )
    attempt = await tx.scalar(
        sa.select(AttemptRow).where(AttemptRow.invoice == invoice).order_by(*_LAST).limit(1)
    )
    came = await _money_of(tx, invoice)
    seen, now = msgspec.convert(row, Invoice, from_attributes=True), clock.now()
    if seen.outcome is None:
        seen = msgspec.structs.replace(seen, lines=split_on(seen, local_day(now)))
    return Bill(
        invoice=seen,
        pay_by=row.due_at if now < row.due_at else None,
        owed_vnd=still_owed(row.total_vnd, int(credited or 0)),
        attempt=msgspec.convert(attempt, Attempt, from_attributes=True) if attempt is not None else None,
        rails=await rails_of(tx, row.agency),
        money=came,
    )


async def _money_of(tx: Tx, invoice: UUID) -> tuple[Money, ...]:
    ways = (RefundRow.state == "completed", RefundRow.state.in_(ON_THEIR_WAY), standing_still())
    every = sa.select(sa.func.coalesce(sa.func.sum(RefundRow.amount_vnd), 0))
    sums = [every.where(RefundRow.capture == CaptureRow.id, way).scalar_subquery() for way in ways]
    found = await tx.execute(
        sa.select(CaptureRow, *sums).where(CaptureRow.invoice == invoice).order_by(CaptureRow.id)
    )
    return tuple(_money(row, *(int(vnd) for vnd in parts)) for row, *parts in found)


def _money(row: CaptureRow, back_vnd: int, going_vnd: int, owed_vnd: int) -> Money:
    seen = msgspec.convert(row, Capture, from_attributes=True)
    return Money(
        amount_vnd=row.amount_vnd,
        face=money.standing(seen, back_vnd, going_vnd, owed_vnd),
        late=bool(row.reason),
        back_vnd=back_vnd,
        going_vnd=going_vnd,
        owed_vnd=owed_vnd,
    )


async def rails_of(tx: Tx, agency: str) -> frozenset[str]:
    """Rails that the agency has switched on; VNPay is on by itself."""
    rows = (await tx.scalars(sa.select(RailRow).where(RailRow.agency == agency))).all()
    switched = {row.rail: row.switched_on for row in rows}
    return frozenset(rail for rail, on in {"vnpay": True, **switched}.items() if on)


async def state_of(tx: Tx, invoice: UUID) -> tuple[str, str]:
    """(outcome, state of the last attempt) for the live page; empty where there is none."""
    found = (
        await tx.execute(
            sa.select(InvoiceRow.outcome, AttemptRow.state)
            .outerjoin(AttemptRow, AttemptRow.invoice == InvoiceRow.id)
            .where(InvoiceRow.id == invoice)
            .order_by(*_LAST)
            .limit(1)
        )
    ).first()
    return (found.outcome or "", found.state or "") if found else ("", "")


async def invoice_view(tx: Tx, invoice: UUID) -> InvoiceView:
    """Raises NotFound."""
    row = await tx.get(InvoiceRow, invoice)
    if row is None:
        raise NotFound("There is no such invoice.")
    captured = await tx.scalar(
        sa.select(sa.func.sum(CaptureRow.amount_vnd)).where(CaptureRow.invoice == invoice, CaptureRow.applied)
    )
    refunded = await tx.scalar(
        sa.select(sa.func.sum(RefundRow.amount_vnd))
        .join(CaptureRow, CaptureRow.id == RefundRow.capture)
        .where(CaptureRow.invoice == invoice, RefundRow.state == "completed")
    )
    view = msgspec.convert(row, InvoiceView, from_attributes=True)
    return msgspec.structs.replace(view, captured_vnd=int(captured or 0), refunded_vnd=int(refunded or 0))


_IN_SUSPENSE = (~CaptureRow.applied, CaptureRow.refunding_vnd < CaptureRow.amount_vnd)


def _captures() -> Any:
    columns = [getattr(CaptureRow, name) for name in CaptureView.__struct_fields__ if name != "number"]
    return sa.select(*columns, InvoiceRow.number).outerjoin(InvoiceRow, InvoiceRow.id == CaptureRow.invoice)


async def captures(
    tx: Tx, limit: int, before: UUID | None = None, *, suspense: bool = False
) -> list[CaptureView]:
    """Captures, newest first; one more than `limit`, so that the caller sees whether there are more."""
    query = _captures().order_by(CaptureRow.id.desc()).limit(limit + 1)
    if before is not None:
        query = query.where(CaptureRow.id < before)
    if suspense:
        query = query.where(*_IN_SUSPENSE)
    return [msgspec.convert(row._mapping, CaptureView) for row in await tx.execute(query)]  # noqa: SLF001 - its name


async def suspense_count(tx: Tx) -> int:
    """How many captures fit no open invoice and have not gone back."""
    waiting = sa.select(sa.func.count()).select_from(CaptureRow)
    return int(await tx.scalar(waiting.where(*_IN_SUSPENSE)) or 0)


async def capture_view(tx: Tx, capture: UUID) -> CaptureView:
    """Raises NotFound."""
    row = (await tx.execute(_captures().where(CaptureRow.id == capture))).first()
    if row is None:
        raise NotFound("There is no such payment.")
    return msgspec.convert(row._mapping, CaptureView)  # noqa: SLF001 - SQLAlchemy's name for a public thing


async def sold_by(tx: Tx, capture: UUID) -> Sold | None:
    """For what and for whom money came; None where it names no invoice of ours."""
    row = (
        await tx.execute(
            sa.select(InvoiceRow.buyer, InvoiceRow.lines, AttemptRow.decided_by)
            .select_from(CaptureRow)
            .join(InvoiceRow, InvoiceRow.id == CaptureRow.invoice)
            .outerjoin(AttemptRow, AttemptRow.id == CaptureRow.attempt)
            .where(CaptureRow.id == capture)
        )
    ).first()
    return (
        Sold(buyer=row.buyer, titles=titles(row.lines), decided_by=row.decided_by)
        if row is not None
        else None
    )


async def held(tx: Tx) -> list[HeldView]:
    """Attempts that wait for a person's decision, oldest first."""
    return await _attempts(tx, HeldView, AttemptRow.state == "held")


async def untold_attempts(tx: Tx, now: datetime) -> list[UntoldView]:
    """Attempts whose outcome a person has to find out, oldest first."""
    return await _attempts(tx, UntoldView, untold(now))


async def _attempts(tx: Tx, view: type[View], condition: Any) -> list[View]:
    query = (
        sa.select(*AttemptRow.__table__.columns, InvoiceRow.number, InvoiceRow.buyer, InvoiceRow.lines)
        .join(InvoiceRow, InvoiceRow.id == AttemptRow.invoice)
        .where(condition)
        .order_by(AttemptRow.id)
    )
    rows = await tx.execute(query)
    return [msgspec.convert({**row._mapping, "sold": titles(row.lines)}, view) for row in rows]  # noqa: SLF001 - its name


async def refused_notifications(tx: Tx, limit: int, before: UUID | None = None) -> list[NotificationView]:
    """Notifications that were refused, newest first: those that name an agency, which only a signature can.

    One more than `limit`, so that the caller sees whether there are more.
    """
    query = sa.select(NotificationRow).where(NotificationRow.reply.not_in(("00", "02")))
    if before is not None:
        query = query.where(NotificationRow.id < before)
    rows = await tx.scalars(query.order_by(NotificationRow.id.desc()).limit(limit + 1))
    return [msgspec.convert(row, NotificationView, from_attributes=True) for row in rows]
