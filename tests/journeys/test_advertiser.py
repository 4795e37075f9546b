"""An advertiser's program books a campaign; the newspaper shows it; what was delivered becomes revenue."""

import subprocess
import textwrap
import time
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import pytest
from playwright.sync_api import expect

from shared import clock
from shared.calendar import local_day
from tests.journeys.books import Books
from tests.journeys.buyers import first_key, staff
from tests.journeys.people import AGENTS, banner, pay_at_the_bank, picture, sign_in_staff, visitor
from tests.shared.browser import PHONE, among_strangers

pytestmark = [
    pytest.mark.promise("W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]
ROOT = Path(__file__).parents[2]
SECTION = "/chuyen-muc/du-lich"
TARGET = "https://honyen.example/tet"


class Campaign:
    """A new advertiser's order, as its own program sees it."""

    def __init__(self, house):
        self.house, self.program = house, register(house)
        self.order = book(house, self.program)

    def now(self):
        return self.house.get(f"/api/ads/v1/orders/{self.order['id']}", headers=self.program).json()

    def line(self):
        return self.now()["line_items"][0]


@pytest.fixture(scope="module")
def seen(house, one_chromium):
    """A campaign from registration to its first view in the newspaper, and the address that a click on it opens."""
    campaign = Campaign(house)
    with among_strangers(one_chromium):
        approve(visitor(one_chromium, house, "desktop").new_page(), house, campaign.order)
        pay_url = house.until(lambda: campaign.now()["pay_url"], "the order can be paid")
        pay(visitor(one_chromium, house).new_page(), pay_url)
        house.until(lambda: campaign.now()["status"] == "live", "the campaign is live")
        reader = visitor(one_chromium, house, "desktop").new_page()
        click = find_the_ad(reader, campaign.now()["creatives"][0]["preview_url"])
        picture(reader, "newspaper-with-ad")
    return campaign, click


@pytest.mark.timeout(300)
def test_from_registration_to_the_newspaper_where_a_click_counts_once(house, seen):
    campaign, click = seen
    line = house.until(lambda: (found := campaign.line())["viewables"] and found, "the view is counted")
    assert line["impressions"] >= line["viewables"] >= 1
    leads = [house.get(urlsplit(click).path, headers={"User-Agent": AGENTS["desktop"]}) for _ in range(3)]
    assert {lead.headers["location"] for lead in leads} == {TARGET}
    house.until(
        lambda: campaign.line()["clicks"] == line["clicks"] + 1, "three uses of one address count once"
    )
    robot = house.get(urlsplit(click).path, headers={"User-Agent": "probe-bot"})
    assert robot.headers["x-counted"] == "no; bot"


@pytest.mark.promise("A2", "F6")
@pytest.mark.timeout(300)
def test_the_commands_of_the_readme_do_the_whole_job_in_the_sandbox_and_nobody_sees_it(house):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    commands = text.split("**Book advertising by API.**", 1)[1].split("```sh", 1)[1].split("```", 1)[0]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", textwrap.dedent(commands) + '\necho; echo "$O"; echo "$K"'],
        env=house.environ,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    *_, order, key = done.stdout.split()
    at, program = urlsplit(order).path, {"Authorization": f"Bearer {key}"}

    def now():
        return house.get(at, headers=program).json()

    shown = house.until(lambda: (found := now())["status"] == "live" and found, "it is live")
    house.until(lambda: now()["line_items"][0]["impressions"], "the played readers came", seconds=60)
    assert house.get(f"{at}/delivery", headers=program).json()
    desk = staff(house, "/desk/ads")
    assert shown["number"] not in desk.follow(desk.call("GET", "/desk/ads/orders")).text
    time.sleep(3)  # as long as facts take to the books, where they go there
    assert Books(house).line(shown["line_items"][0]["id"]) == {}


def test_what_was_delivered_is_recognised_revenue_and_the_rest_is_deferred(house, seen):
    """To the đồng. Ads tells what was delivered once a minute, so the journey before this one goes on meanwhile."""
    campaign, _ = seen
    books = Books(house)

    def earned():
        line = campaign.line()
        balances = books.line(line["id"])
        due = line["net_vnd"] * line["impressions"] // line["goal"]
        return balances.get("revenue", 0) == -due and balances

    balances = house.until(earned, "the delivered part is recognised", seconds=90)
    assert balances["revenue"] < 0
    assert balances["revenue"] + balances["deferred_revenue"] == -campaign.line()["net_vnd"]
    assert books.trial_balance()["sum_vnd"] == 0


def register(house):
    """A new advertiser that followed its letter; the headers with which its program calls."""
    email = f"qc-{uuid4().hex[:8]}@honyen.example"
    answer = house.post(
        "/api/accounts/v1/advertisers",
        json={
            "agency": "bkh",
            "name": "Công ty Nước mắm Hòn Yến",
            "tax_code": f"{uuid4().int % 10**12:012d}",
            "email": email,
            "contact_name": "Phòng kinh doanh",
        },
        headers={"Idempotency-Key": uuid4().hex},
    )
    assert answer.status_code == 201, answer.text
    return {"Authorization": f"Bearer {first_key(house, email)}"}


def book(house, program):
    """Book a line on the travel section, upload its image and hand it in."""
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
    # A colour of its own, since the same image is the same file.
    image = banner(placement["width"], placement["height"], f"#{uuid4().hex[:6]}")
    uploaded = house.post(
        f"{at}/creatives",
        files={"file": ("tet.png", image, "image/png")},
        data={"click_url": TARGET},
        headers={**program, "Idempotency-Key": uuid4().hex},
    )
    assert uploaded.status_code == 201, uploaded.text
    submitted = house.post(f"{at}/submit", headers=program)
    assert submitted.status_code == 200, submitted.text
    return submitted.json()


def approve(desk, house, order):
    """Ad operations looks at the creative and ticks what was checked."""
    sign_in_staff(desk, house, "/desk/ads")
    desk.goto("/desk/ads")
    waiting = desk.locator(f'[data-order="{order["number"]}"]')
    expect(waiting).to_have_count(1)
    picture(desk, "desk-ads-desktop")
    desk.set_viewport_size(PHONE)
    picture(desk, "desk-ads-phone")
    for box in waiting.get_by_role("checkbox").all():
        box.check()
    waiting.get_by_role("button", name="Duyệt", exact=True).click()
    expect(waiting).to_have_count(0)


def pay(buyer, pay_url):
    """The link of the order leads to the request for payment; the bank's page takes the money."""
    buyer.goto(pay_url)
    expect(buyer.get_by_text("Phiếu yêu cầu thanh toán").first).to_be_visible(timeout=15_000)
    picture(buyer, "pay-advertiser")
    pay_at_the_bank(buyer)
    expect(buyer.get_by_text("Đã nhận tiền")).to_be_visible(timeout=15_000)


def find_the_ad(reader, preview_url):
    """Open the section until the draw gives our creative and half of it was seen; returns its click address."""
    ours = urlsplit(preview_url).path
    shown = reader.locator(f'[data-placement="section-top"] a:has(img[src*="{ours}"])')
    for _ in range(40):
        with reader.expect_response("**/b/decide?**"):
            reader.goto(SECTION)
        reader.wait_for_timeout(300)  # the slots are filled a moment after the answer
        if shown.count():
            with reader.expect_request("**/b/v/**"):
                shown.scroll_into_view_if_needed()
            return shown.get_attribute("href")
    raise AssertionError("The campaign was not shown in 40 page views.")
