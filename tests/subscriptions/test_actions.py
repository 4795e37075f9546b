"""Actions of subscriptions against the real database."""

import asyncio
from datetime import date, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.subscriptions.actions.catalogue import PriceOffer, PriceStands, set_price
from services.subscriptions.actions.subscriptions import (
    AlreadySubscribed,
    NothingToCancel,
    Order,
    cancel,
    subscribe,
)
from services.subscriptions.actions.walls import change_policy
from services.subscriptions.rules.access import SectionPolicy, WallPolicy
from services.subscriptions.rules.catalogue import NotOnSale
from services.subscriptions.tables import MeterRow, PeriodRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import Period
from shared.contracts.payments import InvoiceClosed
from shared.contracts.subscriptions import CreditGranted, InvoiceOpened, InvoiceWithdrawn, MessageRequested
from shared.errors import NotFound, Unprocessable
from shared.sales import find
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    MONTH,
    a_package,
    a_reader_with_access,
    at,
    captured,
    closed,
    opened_fact,
    subscribed,
    taxed,
)


async def period(flat: Flat, n: int = 0) -> PeriodRow:
    async with flat.tx() as tx:
        return (await tx.scalars(sa.select(PeriodRow).where(PeriodRow.n == n))).one()


async def test_a_subscription_opens_a_prepaid_invoice_earned_by_day(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await taxed(flat)
    package, price = await a_package(flat, net_vnd=50_000)
    person = clock.new_id()
    with clock.driven(clock.DrivenClock(at(date(2026, 1, 31)), 1)):
        await subscribed(flat, person, package, price)
    fact = await opened_fact(flat)
    (line,) = fact.lines
    assert (fact.collect, fact.buyer.id, fact.total_vnd) == ("prepaid", person, 54_000)
    assert (line.stream, line.product_class, line.vat_vnd) == ("subscription", "digital_news", 4_000)
    assert line.earn == Period(date(2026, 1, 31), date(2026, 2, 27))


async def test_a_waiting_checkout_is_taken_up_again_and_another_choice_replaces_it(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    person = clock.new_id()
    first = await subscribed(flat, person, package, price)
    assert (await subscribed(flat, person, package, price)).invoice == first.invoice
    other = await subscribed(flat, person, package, price, renewal=True)
    assert other.invoice != first.invoice
    kinds = [type(fact) for fact in await flat.facts()]
    assert kinds == [InvoiceOpened, InvoiceWithdrawn, InvoiceOpened]


async def test_who_reads_already_is_not_charged_twice(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    await subscribed(flat, person, package, price)
    await flat.receive(captured(await opened_fact(flat)))
    with pytest.raises(AlreadySubscribed):
        await subscribed(flat, person, package, price)


async def test_a_price_that_was_followed_by_another_is_not_sold_and_never_changed(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    async with flat.tx() as tx:
        await set_price(tx, package, PriceOffer(MONTH, 60_000, date(2025, 1, 1)))
    with pytest.raises(NotOnSale):
        await subscribed(flat, clock.new_id(), package, price)
    with pytest.raises(PriceStands):
        async with flat.tx() as tx:
            await set_price(tx, package, PriceOffer(MONTH, 70_000, date(2025, 1, 1)))
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE price SET net_vnd = 1"))


async def test_two_periods_of_a_subscription_never_share_a_day(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await a_reader_with_access(flat, clock.new_id())
    with pytest.raises(sa.exc.IntegrityError, match="period_no_overlap"):
        async with flat.tx() as tx:
            await tx.execute(
                sa.text(
                    "INSERT INTO period SELECT gen_random_uuid(), agency, subscription, person, package, "
                    "gen_random_uuid(), 9, until - 1, until + 30, false, started_at, change FROM period"
                )
            )


async def test_cancelling_stops_renewal_and_withdraws_what_waits(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    opened = await a_reader_with_access(flat, person, renewal=True)
    before = await period(flat)
    with clock.driven(clock.DrivenClock(at(before.until - timedelta(days=6)), 1)):
        await flat.tick()
        await flat.facts()
        async with flat.tx() as tx:
            assert (await cancel(tx, opened.subscription, person=person)).credited_vnd == 0
    assert [type(fact) for fact in await flat.facts()] == [InvoiceWithdrawn]
    assert (await period(flat)).until == before.until
    with pytest.raises(NothingToCancel):
        async with flat.tx() as tx:
            await cancel(tx, opened.subscription, person=person)
    with pytest.raises(NotFound):
        async with flat.tx() as tx:
            await cancel(tx, opened.subscription, person=clock.new_id())


async def test_ending_at_once_credits_the_unused_days_to_the_dong(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await taxed(flat)
    person = clock.new_id()
    with clock.driven(clock.DrivenClock(at(date(2026, 11, 1)), 1)) as driven:
        opened = await a_reader_with_access(flat, person, net_vnd=50_000)
        driven.move_to(at(date(2026, 11, 10)))  # type: ignore[attr-defined]
        async with flat.tx() as tx:
            gone = await cancel(tx, opened.subscription, person=person, at_once=True)
    (credit,) = [fact for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    assert (credit.lines[0].net_vnd, credit.lines[0].vat_vnd) == (33_333, 2_667)
    assert gone.credited_vnd == 36_000
    assert (await period(flat)).until == date(2026, 11, 11)


async def test_a_renewal_is_invited_once_reminded_once_and_ends_unpaid(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(clock.DrivenClock(at(date(2026, 1, 31)), 1)) as driven:
        await a_reader_with_access(flat, clock.new_id(), renewal=True)
        said: dict[date, list[str]] = {}
        for n in range(40):
            driven.move_to(at(date(2026, 1, 31) + timedelta(days=n), 22))  # type: ignore[attr-defined]
            await flat.tick()
            for fact in await flat.facts():
                name = fact.template if isinstance(fact, MessageRequested) else type(fact).__name__
                said.setdefault(local_day(clock.now()), []).append(name)
                if isinstance(fact, InvoiceOpened):
                    assert fact.lines[0].earn == Period(date(2026, 2, 28), date(2026, 3, 30))
                if isinstance(fact, InvoiceWithdrawn):
                    await flat.receive(closed_as(fact))
    assert said == {
        date(2026, 2, 21): ["InvoiceOpened", "subscriptions.renewal"],
        date(2026, 2, 27): ["subscriptions.renewal-reminder"],
        date(2026, 3, 3): ["InvoiceWithdrawn"],
    }


def closed_as(fact: InvoiceWithdrawn) -> InvoiceClosed:
    return InvoiceClosed(
        agency=fact.agency, invoice=fact.invoice, outcome="withdrawn", seller=fact.publisher()
    )


async def test_a_paid_renewal_follows_at_the_price_that_was_bought(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(clock.DrivenClock(at(date(2026, 1, 31)), 1)) as driven:
        package, price = await a_package(flat)
        await subscribed(flat, clock.new_id(), package, price, renewal=True)
        await flat.receive(captured(await opened_fact(flat)))
        async with flat.tx() as tx:
            await set_price(tx, package, PriceOffer(MONTH, 99_000, date(2026, 2, 1)))
        driven.move_to(at(date(2026, 2, 25)))  # type: ignore[attr-defined]
        await flat.tick()
        (fact,) = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
        assert fact.total_vnd == 49_000
        await flat.receive(captured(fact), closed(fact))
    following = await period(flat, 1)
    assert (following.start, following.until) == (date(2026, 2, 28), date(2026, 3, 31))


async def test_without_the_choice_nothing_is_invited(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await a_reader_with_access(flat, clock.new_id())
    with clock.driven(clock.DrivenClock(at((await period(flat)).until - timedelta(days=1)), 1)):
        await flat.tick()
    assert await flat.facts() == []


async def test_a_checkout_that_nobody_pays_is_withdrawn_and_closed(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    await subscribed(flat, clock.new_id(), package, price)
    await flat.facts()
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=3), 1)):
        await flat.tick()
        await flat.tick()
    (fact,) = await flat.facts()
    assert isinstance(fact, InvoiceWithdrawn)
    await flat.receive(closed_as(fact))
    async with flat.tx() as tx:
        assert (await find(tx, [fact.invoice]))[fact.invoice].outcome == "withdrawn"


async def test_of_two_changes_of_a_wall_from_one_version_one_holds(flats: Flats) -> None:
    flat = await flats.start("subscriptions")

    async def change(limit: int) -> object:
        async with flat.tx() as tx:
            return await change_policy(tx, "bkh", WallPolicy(default=SectionPolicy(limit=limit)), 0, None)

    done = await asyncio.gather(*[change(n) for n in range(5)], return_exceptions=True)
    assert sorted(type(result).__name__ for result in done) == ["Stale"] * 4 + ["int"]


async def test_the_database_hides_other_agencies_and_other_readers_even_from_a_careless_query(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person)
    everything = sa.text(
        "SELECT (SELECT count(*) FROM subscription) + (SELECT count(*) FROM invoice) + (SELECT count(*) FROM period)"
    )

    async def seen(agencies: list[str], who: UUID | None = None) -> int:
        async with flat.kit.database.web_tx(agencies, who) as tx:
            return int(await tx.scalar(everything) or 0)

    assert await seen(["bkh"]) == 3
    assert await seen([], person) == 3
    assert await seen(["tcnt"]) == 0
    assert await seen([], clock.new_id()) == 0
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        async with flat.kit.database.web_tx(["tcnt"]) as tx:
            await tx.execute(sa.text("INSERT INTO policy VALUES ('bkh', 1, '{}', NULL, now())"))


async def test_reads_are_forgotten_after_the_following_month(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(clock.DrivenClock(at(date(2026, 11, 23)), 1)):
        async with flat.tx() as tx:
            for month in (date(2026, 9, 1), date(2026, 10, 1), date(2026, 11, 1)):
                tx.add(MeterRow(month=month, agency="bkh", reader="d:x", article="a", read_at=clock.now()))
        await flat.tick()
    async with flat.tx() as tx:
        left = list(await tx.scalars(sa.select(MeterRow.month).order_by(MeterRow.month)))
    assert left == [date(2026, 10, 1), date(2026, 11, 1)]


async def test_all_checkouts_that_an_outage_left_behind_are_withdrawn_in_one_turn(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.AT_ONCE", 1)
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    for _ in range(3):
        await subscribed(flat, clock.new_id(), package, price)
    await flat.facts()
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=3), 1)):
        await flat.tick()
    assert len({fact.invoice for fact in await flat.facts() if isinstance(fact, InvoiceWithdrawn)}) == 3


@pytest.mark.parametrize("elsewhere", ["https://evil.example/", "//evil.example", "bai", "/" + "a" * 2000])
async def test_a_way_on_that_leads_out_of_the_house_is_refused_and_opens_nothing(
    flats: Flats, elsewhere: str
) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    order = Order(package=package, price=price, next_path=elsewhere)
    with pytest.raises(Unprocessable) as refused:
        async with flat.tx() as tx:
            await subscribe(tx, flat.kit.settings, clock.new_id(), order)
    assert refused.value.more["field"] == "next_path"
    assert await flat.facts() == []
