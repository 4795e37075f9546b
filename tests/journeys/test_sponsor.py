"""A sponsor takes a Gold package of the Night Run; of 200 who want the last one, one gets it."""

import asyncio
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect

from services.events.rules.industries import INDUSTRIES
from shared import clock
from shared.calendar import local_day
from tests.journeys import buyers
from tests.journeys.books import Books
from tests.journeys.people import pay_at_the_bank, picture, sign_in_by_code, visitor
from tests.shared.browser import PHONE

pytestmark = [
    pytest.mark.promise("W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]
EVENT = "/api/events/v1/events"
CHOOSE_GOLD = re.compile("Chọn gói Vàng")


def night_run(house):
    """The open event and its Gold package."""
    events = house.get(EVENT).json()["items"]
    slug = next(e["slug"] for e in events if e["title"] == "Nha Trang Night Run" and e["is_open"])
    full = house.get(f"{EVENT}/{slug}").json()
    return slug, next(s for s in full["sellables"] if s.get("tier") == "gold")


RIVALS = 8
"""How many sponsors want the last package, 25 times each."""


def night_run_with_gold_left(house, wanted):
    """The event as it is, or, where other runs have bought it out, with as many more packages as are wanted."""
    slug, gold = night_run(house)
    if gold["left"] < wanted:
        staff = buyers.staff(house, "/desk/events")
        version = house.get(f"{EVENT}/{slug}").headers["etag"]
        answer = staff.call(
            "PUT",
            f"{EVENT}/{slug}/sellables/{gold['id']}",
            json={"price_vnd": gold["price_vnd"], "capacity": gold["capacity"] + wanted - gold["left"]},
            headers={**buyers.bearer_of(staff), "If-Match": version},
        )
        assert answer.status_code == 200, answer.text
        slug, gold = night_run(house)
    return slug, gold


def fill_in(page, house, slug, organisation):
    """From the event's page, by signing up, to a new sponsor's form."""
    size = "phone" if page.viewport_size == PHONE else "desktop"
    page.goto(f"/events/{slug}")
    picture(page, f"night-run-{size}")
    page.get_by_role("link", name=CHOOSE_GOLD).click()
    sign_in_by_code(page, house, f"taitro-{uuid4().hex[:10]}@example.com")
    page.wait_for_url("**/sponsor/**")
    page.get_by_label("Tên tổ chức").fill(organisation)
    page.get_by_label("Người liên hệ").fill("Phòng truyền thông")
    page.get_by_label("Thư điện tử").fill("pr@example.com")
    picture(page, f"sponsor-form-{size}")


def hold_gold(page, house, slug, organisation, industries):
    """Hold the package in the first of the industries that is free; False when none of them is."""
    fill_in(page, house, slug, organisation)
    for industry in industries:
        page.get_by_label("Ngành hàng").select_option(str(industry))
        page.get_by_role("button", name=re.compile("Giữ gói")).click()
        expect(page.get_by_text(re.compile("Chưa làm được|Phiếu yêu cầu thanh toán")).first).to_be_visible()
        if "/pay/" in page.url:
            return industry
    return False


def deferred(books, amount_vnd):
    """How many sponsors' payments of an amount were deferred today."""
    today = local_day(clock.now()).isoformat()
    found = books.ask(
        "/entries", account="deferred_revenue", stream="sponsorship.cash", since=today, limit=200
    )
    return sum(entry["amount_vnd"] == -amount_vnd for entry in found["items"])


@pytest.mark.timeout(240)
def test_a_sponsor_takes_gold_and_pays_the_first_instalment(house, browser):
    slug, gold = night_run_with_gold_left(house, 2)
    books, first = Books(house), gold["price_vnd"] * gold["instalments"][0]["share"] // 100
    before = deferred(books, first)
    page = visitor(browser, house, "desktop").new_page()
    industry = hold_gold(page, house, slug, "Công ty Biển Xanh", branches())
    assert industry, "every industry has its sponsor"
    expect(page.get_by_role("button", name=re.compile("VNPAY"))).to_be_visible(timeout=15_000)
    pay_at_the_bank(page)
    expect(page.get_by_text("Đã nhận tiền")).to_be_visible(timeout=15_000)
    page.get_by_role("link", name="Tiếp tục").click()
    expect(page.get_by_text("Cảm ơn nhà tài trợ")).to_be_visible(timeout=15_000)
    expect(page.get_by_text("Đã thanh toán", exact=True)).to_have_count(1)
    picture(page, "sponsorship-desktop")
    page.set_viewport_size(PHONE)
    picture(page, "sponsorship-phone")

    rival = visitor(browser, house, "phone").new_page()
    assert not hold_gold(rival, house, slug, "Công ty Sóng Mới", [industry]), "two in one industry"
    picture(rival, "industry-taken")
    assert night_run(house)[1]["left"] == gold["left"] - 1
    house.until(lambda: deferred(books, first) == before + 1, "half of the price is in the books, deferred")
    assert books.trial_balance()["sum_vnd"] == 0


@pytest.mark.timeout(300)
def test_of_200_buyers_of_the_last_package_one_gets_it_and_nobody_else_is_charged(house):
    slug, gold = night_run_with_gold_left(house, 2)
    # A newcomer holds one unpaid package, so that each of those sold before the last needs a holder of its own.
    newcomers = gold["left"] - 1 + RIVALS
    with ThreadPoolExecutor(
        newcomers
    ) as beside:  # their letters come together; this thread's loop is the browser's
        sponsors = list(beside.map(buyers.advertiser, [house] * newcomers))
        held, answers = beside.submit(asyncio.run, storm(house, sponsors, gold)).result()
    try:
        assert Counter(a.status_code for a in answers) == {201: 1, 409: 199}
        refusals = {a.json()["code"] for a in answers if a.status_code == 409}
        assert refusals <= {"sold-out", "industry-taken", "held-unpaid"}
        assert night_run(house)[1]["left"] == 0
        won = next(a.json()["order"]["id"] for a in answers if a.status_code == 201)
        assert set(sponsorships_of(sponsors)) == {*held, won}, "who was refused has nothing to pay"
    finally:
        for each, sponsor in sponsorships_of(sponsors).items():
            sponsor.call("POST", f"/api/events/v1/sponsorships/{each}/cancellation")
    house.until(lambda: night_run(house)[1]["left"] == gold["left"], "packages given back are for sale again")


def sponsorships_of(sponsors):
    """Each sponsorship that any of them has, and whose it is."""
    path = "/api/events/v1/sponsorships"
    return {each["id"]: sponsor for sponsor in sponsors for each in sponsor.call("GET", path).json()["items"]}


async def storm(house, sponsors, gold):
    """Buy until one package is left, then 200 at once, none in another's industry; what was held, and the answers."""
    spare, held, holders = iter(branches()), [], iter(sponsors)
    limits = httpx.Limits(max_connections=200)
    async with httpx.AsyncClient(timeout=60, limits=limits, base_url=house.address) as client:
        for _ in range(gold["left"] - 1):
            holder = next(holders)
            while (answer := await take(client, holder, gold, next(spare))).status_code != 201:
                assert answer.json()["code"] == "industry-taken", answer.text
            held.append(answer.json()["order"]["id"])
        rest, rivals = list(spare), list(holders)
        tries = (take(client, rivals[n % RIVALS], gold, rest[n % len(rest)]) for n in range(200))
        return held, await asyncio.gather(*tries)


async def take(client, sponsor, gold, industry):
    """Apply for the package, again when asked to wait, with the same idempotency key."""
    body = {
        "package": gold["id"],
        "organisation": "Nhà tài trợ thử",
        "industry": industry,
        "contact_name": "Liên hệ",
        "contact_email": "lien-he@example.com",
    }
    key = {"Idempotency-Key": uuid4().hex}
    for _ in range(30):
        answer = await client.post(
            "/api/events/v1/sponsorships", json=body, headers={**sponsor.http.headers, **key}
        )
        if answer.status_code not in (429, 503):
            return answer
        await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
    return answer


def branches():
    """Industries of the second level: none is the rival of another."""
    return [code for code in INDUSTRIES if code % 10_000 and not code % 100]
