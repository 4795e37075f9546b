"""Periods and their money: begun by it, once for each day, late or twice."""

from datetime import date, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.subscriptions.actions.catalogue import PriceOffer, choose_vat_class, set_price
from services.subscriptions.actions.periods import AlreadySubscribed
from services.subscriptions.actions.subscriptions import cancel
from services.subscriptions.queries.subscriptions import one
from shared import clock
from shared.calendar import start_of
from shared.contracts import Fact
from shared.contracts.base import Period
from shared.contracts.subscriptions import (
    CreditGranted,
    EarningMoved,
    InvoiceOpened,
    InvoiceWithdrawn,
    MessageRequested,
    MoneyDeclined,
    MoneyTaken,
)
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    MONTH,
    a_package,
    a_reader_with_access,
    at,
    captured,
    closed,
    driven,
    late,
    opened_fact,
    periods,
    sale_of,
    subscribed,
)


async def an_expired_checkout(flat: Flat, person: UUID, **package: object) -> InvoiceOpened:
    """A checkout that nobody paid in time, and that payments closed."""
    await subscribed(flat, person, *(await a_package(flat, **package)))  # type: ignore[arg-type]
    fact = await opened_fact(flat)
    await run_out(flat, fact)
    return fact


async def run_out(flat: Flat, fact: InvoiceOpened) -> None:
    with clock.driven(driven(fact.expires_at + timedelta(minutes=1))):
        await flat.tick()
        await flat.receive(closed(fact, "withdrawn"))
    await flat.facts()


@pytest.mark.promise("S7")
async def test_a_checkout_paid_after_midnight_has_its_days_from_then_and_the_books_hear_the_same(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(driven(at(date(2026, 1, 30), 23, 50))):
        opened = await subscribed(flat, clock.new_id(), *(await a_package(flat)))
        asked = await opened_fact(flat)
        assert asked.lines[0].earn == Period(date(2026, 1, 30), date(2026, 2, 27))
        assert asked.lines[0].title == "Đọc báo trọn gói, 1 tháng, kỳ 1", (
            "the paper names no day that may move"
        )
        await flat.receive(captured(asked, later=timedelta(minutes=20)), closed(asked))
        (period,) = await periods(flat)
        assert (period.start, period.until) == (date(2026, 1, 31), date(2026, 2, 28))
        moved, told = await flat.facts()
        assert isinstance(moved, EarningMoved)
        assert isinstance(told, MessageRequested)
        assert (told.params["starts_on"], told.params["ends_on"]) == ("31/01/2026", "27/02/2026"), (
            "the letter names the days that were given"
        )
        assert moved.earn == Period(date(2026, 1, 31), date(2026, 2, 27))
        assert moved.line == asked.lines[0].id
        async with flat.tx() as tx:
            (shown,) = (await one(tx, opened.subscription)).invoices
        assert (shown.start, shown.last) == (moved.earn.start, moved.earn.end), "so does the paper"


@pytest.mark.promise("S7")
async def test_a_payment_that_was_held_and_approved_days_later_keeps_the_day_of_the_bank(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(driven(at(date(2026, 3, 2)))) as time:
        await subscribed(flat, clock.new_id(), *(await a_package(flat)))
        asked = await opened_fact(flat)
        paid = captured(asked)
        time.move_to(at(date(2026, 3, 5)))  # type: ignore[attr-defined]
        await flat.receive(paid)
    (period,) = await periods(flat)
    assert period.start == date(2026, 3, 2)
    assert [type(fact) for fact in await flat.facts()] == [MessageRequested], (
        "the invoice had said these days"
    )


@pytest.mark.promise("S6")
async def test_a_second_payment_for_the_same_days_is_given_back_whole(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    await subscribed(flat, person, package, price)
    first = await opened_fact(flat)
    await subscribed(flat, person, package, price, renewal=True)
    second = await opened_fact(flat)
    await flat.receive(captured(first), captured(second))
    assert [period.invoice for period in await periods(flat)] == [first.invoice]
    (credit,) = [fact for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    assert (credit.invoice, credit.reason, credit.gross_vnd) == (second.invoice, "already-subscribed", 49_000)
    assert (await sale_of(flat, second.invoice)).left_vnd == 0


async def renewal_of(flat: Flat, until: date) -> InvoiceOpened:
    """The invitation to renew, a day before the end."""
    with clock.driven(driven(at(until - timedelta(days=1)))):
        await flat.tick()
        return await opened_fact(flat)


@pytest.mark.promise("S6")
async def test_a_renewal_that_is_paid_after_the_subscription_was_cancelled_is_given_back_whole(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    opened = await a_reader_with_access(flat, person, renewal=True)
    (period,) = await periods(flat)
    renewal = await renewal_of(flat, period.until)
    async with flat.tx() as tx:
        await cancel(tx, opened.subscription, person=person)
    await flat.receive(captured(renewal), closed(renewal))
    assert len(await periods(flat)) == 1
    withdrawn, credit = await flat.facts()
    assert isinstance(withdrawn, InvoiceWithdrawn)
    assert isinstance(credit, CreditGranted)
    assert (credit.reason, credit.gross_vnd) == ("subscription-cancelled", 49_000)


async def test_a_person_has_a_package_once_on_a_day_and_a_period_has_one_invoice_says_the_database(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person, renewal=True)
    for name, statement in {
        "period_no_overlap": "period SELECT gen_random_uuid(), agency, gen_random_uuid(), person, package, "
        "gen_random_uuid(), 0, until - 1, until + 30, false, started_at, change FROM period",
        "invoice_one_a_period": "invoice SELECT gen_random_uuid(), agency, subscription, person, n, start, until "
        "FROM invoice",
        "invoice_id_fkey": "invoice SELECT gen_random_uuid(), agency, subscription, person, 7, start, until "
        "FROM invoice",
    }.items():
        with pytest.raises(sa.exc.IntegrityError, match=name):
            async with flat.tx() as tx:
                await tx.execute(sa.text(f"INSERT INTO {statement}"))


@pytest.mark.promise("S6")
async def test_late_money_buys_its_period_from_its_own_day_on_where_the_price_still_stands(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    with clock.driven(driven(at(date(2026, 3, 2)))) as time:
        checkout = await an_expired_checkout(flat, person)
        time.move_to(at(date(2026, 3, 4)))  # type: ignore[attr-defined]
        offer = late(checkout)
        await flat.receive(offer)
        (taken,) = await flat.facts()
        assert isinstance(taken, MoneyTaken)
        assert taken.payment == offer.payment
        assert await periods(flat) == [], "the money is ours when payments says so"
        await flat.receive(captured(checkout, payment=offer.payment, from_suspense=True), closed(checkout))
        (period,) = await periods(flat)
        assert (period.start, period.until) == (date(2026, 3, 4), date(2026, 4, 4))
        moved, told = await flat.facts()
        assert isinstance(moved, EarningMoved)
        assert isinstance(told, MessageRequested)
        assert (await sale_of(flat, checkout.invoice)).paid_at is not None


async def a_new_price(flat: Flat, package: UUID, _person: UUID) -> None:
    async with flat.tx() as tx:
        await set_price(tx, package, PriceOffer(MONTH, 60_000, date(2026, 1, 1)))


async def another_tax(flat: Flat, _package: UUID, _person: UUID) -> None:
    async with flat.tx() as tx:
        await choose_vat_class(tx, "bkh", "digital_news", "standard", date(2026, 1, 1))


async def off_sale(flat: Flat, package: UUID, _person: UUID) -> None:
    async with flat.tx() as tx:
        await tx.execute(
            sa.text("UPDATE package SET on_sale_until = '2026-01-01' WHERE id = :id"), {"id": package}
        )


async def bought_again(flat: Flat, package: UUID, person: UUID) -> None:
    async with flat.tx() as tx:
        price = await tx.scalar(
            sa.text("SELECT id FROM price WHERE package = :package"), {"package": package}
        )
    await subscribed(flat, person, package, price)
    await flat.receive(captured(await opened_fact(flat)))


@pytest.mark.promise("S6")
@pytest.mark.parametrize(
    ("meanwhile", "reason"),
    [
        (a_new_price, "price-changed"),
        (another_tax, "price-changed"),
        (off_sale, "not-on-sale"),
        (bought_again, "already-subscribed"),
    ],
)
async def test_late_money_is_declined_where_price_or_days_are_gone(
    flats: Flats, meanwhile: object, reason: str
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    with clock.driven(driven(at(date(2026, 3, 2)))):
        package, price = await a_package(flat)
        await subscribed(flat, person, package, price)
        checkout = await opened_fact(flat)
        await run_out(flat, checkout)
        await meanwhile(flat, package, person)  # type: ignore[operator]
        before = len(await periods(flat))
        await flat.facts()
        await flat.receive(late(checkout))
        (declined,) = await flat.facts()
        assert isinstance(declined, MoneyDeclined)
        assert declined.reason == reason
        assert len(await periods(flat)) == before
        assert (await sale_of(flat, checkout.invoice)).taken is None


@pytest.mark.promise("S6")
async def test_of_two_late_payments_for_the_same_days_one_is_taken_and_no_checkout_opens_meanwhile(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    await subscribed(flat, person, package, price)
    first = await opened_fact(flat)
    await run_out(flat, first)
    with clock.driven(driven(first.expires_at + timedelta(hours=1))):
        await subscribed(flat, person, package, price)
        second = await opened_fact(flat)
        await run_out(flat, second)
        await flat.receive(late(first), late(second), late(first))
        answers = await flat.facts()
        assert [type(answer) for answer in answers] == [MoneyTaken, MoneyDeclined, MoneyDeclined]
        with pytest.raises(AlreadySubscribed):
            await subscribed(flat, person, package, price)
        await flat.receive(closed(first, "returned"))
        await subscribed(flat, person, package, price)


@pytest.mark.promise("S7")
async def test_a_renewal_that_is_paid_long_after_its_time_begins_anew_and_the_next_one_follows_it(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(driven(at(date(2026, 1, 31)))) as time:
        await a_reader_with_access(flat, clock.new_id(), renewal=True)
        await flat.facts()
        renewal = await renewal_of(flat, date(2026, 2, 28))
        assert renewal.lines[0].earn == Period(date(2026, 2, 28), date(2026, 3, 30))
        await run_out(flat, renewal)
        time.move_to(at(date(2026, 5, 31)))  # type: ignore[attr-defined]
        offer = late(renewal)
        await flat.receive(offer)
        await flat.receive(captured(renewal, payment=offer.payment, from_suspense=True))
        taken, moved, told = await flat.facts()
        assert isinstance(taken, MoneyTaken)
        assert isinstance(moved, EarningMoved)
        assert isinstance(told, MessageRequested)
        assert moved.earn == Period(date(2026, 5, 31), date(2026, 6, 29))
        following = await renewal_of(flat, date(2026, 6, 30))
        assert following.lines[0].earn == Period(date(2026, 6, 30), date(2026, 7, 30))


async def test_a_renewal_within_its_grace_has_the_days_that_were_promised(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(driven(at(date(2026, 3, 1)))) as time:
        await a_reader_with_access(flat, clock.new_id(), renewal=True)
        renewal = await renewal_of(flat, date(2026, 4, 1))
        time.move_to(at(date(2026, 4, 3)))  # type: ignore[attr-defined]
        await flat.receive(captured(renewal), closed(renewal))
    assert [period.start for period in await periods(flat)] == [date(2026, 3, 1), date(2026, 4, 1)]


@pytest.mark.promise("S1")
async def test_what_costs_nothing_is_open_at_once_without_an_invoice_and_renews_without_a_letter(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    with clock.driven(driven(at(date(2026, 11, 1)))) as time:
        package, price = await a_package(flat, net_vnd=0)
        opened = await subscribed(flat, person, package, price, renewal=True)
        assert opened.pay_url == f"/subscribe/return/{opened.invoice}"
        (period,) = await periods(flat)
        assert (period.start, period.until) == (date(2026, 11, 1), date(2026, 12, 1))
        with pytest.raises(AlreadySubscribed):
            await subscribed(flat, person, package, price)
        time.move_to(at(date(2026, 11, 25)))  # type: ignore[attr-defined]
        await flat.tick()
        assert [period.n for period in await periods(flat)] == [0, 1]
        async with flat.tx() as tx:
            assert (await cancel(tx, opened.subscription, person=person, at_once=True)).credited_vnd == 0
    assert await flat.facts() == []


async def test_all_renewals_that_an_outage_left_behind_are_invited_in_one_turn_and_none_for_ever(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.AT_ONCE", 1)
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    for _ in range(3):
        await subscribed(flat, clock.new_id(), package, price, renewal=True)
        await flat.receive(captured(await opened_fact(flat)))
    await flat.facts()
    first, *rest = await periods(flat)
    async with flat.tx() as tx:  # what no action of ours leaves behind: cut short, and still to renew
        await tx.execute(sa.text("UPDATE period SET until = until - 1 WHERE id = :id"), {"id": first.id})
    with clock.driven(driven(start_of(first.until) - timedelta(days=2))):
        await flat.tick()
    said: list[Fact] = await flat.facts()
    assert len([fact for fact in said if isinstance(fact, InvoiceOpened)]) == len(rest)
    assert len([fact for fact in said if isinstance(fact, MessageRequested)]) == len(rest)
