"""The rate of VAT is that of the day of the money, or of the day on which something is owed; the gross stays."""

from collections.abc import Iterator
from datetime import date, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.payments.rules import invoices
from shared import clock, money
from shared.calendar import start_of
from shared.contracts import ads
from shared.contracts.base import Fact
from shared.contracts.payments import PaymentCaptured
from shared.contracts.subscriptions import InvoiceOpened
from shared.web import formats
from tests.conftest import Flat, Flats
from tests.payments import (
    a_credit,
    a_line,
    an_invoice,
    at_bank,
    link,
    notify,
    one,
    paid,
    state_of,
    told,
    withdrawn,
)
from tests.payments.test_rules import FIRST, LAST, a_bill

pytestmark = pytest.mark.promise("L4")

DECEMBER = start_of(date(2026, 12, 20)) + timedelta(hours=9)
JANUARY = start_of(date(2027, 1, 10)) + timedelta(hours=18)


@pytest.fixture
def time() -> Iterator[clock.DrivenClock]:
    driven = clock.DrivenClock(DECEMBER, 1)
    with clock.driven(driven):
        yield driven


def ahead(**changes: Any) -> InvoiceOpened:
    """An instalment, asked for in December and payable for long."""
    return an_invoice(a_line(100_000, 8_000), expires_at=DECEMBER + timedelta(days=365), **changes)


def owed(asked: InvoiceOpened, **changes: Any) -> InvoiceOpened:
    """The same, owed in January: what it was asked for is delivered by then."""
    (line,) = asked.lines
    cost = money.split(line.gross_vnd, line.vat_class, FIRST)
    line = msgspec.structs.replace(line, net_vnd=cost.net_vnd, vat_vnd=cost.vat_vnd)
    given_ = {
        "id": clock.new_id(),
        "collect": "on_terms",
        "lines": (line,),
        "occurred_at": JANUARY,
        **changes,
    }
    return msgspec.structs.replace(asked, **given_)


async def how(flat: Flat, invoice: InvoiceOpened) -> tuple[str, int, str | None]:
    """How an invoice is collected, the VAT in it, and its outcome."""
    collect, lines, outcome = await one(
        flat, "SELECT collect, lines, outcome FROM invoice WHERE id = :id", id=invoice.invoice
    )
    return collect, sum(line["vat_vnd"] for line in lines), outcome


async def split_of(flat: Flat) -> tuple[str, list[tuple[int, int]]]:
    (fact,) = await told(flat, PaymentCaptured)
    return fact.collect, [(part.amount_vnd, part.vat_vnd) for part in fact.lines]


async def test_what_was_asked_for_in_december_and_paid_in_january_bears_the_ten_of_its_money(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await flat.receive(asked)
    address = link(flat.kit.settings, asked)
    assert formats.money(8_000) in (await flat.client.get(address)).text
    time.move_to(JANUARY)
    page = (await flat.client.get(link(flat.kit.settings, asked))).text
    assert formats.money(9_818) in page, "what who pays now is told"
    assert formats.money(98_182) in page
    assert formats.money(108_000) in page
    await paid_again(flat, asked)
    assert await split_of(flat) == ("prepaid", [(108_000, 9_818)])


async def paid_again(flat: Flat, asked: InvoiceOpened) -> None:
    assert await notify(flat, await at_bank(flat, asked)) == "00"


async def test_what_was_paid_in_december_keeps_its_eight_whatever_its_seller_says_in_january(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await paid(flat, asked)
    assert await split_of(flat) == ("prepaid", [(108_000, 8_000)])
    time.move_to(JANUARY)
    await flat.receive(owed(asked), a_credit(asked, 50_000, 4_000))
    assert await flat.held() == []
    assert await how(flat, asked) == ("prepaid", 8_000, "paid")


async def test_an_invoice_of_january_bears_ten(flats: Flats, time: clock.DrivenClock) -> None:
    flat = await flats.start("payments")
    time.move_to(JANUARY)
    await paid(flat, an_invoice(a_line(100_000, 10_000)))
    assert await split_of(flat) == ("prepaid", [(110_000, 10_000)])


async def test_what_is_owed_since_january_bears_ten_whenever_it_is_paid(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await flat.receive(asked)
    time.move_to(JANUARY)
    await flat.receive(owed(asked))
    await paid_again(flat, asked)
    assert await split_of(flat) == ("on_terms", [(108_000, 9_818)])


async def test_what_is_owed_since_december_keeps_its_eight_when_its_money_comes_in_january(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead(collect="on_terms")
    await flat.receive(asked)
    time.move_to(JANUARY)
    assert formats.money(8_000) in (await flat.client.get(link(flat.kit.settings, asked))).text
    await paid_again(flat, asked)
    assert await split_of(flat) == ("on_terms", [(108_000, 8_000)])


async def test_a_rest_after_a_credit_is_taxed_by_the_day_of_its_money(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await flat.receive(asked, a_credit(asked, 20_000, 1_600))
    time.move_to(JANUARY)
    await paid_again(flat, asked)
    assert await split_of(flat) == ("prepaid", [(86_400, 9_818 * 86_400 // 108_000)])


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_what_is_said_twice_is_owed_in_whatever_order_it_is_heard_and_never_asked_for_again(
    flats: Flats, time: clock.DrivenClock, order: tuple[int, ...]
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    claimed = owed(asked)
    said: list[Fact] = [asked, claimed, owed(asked, occurred_at=JANUARY + timedelta(hours=1))]
    time.move_to(JANUARY)
    for n in order:
        await flat.receive(said[n])
    await flat.receive(msgspec.structs.replace(asked, id=clock.new_id()))
    assert await flat.held() == []
    assert await how(flat, asked) == ("on_terms", 9_818, None)
    assert await one(flat, "SELECT count(*) FROM invoice") == 1


async def test_money_on_its_way_while_it_becomes_owed_pays_what_is_owed(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    time.move_to(JANUARY)
    await flat.receive(asked)
    query = await at_bank(flat, asked)
    await flat.receive(owed(asked))
    assert await notify(flat, query) == "00"
    assert await split_of(flat) == ("on_terms", [(108_000, 9_818)])
    assert (await state_of(flat, asked))[0] == "paid"


async def test_what_is_owed_ends_with_no_clock(flats: Flats, time: clock.DrivenClock) -> None:
    flat = await flats.start("payments")
    asked, left = ahead(), ahead()
    await flat.receive(asked, left, owed(asked))
    time.move_to(DECEMBER + timedelta(days=366))
    await flat.tick()
    assert (await how(flat, asked))[2] is None
    assert (await how(flat, left))[2] == "expired"


async def test_what_was_withdrawn_is_not_owed_any_more(flats: Flats, time: clock.DrivenClock) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await flat.receive(asked, withdrawn(asked), owed(asked))
    assert await how(flat, asked) == ("prepaid", 8_000, "withdrawn")
    assert await flat.held() == []


async def test_what_says_another_sum_or_speaks_of_anothers_invoice_changes_nothing(
    flats: Flats, time: clock.DrivenClock
) -> None:
    flat = await flats.start("payments")
    asked = ahead()
    await flat.receive(asked)
    (line,) = asked.lines
    dearer = owed(asked, lines=(msgspec.structs.replace(line, vat_vnd=10_000),))
    foreign = ads.InvoiceOpened(**{name: getattr(owed(asked), name) for name in asked.__struct_fields__})
    await flat.receive(dearer, foreign)
    assert await how(flat, asked) == ("prepaid", 8_000, None)
    assert len(await flat.held()) == 2


@given(st.integers(1, 10**10), st.integers(0, 10**10))
def test_a_part_of_a_sum_keeps_the_rounding_of_its_seller_at_its_rate_and_has_its_own_at_another(
    gross_vnd: int, before_vnd: int
) -> None:
    part = money.split_after(before_vnd, gross_vnd, "standard", LAST)
    line = a_line(part.net_vnd, part.vat_vnd)
    assert invoices.split_on(a_bill(line), LAST) == (line,)
    (after,) = invoices.split_on(a_bill(line), FIRST)
    assert after.gross_vnd == gross_vnd
    assert abs(after.vat_vnd - money.split(gross_vnd, "standard", FIRST).vat_vnd) <= 1
