"""A large refund is asked for by one person and approved by another, who reads by name who asked and for whom."""

import re
from uuid import uuid4

import pytest
from playwright.sync_api import Page, expect

from tests.journeys.people import picture, sign_in_staff, visitor

pytestmark = [
    pytest.mark.promise("T12", "P7"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]

WHY = f"Khách đổi ý {uuid4().hex[:8]}"


def a_large_payment(page: Page) -> str:
    """The page of a payment of which a second person must approve what goes back."""
    page.goto("/desk/payments")
    while True:
        for row in page.locator("tbody tr").all():
            (amount,) = re.findall(r"([\d.]+)\s₫", row.inner_text())[:1]
            if int(amount.replace(".", "")) >= 20_000_000 and "Đã trả phiếu" in row.inner_text():
                return row.get_by_role("link").first.get_attribute("href") or ""
        page.locator('a[rel="next"]').click()


def asked(page: Page) -> list[str]:
    """What the browser asks before it sends; all of it is agreed to."""
    said: list[str] = []

    def agree(dialog):
        said.append(dialog.message.replace("\xa0", " "))
        dialog.accept()

    page.on("dialog", agree)
    return said


@pytest.mark.timeout(240)
def test_the_amount_is_checked_before_it_is_asked_and_the_approver_reads_names(house, browser):
    page = visitor(browser, house).new_page()
    sign_in_staff(page, house, "/finance")
    page.goto(a_large_payment(page))
    said, amount = asked(page), page.locator("#amount_vnd")
    whole = int(amount.input_value())
    page.locator("#reason").fill(WHY)
    ask = page.get_by_role("button", name="Yêu cầu hoàn tiền")
    for wrong in (str(whole + 1), "0", "12,5"):
        amount.fill(wrong)
        ask.click()
        assert not amount.evaluate("field => field.checkValidity()"), wrong
    assert said == [], "nothing is asked about an amount that cannot be"
    amount.fill("20.000.000")
    ask.click()
    expect(page.get_by_text(WHY)).to_be_visible()
    assert said == ["Gửi 20.000.000 ₫ trả lại người mua?"]

    approver = visitor(browser, house).new_page()
    sign_in_staff(approver, house, "/finance", "ketoantruong@baokhanhhoa.example")
    card = approver.locator(".card", has_text=WHY)
    unnamed = card.locator('[data-part] a[href^="/desk/card/"] code')
    approver.route("**/desk/accounts/name/**", lambda route: route.fulfill(status=502))
    approver.goto("/desk/payments/refunds")
    expect(unnamed, "where accounts says no name the ways to both cards stay").to_have_count(2)
    approver.unroute_all()
    approver.reload()
    expect(unnamed).to_have_count(0)
    buyer, asker = card.locator("[data-part] a").all()
    name = asker.inner_text()
    assert buyer.inner_text()
    picture(approver, "refund-to-approve-phone")
    confirmed = asked(approver)
    card.get_by_role("button", name="Duyệt", exact=True).click()
    expect(card.get_by_role("button", name="Duyệt", exact=True)).to_have_count(0)
    assert confirmed == ["Gửi 20.000.000 ₫ trả lại người mua?"]
    page.goto("/account")
    expect(page.get_by_text(name).first).to_be_visible()
