"""Facts that subscriptions hears: at least once, in any order."""

import asyncio
from datetime import date, timedelta
from itertools import permutations
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa

from services.subscriptions.tables import MeterRow, SubscriptionRow
from shared import clock
from shared.calendar import start_of
from shared.contracts.accounts import PersonErased
from shared.contracts.payments import ChargebackClosed, ChargebackOpened
from shared.contracts.subscriptions import InvoiceOpened
from shared.sales import find
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    Newsroom,
    a_package,
    a_reader_with_access,
    captured,
    closed,
    opened_fact,
    periods,
    subscribed,
)


async def an_open_invoice(flat: Flat, person: UUID) -> InvoiceOpened:
    package, price = await a_package(flat)
    await subscribed(flat, person, package, price)
    return await opened_fact(flat)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_a_capture_opens_one_period_however_often_and_in_whatever_order(
    flats: Flats, order: tuple[int, ...]
) -> None:
    flat = await flats.start("subscriptions")
    fact = await an_open_invoice(flat, clock.new_id())
    paid = captured(fact)
    said = [paid, closed(fact), paid]
    await flat.receive(*[said[n] for n in order])
    for n in order:
        await flat.receive(said[n])
    assert len(await periods(flat)) == 1
    async with flat.tx() as tx:
        sale = (await find(tx, [fact.invoice]))[fact.invoice]
    assert (sale.paid_at is not None, sale.outcome, sale.captured_vnd) == (True, None, fact.total_vnd)
    assert await flat.held() == []


async def test_part_of_the_money_opens_nothing_and_the_rest_does(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    fact = await an_open_invoice(flat, clock.new_id())
    await flat.receive(captured(fact, amount_vnd=fact.total_vnd - 1))
    assert await periods(flat) == []
    await flat.receive(captured(fact, amount_vnd=1))
    assert len(await periods(flat)) == 1


async def test_money_for_another_sellers_invoice_is_none_of_ours(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    fact = msgspec.structs.replace(await an_open_invoice(flat, clock.new_id()), invoice=clock.new_id())
    await flat.receive(captured(fact), closed(fact))
    assert await periods(flat) == []
    assert await flat.held() == []


async def test_paying_after_midnight_costs_no_day(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(clock.DrivenClock(start_of(date(2026, 1, 31)) - timedelta(minutes=10), 1)):
        fact = await an_open_invoice(flat, clock.new_id())
        await flat.receive(captured(fact, later=timedelta(minutes=20)))
    (row,) = await periods(flat)
    assert (row.start, row.until) == (date(2026, 1, 31), date(2026, 2, 28))


async def test_a_capture_reaches_the_door_within_two_seconds(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    fact = await an_open_invoice(flat, person)
    newsroom, token = Newsroom(flat, flats), flats.token(id=person)
    assert (await newsroom.read("bai", person_token=token))["reason"] == "metered"
    began = clock.monotonic_s()
    await flat.receive(captured(fact))
    while (await newsroom.read("bai", person_token=token))["reason"] != "entitled":
        assert clock.monotonic_s() - began < 2
        await asyncio.sleep(0.05)


@pytest.mark.parametrize(("outcome", "reads"), [("won", True), ("lost", False)])
@pytest.mark.parametrize("late", [False, True])
async def test_a_chargeback_suspends_until_it_is_won(
    flats: Flats, *, outcome: str, reads: bool, late: bool
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    opened = await a_reader_with_access(flat, person)
    one = {
        "agency": "bkh",
        "chargeback": clock.new_id(),
        "payment": clock.new_id(),
        "invoice": opened.invoice,
        "amount_vnd": 49_000,
    }
    began, ended = ChargebackOpened(**one), ChargebackClosed(**one, outcome=outcome)  # type: ignore[arg-type]
    keeper, newsroom = flat.app.state.doorkeeper, Newsroom(flat, flats)
    token = flats.token(id=person)
    if not late:
        await flat.receive(began)
        await keeper.snapshot.refresh(flat.kit.database)
        assert (await newsroom.read("bai", person_token=token))["reason"] != "entitled"
    await flat.receive(ended)
    await flat.receive(began)
    await keeper.snapshot.refresh(flat.kit.database)
    assert ((await newsroom.read("bai", person_token=token))["reason"] == "entitled") is reads


async def test_an_erased_person_leaves_no_reading_and_hears_no_more(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person, renewal=True, sections=("du-lich",))
    await Newsroom(flat, flats).read("bai", person_token=flats.token(id=person))
    await flat.app.state.doorkeeper.meter.flush()
    await flat.receive(PersonErased(agency="bkh", person=person))
    async with flat.tx() as tx:
        assert not await tx.scalar(sa.select(sa.exists().where(MeterRow.reader == f"p:{person}")))
        assert not await tx.scalar(sa.select(SubscriptionRow.renewal))
