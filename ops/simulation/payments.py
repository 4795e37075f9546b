"""Payments' part of a simulated history: what is open is paid by the real path, some give up, VNPay pays out weekly."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from services.payments import gateways
from services.payments.actions import attempts, captures, refunds
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as simulator
from services.payments.tables import CaptureRow, InvoiceRow, RefundRow
from shared import clock
from shared.calendar import start_of
from shared.db import Tx
from shared.settings import Settings

FEE_PERMILLE = 11
PAYS, CANCELS = 0.97, 0.98
"""Of all who were asked to pay, shares up to which one pays, or cancels at the bank; the rest never come."""

CONTRACT_VND = 8_000_000
"""From here on it is a contract: nobody walks away from it, or one sponsor's whim would make or break a year."""

PAYS_TERMS = 0.4
"""Share of those on terms who pay on any day from shortly before it is due."""

ADDRESS = "203.113.131.1"
MONDAY = 0


async def begin(world: World) -> None:
    """Let requests to VNPay go straight to the simulator: no server runs while years pass."""

    async def straight(settings: Settings, body: dict[str, str]) -> dict[str, Any]:
        async with world.kit.database.worker_tx() as tx:
            return dict(await simulator.answer(tx, vnpay.terminals(settings.vnpay_terminals), body))

    gateways.wire.set(straight)
    world.memory["gave_up"] = set()
    world.memory["approver"] = clock.new_id()


async def live_day(world: World, day: date) -> None:
    """One day: pay what is open, approve large refunds, and on Mondays receive the week's payout."""
    async with world.kit.database.worker_tx() as tx:
        await _pay(tx, world, await _to_pay(tx, world))
        await _approve(tx, world)
        if day.weekday() == MONDAY:
            await _settle(tx, day)


async def _to_pay(tx: Tx, world: World) -> list[tuple[UUID, int]]:
    soon = clock.now() + timedelta(days=2)
    rows = await tx.execute(
        sa.select(InvoiceRow.id, InvoiceRow.collect, InvoiceRow.total_vnd)
        .where(
            InvoiceRow.outcome.is_(None),
            InvoiceRow.withdrawn_at.is_(None),
            sa.or_(
                sa.and_(InvoiceRow.collect == "prepaid", InvoiceRow.expires_at > clock.now()),
                sa.and_(InvoiceRow.collect == "on_terms", InvoiceRow.due_at <= soon),
            ),
        )
        .order_by(InvoiceRow.id)
    )
    gave_up = world.memory["gave_up"]
    open_ = [row for row in rows if row.id not in gave_up]
    return [
        (row.id, row.total_vnd)
        for row in open_
        if row.collect == "prepaid" or world.random.random() < PAYS_TERMS
    ]


async def _pay(tx: Tx, world: World, invoices: Sequence[tuple[UUID, int]]) -> None:
    """The real path: attempts, the bank, its signed notifications; the buyers of a day come side by side."""
    known = vnpay.terminals(world.settings.vnpay_terminals)
    told = simulator.Behaviour()
    rows = []
    for invoice, total_vnd in invoices:
        chance = world.random.random() if total_vnd < CONTRACT_VND else 0.0
        if chance >= PAYS:
            world.memory["gave_up"].add(invoice)
        if chance < CANCELS:
            address = await attempts.start_vnpay(tx, known, world.settings.base_url, invoice, ADDRESS, "vi")
            row = await simulator.open_payment(tx, known, urlsplit(address).query)
            rows.append((row, "pay" if chance < PAYS else "cancel"))
    for row, choice in rows:
        simulator.conclude(row, choice, told)
    said = [simulator.notification_query(row, known) for row, _ in rows]
    replies = [await attempts.hear_vnpay(tx, known, raw, ADDRESS) for raw in said]
    for (row, _), reply in zip(rows, replies, strict=True):
        simulator.note_reply(row, reply.RspCode)


async def _approve(tx: Tx, world: World) -> None:
    asked = await tx.scalars(sa.select(RefundRow.id).where(RefundRow.state == "asked").order_by(RefundRow.id))
    for refund in asked.all():
        await refunds.decide_refund(tx, refund, world.memory["approver"], good=True)


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
