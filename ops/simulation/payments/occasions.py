"""What happens a few times a year: a bank is late, somebody pays twice, one person or two give money back.

Each seller answers as in life: late money is taken where its tickets are still there, and declined where other money
paid meanwhile; what the desk gives back is unwound first. The payers' letters follow by themselves.
"""

from collections.abc import Sequence
from datetime import date, timedelta
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation.payments import bank
from services.payments.actions import refunds
from services.payments.rules.refunds import TWO_PERSONS_FROM_VND
from services.payments.simulators import vnpay as simulator
from services.payments.tables import AttemptRow, CaptureRow, InvoiceRow, SimTransactionRow
from shared import clock
from shared.calendar import local_day, start_of
from shared.db import Tx

EVERY_DAYS = {"late": 90, "twice": 120, "slip": 60, "withdrawal": 240}
"""At most so many days lie between the days from which the next of each may come; at least half as many do."""

GIVEN_UP_WITHIN = timedelta(days=8)
"""Each Sunday evening payments asks for what was not told; what waits longer than that is paid by another attempt."""

TUESDAY = 1
"""The day on which the desk reads what buyers write."""

LATELY = timedelta(days=20)
"""Money that came longer ago nobody wants back."""

SLIP_VND, WITHDRAWAL_VND = (1, 5_000_000), (TWO_PERSONS_FROM_VND, 50_000_000)
"""What one person gives back alone, and what a second one approves; one sponsor fewer makes or breaks no year."""


def begin(world: World) -> None:
    """Nothing unusual happens on the first days."""
    today = local_day(clock.now())
    world.memory["slow"] = {}
    world.memory["next"] = {kind: _later(world, kind, today) for kind in EVERY_DAYS}


def _later(world: World, kind: str, day: date) -> date:
    return day + timedelta(days=round(EVERY_DAYS[kind] * world.random.uniform(0.5, 1)))


def _is_due(world: World, kind: str, day: date) -> bool:
    return bool(world.memory["next"][kind] <= day)


def _done(world: World, kind: str, day: date) -> None:
    world.memory["next"][kind] = _later(world, kind, day)


def is_slow(world: World, invoice: UUID) -> bool:
    """Whether the buyer of an invoice waits for a word of the bank."""
    return invoice in world.memory["slow"]


async def keep_waiting(tx: Tx, world: World, day: date, invoices: Sequence[InvoiceRow]) -> None:
    """Now and then a bank says nothing to one of those who come to pay: for tickets, or for what can wait longer."""
    long_after = clock.now() + GIVEN_UP_WITHIN
    patient = [row for row in invoices if row.collect == "on_terms" or row.expires_at > long_after]
    hurried = [row for row in invoices if row.seller == "events" and row not in patient]
    for kind, suited in (("late", hurried), ("twice", patient)):
        if suited and _is_due(world, kind, day):
            _done(world, kind, day)
            theirs = await bank.go(tx, world, suited[0].id)
            world.memory["slow"][suited[0].id] = (theirs.terminal, theirs.reference)


async def tell_late(tx: Tx, world: World) -> None:
    """Of attempts that were given up their banks say at last that the money came.

    Where the invoice still waited its buyer has tried again by then and paid, so that it came twice.
    """
    slow = world.memory["slow"]
    if not slow:
        return
    given_up = sa.select(AttemptRow.invoice).where(
        AttemptRow.reference.in_([reference for _, reference in slow.values()]),
        AttemptRow.ended_at.is_not(None),
    )
    for invoice in (await tx.scalars(given_up.order_by(AttemptRow.id))).all():
        late = await tx.get_one(SimTransactionRow, slow.pop(invoice))
        row = await tx.get_one(InvoiceRow, invoice)
        if row.outcome is None and row.withdrawn_at is None:
            again = await bank.go(tx, world, invoice)
            simulator.conclude(again, "pay", simulator.Behaviour())
            await bank.tell(tx, world, [again])
        simulator.pay_late(late)
        await bank.tell(tx, world, [late])


async def give_back(tx: Tx, world: World, day: date) -> None:
    """Now and then somebody of finance asks for a buyer's money to go back; a large sum waits for a second person."""
    if day.weekday() != TUESDAY:
        return
    for kind, span, reason in (
        ("slip", SLIP_VND, "Người mua ốm, không đến được"),
        ("withdrawal", WITHDRAWAL_VND, "Nhà tài trợ rút lui, hai bên đã thống nhất"),
    ):
        found = await _refundable(tx, day, *span) if _is_due(world, kind, day) else None
        if found is not None:
            _done(world, kind, day)
            await refunds.ask_refund(tx, found.id, found.amount_vnd, reason, world.actors["finance"][0])


async def _refundable(tx: Tx, day: date, least_vnd: int, most_vnd: int) -> CaptureRow | None:
    """The smallest payment of such a size that came lately, for an event that is still ahead."""
    held_on = InvoiceRow.lines[0]["earn"]["on"].astext
    query = (
        sa.select(CaptureRow)
        .join(InvoiceRow, InvoiceRow.id == CaptureRow.invoice)
        .where(
            InvoiceRow.seller == "events",
            InvoiceRow.collect == "prepaid",
            held_on > (day + timedelta(days=1)).isoformat(),
            CaptureRow.applied,
            CaptureRow.refunding_vnd == 0,
            CaptureRow.amount_vnd.between(least_vnd, most_vnd),
            CaptureRow.captured_at.between(start_of(day) - LATELY, start_of(day)),
        )
    )
    found: CaptureRow | None = await tx.scalar(query.order_by(CaptureRow.amount_vnd, CaptureRow.id).limit(1))
    return found
