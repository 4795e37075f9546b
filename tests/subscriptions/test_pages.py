"""Readers' pages and the desk."""

from datetime import date
from typing import Any
from uuid import UUID

import pytest

from services.subscriptions.actions.catalogue import PriceOffer, set_price
from shared import clock
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    MONTH,
    a_package,
    a_reader_with_access,
    captured,
    closed,
    opened_fact,
    signed_in,
    subscribed,
    taxed,
)

HTML = {"accept": "text/html"}


async def csrf(flat: Flat, address: str) -> dict[str, str]:
    """Open a page as a browser does, and return what a form on it would send along."""
    page = await flat.client.get(address, headers=HTML)
    assert page.status_code == 200, page.text[:500]
    return {"x-csrftoken": flat.client.cookies["nt_csrf"], "idempotency-key": str(clock.new_id()), **HTML}


async def test_offers_show_the_price_with_its_tax_and_where_the_reader_came_from(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await taxed(flat)
    await a_package(flat, net_vnd=50_000)
    page = await flat.client.get("/subscribe?agency=bkh&next=/bai/gia-tom-hum", headers=HTML)
    assert page.status_code == 200
    assert "54.000" in page.text
    assert "4.000" in page.text
    assert "next=/bai/gia-tom-hum" in page.text


async def test_a_stranger_address_is_no_way_back(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await a_package(flat)
    for evil in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)"):
        page = await flat.client.get("/subscribe", params={"agency": "bkh", "next": evil}, headers=HTML)
        assert "evil" not in page.text.split("<main")[1].split("<footer")[0]


async def test_a_reader_buys_in_two_steps_and_comes_back_to_the_article(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    address = f"/subscribe/{package}?price={price}&next=/bai/gia-tom-hum"
    before = await flat.client.get(address, headers=HTML)
    assert "/account/sign-in?next=/subscribe/" in before.text
    person = clock.new_id()
    signed_in(flat, flats, person)
    headers = await csrf(flat, address)
    form = {"price": str(price), "seen_vnd": "49000", "terms": "yes", "next": "/bai/gia-tom-hum"}
    bought = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    assert bought.status_code == 303
    fact = await opened_fact(flat)
    assert bought.headers["location"].startswith(f"/pay/{fact.invoice}?agency=bkh&amount=49000")
    assert fact.buyer.id == person
    waiting = await flat.client.get(fact.return_url, headers=HTML)
    assert "Đang xác nhận thanh toán" in waiting.text
    await flat.receive(captured(fact), closed(fact))
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    done = await flat.client.get(fact.return_url, headers=HTML)
    assert "Quyền đọc đã mở" in done.text
    assert 'href="/bai/gia-tom-hum"' in done.text


async def test_the_same_form_sent_twice_makes_one_invoice(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    signed_in(flat, flats, clock.new_id())
    headers = await csrf(flat, f"/subscribe/{package}")
    form = {"price": str(price), "seen_vnd": "49000", "terms": "yes", "next": ""}
    first = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    second = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    assert first.headers["location"] == second.headers["location"]
    assert len(await flat.facts()) == 1


async def test_without_agreeing_to_the_terms_nothing_is_opened(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat, reader_group="student")
    signed_in(flat, flats, clock.new_id())
    headers = await csrf(flat, f"/subscribe/{package}")
    for missing in ({"group": "yes"}, {"terms": "yes"}):
        answer = await flat.client.post(
            f"/subscribe/{package}",
            data={"price": str(price), "seen_vnd": "49000", **missing},
            headers=headers,
        )
        assert answer.status_code == 422
        (field,) = {"terms", "group"} - set(missing)
        assert f'id="{field}-error"' in answer.text
        assert f'name="{next(iter(missing))}" value="yes" checked' in answer.text
    assert await flat.facts() == []


A_FILE = ("note.txt", b"x", "text/plain")


@pytest.mark.parametrize(
    "sent",
    [
        {"data": {"price": "x"}},
        {"data": {"price": "a\0b", "next": "/a\0b"}},
        {"files": {"price": A_FILE}},
        {"data": {"terms": "yes"}, "files": {"next": A_FILE, "_idempotency_key": A_FILE}},
    ],
    ids=["no price's name", "a NUL", "a file", "files elsewhere"],
)
@pytest.mark.promise("F5")
async def test_an_order_that_cannot_be_read_brings_the_checkout_back_and_says_so(
    flats: Flats, sent: dict[str, Any]
) -> None:
    flat = await flats.start("subscriptions")
    package, _ = await a_package(flat)
    signed_in(flat, flats, clock.new_id())
    headers = await csrf(flat, f"/subscribe/{package}")
    answer = await flat.client.post(f"/subscribe/{package}", headers=headers, **sent)
    assert answer.status_code == 422, answer.text[:500]
    assert f'action="/subscribe/{package}"' in answer.text
    assert "Chưa làm được" in answer.text or "-error" in answer.text
    assert await flat.facts() == []


async def test_an_expired_sign_in_keeps_the_form(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    headers = await csrf(flat, f"/subscribe/{package}")
    form = {"price": str(price), "seen_vnd": "49000", "terms": "yes"}
    answer = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    assert answer.status_code == 307
    assert answer.headers["location"].startswith("/account/renew?next=%2Fsubscribe%2F")


async def test_a_reader_cancels_with_one_click_and_sees_the_next_price_before(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    opened = await a_reader_with_access(flat, person, renewal=True)
    signed_in(flat, flats, person)
    headers = await csrf(flat, "/subscribe/mine")
    page = await flat.client.get("/subscribe/mine", headers=HTML)
    assert "Giá kỳ sau, đã gồm thuế" in page.text
    assert "49.000" in page.text
    answer = await flat.client.post(f"/subscribe/mine/{opened.subscription}/cancel", data={}, headers=headers)
    assert answer.status_code == 303
    after = await flat.client.get("/subscribe/mine", headers=HTML)
    assert "Đã hủy" in after.text
    assert "Đã hủy" not in (await flat.client.get("/subscribe/mine?cancelled=1", headers=HTML)).text
    assert "Thôi gia hạn" not in after.text
    assert "Không, gói tự hết" in after.text


@pytest.mark.promise("S1")
async def test_a_price_that_changed_since_it_was_seen_is_shown_and_asked_again_and_never_charged(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat)
    signed_in(flat, flats, clock.new_id())
    headers = await csrf(flat, f"/subscribe/{package}?price={price}")
    form = {"price": str(price), "seen_vnd": "49000", "terms": "yes", "renewal": "yes"}
    async with flat.tx() as tx:
        new = (await set_price(tx, package, PriceOffer(MONTH, 60_000, date(2025, 1, 1)))).id
    answer = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    assert answer.status_code == 409
    assert "Giá bây giờ là 60.000 đồng" in answer.text
    assert f'name="price" value="{new}"' in answer.text
    assert 'name="seen_vnd" value="60000"' in answer.text
    assert 'name="renewal" value="yes" checked' in answer.text, "what was ticked stays ticked"
    assert await flat.facts() == []
    await taxed(flat)
    again = {**form, "price": str(new), "seen_vnd": "60000"}
    assert (await flat.client.post(f"/subscribe/{package}", data=again, headers=headers)).status_code == 409
    fresh = {**headers, "idempotency-key": str(clock.new_id())}
    agreed = {**again, "seen_vnd": "64800"}
    assert (await flat.client.post(f"/subscribe/{package}", data=agreed, headers=fresh)).status_code == 303
    assert (await opened_fact(flat)).total_vnd == 64_800


@pytest.mark.promise("S1")
async def test_a_package_that_costs_nothing_says_so_and_leads_straight_to_reading(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, price = await a_package(flat, net_vnd=0)
    signed_in(flat, flats, clock.new_id())
    assert "Miễn phí" in (await flat.client.get("/subscribe?agency=bkh", headers=HTML)).text
    headers = await csrf(flat, f"/subscribe/{package}")
    checkout = await flat.client.get(f"/subscribe/{package}", headers=HTML)
    assert "Gói này không mất tiền" in checkout.text
    assert "vẫn không mất tiền" in checkout.text
    form = {"price": str(price), "seen_vnd": "0", "terms": "yes", "next": "/bai/gia-tom-hum"}
    taken = await flat.client.post(f"/subscribe/{package}", data=form, headers=headers)
    assert taken.status_code == 303
    assert await flat.facts() == [], "no invoice"
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    done = await flat.client.get(taken.headers["location"], headers=HTML)
    assert "Quyền đọc đã mở" in done.text
    assert 'href="/bai/gia-tom-hum"' in done.text


@pytest.mark.promise("S6")
async def test_who_paid_twice_reads_that_the_second_money_goes_back(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    signed_in(flat, flats, person)
    await subscribed(flat, person, package, price)
    first = await opened_fact(flat)
    await subscribed(flat, person, package, price, renewal=True)
    second = await opened_fact(flat)
    await flat.receive(captured(first), closed(first), captured(second), closed(second))
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    assert "Quyền đọc đã mở" in (await flat.client.get(first.return_url, headers=HTML)).text
    page = await flat.client.get(second.return_url, headers=HTML)
    assert "Tiền được hoàn về nơi bạn đã trả" in page.text
    assert "49.000" in page.text
    mine = await flat.client.get("/subscribe/mine", headers=HTML)
    assert "đã hoàn 49.000" in mine.text
    assert "Đã hoàn tiền" in mine.text
    assert "Chưa thanh toán" not in mine.text


async def test_a_checkout_that_ran_out_does_not_say_that_nothing_was_charged(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await subscribed(flat, person, *(await a_package(flat)))
    fact = await opened_fact(flat)
    await flat.receive(closed(fact, "expired"))
    signed_in(flat, flats, person)
    page = await flat.client.get(fact.return_url, headers=HTML)
    assert "Đơn này đã đóng" in page.text
    assert "không bị trừ tiền" not in page.text
    assert "mở gói hoặc hoàn lại tiền" in page.text


async def test_another_reader_neither_sees_nor_cancels_mine(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    opened = await a_reader_with_access(flat, clock.new_id())
    signed_in(flat, flats, clock.new_id())
    headers = await csrf(flat, "/subscribe/mine")
    for address in (f"/subscribe/mine/{opened.subscription}/contract", f"/subscribe/return/{opened.invoice}"):
        assert (await flat.client.get(address, headers=HTML)).status_code == 404
    cancel = await flat.client.post(f"/subscribe/mine/{opened.subscription}/cancel", data={}, headers=headers)
    assert cancel.status_code == 404


async def test_the_contract_can_be_read_before_and_after(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    draft = await flat.client.get(f"/subscribe/{package}/contract?price={price}", headers=HTML)
    assert "Bản xem trước" in draft.text
    opened = await subscribed(flat, person, package, price)
    signed_in(flat, flats, person)
    made = await flat.client.get(f"/subscribe/mine/{opened.subscription}/contract", headers=HTML)
    assert "data-print" in made.text
    assert "Bốn mươi chín nghìn đồng" in made.text


async def desk_of(flat: Flat, flats: Flats, roles: dict[str, list[str]]) -> UUID:
    staff = clock.new_id()
    signed_in(flat, flats, staff, roles=roles)
    return staff


async def test_the_desk_counts_and_lists_only_its_own_agency(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person)
    await desk_of(flat, flats, {"bkh": ["subscriptions"]})
    own = await flat.client.get("/desk/subscriptions", headers=HTML)
    assert str(person)[-8:] in own.text
    await desk_of(flat, flats, {"tcnt": ["subscriptions"]})
    other = await flat.client.get("/desk/subscriptions", headers=HTML)
    assert other.status_code == 200
    assert str(person)[-8:] not in other.text
    signed_in(flat, flats, clock.new_id())
    assert (await flat.client.get("/desk/subscriptions", headers=HTML)).status_code == 403


WALL = {
    "agency": "bkh",
    "version": "0",
    "crawlers": "teaser",
    "article_path": "/bai/{article}",
    "section": ["*", ""],
    "premium": ["metered", "metered"],
    "ordinary": ["free", "free"],
    "limit": ["3", "3"],
    "new_device_limit": ["1", "1"],
}


@pytest.mark.promise("F5")
async def test_a_wall_that_a_colleague_saved_meanwhile_is_shown_and_overwritten_only_by_who_says_so(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    await desk_of(flat, flats, {"bkh": ["subscriptions"]})
    headers = await csrf(flat, "/desk/subscriptions/policies?agency=bkh")

    async def save(**changes: Any) -> Any:
        fresh = {**headers, "idempotency-key": str(clock.new_id())}
        return await flat.client.post("/desk/subscriptions/policies", data={**WALL, **changes}, headers=fresh)

    theirs = {"section": ["*", "the-thao"], "limit": ["7", "7"], "article_path": "/tin/{article}"}
    assert (await save(**theirs)).status_code == 303
    for _ in range(2):
        slower = await save(limit=["9", "9"])
        assert slower.status_code == 412
        assert 'name="version" value="0"' in slower.text, "a second click does not do what the first did not"
        for shown in ("Bản 1 đồng nghiệp vừa lưu", "<strong>the-thao</strong>", "/tin/{article}"):
            assert shown in slower.text
        assert 'name="limit" type="number" min="0" max="1000" value="9"' in slower.text
        assert 'name="over" value="1"' in slower.text
        assert "checked" not in slower.text.split('name="over"')[1].split(">")[0]
    unread = await save(limit=["9", "9"], over="1", article_path="nowhere")
    assert unread.status_code == 422
    assert "checked" in unread.text.split('name="over"')[1].split(">")[0], "what was ticked stays ticked"
    assert (await save(limit=["9", "9"], over="1")).status_code == 303
    third = await save(limit=["5", "5"], over="1")
    assert third.status_code == 412, "what may be overwritten is what was shown, and nothing newer"
    assert 'name="over" value="2"' in third.text


async def test_staff_change_a_wall_and_a_slower_colleague_is_told(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await desk_of(flat, flats, {"bkh": ["subscriptions"]})
    headers = await csrf(flat, "/desk/subscriptions/policies?agency=bkh")
    form = {
        "agency": "bkh",
        "version": "0",
        "crawlers": "teaser",
        "article_path": "/bai/{article}",
        "section": ["*", "thoi-su", ""],
        "premium": ["metered", "free", "metered"],
        "ordinary": ["free", "free", "free"],
        "limit": ["2", "3", "3"],
        "new_device_limit": ["1", "1", "1"],
    }
    wrong = await flat.client.post(
        "/desk/subscriptions/policies", data={**form, "article_path": "x" * 300}, headers=headers
    )
    assert wrong.status_code == 422
    assert 'value="thoi-su"' in wrong.text
    assert "Hãy viết nhiều nhất 200 ký tự." in wrong.text
    made_up = await flat.client.get("/desk/subscriptions/policies?agency=bkh&saved=1", headers=HTML)
    assert "Đã lưu" not in made_up.text
    saved = await flat.client.post("/desk/subscriptions/policies", data=form, headers=headers)
    assert saved.status_code == 303, saved.text
    assert "Đã lưu" in (await flat.client.get(saved.headers["location"], headers=HTML)).text
    assert "Đã lưu" not in (await flat.client.get(saved.headers["location"], headers=HTML)).text
    again = await flat.client.post(
        "/desk/subscriptions/policies",
        data={**form, "limit": ["9", "3", "3"]},
        headers={**headers, "idempotency-key": str(clock.new_id())},
    )
    assert again.status_code == 412
    assert 'name="limit" type="number" min="0" max="1000" value="9"' in again.text
    assert 'value="thoi-su"' in again.text
    assert "đồng nghiệp vừa lưu" not in wrong.text
    page = await flat.client.get("/desk/subscriptions/policies?agency=bkh", headers=HTML)
    assert 'value="thoi-su"' in page.text
    stranger = await flat.client.get("/desk/subscriptions/policies?agency=tcnt", headers=HTML)
    assert stranger.status_code == 404
