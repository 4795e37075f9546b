"""A reader and a fact at the same moment: the reader's deed goes through, and so does the fact."""

import asyncio
from uuid import UUID

import sqlalchemy as sa

from services.subscriptions.actions.subscriptions import cancel
from services.subscriptions.tables import InvoiceRow, PeriodRow
from shared import clock, sales
from shared.contracts.payments import ChargebackOpened
from shared.contracts.subscriptions import InvoiceOpened, MoneyTaken
from shared.db import locked
from tests.conftest import Flat, Flats
from tests.shared.at_once import until_waiting
from tests.subscriptions.builders import (
    a_package,
    a_reader_with_access,
    asked_back,
    captured,
    late,
    opened_fact,
    subscribed,
)


async def a_reader_of_two_periods(flat: Flat) -> tuple[UUID, InvoiceOpened, InvoiceOpened]:
    """A subscription whose renewal is paid, and both invoices."""
    opened = await a_reader_with_access(flat, clock.new_id(), renewal=True, net_vnd=50_000)
    async with flat.tx() as tx:
        await tx.execute(sa.update(PeriodRow).values(start=PeriodRow.start - 28, until=PeriodRow.until - 28))
        await tx.execute(sa.text("UPDATE subscription SET anchor = anchor - 28"))
    await flat.tick()
    second = await opened_fact(flat)
    await flat.receive(captured(second))
    return opened.subscription, opened, second


async def test_a_refund_of_one_period_and_its_readers_cancelling_do_not_wait_in_a_circle(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    subscription, opened, second = await a_reader_of_two_periods(flat)
    await flat.facts()

    async def cancelled() -> None:
        async with flat.tx() as tx:
            await cancel(tx, subscription, at_once=True)

    async with flat.tx() as tx:
        await sales.lock(tx, opened.invoice)
        cancelling = asyncio.create_task(cancelled())
        await until_waiting(flat)
        refunding = asyncio.create_task(flat.receive(asked_back(second, 1_000)))
        await until_waiting(flat, 2)
    await cancelling
    await refunding
    assert await flat.held() == [], "nobody was turned away to try again"


async def test_late_money_and_a_new_checkout_of_its_reader_do_not_wait_in_a_circle(flats: Flats) -> None:
    flat, person = await flats.start("subscriptions"), clock.new_id()
    made = await a_package(flat)
    opened = await subscribed(flat, person, *made)
    offer = late(await opened_fact(flat))

    async def again() -> None:
        await subscribed(flat, person, *made)

    async with flat.tx() as tx:
        await locked(tx, InvoiceRow, opened.invoice)
        taking = asyncio.create_task(flat.receive(offer))
        await until_waiting(flat)
        buying = asyncio.create_task(again())
        await until_waiting(flat, 2)
    await buying
    await taking
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE retry SET next_at = since WHERE state = 'waiting'"))
    await flat.kit.consumer.again(flat.kit.database)
    (taken,) = [said for said in await flat.facts() if isinstance(said, MoneyTaken)]
    assert taken.payment == offer.payment


async def test_a_dispute_and_its_readers_cancelling_do_not_wait_in_a_circle(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    opened = await a_reader_with_access(flat, clock.new_id())
    disputed = ChargebackOpened(
        agency="bkh",
        chargeback=clock.new_id(),
        payment=clock.new_id(),
        invoice=opened.invoice,
        amount_vnd=49_000,
    )

    async def cancelled() -> None:
        async with flat.tx() as tx:
            await cancel(tx, opened.subscription, at_once=True)

    async with flat.tx() as tx:
        await tx.execute(sa.select(PeriodRow).with_for_update())
        cancelling = asyncio.create_task(cancelled())
        await until_waiting(flat)
        disputing = asyncio.create_task(flat.receive(disputed))
        await until_waiting(flat, 2)
    await cancelling
    await disputing
    assert await flat.held() == [], "nobody was turned away to try again"
