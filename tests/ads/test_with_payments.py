"""Ads and payments speak to each other by their own actions: parts, late money, refunds, orders cancelled meanwhile."""

from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.ads.actions import orders, settlement
from services.payments.actions import refunds
from shared import clock, money
from shared.calendar import start_of
from shared.contracts.ads import CreditGranted, InvoiceOpened, MoneyDeclined, RefundRefused
from shared.contracts.base import Fact
from shared.contracts.payments import MessageRequested, RefundCompleted
from shared.jobs import Batch
from tests.ads.builders import (
    Advertiser,
    a_line,
    a_rate_card,
    an_image,
    an_order,
    review,
    today,
)
from tests.conftest import Flat, Flats
from tests.payments import at_bank, money_of, notify

pytestmark = pytest.mark.promise("P7")


class Two:
    """Both flats; what one says the other hears, until neither says any more."""

    def __init__(self, flats: Flats, ads: Flat, payments: Flat) -> None:
        self.flats, self.ads, self.payments = flats, ads, payments
        self.advertiser = Advertiser(flats, ads)
        self.said: list[Fact] = []

    async def order(self, lines: int = 1, **line: Any) -> InvoiceOpened:
        """An order of lines of 100,000 impressions for 4,500,000 ₫, approved: its invoice is on its way."""
        wanted = an_order(*(a_line(**line) for _ in range(lines)))
        order = (await self.advertiser.post("/orders", wanted)).json()["id"]
        creative = (await self.advertiser.upload(order, an_image())).json()["id"]
        await self.advertiser.post(f"/orders/{order}/submit")
        await review(self.flats, self.ads, creative)
        [opened] = [fact for fact in await self.ads.facts() if isinstance(fact, InvoiceOpened)]
        await self.payments.receive(opened)
        return opened

    async def paid(self, lines: int = 1, **line: Any) -> InvoiceOpened:
        opened = await self.order(lines, **line)
        assert await notify(self.payments, await at_bank(self.payments, opened)) == "00"
        await self.speak()
        return opened

    async def late(self, opened: InvoiceOpened) -> str:
        """Somebody is at the bank when the time is over and payments gives the attempt up; the bank's word."""
        query: str = await at_bank(self.payments, opened)
        async with self.payments.tx() as tx:
            await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
        async with self.ads.tx() as tx:
            await tx.execute(sa.text("UPDATE sale SET expires_at = :then"), {"then": clock.now()})
        await self.ads.tick()
        await self.speak()
        return query

    async def speak(self) -> None:
        while facts := [*await self.ads.facts(), *await self.payments.facts()]:
            self.said += facts
            for flat in (self.ads, self.payments):
                await flat.receive(*facts)
                assert await flat.held() == []

    def told(self, *kinds: type[Any]) -> list[Any]:
        return [fact for fact in self.said if isinstance(fact, kinds)]

    async def give(self, opened: InvoiceOpened, amount_vnd: int) -> None:
        """The desk gives back so much of what came for an invoice."""
        async with self.payments.tx() as tx:
            capture = await money_of(self.payments, opened)
            await refunds.ask_refund(tx, capture, amount_vnd, "Khách đổi ý", uuid4())
        await self.speak()

    async def show(self, impressions: int, line: UUID | None = None) -> None:
        """So many readers saw each line, or the one."""
        async with self.ads.tx() as tx:
            await tx.execute(
                sa.text(
                    "INSERT INTO rollup (line, creative, placement, section, hour, agency, organisation, impressions, "
                    "viewables, clicks) SELECT id, id, 'article-mid', '', :now, agency, organisation, :n, 0, 0 "
                    "FROM line_item WHERE id = coalesce(:line, id)"
                ),
                {"now": clock.now(), "n": impressions, "line": line},
            )

    async def status(self) -> str:
        [order] = (await self.advertiser.get("/orders")).json()["items"]
        return str(order["status"])


@pytest.fixture
async def two(flats: Flats) -> Two:
    made = Two(flats, await flats.start("ads"), await flats.start("payments"))
    await a_rate_card(made.ads)
    return made


async def test_late_money_runs_the_order_as_long_as_no_flight_is_over(two: Two) -> None:
    query = await two.late(await two.order())
    assert await two.status() == "expired"
    assert await notify(two.payments, query) == "00"
    await two.speak()
    assert await two.status() == "live"
    assert [letter.template for letter in two.told(MessageRequested)] == [
        "payments.money-late",
        "payments.money-taken",
    ]


async def test_late_money_for_a_flight_that_is_over_goes_back(two: Two) -> None:
    opened = await two.order(ends_on=str(today()))
    query = await two.late(opened)
    async with two.ads.tx() as tx:
        await tx.execute(sa.text("UPDATE line_item SET starts_on = starts_on - 1, ends_on = ends_on - 1"))
    assert await notify(two.payments, query) == "00"
    await two.speak()
    assert [answer.reason for answer in two.told(MoneyDeclined)] == ["flight-over"]
    assert await two.status() == "expired"
    assert two.told(CreditGranted) == [], "nothing was sold"


@pytest.mark.promise("T12")
async def test_an_order_that_is_cancelled_while_somebody_pays_gives_all_of_it_back_by_their_deed(
    two: Two,
) -> None:
    opened = await two.order()
    query = await at_bank(two.payments, opened)
    [order] = (await two.advertiser.get("/orders")).json()["items"]
    await two.advertiser.post(f"/orders/{order['id']}/cancel")
    await two.speak()
    assert await notify(two.payments, query) == "00"
    await two.speak()
    [credit] = two.told(CreditGranted)
    assert (credit.reason, credit.gross_vnd) == ("order-cancelled", opened.total_vnd)
    assert credit.by == two.advertiser.person
    assert await two.status() == "cancelled"


async def test_a_refund_of_all_that_was_not_shown_ends_the_order(two: Two) -> None:
    opened = await two.paid()
    await two.show(25_000)
    rest_vnd = 3_375_000 + 270_000
    await two.give(opened, rest_vnd)
    [credit] = two.told(CreditGranted)
    assert (credit.gross_vnd, credit.lines[0].vat_vnd) == (rest_vnd, 270_000)
    assert await two.status() == "cancelled"


async def test_more_than_was_not_shown_is_not_given_back(two: Two) -> None:
    opened = await two.paid()
    await two.show(25_000)
    await two.give(opened, opened.total_vnd)
    assert [answer.reason for answer in two.told(RefundRefused)] == ["already-shown"]
    assert two.told(CreditGranted, RefundCompleted) == []
    assert await two.status() == "live"


@pytest.mark.promise("A15")
async def test_after_an_allowance_the_order_runs_on_and_its_end_gives_back_what_was_not_shown_of_the_lower_price(
    two: Two,
) -> None:
    opened = await two.paid()
    await two.give(opened, 1_000_001)
    assert await two.status() == "live"
    await two.show(25_000)
    async with two.ads.tx() as tx:
        await settlement.settle(tx, Batch())
        await tx.execute(sa.text("UPDATE line_item SET starts_on = starts_on - 30, ends_on = ends_on - 30"))
        await orders.close_ended(tx, batch := Batch())
    assert len(batch.keys) == 1
    await two.speak()
    allowance, rest = two.told(CreditGranted)
    assert allowance.gross_vnd == 1_000_001
    lowered_vnd = 4_500_000 - allowance.lines[0].net_vnd
    assert rest.lines[0].net_vnd == lowered_vnd - lowered_vnd * 25_000 // 100_000
    assert rest.reason == "undelivered"


async def test_what_is_given_back_is_taxed_as_the_money_was_not_as_the_invoice(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = await two.order()
    monkeypatch.setitem(money.VAT_PERCENT, "standard", ((date.min, 10),))
    assert await notify(two.payments, await at_bank(two.payments, opened)) == "00"
    await two.speak()
    [order] = (await two.advertiser.get("/orders")).json()["items"]
    assert (order["net_vnd"], order["vat_vnd"]) == (4_418_182, 441_818), "what was agreed stays, gross"
    await two.give(opened, opened.total_vnd)
    [line] = two.told(CreditGranted)[0].lines
    assert opened.lines[0].vat_vnd == 360_000
    assert (line.net_vnd, line.vat_vnd) == (4_418_182, 441_818)


async def test_allowances_one_after_another_give_back_no_more_than_was_not_shown(two: Two) -> None:
    opened = await two.paid(2)
    await two.show(100_000, line=opened.lines[0].id)
    half_vnd = opened.lines[1].gross_vnd // 2
    await two.give(opened, half_vnd)
    await two.give(opened, half_vnd)
    await two.give(opened, half_vnd)
    assert [answer.reason for answer in two.told(RefundRefused)] == ["already-shown"]
    credited = [part for credit in two.told(CreditGranted) for part in credit.lines]
    assert {part.line for part in credited} == {opened.lines[1].id}, "what was shown stays paid"
    assert sum(part.net_vnd + part.vat_vnd for part in credited) == 2 * half_vnd


NEW_YEAR = start_of(date(2027, 1, 1))
"""The first moment of ten percent."""


@pytest.fixture
def time() -> Iterator[clock.DrivenClock]:
    with clock.driven(clock.DrivenClock(NEW_YEAR - timedelta(minutes=10), 1)) as driven:
        yield driven


@pytest.mark.promise("L4")
async def test_what_was_booked_in_december_costs_the_same_when_it_is_invoiced_in_january_at_ten(
    time: clock.DrivenClock, two: Two
) -> None:
    order = (await two.advertiser.post("/orders", an_order())).json()
    assert (order["total_vnd"], order["vat_vnd"]) == (4_860_000, 360_000)
    creative = (await two.advertiser.upload(order["id"], an_image())).json()["id"]
    time.move_to(NEW_YEAR)
    await two.advertiser.post(f"/orders/{order['id']}/submit")
    await review(two.flats, two.ads, creative)
    [opened] = [fact for fact in await two.ads.facts() if isinstance(fact, InvoiceOpened)]
    assert (opened.total_vnd, opened.lines[0].vat_vnd) == (4_860_000, 441_818)


@pytest.mark.promise("L4")
async def test_what_was_invoiced_in_december_and_waits_in_january_is_shown_at_ten(
    time: clock.DrivenClock, two: Two
) -> None:
    await two.order()
    time.move_to(NEW_YEAR)
    [order] = (await two.advertiser.get("/orders")).json()["items"]
    assert (order["total_vnd"], order["vat_vnd"]) == (4_860_000, 441_818)


@pytest.mark.promise("L4")
async def test_what_was_paid_in_december_is_credited_in_january_by_the_eight_that_it_bore(
    time: clock.DrivenClock, two: Two
) -> None:
    opened = await two.paid()
    time.move_to(NEW_YEAR)
    await two.show(50_000)
    await two.advertiser.post(f"/orders/{opened.return_url.rpartition('/')[2]}/cancel")
    await two.speak()
    [line] = two.told(CreditGranted)[0].lines
    assert (line.net_vnd, line.vat_vnd) == (2_250_000, 180_000)
