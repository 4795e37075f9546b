"""What the books do with what no honest sender says: of another's line, twice, too much, or before its money."""

from datetime import date, timedelta
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from ops import replay
from services.ledger.rules.posting import RULES, Books
from shared import contracts
from shared.contracts.base import Period
from tests.conftest import Flat, Flats
from tests.ledger.builders import (
    a_line,
    a_ticket,
    captured,
    credit,
    delivered,
    delivery,
    invoice_of,
    moved,
    opened,
    ordered,
    undelivered,
)
from tests.ledger.test_actions import hashes, rebuilt
from tests.ledger.test_consumers import balances

PAID = date(2026, 11, 10)
LATER = Period(date(2027, 6, 1), date(2027, 6, 30))


def a_campaign(net_vnd: int = 1_000_000) -> Any:
    return a_line(net_vnd, earn=delivered(4), stream="advertising.web")


def by_another(line: Any) -> list[Any]:
    """Whatever a seller may say of a line, said by one who did not sell it."""
    return [
        delivery(line, 3, on=PAID, by="events"),
        undelivered(line, 1, on=PAID, by="subscriptions"),
        moved(line, LATER, PAID, by="events"),
        credit(line, 1_000, 80, on=PAID, by="subscriptions"),
        opened(line, on=PAID, by="events"),
        captured(line, on=PAID, seller="events"),
    ]


@pytest.mark.promise("L1")
async def test_what_another_seller_says_of_a_line_is_parked_and_the_books_stand(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    await flat.receive(captured(line, on=PAID), delivery(line, 1, on=PAID))
    before, sealed = await balances(flat), await hashes(flat)
    hostile = by_another(line)
    await flat.receive(*hostile)
    assert (await balances(flat), await hashes(flat)) == (before, sealed)
    await _tried_to_the_end(flat, november)
    held = await flat.held()
    assert [row.state for row in held] == ["parked"] * len(hostile), "a person sees each"
    assert all("was sold by ads" in row.error for row in held)


@pytest.mark.promise("L1")
async def test_what_another_seller_says_before_the_money_comes_is_refused_once_it_is_known_whose_the_line_is(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    theirs = delivery(line, 1, on=PAID)
    early = [
        delivery(line, 3, on=PAID, by="events"),
        moved(line, LATER, PAID, by="subscriptions"),
        credit(line, 1_000, 80, on=PAID, by="events"),
    ]
    await flat.receive(theirs, *early)
    assert {row.state for row in await flat.held()} == {"waiting"}
    await flat.receive(captured(line, on=PAID))
    await flat.kit.consumer.again(flat.kit.database)
    assert (await balances(flat))["revenue"] == -250_000
    await _tried_to_the_end(flat, november)
    assert {row.fact_id for row in await flat.held()} == {fact.id for fact in early}
    assert {row.state for row in await flat.held()} == {"parked"}


async def test_a_line_on_terms_is_its_sellers_from_its_invoice_on(flats: Flats, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    await flat.receive(opened(line, on=PAID))
    before = await balances(flat)
    await flat.receive(*by_another(line))
    assert await balances(flat) == before
    await flat.receive(captured(line, on=PAID, collect="on_terms"), delivery(line, 4, on=PAID))
    assert (await balances(flat))["revenue"] == -1_000_000


async def test_of_a_payment_that_names_anothers_line_beside_its_own_nothing_is_booked(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line, ticket = a_campaign(), a_ticket(date(2026, 11, 28))
    await flat.receive(captured(line, on=PAID))
    before = await balances(flat)
    await flat.receive(captured(ticket, line, on=PAID))
    assert await balances(flat) == before
    await flat.receive(captured(ticket, on=PAID))
    assert (await balances(flat))["deferred_revenue"] == -1_250_000, "the ticket itself can still be paid"


async def test_the_books_come_back_the_same_after_facts_that_were_refused(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    await flat.receive(delivery(line, 3, on=PAID, by="events"), captured(line, on=PAID), *by_another(line))
    await flat.receive(delivery(line, 2, on=PAID))
    before = await hashes(flat)
    # Two are archived: the payment, and its seller's delivery.
    assert (await rebuilt(flats)).facts == 2
    assert await hashes(flat) == before


async def test_more_that_is_reversed_than_was_delivered_earns_nothing_and_never_less(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    await flat.receive(
        captured(line, on=PAID), delivery(line, 1, on=PAID), undelivered(line, 1_000_000, on=PAID)
    )
    found = await balances(flat)
    assert "revenue" not in found
    assert found["deferred_revenue"] == -1_000_000


async def test_a_credit_of_a_line_of_another_invoice_is_not_posted(flats: Flats, november: Any) -> None:
    flat = await flats.start("ledger")
    line, other = a_line(100_000), a_line(100_000)
    await flat.receive(captured(line), captured(other))
    before = await balances(flat)
    await flat.receive(credit(line, 60_000, 4_800, on=PAID, invoice=invoice_of(other)))
    assert await balances(flat) == before
    assert len(await flat.held()) == 1, "a person sees it"


async def _tried_to_the_end(flat: Flat, november: Any) -> None:
    """Until whatever cannot be is parked."""
    for _ in range(6):
        november.move_to(november.now() + timedelta(minutes=10))
        await flat.kit.consumer.again(flat.kit.database)


@pytest.mark.promise("F3")
def test_what_reaches_back_further_than_anything_real_is_refused_before_it_is_worked_out() -> None:
    """Two hundred lines of years ago would hold up the books for long, and be ended and come again for ever."""
    then = date(2006, 11, 28)
    lines = [a_line(agency="bkh", earn=Period(then, then + timedelta(days=3660))) for _ in range(12)]
    books = Books(date(2026, 11, 27), {}, {})
    assert RULES[type(opened(lines[0]))](opened(*lines[:5], on=then), books).drafts
    with pytest.raises(ValueError, match="changes more than 40000 days"):
        RULES[type(opened(lines[0]))](opened(*lines, on=then), books)


@pytest.mark.promise("L1")
async def test_another_amount_under_the_id_of_money_that_is_booked_is_parked_and_the_books_stand(
    flats: Flats, november: Any
) -> None:
    flat = await flats.start("ledger")
    line = a_line(100_000)
    paid = captured(line, on=PAID)
    forged = msgspec.structs.replace(paid, amount_vnd=paid.amount_vnd * 10)
    await flat.receive(paid)
    before, sealed = await balances(flat), await hashes(flat)
    for _ in range(2):
        await flat.receive(paid, forged)
    [held] = await flat.held()
    assert (held.fact_id, held.state, bytes(held.body)) == (paid.id, "parked", contracts.encode(forged))
    assert held.error == "Another fact was handled under this id before, and it does not say the same."
    assert replay.again(flat.kit.settings, "ledger") == 1
    assert await flat.kit.consumer.again(flat.kit.database) == 0
    assert [row.state for row in await flat.held()] == ["parked"]
    assert (await balances(flat), await hashes(flat)) == (before, sealed)


@pytest.mark.promise("L1")
@pytest.mark.parametrize(
    "said", ["more VAT than money", "lines beyond the money", "a promise of another order"]
)
async def test_what_cannot_be_true_of_money_or_of_an_order_is_parked_with_its_reason(
    flats: Flats, november: Any, said: str
) -> None:
    flat = await flats.start("ledger")
    line = a_line(100_000)
    first, wrong, reason = {
        "more VAT than money": (captured(a_line()), captured(line, vat=[line.gross_vnd + 1]), "be VAT"),
        "lines beyond the money": (
            captured(a_line()),
            captured(line, amount_vnd=1),
            "more of its lines than came",
        ),
        "a promise of another order": (ordered(line), ordered(line, order=uuid4()), "was promised by order"),
    }[said]
    await flat.receive(first)
    before = await hashes(flat)
    await flat.receive(wrong)
    await _tried_to_the_end(flat, november)
    [held] = await flat.held()
    assert (held.fact_id, held.state) == (wrong.id, "parked")
    assert reason in held.error
    assert await hashes(flat) == before


@pytest.mark.promise("L1")
async def test_what_is_said_of_a_day_that_has_not_come_is_parked(flats: Flats, november: Any) -> None:
    flat = await flats.start("ledger")
    line = a_campaign()
    early = delivery(line, 1, on=PAID + timedelta(days=2))
    await flat.receive(captured(line, on=PAID), delivery(line, 1, on=PAID + timedelta(days=1)), early)
    assert (await balances(flat))["revenue"] == -250_000, "clocks may differ by a day"
    [held] = await flat.held()
    assert held.fact_id == early.id
    assert "has not come" in held.error
