"""What payments reads of money on its way back, of what two persons decide, and of who is silent."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.orm import aliased

from services.payments.rules import attempts
from services.payments.rules import captures as money
from services.payments.rules.proposals import Act
from services.payments.rules.refunds import Cause, State, given_up, is_owed
from services.payments.tables import AttemptRow, CaptureRow, CreditRow, InvoiceRow, ProposalRow, RefundRow
from shared.db import Tx
from shared.errors import NotFound


class RefundView(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back."""

    id: UUID
    agency: str
    capture: UUID
    cause: Cause
    """Who began it: a person at the desk, a credit of its seller, or late money that its seller declined."""
    credit: UUID | None
    amount_vnd: int
    reason: str
    state: State
    asked_by: UUID | None
    approved_by: UUID | None
    asked_at: datetime
    approved_at: datetime | None
    """Since when its seller has it to answer for; null where no seller has to, or not yet."""
    ended_at: datetime | None
    response: str
    """The rail's last code, or why its seller refused."""
    number: str
    seller: str
    buyer: UUID
    """Who paid, by an opaque id."""
    buyer_kind: str
    """Whether a person or an organisation paid."""
    sold: tuple[str, ...]
    """What was sold, by the titles of its lines."""
    owed_by: tuple[UUID, ...]
    """By whose deeds its seller owes it: no more than who asked does one of them approve it."""


def _refunds() -> Any:
    joined = {"number", "seller", "buyer", "buyer_kind"}
    made = {*joined, "sold", "owed_by"}
    own = [getattr(RefundRow, name) for name in RefundView.__struct_fields__ if name not in made]
    of_invoice = [getattr(InvoiceRow, name) for name in sorted(joined)]
    return (
        sa.select(*own, *of_invoice, InvoiceRow.lines, CaptureRow.answered_by, _credited_by())
        .join(CaptureRow, CaptureRow.id == RefundRow.capture)
        .join(InvoiceRow, InvoiceRow.id == CaptureRow.invoice)
    )


def _credited_by() -> Any:
    """By whose deeds the money of a refund was credited: what goes beyond its own credit is owed by the others."""
    own = aliased(CreditRow)
    beyond = sa.select(own.id).where(own.id == RefundRow.credit, RefundRow.amount_vnd > own.amount_vnd)
    counted = sa.or_(CreditRow.id == RefundRow.credit, beyond.exists())
    return (
        sa.select(sa.func.array_agg(sa.distinct(CreditRow.granted_by)))
        .where(CreditRow.invoice == CaptureRow.invoice, CreditRow.granted_by.is_not(None), counted)
        .scalar_subquery()
        .label("credited_by")
    )


def titles(lines: Iterable[dict[str, Any]]) -> tuple[str, ...]:
    """What was sold, by the titles of an invoice's lines."""
    return tuple(line["title"] for line in lines)


def _refund(row: Any) -> RefundView:
    declined_by = [row.answered_by] if row.cause == "declined" and row.answered_by else []
    made = {"sold": titles(row.lines), "owed_by": (*(row.credited_by or ()), *declined_by)}
    return msgspec.convert({**row._mapping, **made}, RefundView)  # noqa: SLF001 - its name


async def refunds(
    tx: Tx,
    *,
    where: sa.ColumnElement[bool] | None = None,
    capture: UUID | None = None,
    limit: int | None = None,
    before: UUID | None = None,
) -> list[RefundView]:
    """Refunds of a kind, such as `at_desk`, or of one capture; newest first.

    All of them without a limit; with one, one more, so that the caller sees whether there are more.
    """
    query = _refunds().order_by(RefundRow.id.desc()).limit(None if limit is None else limit + 1)
    if before is not None:
        query = query.where(RefundRow.id < before)
    if where is not None:
        query = query.where(where)
    if capture is not None:
        query = query.where(RefundRow.capture == capture)
    return [_refund(row) for row in await tx.execute(query)]


_OWED = is_owed(RefundRow.credit.is_not(None), RefundRow.cause)


def standing_still() -> Any:
    """What must go back and is not on its way: it waits for an approval, or until somebody asks anew."""
    return sa.or_(sa.and_(RefundRow.state == "asked", _OWED), to_renew())


def to_renew() -> Any:
    """What is owed, and was not asked for anew since it failed or was rejected."""
    anew = aliased(RefundRow)
    return sa.and_(given_up(RefundRow.state, _OWED), ~sa.exists().where(anew.renews == RefundRow.id))


def at_desk(now: datetime) -> Any:
    """What somebody at the desk decides about: an approval, an unclear outcome, a seller that is silent."""
    return sa.or_(RefundRow.state.in_(("asked", "unclear")), _silent(now))


def unattended(now: datetime) -> Any:
    """What needs nobody at the desk, or nothing but to be asked for anew."""
    return ~at_desk(now) & (RefundRow.state != "failed")


def _silent(now: datetime) -> Any:
    return sa.and_(RefundRow.state == "approved", RefundRow.approved_at < now - money.ALARM_AFTER)


async def refunds_waiting(tx: Tx, now: datetime) -> int:
    """How many refunds wait for a person at the desk."""
    waiting = sa.select(sa.func.count()).select_from(RefundRow).where(sa.or_(at_desk(now), to_renew()))
    return int(await tx.scalar(waiting) or 0)


async def refund_view(tx: Tx, refund: UUID) -> RefundView:
    """Raises NotFound."""
    row = (await tx.execute(_refunds().where(RefundRow.id == refund))).first()
    if row is None:
        raise NotFound("There is no such refund.")
    return _refund(row)


def untold(now: datetime) -> Any:
    """Attempts whose outcome VNPay has not told, however often it was asked."""
    return sa.and_(AttemptRow.state == "open", AttemptRow.expires_at < now - attempts.ALARM_AFTER)


async def unanswered(tx: Tx, now: datetime) -> dict[str, int]:
    """How many offers and refunds a seller has left unanswered for over an hour, and how many attempts VNPay has."""
    since = now - money.ALARM_AFTER
    waiting = {
        "offers": sa.and_(
            ~CaptureRow.applied,
            CaptureRow.offered_to != "",
            CaptureRow.answer.is_(None),
            CaptureRow.refunding_vnd == 0,
            CaptureRow.recorded_at < since,
        ),
        "refunds": _silent(now),
        "attempts": untold(now),
    }
    counts = (
        sa.select(sa.func.count()).where(condition).scalar_subquery().label(what)
        for what, condition in waiting.items()
    )
    row = (await tx.execute(sa.select(*counts))).one()
    return {what: getattr(row, what) for what in waiting}


class ProposalView(msgspec.Struct, frozen=True, kw_only=True):
    """What one person proposed, and another one is to decide."""

    id: UUID
    agency: str
    good: bool
    asked_by: UUID
    asked_at: datetime


async def proposals(tx: Tx, act: Act) -> dict[tuple[str, str], ProposalView]:
    """What is proposed and not decided, by agency and what it is about."""
    rows = await tx.scalars(
        sa.select(ProposalRow).where(ProposalRow.act == act, ProposalRow.decided_at.is_(None))
    )
    return {(row.agency, row.about): msgspec.convert(row, ProposalView, from_attributes=True) for row in rows}


class DecisionView(msgspec.Struct, frozen=True, kw_only=True):
    """What was decided about money that VNPay suspected."""

    number: str
    amount_vnd: int
    good: bool
    """What was proposed: to take it, or that VNPay has returned it."""
    agreed: bool
    asked_by: UUID
    decided_by: UUID | None
    """Nobody where the bank's own word came first."""
    decided_at: datetime


async def decisions(tx: Tx, limit: int) -> list[DecisionView]:
    """The last decisions about suspected money, the newest first."""
    rows = await tx.scalars(
        sa.select(ProposalRow)
        .where(ProposalRow.act == "held", ProposalRow.decided_at.is_not(None))
        .order_by(ProposalRow.decided_at.desc(), ProposalRow.id.desc())
        .limit(limit)
    )
    decided = [(UUID(row.about), row) for row in rows]
    tried = await tx.execute(
        sa.select(AttemptRow.id, AttemptRow.amount_vnd, InvoiceRow.number)
        .join(InvoiceRow, InvoiceRow.id == AttemptRow.invoice)
        .where(AttemptRow.id.in_([key for key, _ in decided]))
    )
    about = {row.id: row for row in tried}
    return [
        DecisionView(
            number=about[key].number,
            amount_vnd=about[key].amount_vnd,
            good=row.good,
            agreed=bool(row.agreed),
            asked_by=row.asked_by,
            decided_by=row.decided_by,
            decided_at=row.decided_at or row.asked_at,
        )
        for key, row in decided
    ]
