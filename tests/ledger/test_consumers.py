"""Facts arrive at the ledger, once or twice, early or late, and the books are right."""

from datetime import date, timedelta
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from services.ledger.actions import posting, rebuilding
from services.ledger.queries import proof
from shared import contracts
from shared.calendar import start_of
from shared.contracts.base import OnDate
from shared.kept import Received
from tests.ledger.builders import (
    a_line,
    a_ticket,
    captured,
    credit,
    delivered,
    delivery,
    moved,
    opened,
    ordered,
    refunded,
)


async def balances(flat: Any, agency: str = "") -> dict[str, int]:
    async with flat.tx() as tx:
        rows = await tx.execute(
            sa.text(
                "SELECT account, sum(amount_vnd) AS amount FROM leg WHERE :agency IN ('', agency) "
                "GROUP BY account HAVING sum(amount_vnd) <> 0"
            ),
            {"agency": agency},
        )
        return {row.account: int(row.amount) for row in rows}


@pytest.mark.promise("L4")
async def test_a_prepaid_month_books_vat_at_once_and_earns_by_day(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_line(100_000)
    await flat.receive(captured(line, on=date(2026, 11, 10)))
    assert await balances(flat) == {
        "cash_in_transit:vnpay": 108_000,
        "output_vat": -8_000,
        "deferred_revenue": -(100_000 - 33_333),
        "revenue": -33_333,
    }
    november.move_to(start_of(date(2026, 11, 13)) + timedelta(hours=1))
    await flat.tick()
    await flat.tick()
    found = await balances(flat)
    assert found["revenue"] == -43_333
    assert sum(found.values()) == 0
    async with flat.tx() as tx:
        days = list(
            await tx.scalars(
                sa.text("SELECT posted_on FROM entry WHERE kind IN ('recognition', 'day') ORDER BY 1")
            )
        )
    assert days == [date(2026, 11, d) for d in (10, 11, 12, 13)]


@pytest.mark.promise("L3")
async def test_a_fact_delivered_twice_is_booked_once(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    fact = captured(a_line(), on=date(2026, 11, 10))
    await flat.receive(fact, fact)
    first = await balances(flat)
    await flat.receive(fact)
    async with flat.tx() as tx:
        await posting.post(tx, [fact])
    assert await balances(flat) == first


async def test_a_delivery_before_its_payment_waits_and_holds_up_nothing(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_line(1_000_000, earn=delivered(3), stream="advertising.web")
    other = a_line(50_000)
    await flat.receive(delivery(line, 1, on=date(2026, 11, 9)), captured(other, on=date(2026, 11, 10)))
    assert (await balances(flat))["output_vat"] == -4_000
    assert [row.waits_for for row in await flat.held()] == [f"line:{line.id}"]
    await flat.receive(captured(line, on=date(2026, 11, 10)))
    await flat.kit.consumer.again(flat.kit.database)
    assert await flat.held() == []
    async with flat.tx() as tx:
        earned = await tx.scalar(
            sa.text("SELECT sum(amount_vnd) FROM leg WHERE account = 'revenue' AND line = :id"),
            {"id": line.id},
        )
    assert earned == -333_333


@pytest.mark.promise("L4")
async def test_full_delivery_earns_exactly_the_net(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_line(1_000_001, earn=delivered(7), stream="advertising.web")
    await flat.receive(captured(line, on=date(2026, 11, 9)))
    for quantity in (2, 4, 9):
        await flat.receive(delivery(line, quantity))
    found = await balances(flat)
    assert found["revenue"] == -1_000_001
    assert "deferred_revenue" not in found


@pytest.mark.promise("L4")
@pytest.mark.parametrize("day", [date(2026, 11, 20), date(2026, 12, 4)], ids=["earlier", "later"])
async def test_a_ticket_whose_event_moves_is_earned_on_the_day_of_then(
    flats: Any, november: Any, day: date
) -> None:
    flat = await flats.start("ledger")
    ticket = a_ticket(date(2026, 11, 28))
    await flat.receive(captured(ticket, on=date(2026, 11, 10)))
    await flat.receive(moved(ticket, OnDate(day), date(2026, 11, 10)))
    november.move_to(start_of(day) - timedelta(hours=1))
    await flat.tick()
    assert "revenue" not in await balances(flat)
    november.move_to(start_of(day) + timedelta(hours=1))
    await flat.tick()
    assert (await balances(flat))["revenue"] == -250_000


@pytest.mark.promise("L4")
async def test_a_cancelled_subscription_unwinds_what_is_not_earned_and_pays_it_back(
    flats: Any, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_line(90_000)
    await flat.receive(captured(line, on=date(2026, 11, 1)))
    # Ten of thirty days are earned; twenty are taken back with their VAT at the rate of the sale.
    await flat.receive(
        credit(line, 60_000, 4_800, on=date(2026, 11, 10)), refunded(64_800, date(2026, 11, 10))
    )
    november.move_to(start_of(date(2026, 12, 5)))
    await flat.tick()
    assert await balances(flat) == {
        "cash_in_transit:vnpay": 97_200 - 64_800,
        "output_vat": -7_200 + 4_800,
        "revenue": -30_000,
    }


async def test_on_terms_the_receivable_comes_first_and_the_money_later(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_line(2_000_000, earn=delivered(100), stream="advertising.web")
    invoice = opened(line, on=date(2026, 11, 3))
    paid = captured(line, on=date(2026, 11, 9), collect="on_terms", rail="vietqr", invoice=invoice.invoice)
    await flat.receive(paid)
    assert (await balances(flat))["customer_advances"] == -2_160_000
    await flat.receive(invoice)
    assert await balances(flat) == {
        "cash_in_transit:vietqr": 2_160_000,
        "output_vat": -160_000,
        "deferred_revenue": -2_000_000,
    }


async def test_an_abandoned_prepaid_invoice_leaves_no_trace_in_the_books(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    await flat.receive(opened(a_line(), collect="prepaid"))
    assert await balances(flat) == {}


async def test_a_line_of_another_agency_makes_the_two_owe_each_other(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    ours, theirs = a_line(100_000), a_line(200_000, agency="tcnt")
    await flat.receive(captured(ours, theirs, on=date(2026, 11, 10)))
    bkh, tcnt = await balances(flat, "bkh"), await balances(flat, "tcnt")
    assert bkh["due_to:tcnt"] == -216_000
    assert tcnt["due_from:bkh"] == 216_000
    assert sum(bkh.values()) == sum(tcnt.values()) == 0


@pytest.mark.parametrize(
    "sql", ["UPDATE leg SET amount_vnd = 1", "DELETE FROM entry", "UPDATE archive SET body = ''"]
)
async def test_the_database_refuses_to_change_the_books(
    flats: Any, november: Any, superuser: Any, stack: Any, sql: str
) -> None:
    import psycopg

    flat = await flats.start("ledger")
    await flat.receive(captured(a_line(), on=date(2026, 11, 10)))
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        async with flat.tx() as tx:
            await tx.execute(sa.text(sql))
    with psycopg.connect(stack.admin_url("test_ledger")) as all_powerful:
        with pytest.raises(psycopg.Error, match="append-only"):
            all_powerful.execute(sql)
        all_powerful.rollback()


@pytest.mark.promise("L3")
async def test_the_database_refuses_legs_that_do_not_balance(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    await flat.receive(captured(a_line(), on=date(2026, 11, 10)))
    more = (
        "INSERT INTO leg (entry, n, agency, belongs_on, posted_on, account, stream, amount_vnd, reference) "
        "SELECT entry, n + 10, agency, belongs_on, posted_on, account, stream, amount_vnd, reference FROM leg"
    )
    with pytest.raises(sa.exc.IntegrityError, match="does not balance"):
        async with flat.tx() as tx:
            await tx.execute(sa.text(more))


@pytest.mark.promise("T5")
async def test_the_archive_keeps_a_fact_as_it_came_with_fields_that_this_version_does_not_know(
    flats: Any, november: Any
) -> None:
    flat = await flats.start("ledger")
    fact = captured(a_line(100_000))
    body = msgspec.json.encode({**contracts.plain(fact), "tomorrow": {"of": ["another", "version"]}})
    await flat.kit.consumer.receive(flat.kit.database, [Received(fact.id, fact.subject(), body)])
    async with flat.tx() as tx:
        assert [bytes(row.body) for row in await tx.execute(sa.text("SELECT body FROM archive"))] == [body]
    async with flat.tx() as tx:
        assert (await proof.verify(tx)).findings == ()
    assert rebuilding.read(body) == fact


@pytest.mark.promise("L4")
async def test_an_agency_that_has_only_promised_earns_on_its_day(flats: Any, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_line(300_000, earn=OnDate(date(2026, 11, 12)), stream="sponsorship.cash")
    await flat.receive(ordered(line, on=date(2026, 11, 10)))
    november.move_to(start_of(date(2026, 11, 12)) + timedelta(hours=1))
    await flat.tick()
    await flat.tick()
    assert await balances(flat) == {"unbilled_delivery": 300_000, "revenue": -300_000}
