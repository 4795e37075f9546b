"""A sponsor takes a Gold package of the Night Run; of 200 who want the last one, one gets it."""

import asyncio
import re
from collections import Counter
from uuid import uuid4

import httpx
import pytest
from playwright.sync_api import expect

from services.events.rules.industries import INDUSTRIES
from tests.journeys.books import Books
from tests.journeys.people import pay_at_the_bank, picture, sign_in_by_code, visitor
from tests.shared.browser import chromium

pytestmark = [pytest.mark.xdist_group("house"), pytest.mark.stack, pytest.mark.browser]
EVENT = "/api/events/v1/events"


def night_run(house):
    """The open event and its Gold package."""
    events = house.get(EVENT).json()["items"]
    slug = next(e["slug"] for e in events if e["title"] == "Nha Trang Night Run" and e["is_open"])
    full = house.get(f"{EVENT}/{slug}").json()
    gold = next(s for s in full["sellables"] if s.get("tier") == "gold")
    return slug, gold


def industries(page):
    return page.locator('select[name="industry"] option').evaluate_all(
        "all => all.map(o => o.value).filter(v => v)"
    )


def test_a_sponsor_takes_gold_and_pays_the_first_instalment(house):
    slug, _ = night_run(house)
    with chromium() as browser:
        page = visitor(browser, house, "desktop").new_page()
        page.goto(f"/events/{slug}")
        picture(page, "night-run")
        page.get_by_role("link", name=re.compile("Chọn gói.*(Vàng|Gold)", re.IGNORECASE)).click()
        sign_in_by_code(page, house, f"taitro-{uuid4().hex[:8]}@example.com")
        page.wait_for_url("**/sponsor/**")
        industry = industries(page)[0]
        page.get_by_label("Tên tổ chức").fill("Ngân hàng Biển Xanh")
        page.get_by_label("Ngành hàng").select_option(industry)
        page.get_by_label("Người liên hệ").fill("Phòng truyền thông")
        page.get_by_label("Thư điện tử").fill("pr@bienxanh.example")
        picture(page, "sponsor-form")
        page.get_by_role("button", name=re.compile("Giữ gói")).click()
        page.wait_for_url("**/pay/**")
        expect(page.get_by_role("button", name=re.compile("VNPAY"))).to_be_visible(timeout=15_000)
        pay_at_the_bank(page)
        expect(page.get_by_text("Đã nhận tiền")).to_be_visible(timeout=15_000)
        page.get_by_role("link", name="Tiếp tục").click()
        expect(page.get_by_text(re.compile("Đã ký|Hợp đồng")).first).to_be_visible(timeout=15_000)
        picture(page, "sponsorship")

        rival = visitor(browser, house).new_page()
        rival.goto(f"/events/{slug}")
        rival.get_by_role("link", name=re.compile("Chọn gói.*(Vàng|Gold)", re.IGNORECASE)).click()
        sign_in_by_code(rival, house, f"doithu-{uuid4().hex[:8]}@example.com")
        rival.get_by_label("Tên tổ chức").fill("Ngân hàng Số Sóng Mới")
        rival.get_by_label("Ngành hàng").select_option(industry)
        rival.get_by_label("Người liên hệ").fill("Phòng truyền thông")
        rival.get_by_label("Thư điện tử").fill("pr@songmoi.example")
        rival.get_by_role("button", name=re.compile("Giữ gói")).click()
        expect(rival.get_by_text(re.compile("ngành")).first).to_be_visible()
        picture(rival, "industry-taken")
        assert "/pay/" not in rival.url
    assert Books(house).trial_balance()["sum_vnd"] == 0


def sponsor_key(house):
    made = house.post(
        "/api/accounts/v1/advertisers",
        json={
            "agency": "bkh",
            "name": "Một nhà tài trợ",
            "tax_code": f"{uuid4().int % 10**12:012d}",
            "email": f"tt-{uuid4().hex[:10]}@example.com",
            "contact_name": "Liên hệ",
        },
        headers={"Idempotency-Key": uuid4().hex},
    )
    assert made.status_code == 201, made.text
    return made.json()["key"]


@pytest.mark.timeout(300)
def test_of_200_buyers_of_the_last_package_one_gets_it_and_nobody_else_is_charged(house):
    slug, gold = night_run(house)
    key = sponsor_key(house)
    spare = iter(branches())

    def body(industry):
        return {
            "package": gold["id"],
            "organisation": "Nhà tài trợ thử",
            "industry": industry,
            "contact_name": "Liên hệ",
            "contact_email": "lien-he@example.com",
        }

    async def take(client, industry):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}
        for _ in range(30):
            answer = await client.post("/api/events/v1/sponsorships", json=body(industry), headers=headers)
            if answer.status_code not in (429, 503):
                return answer
            await asyncio.sleep(float(answer.headers.get("retry-after", 1)))
        return answer

    async def run():
        limits = httpx.Limits(max_connections=200)
        async with httpx.AsyncClient(base_url=house.address, timeout=60, limits=limits) as client:
            while (await left(client)) > 1:
                answer = await take(client, next(spare))
                assert answer.status_code == 201 or answer.json()["code"] == "industry-taken", answer.text
            rest = list(spare)
            return await asyncio.gather(*(take(client, rest[n % len(rest)]) for n in range(200)))

    async def left(client):
        full = (await client.get(f"{EVENT}/{slug}")).json()
        return next(s["left"] for s in full["sellables"] if s["id"] == gold["id"])

    answers = asyncio.run(run())
    outcomes = Counter(a.status_code for a in answers)
    assert outcomes == {201: 1, 409: 199}
    assert {a.json()["code"] for a in answers if a.status_code == 409} <= {"sold-out", "industry-taken"}
    shown = house.get(f"{EVENT}/{slug}").json()
    after = next(s for s in shown["sellables"] if s["id"] == gold["id"])
    assert after["left"] == 0


def branches():
    """Industries of the second level: none is the rival of another."""
    return [code for code in INDUSTRIES if code % 10_000 and not code % 100]
