"""Finance signs in with a second factor and goes from the growth figure down to the fact it came from."""

import re

import pytest
from playwright.sync_api import expect

from shared import clock
from shared.calendar import local_day, show_day
from tests.journeys.books import Books
from tests.journeys.people import picture, sign_in_staff, visitor

pytestmark = [
    pytest.mark.promise("W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]


def test_finance_needs_the_second_factor(house, browser):
    who = house.sign_in("/finance")
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
def test_from_the_growth_figure_to_the_source_fact(house, browser, size):
    page = visitor(browser, house, size).new_page()
    sign_in_staff(page, house, "/finance")
    expect(page.get_by_text("20 %").first).to_be_visible()
    status = re.compile("Đã đạt|Đúng tiến độ|Có nguy cơ|Không đạt|Chưa đo được")
    expect(page.get_by_text(status).first).to_be_visible()
    picture(page, f"finance-growth-{size}")

    page.locator("#live-current").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("Doanh thu")
    picture(page, f"finance-revenue-{size}")
    # Of a day before today: what is sold now is earned in entries of their own.
    today = show_day(local_day(clock.now()))
    days = page.locator("tbody tr").filter(has_text="Ghi nhận trong ngày").filter(has_not_text=today)
    day = days.first
    earned = dong(day.locator("td").last)
    day.get_by_role("link").click()
    expect(page.locator("tbody td.num:last-child").last).to_be_visible()
    assert sum(map(dong, page.locator("tbody td.num:last-child").all())) == abs(earned) > 0
    picture(page, f"finance-entry-{size}")
    page.locator('a[href^="/finance/lines/"]').first.click()
    page.locator("details summary").first.click()
    expect(page.locator("details pre").first).to_contain_text('"type": "')
    picture(page, f"finance-line-{size}")


@pytest.mark.parametrize("size", ["phone", "desktop"])
def test_from_the_trial_balance_to_the_source_fact(house, browser, size):
    page = visitor(browser, house, size).new_page()
    sign_in_staff(page, house, "/finance")
    page.get_by_role("link", name="Cân đối tài khoản").click()
    expect(page.get_by_text("Tổng Nợ bằng tổng Có")).to_be_visible()
    picture(page, f"finance-trial-balance-{size}")
    page.get_by_role("link", name="Tiền đang chuyển").first.click()
    picture(page, f"finance-account-{size}")
    page.locator('tbody a[href^="/finance/entries/"]').first.click()
    page.get_by_role("link", name="Xem mọi vế").click()
    expect(page.locator(".ledger-total td.num").last).to_be_visible()
    debit, credit = map(dong, page.locator(".ledger-total td.num").all())
    assert debit == credit > 0
    expect(page.get_by_role("heading", name="Sự kiện gốc")).to_be_visible()
    expect(page.locator("pre")).to_contain_text(re.compile(r'"type": "payments\.[a-z.]+\.v1"'))


def dong(cell):
    """The đồng that a cell shows; an empty cell is none."""
    digits = re.sub(r"[^\d-]", "", cell.inner_text())
    return int(digits or 0)


def test_the_books_of_the_demo_balance_and_show_two_years(house):
    books = Books(house)
    balance = books.trial_balance()
    assert balance["sum_vnd"] == 0
    assert balance["debit_vnd"] == balance["credit_vnd"] > 0
    years = {cell["month"][:4] for cell in books.ask("/revenue")}
    assert len(years) >= 2


def test_a_stranger_sees_no_books(house):
    assert house.get("/api/ledger/v1/trial-balance").status_code == 401
    key = house.demo["advertiser_key"]
    answer = house.get("/api/ledger/v1/trial-balance", headers={"Authorization": f"Bearer {key}"})
    assert answer.status_code == 403
