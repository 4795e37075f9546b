"""Staff find a payer by name and by the number of an order, and see all on one card; a part that is away says so."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.people import picture, sign_in_staff, visitor

pytestmark = [
    pytest.mark.promise("W6", "W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]

PARTS = ["Người và tổ chức", "Thanh toán", "Thuê bao", "Sự kiện", "Quảng cáo"]


def search(page: Page, text: str) -> None:
    page.goto("/desk/find")
    page.get_by_label("Tìm người mua, đơn, khoản tiền").fill(text)
    page.get_by_role("button", name="Tìm").click()
    arrived(page)


def arrived(page: Page) -> None:
    """Every part has answered, or has said that it does not."""
    expect(page.locator("[data-part]")).to_have_count(len(PARTS))
    expect(page.locator("[data-part][aria-busy]")).to_have_count(0, timeout=20_000)


def part(page: Page, title: str):
    return page.get_by_role("region", name=title, exact=True)


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_a_payer_is_found_by_order_number_and_by_name_and_one_card_shows_all(house, browser, size):
    page = visitor(browser, house, size).new_page()
    sign_in_staff(page, house, "/finance")
    page.goto("/desk/payments")
    numbers = page.locator("tbody td:has-text('TB')").all_inner_texts()
    number = next(text for text in numbers if re.fullmatch(r"TB\d{6}-[0-9A-F]{12}", text.strip())).strip()

    search(page, number)
    for title in ("Thanh toán", "Thuê bao"):
        expect(part(page, title).get_by_role("link", name=number).first).to_be_visible()
    expect(part(page, "Sự kiện")).to_contain_text("Không tìm thấy gì.")
    picture(page, f"find-by-number-{size}")
    part(page, "Thanh toán").get_by_role("link", name=number).first.click()
    page.wait_for_url("**/desk/card/**")
    arrived(page)
    card, name = page.url, page.get_by_role("heading", level=1).inner_text()
    expect(part(page, "Thuê bao")).to_contain_text("Quyền đọc hôm nay")
    expect(part(page, "Thanh toán")).to_contain_text("Tiền đã nhận")
    expect(part(page, "Người và tổ chức")).to_contain_text(name)
    picture(page, f"card-{size}")
    for table in page.locator(".table-box").all():
        assert table.evaluate("box => box.scrollWidth - box.clientWidth") <= 0, (
            "nothing is cut off at the side"
        )

    # Who has no name yet is headed by an address, which is one long word.
    page.get_by_role("heading", level=1).evaluate(
        "h1 => { h1.textContent = 'nguoi-doc'.repeat(6) + '@bandoc.example' }"
    )
    assert page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0

    search(page, name)
    found = part(page, "Người và tổ chức").locator(f'a[href="{card.removeprefix(house.address)}"]')
    expect(found).to_have_text(name)
    picture(page, f"find-by-name-{size}")
    found.click()
    page.wait_for_url("**/desk/card/**")
    assert page.url == card


def test_a_part_that_is_away_or_that_answers_something_else_hides_no_other(house, browser):
    page = visitor(browser, house, "phone").new_page()
    sign_in_staff(page, house, "/finance")
    page.route("**/desk/events/find*", lambda route: route.fulfill(status=502, body="<p>Bad gateway</p>"))
    page.route("**/desk/ads/find*", lambda route: route.abort())
    page.route("**/desk/subscriptions/find*", lambda route: route.fulfill(body="<h1>Đăng nhập</h1>"))
    search(page, "nguyen")
    for title in ("Sự kiện", "Quảng cáo", "Thuê bao"):
        expect(part(page, title).get_by_role("alert")).to_contain_text("Phần này chưa trả lời")
        expect(part(page, title).get_by_role("link", name="Mở riêng phần này")).to_be_visible()
    for title in ("Người và tổ chức", "Thanh toán"):
        expect(part(page, title).get_by_role("alert")).to_have_count(0)
        expect(part(page, title).get_by_role("link", name="Mở riêng phần này")).to_have_count(0)
    picture(page, "find-parts-away")


def test_without_a_script_each_part_is_a_page_of_its_own(house, browser):
    signed_in = visitor(browser, house, "phone").new_page()
    sign_in_staff(signed_in, house, "/finance")
    plain = browser.new_context(base_url=house.address, java_script_enabled=False)
    plain.add_cookies(signed_in.context.cookies())
    page = plain.new_page()
    page.goto("/desk/find")
    page.get_by_label("Tìm người mua, đơn, khoản tiền").fill("nguyen")
    page.get_by_role("button", name="Tìm").click()
    part(page, "Người và tổ chức").get_by_role("link", name="Mở riêng phần này").click()
    expect(page).to_have_url(re.compile("/desk/accounts/find"))
    expect(page.get_by_label("Tìm người mua, đơn, khoản tiền")).to_have_value("nguyen")
    page.locator("tbody a").first.click()
    expect(page.get_by_role("link", name="Mở riêng phần này")).to_have_count(len(PARTS))
    page.goto("/desk/find?q=ab")
    expect(page.get_by_text("Hãy gõ ít nhất ba chữ cái hoặc chữ số.")).to_be_visible()
