"""A simulated history of payments: the real path, the same books for the same seed."""

import random
import time
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import sqlalchemy as sa

from ops.simulation import World
from ops.simulation import payments as simulation
from ops.simulation.payments import occasions
from shared import clock
from shared.calendar import days, local_day, start_of
from shared.contracts import events
from shared.contracts.base import CreditedLine, OnDate
from shared.contracts.payments import (
    InvoiceClosed,
    MessageRequested,
    MoneyUnapplied,
    PaymentCaptured,
    RefundAsked,
    RefundCompleted,
    SettlementReceived,
)
from tests.conftest import Flat, Flats
from tests.payments import a_credit, a_line, an_invoice

FIRST = date(2024, 3, 1)


def a_world(flat: Flat) -> World:
    finance = [uuid4(), uuid4()]
    return World(flat.kit, random.Random(7), flat.kit.settings, 1.0, {"finance": finance}, {})


async def live(flat: Flat, span: int, per_day: int) -> list[Any]:
    """Some days of a seller's invoices, paid by the simulation; returns all facts."""
    world = a_world(flat)
    facts: list[Any] = []
    with clock.driven(clock.DrivenClock(start_of(FIRST), 7)) as driven:
        await simulation.begin(world)
        for day in days(FIRST, FIRST + timedelta(days=span - 1)):
            driven.move_to(start_of(day) + timedelta(hours=8))
            opened = [an_invoice(a_line(100_000 + n, 8_000)) for n in range(per_day)]
            terms = an_invoice(collect="on_terms", due_at=clock.now() + timedelta(days=5))
            # Some credits come before the money and lower what is asked for, some come after it and send it back.
            await flat.receive(*opened, terms, a_credit(opened[0], 30_000))
            await simulation.live_day(world, day)
            await flat.receive(a_credit(opened[1], 20_000))
            driven.move_to(start_of(day) + timedelta(hours=23))
            await flat.tick()
            facts += await flat.facts()
    return facts


async def test_a_month_is_paid_by_the_real_path_and_the_two_books_agree(flats: Flats) -> None:
    flat = await flats.start("payments")
    started = time.perf_counter()
    facts = await live(flat, span=30, per_day=8)
    spent_s = time.perf_counter() - started
    captured = [fact for fact in facts if isinstance(fact, PaymentCaptured)]
    refunded = [fact for fact in facts if isinstance(fact, RefundCompleted)]
    settled = [fact for fact in facts if isinstance(fact, SettlementReceived)]
    outcomes = [fact.outcome for fact in facts if isinstance(fact, InvoiceClosed)]
    assert outcomes.count("paid") == len(captured)
    assert 0 < outcomes.count("expired") < len(captured) / 10
    assert len(settled) == 4
    assert all(fact.gross_vnd == fact.fee_vnd + fact.net_vnd for fact in settled)
    last = start_of(FIRST + timedelta(days=24))
    came = sum(fact.amount_vnd for fact in captured if fact.captured_at < last)
    went = sum(fact.amount_vnd for fact in refunded if fact.occurred_at < last)
    assert sum(fact.gross_vnd for fact in settled) == came - went
    theirs = (await flat.client.get("/gateway/vnpay-sim/captures")).json()
    assert theirs["amount_vnd"] == sum(fact.amount_vnd for fact in captured)
    assert theirs["refunded_vnd"] == sum(fact.amount_vnd for fact in refunded) > 0
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM attempt WHERE state = 'open'")) == 0
        assert (
            await tx.scalar(sa.text("SELECT count(*) FROM sim_transaction WHERE notify_at IS NOT NULL")) == 0
        )
    print(f"{spent_s * 1000 / 30:.0f} ms a day")  # noqa: T201 - shown with -s


async def test_the_same_seed_gives_the_same_facts(flats: Flats) -> None:
    first = await live(await flats.start("payments"), span=8, per_day=3)
    again = await live(await flats.start("payments"), span=8, per_day=3)
    assert [(fact.id, fact.subject()) for fact in first] == [(fact.id, fact.subject()) for fact in again]


class Seller:
    """Events: it takes late money unless other money paid, and gives back whatever the desk asks for."""

    def __init__(self, flat: Flat) -> None:
        self.flat = flat
        self.facts: list[Any] = []
        self.opened: dict[UUID, events.InvoiceOpened] = {}

    async def ask(self, net_vnd: int, lasts: timedelta) -> None:
        """Ask for the money of something that is used in a month."""
        line = a_line(net_vnd, 8_000, earn=OnDate(local_day(clock.now()) + timedelta(days=30)))
        until = clock.now() + lasts
        given = msgspec.structs.asdict(an_invoice(line, due_at=until, expires_at=until))
        opened = events.InvoiceOpened(**given)
        self.opened[opened.invoice] = opened
        await self.flat.receive(opened)

    async def hear(self) -> None:
        while facts := await self.flat.facts():
            self.facts += facts
            answers = [self.answer(fact) for fact in facts if isinstance(fact, MoneyUnapplied | RefundAsked)]
            await self.flat.receive(*answers)

    def answer(self, fact: MoneyUnapplied | RefundAsked) -> Any:
        assert fact.invoice is not None
        about = {"agency": fact.agency, "invoice": fact.invoice}
        if isinstance(fact, RefundAsked):
            (line,) = self.opened[fact.invoice].lines
            lines = (CreditedLine(line.id, line.net_vnd, line.vat_vnd),)
            return events.CreditGranted(
                credit=clock.new_id(), reason="refund", lines=lines, refund=fact.refund, by=fact.by, **about
            )
        if fact.reason == "already-paid":
            return events.MoneyDeclined(payment=fact.payment, reason="already-paid", **about)
        return events.MoneyTaken(payment=fact.payment, **about)


async def test_now_and_then_money_comes_late_or_twice_and_one_person_or_two_give_some_back(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(occasions, "EVERY_DAYS", dict.fromkeys(occasions.EVERY_DAYS, 4))
    flat = await flats.start("payments")
    world, seller = a_world(flat), Seller(flat)
    asks, approves = world.actors["finance"]
    with clock.driven(clock.DrivenClock(start_of(FIRST), 7)) as driven:
        await simulation.begin(world)
        for day in days(FIRST, FIRST + timedelta(days=35)):
            driven.move_to(start_of(day) + timedelta(hours=8))
            await seller.ask(150_000, timedelta(minutes=15))
            await seller.ask(90_000, timedelta(days=10))
            await seller.ask(25_000_000, timedelta(days=1))
            await simulation.live_day(world, day)
            await seller.hear()
            if day.weekday() == 6:
                driven.move_to(start_of(day) + timedelta(hours=23))
                await flat.tick()
                await seller.hear()
        await flat.tick()
        await seller.hear()
    async with flat.tx() as tx:
        late = await tx.execute(sa.text("SELECT reason, answer, applied FROM capture WHERE reason <> ''"))
        back = await tx.execute(
            sa.text("SELECT cause, state, amount_vnd >= 20000000 AS large, asked_by, approved_by FROM refund")
        )
        bank = (
            await tx.execute(
                sa.text(
                    "SELECT (SELECT sum(amount_vnd) FROM sim_transaction WHERE state = 'paid'), "
                    "(SELECT sum(amount_vnd) FROM capture), (SELECT sum(refunded_vnd) FROM sim_transaction), "
                    "(SELECT sum(amount_vnd) FROM refund WHERE state = 'completed')"
                )
            )
        ).one()
    assert set(late.all()) == {("invoice-closed", "taken", True), ("already-paid", "declined", False)}
    assert {row for row in back.all() if row.state == "completed"} == {
        ("declined", "completed", False, None, None),
        ("person", "completed", False, asks, None),
        ("person", "completed", True, asks, approves),
    }
    assert bank[0] == bank[1] > 0
    assert bank[2] == bank[3] > 0
    letters = {fact.template for fact in seller.facts if isinstance(fact, MessageRequested)}
    assert letters == {f"payments.money-{news}" for news in ("late", "taken", "declined", "returned")}
