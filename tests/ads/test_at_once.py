"""Two who act on one order at the same moment."""

import asyncio

import pytest

from ops.simulation.ads import approve
from services.ads.actions import orders
from shared import sales
from shared.contracts.ads import InvoiceOpened, InvoiceWithdrawn
from tests.ads.builders import Advertiser, a_rate_card, an_image, an_order, paid, uuid_of
from tests.shared.at_once import until_waiting


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


async def test_an_order_that_is_cancelled_while_its_invoice_is_being_opened_leaves_nothing_to_pay(
    flats, flat
):
    advertiser = Advertiser(flats, flat)
    order = uuid_of((await advertiser.post("/orders", an_order())).json()["id"])
    await advertiser.upload(str(order), an_image())
    settings = flat.kit.settings

    async def cancelled():
        async with flat.tx() as tx:
            await orders.cancel_order(tx, settings, order)

    async with flat.tx() as tx:
        row = await orders.lock_order(tx, order)
        cancelling = asyncio.create_task(cancelled())
        await until_waiting(flat)
        row.submitted_at = row.booked_at
        await approve(tx, order)
        await orders.open_invoice_when_approved(tx, row)
    await cancelling
    opened, withdrawn = await flat.facts()
    assert isinstance(opened, InvoiceOpened)
    assert isinstance(withdrawn, InvoiceWithdrawn)
    assert withdrawn.invoice == opened.invoice


async def test_a_batch_of_facts_gives_way_to_who_cancels_an_order_of_it(flats, flat):
    advertiser = Advertiser(flats, flat)
    order_ids, facts = [], []
    for _ in range(3):
        order_ids.append(await a_submitted_order(flat, advertiser))
        facts.append(next(fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)))
    settings = flat.kit.settings

    async def cancelled():
        async with flat.tx() as tx:
            await orders.cancel_order(tx, settings, order_ids[2])

    async with flat.tx() as tx:
        await sales.lock(tx, facts[1].invoice)
        hearing = asyncio.create_task(flat.receive(*(paid(fact) for fact in facts)))
        await until_waiting(flat)
        # It waits for what the batch has done for the first order, and has what the batch wants for the third.
        cancelling = asyncio.create_task(cancelled())
        await until_waiting(flat, 2, unless=cancelling)
    await cancelling
    await hearing
    assert await flat.held() == []
    async with flat.tx() as tx:
        sold = await sales.find(tx, [fact.invoice for fact in facts])
    assert [sold[fact.invoice].paid_at is not None for fact in facts] == [True] * 3


async def a_submitted_order(flat, advertiser):
    """An order whose invoice is open."""
    order = uuid_of((await advertiser.post("/orders", an_order())).json()["id"])
    await advertiser.upload(str(order), an_image())
    async with flat.tx() as tx:
        row = await orders.lock_order(tx, order)
        row.submitted_at = row.booked_at
        await approve(tx, order)
        await orders.open_invoice_when_approved(tx, row)
    return order
