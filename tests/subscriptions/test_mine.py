"""What a reader is still asked to pay for, and how a checkout is left."""

from datetime import date, timedelta

import pytest

from services.subscriptions.actions.catalogue import PriceOffer, set_price
from services.subscriptions.rules.catalogue import Term
from shared import clock
from tests.conftest import Flats
from tests.subscriptions.builders import a_package, captured, opened_fact, sale_of, signed_in, subscribed
from tests.subscriptions.test_pages import HTML, csrf


@pytest.mark.promise("S6")
async def test_who_chose_two_terms_and_paid_one_is_asked_for_the_other_no_more(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, month = await a_package(flat)
    async with flat.tx() as tx:
        year = (await set_price(tx, package, PriceOffer(Term("month", 12), 490_000, date(2024, 1, 1)))).id
    person = clock.new_id()
    signed_in(flat, flats, person)
    await subscribed(flat, person, package, month)
    at_bank = await opened_fact(flat)
    await subscribed(flat, person, package, year)
    page = (await flat.client.get("/subscribe/mine", headers=HTML)).text
    assert page.count("/pay/") == 1, "the term that was left is not offered"
    await flat.receive(captured(at_bank))
    page = (await flat.client.get("/subscribe/mine", headers=HTML)).text
    assert "/pay/" not in page
    assert "Đang đọc" in page


@pytest.mark.promise("S6")
async def test_a_checkout_that_is_nearly_over_is_withdrawn_too_when_another_is_opened(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    person = clock.new_id()
    signed_in(flat, flats, person)
    first = await subscribed(flat, person, package, price)
    asked = await opened_fact(flat)
    with clock.driven(clock.DrivenClock(asked.expires_at - timedelta(minutes=5), 1)):
        second = await subscribed(flat, person, package, price)
        assert second.invoice != first.invoice
    assert (await sale_of(flat, first.invoice)).withdrawn_at is not None


async def test_who_comes_from_paying_reads_that_the_money_came_until_the_door_is_open(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    signed_in(flat, flats, person)
    await subscribed(flat, person, *(await a_package(flat)))
    asked = await opened_fact(flat)
    soon = (await flat.client.get(f"{asked.return_url}?paid=yes", headers=HTML)).text
    assert "Tiền đã nhận, đang cập nhật" in soon
    assert f'hx-get="{asked.return_url}?paid=yes"' in soon, "and it looks again by itself, as it was opened"
    await flat.receive(captured(asked))
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    assert "Quyền đọc đã mở" in (await flat.client.get(f"{asked.return_url}?paid=yes", headers=HTML)).text


@pytest.mark.promise("S8")
async def test_an_unpaid_checkout_can_be_dropped_with_one_click_and_once(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    person = clock.new_id()
    signed_in(flat, flats, person)
    opened = await subscribed(flat, person, package, price, renewal=True)
    headers = await csrf(flat, "/subscribe/mine")
    assert "Bỏ đơn này" in (await flat.client.get("/subscribe/mine", headers=HTML)).text
    address = f"/subscribe/mine/{opened.subscription}/cancel"
    assert (await flat.client.post(address, data={}, headers=headers)).status_code == 303
    page = (await flat.client.get("/subscribe/mine", headers=HTML)).text
    assert "/pay/" not in page
    assert "Bỏ đơn này" not in page
    assert (await sale_of(flat, opened.invoice)).withdrawn_by == person
    again = {**headers, "idempotency-key": str(clock.new_id())}
    assert (await flat.client.post(address, data={}, headers=again)).status_code == 409
