"""Invoices, money and refunds as the one search finds them, and those of one buyer."""

from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.payments.rules.refunds import Cause, State
from services.payments.tables import AttemptRow, CaptureRow, InvoiceRow, RefundRow
from shared.contracts.base import Line, Outcome
from shared.db import Tx
from shared.sought import Sought, same


class Billed(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller wants paid."""

    id: UUID
    number: str
    buyer: UUID
    lines: tuple[Line, ...]
    total_vnd: int
    opened_at: datetime
    outcome: Outcome | None
    """None while it may still be paid."""


class Came(msgspec.Struct, frozen=True, kw_only=True):
    """Money that came, for an invoice or into suspense."""

    id: UUID
    rail: str
    bank: str
    gateway_no: str
    amount_vnd: int
    captured_at: datetime
    applied: bool
    reason: str
    """Why it came to lie in suspense; empty where it paid its invoice at once."""
    number: str | None
    buyer: UUID | None


class Back(msgspec.Struct, frozen=True, kw_only=True):
    """Money on its way back."""

    id: UUID
    capture: UUID
    cause: Cause
    amount_vnd: int
    reason: str
    state: State
    asked_at: datetime
    number: str | None
    buyer: UUID | None


_NUMBER = sa.func.replace(InvoiceRow.number, "-", "")


async def invoices(tx: Tx, wanted: Sought, limit: int) -> list[Billed]:
    """Invoices by number, amount, id, or the reference of a try at paying them."""
    tried = sa.select(AttemptRow.invoice).where(AttemptRow.reference.in_(_lower(wanted)))
    condition = sa.or_(
        _NUMBER.in_(wanted.codes),
        InvoiceRow.id.in_(tried),
        same(InvoiceRow.id, wanted.id),
        same(InvoiceRow.buyer, wanted.id),
        same(InvoiceRow.total_vnd, wanted.amount_vnd),
    )
    return await _invoices(tx, condition, limit)


async def captures(tx: Tx, wanted: Sought, limit: int) -> list[Came]:
    """Money by the bank's number, our reference, amount, id, or the number of its invoice."""
    tried = sa.select(AttemptRow.id).where(AttemptRow.reference.in_(_lower(wanted)))
    condition = sa.or_(
        CaptureRow.gateway_no.in_(wanted.codes),
        CaptureRow.attempt.in_(tried),
        _NUMBER.in_(wanted.codes),
        same(CaptureRow.id, wanted.id),
        same(InvoiceRow.buyer, wanted.id),
        same(CaptureRow.amount_vnd, wanted.amount_vnd),
    )
    return await _captures(tx, condition, limit)


async def refunds(tx: Tx, wanted: Sought, limit: int) -> list[Back]:
    """Refunds by the bank's number, our reference, amount, id, or the number of their invoice."""
    condition = sa.or_(
        RefundRow.gateway_no.in_(wanted.codes),
        RefundRow.request.in_(_lower(wanted)),
        _NUMBER.in_(wanted.codes),
        same(RefundRow.id, wanted.id),
        same(InvoiceRow.buyer, wanted.id),
        same(RefundRow.amount_vnd, wanted.amount_vnd),
    )
    return await _refunds(tx, condition, limit)


async def invoices_of(tx: Tx, buyer: UUID, limit: int) -> list[Billed]:
    """What one buyer was asked for, the newest first."""
    return await _invoices(tx, InvoiceRow.buyer == buyer, limit)


async def captures_of(tx: Tx, buyer: UUID, limit: int) -> list[Came]:
    """What came from one buyer, the newest first; also what lies in suspense."""
    return await _captures(tx, InvoiceRow.buyer == buyer, limit)


async def refunds_of(tx: Tx, buyer: UUID, limit: int) -> list[Back]:
    """What goes back to one buyer, the newest first."""
    return await _refunds(tx, InvoiceRow.buyer == buyer, limit)


def _lower(wanted: Sought) -> list[str]:
    return [code.lower() for code in wanted.codes]


async def _invoices(tx: Tx, condition: Any, limit: int) -> list[Billed]:
    query = sa.select(*_columns(InvoiceRow, Billed)).where(condition)
    return await _read(tx, query.order_by(InvoiceRow.id.desc()).limit(limit), Billed)


async def _captures(tx: Tx, condition: Any, limit: int) -> list[Came]:
    query = sa.select(*_columns(CaptureRow, Came))
    joined = query.outerjoin(InvoiceRow, InvoiceRow.id == CaptureRow.invoice).where(condition)
    return await _read(tx, joined.order_by(CaptureRow.id.desc()).limit(limit), Came)


async def _refunds(tx: Tx, condition: Any, limit: int) -> list[Back]:
    query = sa.select(*_columns(RefundRow, Back)).join(CaptureRow, CaptureRow.id == RefundRow.capture)
    joined = query.outerjoin(InvoiceRow, InvoiceRow.id == CaptureRow.invoice).where(condition)
    return await _read(tx, joined.order_by(RefundRow.id.desc()).limit(limit), Back)


def _columns(table: Any, kind: type[msgspec.Struct]) -> list[Any]:
    """Number and buyer stand on the invoice, the rest on the row itself."""
    of = {"number": InvoiceRow, "buyer": InvoiceRow}
    return [getattr(of.get(name, table), name) for name in kind.__struct_fields__]


async def _read(tx: Tx, query: Any, kind: Any) -> list[Any]:
    return [msgspec.convert(dict(row), kind) for row in (await tx.execute(query)).mappings()]
