"""The sample newspaper: its articles, its wall and its weight."""

import base64
import gzip
import json
import re
import time
import xml.etree.ElementTree as ET
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from litestar import Litestar
from playwright.sync_api import Browser

from demo import pictures, queries
from demo.app import create_app
from demo.legal import LEGAL
from demo.queries import Article
from shared.settings import Settings
from shared.web.assets import assets
from tests.demo.conftest import Upstream
from tests.shared.browser import DESKTOP, PHONE, accessible, served

HTML = {"accept": "text/html"}
PREMIUM = next(a for a in queries.articles().values() if a.premium)
FREE = next(a for a in queries.articles().values() if not a.premium)
EVERY = list(queries.articles().values())


def hidden_texts(article: Article) -> list[str]:
    """What nobody without the right may receive: the first paragraph past the teaser, and all others."""
    teaser = article.teaser[0][1].rstrip("…")
    rest_of_first = article.blocks[0][1].removeprefix(teaser).strip()
    return [t for t in (rest_of_first, *(text for _, text in article.blocks[1:])) if t]


async def get(client: httpx.AsyncClient, path: str, **more: Any) -> httpx.Response:
    return await client.get(path, headers=HTML, **more)


def test_there_is_a_newspaper_to_read():
    assert 16 <= len(EVERY) <= 24
    assert {a.section for a in EVERY} == set(queries.SECTIONS)
    for article in EVERY:
        words = sum(len(text.split()) for _, text in article.blocks)
        assert (250 if article.premium else 100) <= words <= 500, (article.slug, words)
        assert article.lead not in article.blocks[0][1]
    assert sum(a.premium for a in EVERY) >= 6


def test_a_file_that_is_no_article_is_refused(tmp_path: Path):
    file = tmp_path / "x.md"
    file.write_text("title: a\nsection: none\n\ntext", encoding="utf-8")
    with pytest.raises(ValueError, match="no section none"):
        queries.read(file)


@pytest.mark.parametrize("article", EVERY, ids=lambda a: a.slug)
def test_each_picture_is_a_drawing_that_never_changes(article: Article):
    drawing = pictures.draw(article.picture, article.slug)
    pictures.draw.cache_clear()
    assert pictures.draw(article.picture, article.slug) == drawing
    root = ET.fromstring(drawing)  # noqa: S314 - our own drawing
    assert root.attrib["viewBox"] == "0 0 1200 675"
    assert len(gzip.compress(drawing.encode())) < 12_000


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/su-kien",
        "/rss.xml",
        "/health/live",
        "/health/ready",
        *(f"/chuyen-muc/{s}" for s in queries.SECTIONS),
        *(f"/legal/{n}" for n in LEGAL),
        *(a.address for a in EVERY),
        *(f"/anh/{a.slug}.svg" for a in EVERY),
    ],
)
async def test_each_page_opens_also_while_the_house_is_away(
    client: httpx.AsyncClient, upstream: Upstream, path: str
):
    upstream.status = 503
    assert (await get(client, path)).status_code == 200


@pytest.mark.parametrize("path", ["/bai/none", "/chuyen-muc/none", "/legal/none", "/anh/none.svg", "/none"])
async def test_what_does_not_exist_is_said_to_readers_on_a_page(client: httpx.AsyncClient, path: str):
    answer = await get(client, path)
    assert answer.status_code == 404
    assert "Không tìm thấy trang này" in answer.text


async def test_links_of_the_front_page_lead_somewhere(client: httpx.AsyncClient):
    text = (await get(client, "/")).text
    links = set(re.findall(r'(?:href|src)="(/[^"#]*)"', text))
    elsewhere = ("/account", "/subscribe", "/advertise", "/events", "/ads.js")
    for link in links:
        if not link.startswith(elsewhere):
            assert (await get(client, unescape(link))).status_code == 200, link


@pytest.mark.parametrize("article", [a for a in EVERY if a.premium], ids=lambda a: a.slug)
@pytest.mark.parametrize("reason", ["wall", "registration", "silence"])
async def test_the_full_text_never_reaches_a_browser_that_may_not_read_it(
    client: httpx.AsyncClient, upstream: Upstream, article: Article, reason: str
):
    if reason == "silence":
        upstream.status = 500
    else:
        upstream.says(allowed=False, reason=reason, remaining=0, limit=3)
    page = unescape((await get(client, article.address)).text)
    feed, front = [unescape((await get(client, path)).text) for path in ("/rss.xml", "/")]
    for text in hidden_texts(article):
        for place in (page, feed, front):
            assert text not in place
    assert article.teaser[0][1] in page


async def test_a_reader_with_the_right_gets_the_whole_article(client: httpx.AsyncClient, upstream: Upstream):
    upstream.says(allowed=True, reason="entitled")
    page = unescape((await get(client, PREMIUM.address)).text)
    for _, text in PREMIUM.blocks:
        assert text in page
    assert 'class="wall"' not in page
    assert 'class="meter"' not in page


async def test_the_wall_names_the_meter_and_the_way_to_a_package(
    client: httpx.AsyncClient, upstream: Upstream
):
    upstream.says(
        allowed=False, reason="wall", remaining=0, limit=3, offers_url=f"/subscribe?next={PREMIUM.address}"
    )
    page = (await get(client, PREMIUM.address)).text
    assert "Bạn đã đọc 3/3 bài miễn phí trong tháng" in page
    assert f'href="/subscribe?next={PREMIUM.address}"' in page
    english = (await get(client, PREMIUM.address + "?lang=en")).text
    assert "You have read 3/3 free articles this month" in english


async def test_the_meter_is_shown_while_free_articles_last(client: httpx.AsyncClient, upstream: Upstream):
    upstream.says(allowed=True, reason="metered", remaining=1, limit=3)
    assert "Bạn còn 1 trong 3 bài miễn phí của tháng này." in (await get(client, PREMIUM.address)).text
    upstream.says(allowed=True, reason="metered", remaining=0, limit=3)
    assert "bài miễn phí cuối cùng" in (await get(client, PREMIUM.address)).text


@pytest.mark.parametrize(
    "foreign", ["https://evil.example/", "//evil.example", "javascript:alert(1)", "/\\evil.example"]
)
async def test_an_offer_elsewhere_is_not_followed(
    client: httpx.AsyncClient, upstream: Upstream, foreign: str
):
    upstream.says(allowed=False, reason="wall", remaining=0, limit=3, offers_url=foreign)
    page = (await get(client, PREMIUM.address)).text
    assert "evil" not in page
    assert "alert" not in page


async def test_the_question_names_article_reader_and_device(client: httpx.AsyncClient, upstream: Upstream):
    upstream.says(allowed=True, reason="metered", remaining=2, limit=3, device="signed.device")
    first = await get(client, PREMIUM.address)
    headers, body = upstream.asked[0]
    assert headers["line"].startswith("POST /api/subscriptions/v1/access ")
    assert headers["authorization"] == "Bearer nt_key"
    assert body == {
        "agency": "bkh",
        "article": PREMIUM.slug,
        "section": PREMIUM.section,
        "premium": True,
        "device": None,
        "person_token": None,
    }
    cookie = first.headers["set-cookie"].lower()
    assert cookie.startswith("nt_meter=signed.device")
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    client.cookies.set("nt_token", "page.token")
    await get(client, PREMIUM.address)
    assert upstream.asked[1][1]["device"] == "signed.device"
    assert upstream.asked[1][1]["person_token"] == "page.token"


def page_token(exp: float | str) -> str:
    body = base64.urlsafe_b64encode(json.dumps({"exp": exp}).encode()).decode().rstrip("=")
    return f"e30.{body}.c2ln"


async def test_a_reader_whose_token_grew_old_is_signed_in_again_unasked(
    client: httpx.AsyncClient, upstream: Upstream
):
    client.cookies.set("nt_token", page_token(time.time() - 60))
    upstream.says(allowed=False, reason="wall", remaining=0, limit=3)
    answer = await get(client, PREMIUM.address)
    assert answer.status_code == 303
    assert answer.headers["location"] == f"/account/renew?optional=1&next={quote(PREMIUM.address, safe='')}"
    # Whoever may read is not sent around.
    upstream.says(allowed=True, reason="entitled")
    assert (await get(client, PREMIUM.address)).status_code == 200


@pytest.mark.parametrize(
    "token", [page_token(time.time() + 86_400), page_token("soon"), "x", "a.b.c", "é..", ".W10."]
)
async def test_a_reader_with_a_fresh_or_foreign_token_meets_the_wall_and_no_circle(
    client: httpx.AsyncClient, upstream: Upstream, token: str
):
    upstream.says(allowed=False, reason="wall", remaining=0, limit=3)
    answer = await client.get(PREMIUM.address, headers={**HTML, "cookie": f"nt_token={token}".encode()})
    assert answer.status_code == 200
    assert 'class="wall"' in answer.text


async def test_a_slow_house_costs_a_reader_no_more_than_the_time_out(
    client: httpx.AsyncClient, upstream: Upstream
):
    upstream.says(allowed=True, reason="entitled")
    upstream.delay_s = 5
    await get(client, "/")  # templates are compiled on first use
    started = time.perf_counter()
    free = unescape((await get(client, FREE.address)).text)
    premium = unescape((await get(client, PREMIUM.address)).text)
    assert time.perf_counter() - started < 2 * 0.15 + 0.4
    assert FREE.blocks[-1][1] in free
    assert PREMIUM.blocks[-1][1] not in premium
    assert "Chưa kiểm tra được gói đọc của bạn" in premium


@pytest.mark.parametrize(
    ("status", "answer"),
    [
        (200, b"<html>"),
        (200, b'{"allowed": "yes", "reason": "free"}'),
        (401, b"{}"),
        (500, b""),
        (200, b'{"allowed": true}'),
    ],
)
async def test_an_answer_that_is_none_falls_back(
    client: httpx.AsyncClient, upstream: Upstream, status: int, answer: bytes
):
    upstream.status, upstream.answer = status, answer
    assert PREMIUM.blocks[-1][1] not in unescape((await get(client, PREMIUM.address)).text)
    assert FREE.blocks[-1][1] in unescape((await get(client, FREE.address)).text)


async def test_the_policy_may_open_premium_articles_while_there_is_no_answer(
    client: httpx.AsyncClient, upstream: Upstream, settings: Settings
):
    upstream.status = 503
    config = {"server_keys": {"bkh": "nt_key"}, "without_answer": "full"}
    (settings.home / "demo.json").write_text(json.dumps(config), encoding="utf-8")
    assert PREMIUM.blocks[-1][1] in unescape((await get(client, PREMIUM.address)).text)


@pytest.mark.parametrize("config", [None, "{", '{"server_keys": 5}', "{}"])
async def test_without_a_key_nobody_is_asked_and_the_fallback_holds(
    client: httpx.AsyncClient, upstream: Upstream, settings: Settings, config: str | None
):
    file = settings.home / "demo.json"
    if config is None:
        file.unlink()
    else:
        file.write_text(config, encoding="utf-8")
    assert PREMIUM.blocks[-1][1] not in unescape((await get(client, PREMIUM.address)).text)
    assert FREE.blocks[-1][1] in unescape((await get(client, FREE.address)).text)
    assert upstream.asked == []


async def test_search_engines_are_told_what_is_not_free(client: httpx.AsyncClient, upstream: Upstream):
    upstream.says(allowed=True, reason="entitled")
    for article in (PREMIUM, FREE):
        page = (await get(client, article.address)).text
        found = re.search(r'<script type="application/ld\+json">(.*?)</script>', page, re.DOTALL)
        assert found
        data = json.loads(found[1])
        assert data["isAccessibleForFree"] is not article.premium
        assert ("hasPart" in data) is article.premium
        if article.premium:
            assert data["hasPart"]["cssSelector"] == ".paywalled"
            assert "body paywalled" in page


async def test_the_feed_is_well_formed_and_complete(client: httpx.AsyncClient):
    answer = await get(client, "/rss.xml")
    assert answer.headers["content-type"].startswith("application/rss+xml")
    items = ET.fromstring(answer.content).findall("channel/item")  # noqa: S314 - our own feed
    assert len(items) == len(EVERY)
    assert items[0].findtext("title") == EVERY[0].title


@pytest.mark.parametrize("path", ["/", PREMIUM.address, "/chuyen-muc/du-lich"])
async def test_pages_are_light_enough_for_a_slow_phone(
    client: httpx.AsyncClient, upstream: Upstream, path: str
):
    upstream.says(allowed=True, reason="entitled")
    page = (await get(client, path)).text
    names = re.findall(r'(?:href|src)="/static/([^?"]+\.(?:css|js))\?', page)
    assert "nguonthu.css" in names
    weight = len(gzip.compress(page.encode())) + sum(len(gzip.compress(assets()[n].body)) for n in names)
    assert weight <= 100_000


async def test_ads_have_reserved_places(client: httpx.AsyncClient, upstream: Upstream):
    upstream.says(allowed=True, reason="entitled")
    places = {
        "/": {("home-top", "970", "250")},
        "/chuyen-muc/du-lich": {("section-top", "728", "90")},
        PREMIUM.address: {("article-mid", "300", "250"), ("article-bottom", "728", "90")},
    }
    slot = re.compile(
        r'<div class="ad-slot" data-nguonthu-ad data-placement="([^"]+)" data-width="(\d+)" data-height="(\d+)"></div>'
    )
    for path, wanted in places.items():
        page = (await get(client, path)).text
        assert set(slot.findall(page)) == wanted
        assert re.search(
            r'<script src="/ads.js" async data-agency="bkh" data-section="[a-z-]*"></script>', page
        )
        assert ">Quảng cáo</p>" in page


ADS = """setTimeout(() => document.querySelectorAll("[data-nguonthu-ad]").forEach((slot) => {
  const picture = new Image(2000, 2000);
  picture.alt = "";
  picture.src = "data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=";
  slot.append(picture);
}), 50);"""
SHIFT = """new Promise((done) => {
  let sum = 0;
  new PerformanceObserver((list) => { for (const e of list.getEntries()) sum += e.value; })
    .observe({type: "layout-shift", buffered: true});
  setTimeout(() => done(sum), 200);
})"""


@pytest.mark.browser
class TestInChromium:
    @pytest.mark.promise("W4")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    def test_the_paper_is_accessible_and_stands_still_when_ads_arrive(
        self, browser: Browser, tmp_path: Path, scheme: Any, size: Any
    ):
        app: Litestar = create_app(Settings(home=tmp_path, base_url="http://127.0.0.1:9"))
        with served(app) as address:
            tab = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
            tab.route("**/ads.js", lambda route: route.fulfill(content_type="text/javascript", body=ADS))
            for path in ("/", PREMIUM.address, FREE.address, "/chuyen-muc/van-hoa", "/su-kien"):
                tab.goto(address + path)
                tab.wait_for_selector(".ad-slot img", state="attached") if path != "/su-kien" else None
                assert tab.evaluate(SHIFT) == 0
                assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
                accessible(tab)
