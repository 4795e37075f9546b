"""Payments' part of a simulated history: what is open is paid by the real path, some give up, VNPay pays out weekly."""

from collections.abc import Sequence
from datetime import date, timedelta

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation.payments import bank, occasions
from services.payments.actions import captures, refunds
from services.payments.simulators import vnpay as simulator
from services.payments.tables import CaptureRow, InvoiceRow, RefundRow
from shared import clock
from shared.calendar import start_of
from shared.db import Tx

FEE_PERMILLE = 11
PAYS, CANCELS = 0.97, 0.98
"""Of all who were asked to pay, shares up to which one pays, or cancels at the bank; the rest never come."""

CONTRACT_VND = 8_000_000
"""From here on it is a contract: nobody walks away from it, or one sponsor's whim would make or break a year."""

PAYS_TERMS = 0.4
"""Share of those who owe an instalment that pay on any day from shortly before it is due."""

MONDAY = 0


async def begin(world: World) -> None:
    """The bank is reached straight, and what is unusual is planned."""
    bank.wire(world)
    occasions.begin(world)
    world.memory["gave_up"] = set()


async def live_day(world: World, day: date) -> None:
    """One day: pay what is open, hear late banks, approve and ask refunds, and on Mondays receive the week's payout."""
    async with world.kit.database.worker_tx() as tx:
        invoices = await _to_pay(tx, world)
        await occasions.keep_waiting(
            tx, world, day, [row for row in invoices if row.total_vnd < CONTRACT_VND]
        )
        await _pay(tx, world, [row for row in invoices if not occasions.is_slow(world, row.id)])
        await occasions.tell_late(tx, world)
        await _approve(tx, world)
        await occasions.give_back(tx, world, day)
        if day.weekday() == MONDAY:
            await _settle(tx, day)


_INSTALMENT = sa.and_(InvoiceRow.seller == "events", InvoiceRow.due_at < InvoiceRow.expires_at)
"""It is paid when it is due, or some days later; all else is paid at once, or never."""


async def _to_pay(tx: Tx, world: World) -> list[InvoiceRow]:
    soon = clock.now() + timedelta(days=2)
    rows = await tx.scalars(
        sa.select(InvoiceRow)
        .where(
            InvoiceRow.outcome.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
            sa.or_(InvoiceRow.collect == "on_terms", InvoiceRow.expires_at > clock.now()),
            sa.or_(~_INSTALMENT, InvoiceRow.due_at <= soon),
        )
        .order_by(InvoiceRow.id)
    )
    gave_up = world.memory["gave_up"]
    open_ = [row for row in rows if row.id not in gave_up and not occasions.is_slow(world, row.id)]
    return [row for row in open_ if not _is_instalment(row) or world.random.random() < PAYS_TERMS]


def _is_instalment(row: InvoiceRow) -> bool:
    return row.seller == "events" and row.due_at < row.expires_at


async def _pay(tx: Tx, world: World, invoices: Sequence[InvoiceRow]) -> None:
    """The real path: attempts, the bank, its signed notifications."""
    told = simulator.Behaviour()
    rows = []
    for invoice in invoices:
        chance = world.random.random() if invoice.total_vnd < CONTRACT_VND else 0.0
        if chance >= PAYS:
            world.memory["gave_up"].add(invoice.id)
        if chance < CANCELS:
            row = await bank.go(tx, world, invoice.id)
            rows.append((row, "pay" if chance < PAYS else "cancel"))
    for row, choice in rows:
        simulator.conclude(row, choice, told)
    await bank.tell(tx, world, [row for row, _ in rows])


async def _approve(tx: Tx, world: World) -> None:
    """What was asked for until yesterday is approved by another person than who asked."""
    asked = await tx.scalars(sa.select(RefundRow.id).where(RefundRow.state == "asked").order_by(RefundRow.id))
    for refund in asked.all():
        await refunds.decide_refund(tx, refund, world.actors["finance"][1], good=True)


async def _settle(tx: Tx, day: date) -> None:
    """VNPay's weekly payout to each agency; a week in which more went back than came waits for the next."""
    taken, returned = await _unsettled(tx, day)
    for agency in sorted({row.agency for row in taken}):
        came = [row for row in taken if row.agency == agency]
        went = [row for row in returned if row.agency == agency]
        if sum(row.amount_vnd for row in came) * (1000 - FEE_PERMILLE) > 1000 * sum(
            row.amount_vnd for row in went
        ):
            await captures.receive_settlement(tx, agency, came, went, FEE_PERMILLE)


async def _unsettled(tx: Tx, day: date) -> tuple[Sequence[CaptureRow], Sequence[RefundRow]]:
    before = start_of(day)
    taken = sa.select(CaptureRow).where(
        CaptureRow.rail == "vnpay", CaptureRow.settlement.is_(None), CaptureRow.captured_at < before
    )
    returned = sa.select(RefundRow).where(
        RefundRow.settlement.is_(None), RefundRow.state == "completed", RefundRow.ended_at < before
    )
    return (
        (await tx.scalars(taken.order_by(CaptureRow.id).with_for_update())).all(),
        (await tx.scalars(returned.order_by(RefundRow.id).with_for_update())).all(),
    )
