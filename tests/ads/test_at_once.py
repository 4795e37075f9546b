"""Two who act on one order at the same moment."""

import asyncio

import pytest

from ops.simulation.ads import approve
from services.ads.actions import orders
from shared.contracts.ads import InvoiceOpened, InvoiceWithdrawn
from tests.ads.builders import Advertiser, a_rate_card, an_image, an_order, uuid_of
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
