"""What goes back of a period: by the reader's own cancellation, by the desk, in part or whole."""

from datetime import date, timedelta
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.subscriptions.actions.subscriptions import cancel
from services.subscriptions.tables import SubscriptionRow
from shared import clock
from shared.calendar import local_day
from shared.contracts import Fact
from shared.contracts.payments import ChargebackClosed, ChargebackOpened
from shared.contracts.subscriptions import (
    CreditGranted,
    InvoiceOpened,
    InvoiceWithdrawn,
    MoneyDeclined,
    RefundRefused,
)
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    Newsroom,
    a_package,
    a_reader_with_access,
    asked_back,
    at,
    captured,
    closed,
    driven,
    late,
    opened_fact,
    periods,
    sale_of,
    subscribed,
    taxed,
)


async def a_months_reader(flat: Flat, person: UUID) -> tuple[UUID, InvoiceOpened]:
    """Who reads since 1 November 2026 for 54.000 ₫, to renew; with the invoice."""
    await taxed(flat)
    await subscribed(flat, person, *(await a_package(flat, net_vnd=50_000)), renewal=True)
    fact = await opened_fact(flat)
    await flat.receive(captured(fact), closed(fact))
    await flat.facts()
    async with flat.tx() as tx:
        return (await tx.scalars(sa.select(SubscriptionRow.id))).one(), fact


@pytest.mark.promise("S8")
async def test_a_refund_of_all_ends_access_at_once_stops_renewal_and_names_who_asked(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person, staff = clock.new_id(), clock.new_id()
    with clock.driven(driven(at(date(2026, 11, 1)))) as time:
        subscription, fact = await a_months_reader(flat, person)
        time.move_to(at(date(2026, 11, 25)))  # type: ignore[attr-defined]
        keeper, newsroom = flat.app.state.doorkeeper, Newsroom(flat, flats)
        await flat.tick()
        renewal = await opened_fact(flat)
        await keeper.snapshot.refresh(flat.kit.database)
        asked = asked_back(fact, 54_000, by=staff)
        token = flats.token(id=person)
        assert (await newsroom.read("bai", person_token=token))["reason"] == "entitled"
        await flat.receive(asked)
        await keeper.snapshot.refresh(flat.kit.database)
        assert (await newsroom.read("bai", person_token=token))["reason"] != "entitled"
        withdrawn, credit = await flat.facts()
    assert isinstance(withdrawn, InvoiceWithdrawn)
    assert withdrawn.invoice == renewal.invoice
    assert isinstance(credit, CreditGranted)
    assert (credit.refund, credit.by, credit.gross_vnd) == (asked.refund, staff, 54_000)
    (period,) = await periods(flat)
    assert period.until == date(2026, 11, 25), "the days that were read stay read"
    async with flat.tx() as tx:
        assert not (await tx.get_one(SubscriptionRow, subscription)).renewal


@pytest.mark.promise("S8")
async def test_a_refund_of_what_the_unused_days_are_worth_ends_the_period_after_today(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    with clock.driven(driven(at(date(2026, 11, 1)))) as time:
        subscription, fact = await a_months_reader(flat, clock.new_id())
        time.move_to(at(date(2026, 11, 10)))  # type: ignore[attr-defined]
        await flat.receive(asked_back(fact, 36_000))
        credit = (await flat.facts())[-1]
    assert isinstance(credit, CreditGranted)
    assert (credit.lines[0].net_vnd, credit.lines[0].vat_vnd) == (33_333, 2_667)
    assert (await periods(flat))[0].until == date(2026, 11, 11)
    async with flat.tx() as tx:
        assert not (await tx.get_one(SubscriptionRow, subscription)).renewal


@pytest.mark.promise("S8")
async def test_an_allowance_leaves_access_and_what_is_cancelled_later_is_of_what_is_left(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    with clock.driven(driven(at(date(2026, 11, 1)))) as time:
        subscription, fact = await a_months_reader(flat, person)
        await flat.receive(asked_back(fact, 5_400))
        (allowance,) = await flat.facts()
        assert isinstance(allowance, CreditGranted)
        assert (allowance.lines[0].net_vnd, allowance.lines[0].vat_vnd) == (5_000, 400)
        assert (await periods(flat))[0].until == date(2026, 12, 1)
        async with flat.tx() as tx:
            assert (await tx.get_one(SubscriptionRow, subscription)).renewal
        time.move_to(at(date(2026, 11, 15)))  # type: ignore[attr-defined]
        async with flat.tx() as tx:
            gone = await cancel(tx, subscription, person=person, at_once=True)
        assert gone.credited_vnd == (54_000 - 5_400) // 2
        await flat.receive(asked_back(fact, 54_000))
        refused = (await flat.facts())[-1]
        assert isinstance(refused, RefundRefused)
        assert refused.reason == "overcredited"


async def test_who_cancels_is_named_whether_the_reader_or_staff(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    readers, staff = [clock.new_id() for _ in range(2)], clock.new_id()
    package, price = await a_package(flat)
    said = []
    for person, more in zip(readers, ({"person": readers[0]}, {"by": staff}), strict=True):
        opened = await subscribed(flat, person, package, price)
        await flat.receive(captured(await opened_fact(flat)))
        async with flat.tx() as tx:
            await cancel(tx, opened.subscription, at_once=True, **more)
        said += [fact.by for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    assert said == [readers[0], staff]


@pytest.mark.promise("T12")
@pytest.mark.parametrize("when", ["waiting", "over", "taken"])
async def test_what_comes_after_staff_stopped_a_subscription_goes_back_by_their_deed(
    flats: Flats, when: str
) -> None:
    flat = await flats.start("subscriptions")
    person, staff = clock.new_id(), clock.new_id()
    opened = await a_reader_with_access(flat, person, renewal=True)
    (period,) = await periods(flat)
    with clock.driven(driven(at(period.until - timedelta(days=1)))):
        await flat.tick()
        renewal = await opened_fact(flat)
        if when != "waiting":
            await flat.receive(closed(renewal, "expired"))
        if when == "taken":
            await flat.receive(late(renewal))
        async with flat.tx() as tx:
            await cancel(tx, opened.subscription, by=staff)
        await flat.facts()
        await flat.receive(late(renewal) if when == "over" else captured(renewal))
    (answer,) = await flat.facts()
    assert isinstance(answer, MoneyDeclined if when == "over" else CreditGranted)
    assert answer.by == staff


async def test_what_the_clock_withdrew_is_nobodys_deed(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    await subscribed(flat, clock.new_id(), package, price)
    checkout = await opened_fact(flat)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(days=2), 7)):
        await flat.tick()
        sale = await sale_of(flat, checkout.invoice)
    assert (sale.withdrawn_at is not None, sale.withdrawn_by) == (True, None)


@pytest.mark.promise("S8", "L4")
@pytest.mark.parametrize(("paid_after", "rate", "vat_vnd"), [(5, 8, 4_000), (20, 10, 4_909)])
async def test_across_the_change_of_the_rate_the_agreed_gross_stays_and_used_and_credited_are_the_whole(
    flats: Flats, paid_after: int, rate: int, vat_vnd: int
) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    with clock.driven(driven(at(date(2026, 12, 31), 23, 50))) as time:
        await taxed(flat)
        opened = await subscribed(flat, person, *(await a_package(flat, net_vnd=50_000)))
        asked = await opened_fact(flat)
        assert (asked.total_vnd, asked.lines[0].vat_vnd) == (54_000, 4_000)
        await flat.receive(captured(asked, later=timedelta(minutes=paid_after)))
        sale = await sale_of(flat, asked.invoice)
        assert (sale.total_vnd, sale.net_vnd, sale.vat_vnd) == (54_000, 54_000 - vat_vnd, vat_vnd)
        time.move_to(at(date(2027, 1, 10)))  # type: ignore[attr-defined]
        async with flat.tx() as tx:
            gone = await cancel(tx, opened.subscription, person=person, at_once=True)
        (back,) = [fact.lines[0] for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    used_vnd = 54_000 - gone.credited_vnd
    assert used_vnd == round(54_000 * (10 if rate == 10 else 11) / 31), "the month began with its money"
    used = (54_000 - vat_vnd - back.net_vnd, vat_vnd - back.vat_vnd)
    net_vnd = round(100 * used_vnd / (100 + rate))
    assert used == (net_vnd, used_vnd - net_vnd), "taxed as its money was"


@pytest.mark.parametrize("amount_vnd", [1, 54_000])
async def test_what_a_bank_disputes_or_took_back_is_not_refunded_besides(
    flats: Flats, amount_vnd: int
) -> None:
    flat = await flats.start("subscriptions")
    _, fact = await a_months_reader(flat, clock.new_id())

    async def answer(*said: Fact) -> Fact:
        await flat.receive(*said, asked_back(fact, amount_vnd))
        return (await flat.facts())[-1]

    begun, ended = a_dispute(fact, "lost")
    for said in (begun, ended):
        refused = await answer(said)
        assert isinstance(refused, RefundRefused)
        assert refused.reason == "disputed"
    assert (await periods(flat))[0].until > local_day(clock.now()), "the period stands as it was"


async def test_a_dispute_that_was_won_leaves_the_money_to_be_refunded(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    _, fact = await a_months_reader(flat, clock.new_id())
    await flat.receive(*a_dispute(fact, "won"), asked_back(fact, 54_000))
    assert isinstance((await flat.facts())[-1], CreditGranted)


async def test_a_refund_that_is_heard_before_its_money_waits_for_it(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await subscribed(flat, clock.new_id(), *(await a_package(flat)))
    fact = await opened_fact(flat)
    asked = asked_back(fact, 49_000)
    await flat.receive(asked)
    assert await flat.facts() == []
    await flat.receive(captured(fact))
    assert await flat.kit.consumer.again(flat.kit.database) == 1
    (credit,) = [said for said in await flat.facts() if isinstance(said, CreditGranted)]
    assert (credit.refund, credit.gross_vnd) == (asked.refund, 49_000)
    assert await flat.held() == []


def a_dispute(invoice: InvoiceOpened, outcome: str) -> tuple[ChargebackOpened, ChargebackClosed]:
    one = {
        "agency": invoice.agency,
        "chargeback": clock.new_id(),
        "payment": clock.new_id(),
        "invoice": invoice.invoice,
        "amount_vnd": invoice.total_vnd,
    }
    return ChargebackOpened(**one), ChargebackClosed(**one, outcome=outcome)  # type: ignore[arg-type]
