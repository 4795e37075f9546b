"""Work that repeats beside the web, and what is said of facts while NATS is away."""

import asyncio
import math

import pytest

from shared.bus import Bus, Intake
from shared.consume import Consumer
from shared.contracts import ads, base, events, subscriptions
from shared.contracts.payments import PaymentCaptured
from shared.db import Tx
from shared.jobs import repeating
from shared.settings import Settings


async def test_a_failed_turn_is_tried_again_and_the_one_in_hand_ends_before_the_body_is_left():
    told, again = [], asyncio.Event()

    async def work():
        told.append("begun")
        if len(told) == 1:
            raise ValueError("the first turn fails")
        again.set()
        await asyncio.sleep(0.1)
        told.append("ended")

    async with repeating(work, 0.01):
        await again.wait()
    assert told == ["begun", "begun", "ended"]
    await asyncio.sleep(0.05)
    assert told[-1] == "ended", "no turn after the end"


async def test_while_nats_is_away_nobody_knows_how_many_facts_wait():
    consumer = Consumer("ledger")

    @consumer.on
    async def book(fact: PaymentCaptured, tx: Tx) -> None:
        """Hears, so that there is a source."""

    lag = await Intake(Bus(Settings(), "ledger"), None, consumer).lag()
    assert list(lag) == ["payments"]
    assert math.isnan(lag["payments"])


def test_who_asks_for_a_fact_of_several_publishers_hears_each_ones():
    consumer = Consumer("ledger")

    @consumer.on
    async def book(fact: base.CreditGranted | PaymentCaptured, tx: Tx) -> None:
        """Hears four kinds by two names."""

    wanted = {ads.CreditGranted, events.CreditGranted, subscriptions.CreditGranted, PaymentCaptured}
    assert set(consumer.handlers) == wanted
    with pytest.raises(ValueError, match=r"handles ads\.credit\.granted\.v1 twice"):

        @consumer.on
        async def again(fact: ads.CreditGranted, tx: Tx) -> None:
            """One of them once more."""
