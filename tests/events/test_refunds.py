"""What events takes back when the desk gives money back: tickets are void, places and industries free again."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.events.actions import deliverables, registrations
from services.events.rules.stock import Cancelled
from services.events.tables import DeliverableRow
from shared import clock
from shared.contracts.events import (
    CreditGranted,
    InvoiceOpened,
    InvoiceWithdrawn,
    MessageRequested,
    MoneyDeclined,
    OrderSigned,
    RefundRefused,
)
from shared.errors import Refused
from tests.conftest import Flat, Flats
from tests.events import a_capture, a_closing, a_refund, an_event, an_offer, counts, stock
from tests.events.test_consumers import one, opened, run, state, take
from tests.events.test_selling import said, take_again

pytestmark = pytest.mark.promise("E20")


@pytest.fixture
async def flat(flats: Flats) -> Flat:
    """The night run is on sale."""
    made = await flats.start("events")
    await an_event(made)
    return made


async def entrants(flat: Flat) -> list[UUID]:
    async with flat.tx() as tx:
        return list(await tx.scalars(sa.text("SELECT id FROM entrant ORDER BY bib")))


async def scan(flat: Flat, entrant: UUID) -> str:
    try:
        async with flat.tx() as tx:
            await registrations.check_in(tx, entrant, uuid4(), clock.now())
    except Refused as refusal:
        return refusal.code
    return "in"


async def test_a_refund_of_all_voids_the_tickets_at_the_gate_and_sells_their_places_again(flat: Flat) -> None:
    fact = await run(flat, "An", "Bình")
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    asked = a_refund(fact)
    await flat.receive(asked, asked)
    credit = await said(flat, CreditGranted)
    assert (credit.refund, credit.by, credit.gross_vnd) == (asked.refund, asked.by, fact.total_vnd)
    assert {await scan(flat, each) for each in await entrants(flat)} == {"cancelled"}
    assert counts((await stock(flat))["5 km"]) == (0, 0)
    again = await run(flat, "Chi")
    await flat.receive(a_capture(again.invoice, again.lines))
    assert (await said(flat, MessageRequested)).params["bibs"] == "0003", "a void bib is nobody else's"
    await flat.tick()
    assert (await one(flat, "SELECT differences FROM recount")).differences == []


async def test_a_refund_of_a_part_is_an_allowance_and_the_tickets_stay(flat: Flat) -> None:
    fact = await run(flat, "An")
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    await flat.receive(a_refund(fact, 100_000))
    assert (await said(flat, CreditGranted)).gross_vnd == 100_000
    assert counts((await stock(flat))["5 km"]) == (0, 1)
    await flat.receive(a_refund(fact))
    assert (await said(flat, RefundRefused)).reason == "overcredited"
    await flat.receive(a_refund(fact, fact.total_vnd - 100_000))
    assert (await said(flat, CreditGranted)).gross_vnd == fact.total_vnd - 100_000
    assert [await scan(flat, each) for each in await entrants(flat)] == ["cancelled"], (
        "the last of it is all of it"
    )


async def test_a_refund_is_refused_where_a_ticket_was_used_and_no_ticket_is_void(flat: Flat) -> None:
    fact = await run(flat, "An", "Bình")
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    used, other = await entrants(flat)
    assert await scan(flat, used) == "in"
    asked = a_refund(fact)
    await flat.receive(asked)
    refused = await said(flat, RefundRefused)
    assert (refused.refund, refused.reason) == (asked.refund, "already-in")
    assert counts((await stock(flat))["5 km"]) == (0, 2)
    assert await scan(flat, other) == "in"


async def test_a_ticket_is_void_or_used_never_both_even_at_one_moment(flat: Flat) -> None:
    for _ in range(5):
        fact = await run(flat, "An")
        await flat.receive(a_capture(fact.invoice, fact.lines))
        await flat.facts()
        key = (await entrants(flat))[-1]
        entered, _ = await asyncio.gather(scan(flat, key), flat.receive(a_refund(fact)))
        answers = [each for each in await flat.facts() if isinstance(each, CreditGranted | RefundRefused)]
        assert len(answers) == 1
        assert (entered == "in") == isinstance(answers[0], RefundRefused)
    with pytest.raises(sa.exc.IntegrityError, match="entrant_void_never_in"):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE entrant SET voided_at = now(), checked_in_at = now()"))


async def under_contract(flat: Flat, *, owed: bool = False) -> tuple[InvoiceOpened, InvoiceOpened]:
    """A sponsor under contract; the invoices of both instalments, the second asked for, or owed since the event."""
    fact = await take(flat)
    await flat.receive(a_capture(fact.invoice, fact.lines))
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = current_date + 5 WHERE position = 2"))
    await flat.facts()
    await flat.tick()
    second = await opened(flat)
    if owed:
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE event SET starts_at = now()"))
        await flat.tick()
        second = await opened(flat)
    assert second.collect == ("on_terms" if owed else "prepaid")
    return fact, second


@pytest.mark.parametrize("owed", [False, True])
async def test_a_refund_of_the_first_instalment_ends_the_sponsorship_with_all_that_is_open_of_it(
    flat: Flat, *, owed: bool
) -> None:
    fact, second = await under_contract(flat, owed=owed)
    await flat.receive(a_refund(fact))
    assert await flat.held() == []
    facts = await flat.facts()
    assert [each.invoice for each in facts if isinstance(each, InvoiceWithdrawn)] == [second.invoice]
    (signed,) = [each for each in facts if isinstance(each, OrderSigned)]
    assert (signed.buyer, signed.lines) == (fact.buyer, ()), "nothing is promised any more"
    credits_ = {each.invoice: each.gross_vnd for each in facts if isinstance(each, CreditGranted)}
    of_second = {second.invoice: second.total_vnd} if owed else {}
    assert credits_ == {fact.invoice: fact.total_vnd} | of_second, "what was only asked for needs no credit"
    assert await state(flat, fact.invoice) == (True, True)
    assert counts((await stock(flat))["Vàng"]) == (0, 0)
    async with flat.tx() as tx:
        promised = (await tx.scalars(sa.select(DeliverableRow))).first()
        with pytest.raises(Cancelled):
            await deliverables.deliver(tx, promised, "ảnh", clock.now())
    await flat.tick()
    assert [each for each in await flat.facts() if isinstance(each, InvoiceOpened | MessageRequested)] == []
    if not owed:
        await take_again(flat)


@pytest.mark.promise("T12")
@pytest.mark.parametrize("owed", [False, True])
async def test_what_ends_with_a_refund_ends_by_the_deed_of_who_asked_for_it_also_its_late_money(
    flat: Flat, *, owed: bool
) -> None:
    fact, second = await under_contract(flat, owed=owed)
    asked = a_refund(fact)
    await flat.receive(asked)
    credits_ = [each for each in await flat.facts() if isinstance(each, CreditGranted)]
    ended = {fact.invoice, second.invoice} if owed else {fact.invoice}
    assert {each.invoice: each.by for each in credits_} == dict.fromkeys(ended, asked.by)
    await flat.receive(a_closing(second.invoice, "withdrawn"), an_offer(second))
    assert (await said(flat, MoneyDeclined)).by == asked.by


async def test_never_half_of_a_sponsorship_goes_back_the_later_instalment_goes_first(flat: Flat) -> None:
    fact, second = await under_contract(flat)
    await flat.receive(a_capture(second.invoice, second.lines), a_refund(fact))
    facts = await flat.facts()
    assert [type(each) for each in facts] == [RefundRefused], "what is promised stays promised, too"
    assert facts[0].reason == "later-paid"
    assert await state(flat, fact.invoice) == (True, False)
    await flat.receive(a_refund(second))
    assert (await said(flat, CreditGranted)).invoice == second.invoice
    assert await state(flat, fact.invoice) == (True, False), "an allowance: the sponsorship stands"
    await flat.receive(a_refund(fact))
    assert (await said(flat, CreditGranted)).invoice == fact.invoice
    assert await state(flat, fact.invoice) == (True, True)


async def test_a_payment_of_a_later_instalment_on_its_way_when_its_sponsorship_ends_goes_back(
    flat: Flat,
) -> None:
    fact, second = await under_contract(flat)
    asked = a_refund(fact)
    await flat.receive(asked)
    await flat.facts()
    await flat.receive(a_capture(second.invoice, second.lines))
    assert await flat.held() == []
    back = await said(flat, CreditGranted)
    assert (back.invoice, back.gross_vnd, back.by) == (second.invoice, second.total_vnd, asked.by)


async def test_a_payment_of_what_is_owed_on_its_way_when_its_sponsorship_ends_is_credited_once(
    flat: Flat,
) -> None:
    fact, second = await under_contract(flat, owed=True)
    await flat.receive(a_refund(fact))
    await flat.facts()
    # All of it was credited already: payments sends back what comes.
    await flat.receive(a_capture(second.invoice, second.lines, collect="on_terms"))
    assert await flat.held() == []
    assert await flat.facts() == []
