"""An advertiser's program books a campaign; the newspaper shows it; what was delivered becomes revenue."""

import re
from datetime import timedelta
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect

from shared import clock
from shared.calendar import local_day
from tests.journeys.books import Books
from tests.journeys.people import banner, pay_at_the_bank, picture, sign_in_staff, visitor
from tests.shared.browser import chromium

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.stack, pytest.mark.browser]


def test_from_registration_to_recognised_revenue(house):
    registered = house.post(
        "/api/accounts/v1/advertisers",
        json={
            "agency": "bkh",
            "name": "Công ty Nước mắm Hòn Yến",
            "tax_code": "4200456789012"[:12],
            "email": f"qc-{uuid4().hex[:8]}@honyen.example",
            "contact_name": "Phòng kinh doanh",
        },
        headers={"Idempotency-Key": uuid4().hex},
    )
    assert registered.status_code == 201, registered.text
    program = {"Authorization": f"Bearer {registered.json()['key']}"}

    placements = house.get("/api/ads/v1/placements?agency=bkh").json()
    placement = next(p for p in placements if p["code"] == "section-top")
    today = local_day(clock.now())
    booking = {
        "agency": "bkh",
        "name": "Tết 2027",
        "line_items": [
            {
                "placements": ["section-top"],
                "sections": ["du-lich"],
                "starts_on": today.isoformat(),
                "ends_on": (today + timedelta(days=9)).isoformat(),
                "budget_vnd": 3_000_000,
            }
        ],
    }
    once = {**program, "Idempotency-Key": uuid4().hex}
    order = house.post("/api/ads/v1/orders", json=booking, headers=once)
    assert order.status_code == 201, order.text
    assert house.post("/api/ads/v1/orders", json=booking, headers=once).json()["id"] == order.json()["id"]
    at = f"/api/ads/v1/orders/{order.json()['id']}"
    uploaded = house.post(
        f"{at}/creatives",
        files={"file": ("tet.png", banner(placement["width"], placement["height"]), "image/png")},
        data={"click_url": "https://honyen.example/tet"},
        headers={**program, "Idempotency-Key": uuid4().hex},
    )
    assert uploaded.status_code == 201, uploaded.text
    assert house.post(f"{at}/submit", headers=program).status_code == 200

    with chromium() as browser:
        desk = visitor(browser, house, "desktop").new_page()
        sign_in_staff(desk, house, "/desk/ads")
        picture(desk, "desk-ads")
        approve_all(desk, order.json()["number"])

        shown = house.until(
            lambda: (o := house.get(at, headers=program).json())["pay_url"] and o, "the order can be paid"
        )
        buyer = visitor(browser, house).new_page()
        buyer.goto(shown["pay_url"])
        expect(buyer.get_by_text("Phiếu yêu cầu thanh toán").first).to_be_visible(timeout=15_000)
        picture(buyer, "pay-advertiser")
        pay_at_the_bank(buyer)
        house.until(lambda: house.get(at, headers=program).json()["status"] == "live", "the campaign is live")

        reader = visitor(browser, house, "desktop").new_page()
        link = the_ad_appears(reader, order)
        picture(reader, "newspaper-with-ad")

    line = order.json()["line_items"][0]["id"]
    delivered = house.until(
        lambda: (li := house.get(at, headers=program).json()["line_items"][0])["impressions"] and li,
        "the impression is counted",
    )
    assert delivered["impressions"] >= 1
    before = delivered["clicks"]
    clicks = [httpx.get(link, headers={"User-Agent": BROWSER}, timeout=20) for _ in range(3)]
    assert {c.headers.get("location") for c in clicks} == {"https://honyen.example/tet"}
    house.until(
        lambda: house.get(at, headers=program).json()["line_items"][0]["clicks"] == before + 1,
        "three uses of one click address count once",
    )
    books = Books(house)
    house.until(
        lambda: books.line(line).get("revenue", 0) < 0, "the delivered part is recognised", seconds=90
    )
    balances = books.line(line)
    goal, net = delivered["goal"], delivered["net_vnd"]
    impressions = house.get(at, headers=program).json()["line_items"][0]["impressions"]
    assert -balances["revenue"] <= net * impressions // goal
    assert balances["revenue"] + balances["deferred_revenue"] == -net
    assert books.trial_balance()["sum_vnd"] == 0


BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0 Safari/537.36"


def approve_all(desk, number):
    """Ad operations approves the creatives of one order."""
    desk.goto("/desk/ads")
    card = desk.locator("form, article, section, li, tr").filter(has_text=number).last
    expect(card).to_be_visible()
    desk.goto("/desk/ads")
    entry = desk.locator(f'[data-order="{number}"]')
    for box in entry.locator('input[type="checkbox"]').all():
        box.check()
    entry.get_by_role("button", name=re.compile("Duyệt")).first.click()
    desk.wait_for_load_state()


def the_ad_appears(reader, order):
    """Open the section until the draw gives our line; returns its click address."""
    for _ in range(40):
        reader.goto("/chuyen-muc/du-lich")
        ad = reader.locator('[data-placement="section-top"] a').first
        try:
            ad.wait_for(timeout=3000)
        except Exception:  # noqa: BLE001, S112 - an empty slot this time
            continue
        with reader.context.expect_page() as opened:
            ad.evaluate("a => { window.__href = a.href; window.open('about:blank') }")
        opened.value.close()
        address = reader.evaluate("window.__href")
        seen = httpx.get(address.replace("/b/c/", "/b/c/"), headers={"User-Agent": "probe-bot"}, timeout=20)
        if seen.headers.get("location", "") == "https://honyen.example/tet":
            reader.wait_for_timeout(1500)
            return address
    raise AssertionError("The campaign was not shown in 40 page views.")
