"""Events and payments speak to each other by their own actions: late money, refunds, packages given back."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.payments.actions import refunds
from shared.contracts.base import Fact
from shared.contracts.events import InvoiceOpened
from shared.contracts.payments import MessageRequested
from tests.conftest import Flat, Flats
from tests.events import an_event, counts, stock
from tests.events.test_consumers import past, run, state, take
from tests.events.test_refunds import entrants, scan
from tests.events.test_selling import give_back
from tests.payments import at_bank, money_of, notify

pytestmark = pytest.mark.promise("P7")


class Two:
    """Both flats; what one says the other hears, until neither says any more."""

    def __init__(self, events: Flat, payments: Flat) -> None:
        self.events, self.payments = events, payments
        self.said: list[Fact] = []

    async def speak(self) -> None:
        while facts := [*await self.events.facts(), *await self.payments.facts()]:
            self.said += facts
            for flat in (self.events, self.payments):
                await flat.receive(*facts)
                assert await flat.held() == []

    def told(self, *kinds: type[Any]) -> list[Any]:
        return [fact for fact in self.said if isinstance(fact, kinds)]

    async def expire(self, fact: InvoiceOpened) -> str:
        """Somebody is at the bank when the hold's time is over and payments gives the attempt up; the bank's word."""
        await self.payments.receive(fact)
        query = await at_bank(self.payments, fact)  # type: ignore[arg-type]
        async with self.payments.tx() as tx:
            await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
        await past(self.events)
        await self.events.tick()
        await self.speak()
        return query

    async def give(self, fact: InvoiceOpened, amount_vnd: int) -> None:
        """The desk gives back so much of what came for an invoice."""
        async with self.payments.tx() as tx:
            capture = await money_of(self.payments, fact)  # type: ignore[arg-type]
            await refunds.ask_refund(tx, capture, amount_vnd, "Khách không đến được", uuid4())
        await self.speak()

    async def going_back_vnd(self) -> int:
        """What is to go back to buyers, or went; of large sums a second person has to agree."""
        async with self.payments.tx() as tx:
            kept = (
                "SELECT coalesce(sum(amount_vnd), 0) FROM refund WHERE state NOT IN ('rejected', 'refused')"
            )
            return int(await tx.scalar(sa.text(kept)))


@pytest.fixture
async def two(flats: Flats) -> Two:
    made = Two(await flats.start("events"), await flats.start("payments"))
    await an_event(made.events)
    return made


async def test_late_money_that_events_takes_pays_the_tickets_and_its_buyer_is_told(two: Two) -> None:
    fact = await run(two.events, "An")
    query = await two.expire(fact)
    assert counts((await stock(two.events))["5 km"]) == (0, 0)
    assert await notify(two.payments, query) == "00"
    await two.speak()
    assert counts((await stock(two.events))["5 km"]) == (0, 1)
    letters = [each.template for each in two.told(MessageRequested)]
    assert letters == ["payments.money-late", "payments.money-taken"]


async def test_late_money_whose_industry_others_have_goes_back_and_its_buyer_is_told(two: Two) -> None:
    fact = await take(two.events)
    query = await two.expire(fact)
    await take(two.events)
    assert await notify(two.payments, query) == "00"
    await two.speak()
    assert await two.going_back_vnd() == fact.total_vnd
    assert counts((await stock(two.events))["Vàng"]) == (1, 0)
    assert await state(two.events, fact.invoice) == (False, True)


async def test_a_package_given_back_while_its_money_is_on_its_way_is_free_and_the_money_back(
    two: Two,
) -> None:
    fact = await take(two.events)
    await two.payments.receive(fact)
    query = await at_bank(two.payments, fact)  # type: ignore[arg-type]
    await give_back(two.events)
    await two.speak()
    assert counts((await stock(two.events))["Vàng"]) == (1, 0), "somebody may be paying"
    assert await notify(two.payments, query) == "00"
    await two.speak()
    assert counts((await stock(two.events))["Vàng"]) == (0, 0)
    assert await two.going_back_vnd() == fact.total_vnd


async def test_money_given_back_at_the_desk_voids_the_ticket_and_a_part_of_it_does_not(two: Two) -> None:
    fact = await run(two.events, "An")
    await two.payments.receive(fact)
    assert await notify(two.payments, await at_bank(two.payments, fact)) == "00"  # type: ignore[arg-type]
    await two.speak()
    await two.give(fact, 24_000)
    assert counts((await stock(two.events))["5 km"]) == (0, 1)
    await two.give(fact, fact.total_vnd - 24_000)
    assert counts((await stock(two.events))["5 km"]) == (0, 0)
    (ticket,) = await entrants(two.events)
    assert await scan(two.events, ticket) == "cancelled"
    assert await two.going_back_vnd() == fact.total_vnd


async def test_a_used_ticket_keeps_its_money(two: Two) -> None:
    fact = await run(two.events, "An")
    await two.payments.receive(fact)
    assert await notify(two.payments, await at_bank(two.payments, fact)) == "00"  # type: ignore[arg-type]
    await two.speak()
    (ticket,) = await entrants(two.events)
    assert await scan(two.events, ticket) == "in"
    await two.give(fact, fact.total_vnd)
    assert await two.going_back_vnd() == 0
    assert counts((await stock(two.events))["5 km"]) == (0, 1)
