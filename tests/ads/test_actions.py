"""What storage must hold: exact stops with several workers, settlement told once, walls between owners."""

import asyncio
from collections import Counter
from datetime import timedelta
from uuid import uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import DBAPIError

from services.ads.actions import delivery, settlement
from services.ads.actions.beacons import Beacon, Flusher, count_beacons
from services.ads.actions.serving import Server
from services.ads.rules import decision, tokens
from shared import clock
from shared.calendar import start_of
from shared.contracts.ads import CreditGranted, DeliveryRecorded, InvoiceOpened, InvoiceWithdrawn
from shared.contracts.payments import InvoiceClosed
from shared.jobs import Batch
from tests.ads.builders import (
    Advertiser,
    a_line,
    a_live_order,
    a_rate_card,
    an_image,
    an_order,
    review,
    today,
)


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


@pytest.fixture
def advertiser(flats, flat):
    return Advertiser(flats, flat)


def beacons_of(line, creative, n, bucket=0):
    second = int(clock.now().timestamp())
    return [
        Beacon("i", tokens.Shown(second, bucket, line, creative, uuid4(), "article-mid", "du-lich"))
        for _ in range(n)
    ]


async def line_of(flat):
    async with flat.tx() as tx:
        row = (await tx.execute(sa.text("SELECT l.id, c.id AS creative FROM line_item l, creative c"))).one()
    return row.id, row.creative


@pytest.mark.promise("A12")
async def test_a_hundred_beacons_sent_twice_at_once_to_four_workers_count_a_hundred(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser)
    line, creative = await line_of(flat)
    beacons = beacons_of(line, creative, 100)
    workers = [Flusher(flat.kit.database) for _ in range(4)]
    tasks = [asyncio.create_task(worker.run()) for worker in workers]
    answers = await asyncio.gather(*(w.count(b) for b in beacons for w in (workers[0], workers[1])))
    answers += await asyncio.gather(*(w.count(b) for b in beacons for w in workers))
    for task in tasks:
        task.cancel()
    assert Counter(answers) == {"": 100, "replay": 500}
    async with flat.tx() as tx:
        counted = await tx.scalar(sa.text("SELECT sum(impressions) FROM rollup"))
        told = await tx.scalar(sa.text("SELECT impressions FROM progress"))
    assert (counted, told) == (100, 100)


@pytest.mark.promise("A12")
async def test_a_click_that_comes_with_its_view_in_one_group_counts(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser)
    line, creative = await line_of(flat)
    [view] = beacons_of(line, creative, 1)
    [alone] = beacons_of(line, creative, 1)
    async with flat.tx() as tx:
        told = await count_beacons(tx, [Beacon("c", view.shown), view, Beacon("c", alone.shown)])
    assert told == {view.key: "", (view.shown.nonce, "c"): "", (alone.shown.nonce, "c"): "no-view"}


@pytest.mark.promise("A12")
async def test_what_cannot_be_committed_is_refused_and_counts_later(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser)
    line, creative = await line_of(flat)
    [view] = beacons_of(line, creative, 1)
    async with flat.tx() as tx:
        await tx.execute(sa.text("SET LOCAL lock_timeout = '1s'"))
        with pytest.raises(RuntimeError):
            async with tx.begin_nested():
                await count_beacons(tx, [view])
                raise RuntimeError("the worker died before its commit")
        assert await count_beacons(tx, [view]) == {view.key: ""}


async def test_four_workers_together_never_hand_out_more_than_the_goal(flats, flat, advertiser):
    day = today()
    await a_live_order(
        flats, flat, advertiser, a_line(budget_vnd=45_000, starts_on=str(day), ends_on=str(day))
    )
    async with flat.tx() as tx:  # yesterday's flight: the whole goal is due now
        await tx.execute(sa.text("UPDATE line_item SET starts_on = :day - 30, ends_on = :day"), {"day": day})
    workers = [flat.app.state.server, *(Server(flat.kit) for _ in range(3))]
    handed = 0
    for _ in range(60):
        await asyncio.gather(*(w.refresh() for w in workers))
        for worker in workers:
            line = worker.snapshot.lines[0]
            while worker.take(line):
                handed += 1
        if handed > 1000:
            break
    async with flat.tx() as tx:
        granted = await tx.scalar(sa.text("SELECT sum(granted) FROM lease"))
        planned = await tx.scalar(sa.text("SELECT goal FROM line_item"))
    assert handed == granted <= planned == 1000
    assert handed > 900


async def test_what_one_worker_gives_back_another_may_hand_out(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    line, _ = await line_of(flat)
    bucket = delivery.bucket_of(clock.now()) + tokens.BUCKET_S
    async with flat.tx() as tx:
        first = (await delivery.grant(tx, {line: 10_000}, bucket))[line]
        assert (await delivery.grant(tx, {line: 10_000}, bucket))[line] == 0
        await delivery.give_back(tx, {line: 5}, bucket)
        assert (await delivery.grant(tx, {line: 10_000}, bucket))[line] == 5
    assert first > 5


async def totals(flat, n, day):
    async with flat.tx() as tx:
        row = (
            await tx.execute(
                sa.text(
                    "SELECT l.id, l.agency, l.organisation, c.id AS creative FROM line_item l, creative c"
                )
            )
        ).one()
        at = start_of(day) + timedelta(hours=9)
        await delivery.add_totals(
            tx,
            [
                delivery.Total(
                    row.id, row.creative, "article-mid", "", at, row.agency, row.organisation, n, 0, 0
                )
            ],
        )


async def test_delivery_is_told_by_day_once_and_never_above_what_was_booked(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    yesterday = today() - timedelta(days=1)
    await totals(flat, 300, yesterday)
    await flat.tick()
    await totals(flat, 50, yesterday)
    await totals(flat, 900, today())
    await flat.tick()
    await flat.tick()
    told = [(f.on, f.quantity) for f in await flat.facts() if isinstance(f, DeliveryRecorded)]
    assert told == [(yesterday, 300), (yesterday, 50), (today(), 650)]


async def test_a_flight_that_ends_short_is_credited_once(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    await totals(flat, 750, today() - timedelta(days=5))
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE line_item SET starts_on = :d - 9, ends_on = :d - 4"), {"d": today()})
    await flat.tick()
    await flat.tick()
    facts = await flat.facts()
    [credit] = [f for f in facts if isinstance(f, CreditGranted)]
    assert credit.lines[0].net_vnd == 11_250
    assert sum(f.quantity for f in facts if isinstance(f, DeliveryRecorded)) == 750


async def an_approved_order(flats, flat, advertiser) -> str:
    """An order that waits for its money; its id."""
    order: str = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    await review(flats, flat, creative)
    return order


async def test_all_orders_that_an_outage_left_unpaid_are_withdrawn_in_one_turn(
    flats, flat, advertiser, monkeypatch
):
    monkeypatch.setattr("shared.jobs.AT_ONCE", 1)
    for _ in range(3):
        await an_approved_order(flats, flat, advertiser)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE sale SET expires_at = now() - interval '1 minute'"))
    await flat.tick()
    assert len([fact for fact in await flat.facts() if isinstance(fact, InvoiceWithdrawn)]) == 3


async def test_an_order_that_is_not_paid_in_time_is_withdrawn_once(flats, flat, advertiser):
    order = await an_approved_order(flats, flat, advertiser)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE sale SET expires_at = now() - interval '1 minute'"))
    await flat.tick()
    await flat.tick()
    invoice, withdrawn = await flat.facts()
    assert isinstance(invoice, InvoiceOpened)
    assert isinstance(withdrawn, InvoiceWithdrawn)
    await flat.receive(
        InvoiceClosed(agency="bkh", invoice=invoice.invoice, outcome="withdrawn", seller="ads")
    )
    assert (await advertiser.get(f"/orders/{order}")).json()["status"] == "expired"


async def test_an_agencys_staff_and_an_advertiser_see_only_theirs_even_without_a_filter(
    flats, flat, advertiser
):
    await a_live_order(flats, flat, advertiser)
    tables = ("ad_order", "line_item", "creative", "review")
    everything = sa.text(" UNION ALL ".join(f"SELECT agency FROM {table}" for table in tables))
    database = flat.kit.database
    for agencies, person, seen in (
        (["tcnt"], None, 0),
        ([], None, 0),
        ([], uuid4(), 0),
        (["bkh"], None, 4),
        ([], advertiser.organisation, 4),
    ):
        async with database.web_tx(agencies, person) as tx:
            assert len((await tx.execute(everything)).all()) == seen
    async with database.web_tx(["tcnt"]) as tx:
        assert (await tx.execute(sa.text("UPDATE ad_order SET name = 'x'"))).rowcount == 0
        assert (await tx.execute(sa.text("SELECT * FROM nonce"))).all() == []


async def test_a_review_is_never_rewritten(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser)
    for sql in ("UPDATE review SET verdict = 'refused'", "DELETE FROM review"):
        with pytest.raises(DBAPIError, match="permission denied"):
            async with flat.tx() as tx:
                await tx.execute(sa.text(sql))


@pytest.mark.parametrize(("lang", "words"), [("vi", "Chúng tôi đã nhận"), ("en", "came for order")])
async def test_the_letter_of_a_paid_order_says_how_much_for_which_order_and_where_it_is(lang, words):
    from services.accounts.gateways import write

    said = {"order": "Mùa hè", "number": "QC-1", "amount_vnd": 1_080_000, "path": "/advertise/orders/1"}
    letter = write("ads.order-paid", lang, said, base_url="https://t.vn", agency_name="Báo")
    for told in (words, "1.080.000\xa0₫", "QC-1", "https://t.vn/advertise/orders/1"):
        assert told in letter.body, told


async def test_payment_twice_and_of_others_changes_nothing_and_tells_the_advertiser_once(
    flats, flat, advertiser
):
    from tests.ads.builders import paid

    order = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    await review(flats, flat, creative)
    [invoice] = await flat.facts()
    payment = paid(invoice)
    await flat.receive(payment, payment)
    await flat.receive(payment)
    await flat.receive(InvoiceClosed(agency="bkh", invoice=uuid4(), outcome="paid", seller="ads"))
    assert (await advertiser.get(f"/orders/{order}")).json()["status"] == "live"
    [told] = await flat.facts()
    assert (told.template, told.person, told.params["amount_vnd"]) == (
        "ads.order-paid",
        invoice.buyer.id,
        invoice.total_vnd,
    )
    assert await flat.held() == []


async def test_two_who_settle_at_the_same_moment_tell_what_was_shown_once(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    await totals(flat, 300, today())
    async with flat.tx() as tx:
        await settlement.settle(tx, Batch())
        async with asyncio.TaskGroup() as group:
            beside = group.create_task(settle_all(flat))
            await asyncio.sleep(0.3)
            assert not beside.done()
            await tx.commit()
    assert [f.quantity for f in await flat.facts() if isinstance(f, DeliveryRecorded)] == [300]


async def settle_all(flat):
    async with flat.tx() as tx:
        await settlement.settle(tx, Batch())


async def test_settlement_of_one_line_leaves_others(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(budget_vnd=45_000))
    await totals(flat, 10, today())
    async with flat.tx() as tx:
        await settlement.settle_lines(tx, [uuid4()])
        await settlement.settle(tx, batch := Batch())
    assert len(batch.keys) == 1


def test_a_visitor_costs_few_bytes_a_counter():
    assert len(decision.cap_key(uuid4())) == 8
