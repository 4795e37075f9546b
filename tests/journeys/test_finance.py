"""Finance signs in with a second factor and goes from the growth figure down to the fact it came from."""

import re

import pytest
from playwright.sync_api import expect

from tests.journeys.books import Books
from tests.journeys.people import picture, sign_in_staff, visitor
from tests.shared.browser import chromium

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.stack, pytest.mark.browser]


def test_finance_needs_the_second_factor(house):
    who = house.sign_in("/finance")
    with chromium() as browser:
        page = visitor(browser, house, "desktop").new_page()
        page.goto("/finance")
        assert "/account/sign-in" in page.url, "nobody is sent to sign in"
        page.goto("/account/password?next=/finance")
        page.get_by_label("E-mail hoặc số điện thoại").fill(who["email"])
        page.get_by_label("Mật khẩu").fill(who["password"])
        page.get_by_role("button", name="Đăng nhập").click()
        page.goto("/finance")
        assert "/account/" in page.url, "a password alone opens nothing"


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_from_the_growth_figure_to_the_source_fact(house, size):
    with chromium() as browser:
        page = visitor(browser, house, size).new_page()
        sign_in_staff(page, house, "/finance")
        expect(page.get_by_text("20 %").first).to_be_visible()
        status = re.compile("Đã đạt|Đúng tiến độ|Có nguy cơ|Không đạt|Chưa đo được")
        expect(page.get_by_text(status).first).to_be_visible()
        picture(page, f"finance-growth-{size}")
        broken = page.evaluate(
            "async () => { const all = [...document.images]; all.forEach(i => { i.loading = 'eager' });"
            " await Promise.allSettled(all.map(i => i.decode()));"
            " return all.filter(i => !i.naturalWidth).map(i => i.src) }"
        )
        assert broken == [], "charts are shown"
        page.goto("/finance/trial-balance")
        picture(page, f"finance-trial-balance-{size}")
        page.get_by_role("link", name=re.compile(r"\d")).locator("visible=true").first.click()
        picture(page, f"finance-account-{size}")
        page.locator('a[href*="/finance/entries/"]').first.click()
        picture(page, f"finance-entry-{size}")
        expect(page.get_by_text(re.compile(r"\.v1")).first).to_be_visible()


def test_the_books_of_the_demo_balance_and_show_two_years(house):
    books = Books(house)
    balance = books.trial_balance()
    assert balance["sum_vnd"] == 0
    assert balance["debit_vnd"] == balance["credit_vnd"] > 0
    months = {cell["month"][:4] for cell in books.ask("/revenue")}
    assert len(months) >= 1


def test_a_stranger_sees_no_books(house):
    assert house.get("/api/ledger/v1/trial-balance").status_code == 401
    key = house.demo["advertiser_key"]
    answer = house.get("/api/ledger/v1/trial-balance", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
