"""A simulated history of payments: the real path, the same books for the same seed."""

import random
import time
from datetime import date, timedelta
from typing import Any

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation import payments as simulation
from shared import clock
from shared.calendar import days, start_of
from shared.contracts.payments import InvoiceClosed, PaymentCaptured, RefundCompleted, SettlementReceived
from tests.conftest import Flat, Flats
from tests.payments import a_credit, a_line, an_invoice

FIRST = date(2024, 3, 1)


async def live(flat: Flat, span: int, per_day: int) -> list[Any]:
    """Some days of a seller's invoices, paid by the simulation; returns all facts."""
    world = World(flat.kit, random.Random(7), flat.kit.settings, 1.0, {}, {})
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
