"""A reader meets the wall, takes the monthly package, pays at the bank and reads on; revenue is deferred."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from tests.journeys.people import pay_at_the_bank, picture, sign_in_by_code, visitor

pytestmark = [
    pytest.mark.promise("W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]


def premium_articles(house):
    """Addresses of articles, premium ones among them, as the front page and the sections link them."""
    found = []
    for page in (
        "/",
        "/chuyen-muc/kinh-te",
        "/chuyen-muc/du-lich",
        "/chuyen-muc/the-thao",
        "/chuyen-muc/van-hoa",
    ):
        found += re.findall(r'href="(/bai/[^"#?]+)"', house.get(page).text)
    return list(dict.fromkeys(found))


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_from_the_wall_to_reading_on(house, browser, size):
    email = f"docgia-{uuid4().hex[:10]}@example.com"
    context = visitor(browser, house, size)
    page = context.new_page()
    walled = None
    for address in premium_articles(house):
        page.goto(address)
        if page.locator(".wall").count():
            walled = address
            break
    assert walled, "no article met the wall"
    expect(page.locator(".wall")).to_contain_text(re.compile(r"3/3 bài miễn phí"))
    picture(page, f"wall-{size}")
    body_behind_the_wall = page.content()

    page.get_by_role("link", name="Chọn gói đọc báo").click()
    picture(page, f"packages-{size}")
    page.locator("a.choice").filter(has_text=re.compile("1 tháng")).first.click()
    page.get_by_role("link", name=re.compile("Đăng nhập")).last.click()
    sign_in_by_code(page, house, email)
    page.wait_for_url("**/subscribe/**")
    picture(page, f"checkout-{size}")
    page.get_by_label(re.compile("Tôi đã đọc và đồng ý")).check()
    page.get_by_role("button", name=re.compile("Trả")).click()
    page.wait_for_url("**/pay/**")
    expect(page.get_by_role("button", name=re.compile("VNPAY"))).to_be_visible(timeout=15_000)
    picture(page, f"pay-{size}")
    pay_at_the_bank(page)
    expect(page.get_by_text("Đã nhận tiền")).to_be_visible(timeout=15_000)
    page.get_by_role("link", name="Tiếp tục").click()
    expect(page.get_by_text("Quyền đọc đã mở")).to_be_visible(timeout=15_000)
    picture(page, f"open-{size}")
    page.get_by_role("link", name="Đọc tiếp bài đang xem").click()
    page.wait_for_url(f"**{walled}")
    expect(page.locator(".wall")).to_have_count(0)
    assert len(page.content()) > len(body_behind_the_wall)
    page.goto("/subscribe/mine")
    picture(page, f"mine-{size}")
    expect(page.get_by_text(re.compile("Hủy")).first).to_be_visible()


def test_the_full_text_never_reaches_a_browser_behind_the_wall(house, browser):
    page = visitor(browser, house).new_page()
    for address in premium_articles(house):
        page.goto(address)
        if page.locator(".wall").count():
            html = page.content()
            assert "isAccessibleForFree" in html
            source = article_text(address)
            last = [p for p in source.split("\n\n") if len(p) > 80][-1]
            assert last[:60] not in html
            return
    raise AssertionError("no article met the wall")


def article_text(address):
    from pathlib import Path

    slug = address.rsplit("/", 1)[1]
    return (Path(__file__).parents[2] / "demo" / "articles" / f"{slug}.md").read_text(encoding="utf-8")
