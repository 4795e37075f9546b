"""What events does about money that comes late, and about what nobody has to pay, or pays at another price."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.events.actions import registrations, sponsorships
from services.events.actions.catalogue import Details, NewTicket, edit_event
from services.events.rules.holding import HeldUnpaid
from services.events.rules.registrations import Entry
from services.events.tables import EventRow, SponsorshipRow
from shared import clock
from shared.calendar import local_day, start_of
from shared.contracts.base import OnDate
from shared.contracts.events import (
    CreditGranted,
    EarningMoved,
    InvoiceOpened,
    InvoiceWithdrawn,
    MessageRequested,
    MoneyDeclined,
    MoneyTaken,
    OrderSigned,
)
from shared.errors import PriceChanged, Refused
from shared.money import split
from tests.conftest import Flat, Flats
from tests.events import (
    BANK,
    BEER,
    a_capture,
    a_closing,
    a_package,
    a_patron,
    a_refund,
    an_application,
    an_event,
    an_offer,
    counts,
    stock,
)
from tests.events.test_consumers import one, opened, past, run, state, take


@pytest.fixture
async def flat(flats: Flats) -> Flat:
    """The night run is on sale."""
    made = await flats.start("events")
    await an_event(made)
    return made


async def said(flat: Flat, kind: Any) -> Any:
    """The one fact of a kind that was said since the last look, and nothing failed."""
    assert await flat.held() == []
    (fact,) = [each for each in await flat.facts() if isinstance(each, kind)]
    return fact


async def expire(flat: Flat, fact: InvoiceOpened) -> None:
    """Nobody paid in time: withdrawn by the clock, closed by payments, free again."""
    await past(flat)
    await flat.tick()
    await flat.receive(a_closing(fact.invoice, "withdrawn"))
    assert isinstance(await said(flat, InvoiceWithdrawn), InvoiceWithdrawn)


async def test_late_money_holds_free_tickets_again_and_its_capture_gives_the_bibs(flat: Flat) -> None:
    fact = await run(flat, "An", "Bình")
    await expire(flat, fact)
    assert counts((await stock(flat))["5 km"]) == (0, 0)
    offer = an_offer(fact)
    await flat.receive(offer, offer)
    taken = await said(flat, MoneyTaken)
    assert (taken.payment, taken.invoice) == (offer.payment, fact.invoice)
    assert counts((await stock(flat))["5 km"]) == (2, 0)
    await flat.tick()
    assert await flat.facts() == [], "what was taken is no longer withdrawn"
    await flat.receive(a_capture(fact.invoice, fact.lines, from_suspense=True, payment=offer.payment))
    assert counts((await stock(flat))["5 km"]) == (0, 2)
    assert (await said(flat, MessageRequested)).params["bibs"] == "0001, 0002"


@pytest.mark.parametrize("first", ["offer", "closing"])
async def test_an_offer_and_the_closing_before_it_commute(flat: Flat, first: str) -> None:
    fact = await take(flat)
    await past(flat)
    await flat.tick()
    both = [an_offer(fact), a_closing(fact.invoice, "withdrawn")]
    for each in both if first == "offer" else reversed(both):
        await flat.receive(each)
    assert (await said(flat, MoneyTaken)).invoice == fact.invoice
    assert counts((await stock(flat))["Vàng"]) == (1, 0)
    await flat.receive(a_capture(fact.invoice, fact.lines, from_suspense=True))
    assert await state(flat, fact.invoice) == (True, False)
    assert counts((await stock(flat))["Vàng"]) == (0, 1)


async def test_taken_money_that_went_back_before_frees_the_stock_again(flat: Flat) -> None:
    fact = await take(flat)
    await expire(flat, fact)
    await flat.receive(an_offer(fact), a_closing(fact.invoice, "returned"))
    assert counts((await stock(flat))["Vàng"]) == (0, 0)
    assert await state(flat, fact.invoice) == (False, True)
    await take_again(flat)


async def take_again(flat: Flat) -> None:
    """Stock and industry are free for the next."""
    package = (await stock(flat))["Vàng"]["id"]
    async with flat.tx() as tx:
        await sponsorships.take_package(tx, a_patron(), package, an_application(), clock.now())


async def test_a_second_payment_is_declined_also_where_its_offer_comes_before_the_first_is_heard(
    flat: Flat,
) -> None:
    fact = await run(flat, "An")
    second = an_offer(fact, reason="already-paid")
    await flat.receive(second)
    assert (await said(flat, MoneyDeclined)).payment == second.payment
    await flat.receive(a_capture(fact.invoice, fact.lines))
    assert counts((await stock(flat))["5 km"]) == (0, 1)


@pytest.mark.parametrize("why", ["sold-out", "industry-taken", "sales-closed", "other-amount", "cancelled"])
async def test_late_money_is_declined_where_stock_industry_sale_or_price_no_longer_stand(
    flats: Flats, why: str
) -> None:
    flat = await flats.start("events")
    await an_event(flat, packages=[a_package(capacity=1 if why == "sold-out" else 2)])
    fact = await take(flat)
    if why == "cancelled":
        await give_back(flat)
        await flat.receive(a_closing(fact.invoice, "withdrawn"))
        await flat.facts()
    else:
        await expire(flat, fact)
    if why in ("sold-out", "industry-taken"):
        await take(flat, industry=BEER if why == "sold-out" else BANK)
    async with flat.tx() as tx:
        if why == "sales-closed":
            await tx.execute(sa.text("UPDATE event SET sales_end_at = :now"), {"now": clock.now()})
    before = counts((await stock(flat))["Vàng"])
    offer = an_offer(fact, amount_vnd=fact.total_vnd + (why == "other-amount"))
    await flat.receive(offer)
    declined = await said(flat, MoneyDeclined)
    assert (declined.payment, declined.invoice, declined.reason) == (offer.payment, fact.invoice, why)
    assert counts((await stock(flat))["Vàng"]) == before
    assert await state(flat, fact.invoice) == (False, True)


async def give_back(flat: Flat, by: UUID | None = None) -> None:
    async with flat.tx() as tx:
        row = (await tx.scalars(sa.select(SponsorshipRow))).one()
        await sponsorships.cancel(tx, row, clock.now(), by)


async def test_a_price_that_rose_since_does_not_take_from_late_money_what_was_agreed(flat: Flat) -> None:
    fact = await run(flat, "An")
    await expire(flat, fact)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE sellable SET price_vnd = price_vnd * 2"))
    await flat.receive(an_offer(fact))
    assert (await said(flat, MoneyTaken)).invoice == fact.invoice


async def test_money_twice_is_declined_and_what_was_sold_stays_sold(flat: Flat) -> None:
    fact = await run(flat, "An")
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    await flat.receive(an_offer(fact))
    assert (await said(flat, MoneyDeclined)).reason == "already-paid"
    assert counts((await stock(flat))["5 km"]) == (0, 1)


async def test_of_late_money_and_new_buyers_of_the_last_piece_exactly_one_has_it(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, tickets=[NewTicket(title="5 km", price_vnd=300_000, capacity=1)])
    for _ in range(4):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE hold SET freed_at = freed_at - interval '2 days'"))
        fact = await run(flat, "An")
        await expire(flat, fact)

        async def buy() -> bool:
            try:
                await order(flat, "5 km")
            except Refused:
                return False
            return True

        done = await asyncio.gather(flat.receive(an_offer(fact)), *(buy() for _ in range(3)))
        assert counts((await stock(flat))["5 km"]) == (1, 0)
        facts = await flat.facts()
        taken = sum(isinstance(each, MoneyTaken) for each in facts)
        assert taken + sum(each is True for each in done) == 1
        async with flat.tx() as tx:
            await tx.execute(
                sa.text("UPDATE hold SET freed_at = :now WHERE freed_at IS NULL"), {"now": clock.now()}
            )
            await tx.execute(sa.text("UPDATE sellable SET held = 0"))


async def test_money_on_its_way_for_a_package_that_was_given_back_goes_back_whole(flat: Flat) -> None:
    fact, by = await take(flat), clock.new_id()
    await give_back(flat, by)
    await flat.facts()
    await flat.receive(a_capture(fact.invoice, fact.lines), a_closing(fact.invoice, "paid"))
    credit = await said(flat, CreditGranted)
    assert (credit.gross_vnd, credit.reason, credit.by) == (fact.total_vnd, "cancelled", by)
    assert counts((await stock(flat))["Vàng"]) == (0, 0)
    assert await state(flat, fact.invoice) == (False, True)
    await take_again(flat)


# What costs nothing, and what costs something else by now.


async def order(flat: Flat, *titles: str, patron: Any = None, **changes: Any) -> Any:
    found = await stock(flat)
    entries = [Entry(found[title]["id"], "An") for title in titles]
    async with flat.tx() as tx:
        return await registrations.register(
            tx, patron or a_patron(), "night-run", entries, clock.now(), **changes
        )


@pytest.fixture
async def children(flats: Flats) -> Flat:
    """Children run for nothing."""
    made = await flats.start("events")
    tickets = [("5 km", 300_000), ("Thiếu nhi", 0)]
    sold = [NewTicket(title=title, price_vnd=vnd, capacity=30) for title, vnd in tickets]
    await an_event(made, tickets=sold, packages=[a_package(price_vnd=0)])
    return made


async def test_a_ticket_for_nothing_is_there_at_once_without_an_invoice(children: Flat) -> None:
    sale = await order(children, "Thiếu nhi")
    assert (sale.total_vnd, sale.paid_at is not None) == (0, True)
    facts = await children.facts()
    assert [type(each) for each in facts] == [MessageRequested]
    assert facts[0].params["bibs"] == "0001"
    assert counts((await stock(children))["Thiếu nhi"]) == (0, 1)
    await past(children)
    await children.tick()
    assert await children.facts() == []


async def test_an_order_of_a_free_and_a_paid_ticket_waits_for_its_money_whole(children: Flat) -> None:
    await order(children, "5 km", "Thiếu nhi")
    fact = await opened(children)
    assert sorted(each.gross_vnd for each in fact.lines) == [0, 324_000]
    assert counts((await stock(children))["Thiếu nhi"]) == (1, 0)
    await children.receive(a_capture(fact.invoice, fact.lines))
    assert counts((await stock(children))["Thiếu nhi"]) == (0, 1)
    await children.facts()
    await children.receive(a_refund(fact))
    assert (await said(children, CreditGranted)).gross_vnd == 324_000
    assert counts((await stock(children))["Thiếu nhi"]) == (0, 0)


async def test_a_package_for_nothing_is_contracted_at_once(children: Flat) -> None:
    package = (await stock(children))["Vàng"]["id"]
    async with children.tx() as tx:
        await sponsorships.take_package(tx, a_patron(), package, an_application(), clock.now())
    assert [type(each) for each in await children.facts()] == [OrderSigned, MessageRequested]
    row = await one(children, "SELECT contracted_at FROM sponsorship")
    assert row.contracted_at is not None
    assert counts((await stock(children))["Vàng"]) == (0, 1)


async def test_nobody_takes_all_that_costs_nothing_by_asking_again(children: Flat) -> None:
    patron = a_patron()
    await order(children, *["Thiếu nhi"] * 10, patron=patron)
    with pytest.raises(HeldUnpaid):
        await order(children, "Thiếu nhi", patron=patron)
    async with children.tx() as tx:
        await tx.execute(
            sa.text("UPDATE hold SET sold_at = :then"), {"then": clock.now() - timedelta(days=1)}
        )
    await order(children, "Thiếu nhi", patron=patron)


async def test_a_price_that_was_not_seen_is_not_charged_and_nothing_is_held(flat: Flat) -> None:
    with pytest.raises(PriceChanged):
        await order(flat, "5 km", "10 km", seen_vnd=755_999)
    package = (await stock(flat))["Vàng"]["id"]
    with pytest.raises(PriceChanged, match="216,000,000"):
        async with flat.tx() as tx:
            await sponsorships.take_package(
                tx, a_patron(), package, an_application(), clock.now(), seen_vnd=200_000_000
            )
    assert {counts(row) for row in (await stock(flat)).values()} == {(0, 0)}
    assert (await order(flat, "5 km", "10 km", seen_vnd=756_000)).total_vnd == 756_000


async def test_tickets_cost_so_many_times_what_one_was_shown_at(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, tickets=[NewTicket(title="5 km", price_vnd=12_345, capacity=9)])
    sale = await order(flat, *["5 km"] * 3, seen_vnd=3 * (12_345 + 988))
    as_payments_will = split(sale.total_vnd, "standard", local_day(clock.now()))
    assert (sale.net_vnd, sale.vat_vnd) == (as_payments_will.net_vnd, as_payments_will.vat_vnd)


async def test_what_was_sold_is_earned_on_the_day_that_its_event_has_by_now(flat: Flat) -> None:
    paid, waiting = await run(flat, "An"), await take(flat)
    await flat.receive(a_capture(paid.invoice, paid.lines))
    await flat.facts()
    later = local_day(clock.now()) + timedelta(days=80)
    async with flat.tx() as tx:
        event = (await tx.scalars(sa.select(EventRow))).one()
        before = {name: getattr(event, name) for name in Details.__struct_fields__}
        await edit_event(tx, event, Details(**before | {"title": "Night Run II"}))
        await edit_event(tx, event, Details(**before | {"starts_at": start_of(later)}))
    moved = await said(flat, EarningMoved)
    assert (moved.line, moved.earn) == (paid.lines[0].id, OnDate(later))
    await flat.receive(a_capture(waiting.invoice, waiting.lines))
    moved = await said(flat, EarningMoved)
    assert (moved.line, moved.earn) == (waiting.lines[0].id, OnDate(later)), (
        "the books hear it once they know the line"
    )


@pytest.mark.parametrize("what", ["ticket", "sponsorship"])
async def test_money_that_comes_while_its_event_gets_another_day_is_earned_on_that_day(
    flat: Flat, what: str
) -> None:
    fact = await (run(flat, "An") if what == "ticket" else take(flat))
    later = local_day(clock.now()) + timedelta(days=80)
    async with flat.tx() as tx, asyncio.TaskGroup() as group:
        event = (await tx.scalars(sa.select(EventRow).with_for_update())).one()
        before = {name: getattr(event, name) for name in Details.__struct_fields__}
        await edit_event(tx, event, Details(**before | {"starts_at": start_of(later)}))
        group.create_task(flat.receive(a_capture(fact.invoice, fact.lines)))
        await asyncio.sleep(0.3)
        await tx.commit()
    assert (await said(flat, EarningMoved)).earn == OnDate(later)
