"""The bank's word and a person at the desk at the same moment."""

import asyncio

import pytest
import sqlalchemy as sa

from services.payments.actions import attempts, proposals
from services.payments.rules.proposals import NotAwaited
from services.payments.simulators import vnpay as simulator
from services.payments.tables import AttemptRow, SimTransactionRow
from shared import clock
from tests.conftest import Flats
from tests.payments import KNOWN, an_invoice, at_bank, notify
from tests.shared.at_once import until_waiting


async def test_the_banks_word_and_the_second_person_do_not_wait_for_each_other(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    async with flat.tx() as tx:
        attempt = (await tx.scalars(sa.select(AttemptRow.id))).one()
        proposal = await proposals.propose_held(tx, attempt, clock.new_id(), good=True)
        row = (await tx.scalars(sa.select(SimTransactionRow))).one()
        simulator.end(row, "pay", clock.now())
        query = simulator.notification_query(row, KNOWN)

    async def told() -> None:
        async with flat.tx() as tx:
            assert (await attempts.hear_vnpay(tx, KNOWN, query, "127.0.0.1")).RspCode == "00"

    async def agreed() -> None:
        async with flat.tx() as tx:
            with pytest.raises(NotAwaited):
                await proposals.decide_proposal(tx, proposal, clock.new_id(), agreed=True)

    async with flat.tx() as tx:
        await tx.execute(sa.select(AttemptRow).with_for_update())
        telling = asyncio.create_task(told())
        await until_waiting(flat)
        agreeing = asyncio.create_task(agreed())
        await until_waiting(flat, 2)
    await telling
    await agreeing
