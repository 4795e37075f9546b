"""The design system: languages, formats, assets, safe markup and accessibility."""

import asyncio
import json
import re
import string
from datetime import UTC, date, datetime
from http import HTTPStatus
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import OKPKey
from litestar import Litestar, get, post
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import State
from litestar.params import FromPath
from litestar.response import ServerSentEvent, Template
from markupsafe import Markup
from playwright.sync_api import Browser

from shared.contracts import SERVICES
from shared.http import problem
from shared.request import Request
from shared.settings import Settings
from shared.web import component_routes, page, static, static_router, template_config, translate, translate_n
from shared.web.assets import assets
from shared.web.doors import NAVIGATION
from shared.web.formats import day as show_day
from shared.web.formats import in_words, moment, money, number, percent
from shared.web.problems import REASONS, WAYS, explain
from shared.web.words import ROOT, folders, missing_in, read_english
from tests.shared.browser import DESKTOP, PHONE, accessible, served

# What the content security policy would block, and what would hide from a search for it.
INLINE = re.compile(
    r"<script(?![^>]*\ssrc=)(?![^>]*application/ld\+json)|<style|\sstyle=|<[^>]*\son[a-z]+=|hx-on|javascript:|js:\{",
    re.IGNORECASE,
)
LINK = re.compile(
    r"""(?:href=|action=|link=|ui\.form\()"(/(?!static/)(?:[^"?#{]|\{\{.*?\}\}|\{0[^}]*\})*)[?#"]"""
)
SMALL_TARGETS = """[...document.querySelectorAll(
  ".button:not(.small), .nav a, select, textarea, input:not([type=hidden],[type=radio],[type=checkbox])"
)].filter(e => e.offsetParent && e.getBoundingClientRect().height < 43.5).map(e => e.outerHTML)"""
EVENING_UTC = datetime(2026, 3, 1, 18, 30, tzinfo=UTC)


@get("/form", sync_to_thread=False)
def show_form(request: Request) -> Template:
    return page(request, "form.html", who="<b>An</b>")


@get("/live", sync_to_thread=False)
def tell_live() -> ServerSentEvent:
    return ServerSentEvent(iter([json.dumps({"figure": "<b>42</b>", "bar": "7"})]))


@get("/comforts", sync_to_thread=False)
def show_comforts(request: Request) -> Template:
    return page(request, "comforts.html")


@post("/sent", status_code=200)
async def count_sent(request: Request) -> str:
    request.app.state.sent.append((await request.form())["way"])
    await asyncio.sleep(0.6)  # a slow line, on which people tap again
    return "sent"


COMFORTS = """{% extends "base.html" %}{% block main %}
<h1>Thử</h1><div data-live="/live"><p id="figure">0</p>
<progress id="bar" aria-label="x" value="0" max="10"></progress></div>
{% call ui.form("/sent") %}{{ ui.button("go", name="way", value="go") }}
{{ ui.button("ask", name="way", value="ask", confirm="?") }}{% endcall %}
{{ ui.copy("khóa") }}
{% call ui.dialog("d", "Vì sao", "Mở") %}<p id="inside">trong</p>{% endcall %}{% endblock %}"""


@get("/wrong/{status:int}", sync_to_thread=False)
def show_wrong(request: Request, status: FromPath[int]) -> Template:
    code = request.query_params.get("code", "x")
    return page(request, "error.html", status=status, code=code, sentence="<i>why</i>", status_code=status)


@pytest.fixture
def app(tmp_path: Path) -> Litestar:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "form.html").write_text(
        '{% extends "base.html" %}{% block main %}'
        '{% call ui.form("/form") %}{{ ui.field("a", _("Ghi chú"), error="no") }}{% endcall %}'
        "<p>{{ who }}</p>{% endblock %}",
        encoding="utf-8",
    )
    (tmp_path / "templates" / "comforts.html").write_text(COMFORTS, encoding="utf-8")
    return Litestar(
        [show_form, show_wrong, show_comforts, tell_live, count_sent, static_router(), component_routes()],
        template_config=template_config(tmp_path),
        state=State({"settings": Settings(creatives_url="http://ads.example"), "sent": []}),
        exception_handlers={Exception: problem},
        csrf_config=CSRFConfig(secret="x" * 32, cookie_name="nt_csrf"),
        openapi_config=None,
    )


@pytest.fixture
def client(app: Litestar) -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(app=app), base_url="http://house.test")


def test_money_numbers_and_dates_are_written_as_in_viet_nam():
    assert money(1234567) == "1.234.567\u00a0₫"
    assert money(-5000) == "-5.000\u00a0₫"
    assert number(1234567.25, 1) == "1.234.567,2"
    assert percent(0.1234) == "12,3\u00a0%"
    # Half past six in the evening UTC is already the next day in Viet Nam.
    assert show_day(EVENING_UTC) == "02/03/2026"
    assert moment(EVENING_UTC) == "02/03/2026 01:30"
    assert show_day(date(2026, 3, 1)) == "01/03/2026"
    assert in_words({"lang": "vi"}, 1_200_000) == "Một triệu hai trăm nghìn đồng"
    assert in_words({"lang": "en"}, 1_200_000) == "One million, two hundred thousand đồng"


def test_a_text_is_filled_and_what_is_put_in_is_escaped_once():
    assert translate("en", "Hơn cùng kỳ {share}", share="5 %") == "5 % more than a year ago"
    assert translate("vi", "Hơn cùng kỳ {share}", share="5 %") == "Hơn cùng kỳ 5 %"
    with_link = translate("vi", "Hơn <{share}>", share=Markup("<b>5</b>"))
    assert with_link == "Hơn &lt;<b>5</b>&gt;"
    assert isinstance(with_link, Markup)
    assert translate("en", "chưa ai dịch câu này {n}") == "chưa ai dịch câu này {n}"


def test_english_has_a_plural():
    texts = [translate_n("en", "{n} phút đọc", "{n} phút đọc", n) for n in (1, 2)]
    assert texts == ["1 minute to read", "2 minutes to read"]
    assert translate_n("vi", "{n} phút đọc", "{n} phút đọc", 2) == "2 phút đọc"


async def test_vietnamese_is_the_default_whatever_the_browser_says(client: httpx.AsyncClient):
    answer = await client.get("/desk/components", headers={"accept-language": "en"})
    assert '<html lang="vi"' in answer.text
    assert "Biểu mẫu" in answer.text


async def test_the_english_switch_is_visible_and_remembered(client: httpx.AsyncClient):
    first = await client.get("/desk/components")
    assert re.search(r'href="/desk/components\?lang=en"[^>]*>English', first.text)
    second = await client.get("/desk/components?lang=en")
    assert "Forms" in second.text
    third = await client.get("/desk/components")
    assert '<html lang="en"' in third.text
    assert "Waiting for review" in third.text


async def test_a_language_that_we_do_not_speak_changes_nothing(client: httpx.AsyncClient):
    answer = await client.get("/desk/components?lang=<script>")
    assert '<html lang="vi"' in answer.text
    assert "set-cookie" not in {k for k, v in answer.headers.items() if "lang=" in v}
    assert "<script>" not in answer.text


async def test_the_theme_is_kept_without_a_script(client: httpx.AsyncClient):
    assert 'data-theme="dark"' in (await client.get("/desk/components?theme=dark")).text
    assert 'data-theme="dark"' in (await client.get("/desk/components")).text
    assert "data-theme=" not in (await client.get("/desk/components?theme=auto")).text.split(">")[1]


async def test_a_form_carries_its_token_and_a_new_idempotency_key(client: httpx.AsyncClient):
    first, second = [(await client.get("/form")).text for _ in range(2)]
    keys = [re.search(r'name="_idempotency_key" value="([^"]+)"', text) for text in (first, second)]
    assert keys[0]
    assert keys[1]
    assert keys[0][1] != keys[1][1]
    token = re.search(r'name="_csrf_token" value="([0-9a-f]{32,})"', first)
    assert token is not None
    assert client.cookies["nt_csrf"] == token[1]
    assert "&lt;b&gt;An&lt;/b&gt;" in first
    assert 'aria-invalid="true"' in first


async def test_every_page_forbids_foreign_and_inline_code(client: httpx.AsyncClient):
    headers = (await client.get("/form")).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'self'; img-src 'self' data: http://ads.example; ")
    assert "unsafe" not in policy
    assert headers["cache-control"] == "private, no-cache"


@pytest.mark.parametrize("status", [s.value for s in HTTPStatus if s.value >= 400])
async def test_an_error_page_says_what_happened_and_what_to_do(client: httpx.AsyncClient, status: int):
    answer = await client.get(f"/wrong/{status}")
    what, todo = explain(status)
    assert answer.status_code == status
    assert f"<h1>{what}</h1>" in answer.text
    assert todo in answer.text
    assert "&lt;i&gt;why&lt;/i&gt;" in (await client.get(f"/wrong/{status}?lang=en")).text


def refusals() -> list[str]:
    """The code of each refusal that a service may answer with."""
    found = [
        re.findall(r"^class (\w+)\(Refused\b", path.read_text(encoding="utf-8"), re.MULTILINE)
        for path in sorted((ROOT / "services").glob("**/*.py"))
    ]
    return sorted(
        {re.sub("([A-Z])", lambda m: "-" + m[1].lower(), name)[1:] for names in found for name in names}
    )


@pytest.mark.parametrize("code", refusals())
def test_every_refusal_has_its_reason_in_vietnamese(code: str):
    assert code in REASONS, "add it to shared/web/problems.py"


async def test_a_refusal_is_explained_in_the_readers_language(client: httpx.AsyncClient):
    vietnamese = (await client.get("/wrong/409?code=sold-out")).text
    assert REASONS["sold-out"] in vietnamese
    english = (await client.get("/wrong/409?code=sold-out&lang=en")).text
    assert REASONS["sold-out"] not in english
    assert "This cannot be done right now" in english


async def test_assets_are_kept_for_a_year_under_the_hash_of_their_content(client: httpx.AsyncClient):
    address = static("nguonthu.css")
    answer = await client.get(address)
    assert answer.headers["content-type"].startswith("text/css")
    assert "immutable" in answer.headers["cache-control"]
    stale = await client.get("/static/nguonthu.css?v=old")
    assert stale.headers["cache-control"] == "no-cache"
    again = await client.get(address, headers={"if-none-match": answer.headers["etag"]})
    assert again.status_code == 304
    assert again.content == b""


@pytest.mark.parametrize("name", ["htmx.js", "swagger/swagger-ui-bundle.js", "swagger/swagger-ui.css"])
async def test_other_peoples_scripts_come_from_their_packages(client: httpx.AsyncClient, name: str):
    answer = await client.get(f"/static/{name}")
    assert len(answer.content) > 40_000
    assert not list(ROOT.glob(f"shared/**/static/{name}"))


@pytest.mark.parametrize("name", ["none.css", "..%2fpage.py", "../page.py", "%2e%2e/page.py", "swagger/"])
async def test_nothing_but_assets_is_served(client: httpx.AsyncClient, name: str):
    assert (await client.get(f"/static/{name}")).status_code == 404


def test_an_unknown_asset_is_a_mistake_found_at_once():
    with pytest.raises(KeyError):
        static("nguonthu.cs")


@pytest.mark.promise("W2")
@pytest.mark.parametrize("folder", folders(), ids=lambda f: str(f.relative_to(ROOT)))
def test_every_text_has_english(folder: Path):
    missing = missing_in(folder)
    name = folder.relative_to(ROOT)
    assert not missing, f"run `python -m shared.web {name}` and fill in locale/en.po: {missing}"


@pytest.mark.parametrize("folder", folders(), ids=lambda f: str(f.relative_to(ROOT)))
def test_english_keeps_the_blanks_of_the_vietnamese(folder: Path):
    for message in read_english(folder):
        if not message.id or not message.string:
            continue
        ids = [message.id] if isinstance(message.id, str) else message.id
        strings = [message.string] if isinstance(message.string, str) else message.string
        blanks = {name for text in ids for _, name, _, _ in string.Formatter().parse(text) if name}
        for text in strings:
            assert {name for _, name, _, _ in string.Formatter().parse(text) if name} == blanks, message.id


def templates() -> list[Path]:
    return [path for folder in folders() for path in sorted((folder / "templates").glob("**/*.html"))]


@pytest.mark.parametrize("path", templates(), ids=lambda p: str(p.relative_to(ROOT)))
def test_no_template_holds_inline_code_or_foreign_addresses(path: Path):
    text = path.read_text(encoding="utf-8")
    found = INLINE.search(text)
    assert found is None, f"the content security policy blocks {found and found[0]!r}"
    assert not re.search(r'(?:src|action|rel="stylesheet" href)="https?://', text)


def test_no_link_of_a_page_leads_nowhere(tmp_path: Path):
    key = OKPKey.generate_key("Ed25519", {"kid": "k"})
    settings = Settings(
        home=tmp_path,
        token_private_key=json.dumps(key.as_dict(private=True)),
        token_public_keys=json.dumps({"keys": [key.as_dict(private=False)]}),
    )
    names = ["demo.app", *(f"services.{name}.app" for name in SERVICES)]
    routes = {route.path for name in names for route in import_module(name).create_app(settings).routes}
    known = [re.compile(re.sub(r"\{[^}]*\}", "[^/]+", route) + "/?") for route in routes]
    # An address that goes on with a value is looked up with a word in its place (`/x/{{ … }}`), or as a
    # beginning where the value is added to it (`"/x/" ~ …`).
    text = "\n".join(path.read_text("utf-8") for path in templates())
    links = {re.sub(r"\{\{.*?\}\}|\{0[^}]*\}", "x", link) for link in LINK.findall(text)}
    links |= {href for group in NAVIGATION.values() for href, _ in group}
    links |= {to.split("?")[0] for _, _, to, _ in WAYS}
    links = {link.replace("/api/x/", f"/api/{name}/") for link in links for name in SERVICES}
    whole = {link for link in links if not any(pattern.fullmatch(link) for pattern in known)}
    dead = {link for link in whole if not (link.endswith("/") and any(r.startswith(link) for r in routes))}
    assert len(links) > 40
    assert not dead


@pytest.mark.parametrize(
    "bad", ["<script>a()</script>", '<p style="x">', "<style>", '<a onclick="x">', '<i hx-on:click="x">']
)
def test_the_search_for_inline_code_finds_it(bad: str):
    assert INLINE.search(bad)


def test_our_scripts_use_no_eval_and_no_markup_from_strings():
    for name, asset in assets().items():
        if name.endswith(".js") and name != "htmx.js" and not name.startswith("swagger/"):
            assert not re.search(rb"\beval\(|new Function|innerHTML|document\.write", asset.body), name


@pytest.mark.browser
class TestInChromium:
    @pytest.mark.promise("W3")
    @pytest.mark.parametrize("scheme", ["light", "dark"])
    @pytest.mark.parametrize("size", [PHONE, DESKTOP], ids=["phone", "desktop"])
    def test_the_parts_are_accessible_in_both_themes_on_phone_and_desktop(
        self, browser: Browser, app: Litestar, scheme: Any, size: Any
    ):
        with served(app) as address:
            tab = browser.new_page(viewport=size, color_scheme=scheme, reduced_motion="reduce")
            said: list[str] = []
            tab.on("console", lambda message: said.append(message.text))
            tab.goto(f"{address}/desk/components")
            accessible(tab)
            assert tab.evaluate("document.documentElement.scrollWidth") <= size["width"]
            small = tab.evaluate(SMALL_TARGETS)
            assert not small
            assert not said, said

    def test_the_keyboard_reaches_the_content_and_the_theme_changes_without_a_reload(
        self, browser: Browser, app: Litestar
    ):
        with served(app) as address:
            tab = browser.new_page(viewport=DESKTOP)
            tab.goto(f"{address}/desk/components")
            tab.keyboard.press("Tab")
            assert tab.evaluate("document.activeElement.className") == "skip"
            tab.keyboard.press("Enter")
            assert tab.evaluate("document.activeElement.id") == "main"
            tab.fill("#memo", "nửa câu")
            tab.click("[data-theme-choice=dark]")
            assert tab.evaluate("document.documentElement.dataset.theme") == "dark"
            assert tab.input_value("#memo") == "nửa câu"

    def test_live_figures_arrive_as_text_and_questions_hold_a_form_back(
        self, browser: Browser, app: Litestar
    ):
        with served(app) as address:
            tab = browser.new_page()
            tab.goto(f"{address}/comforts")
            tab.wait_for_function("document.getElementById('figure').textContent === '<b>42</b>'")
            assert tab.evaluate("document.getElementById('bar').value") == 7
            tab.once("dialog", lambda dialog: dialog.dismiss())
            tab.click("text=ask")
            tab.once("dialog", lambda dialog: dialog.accept())
            tab.click("text=ask")
            tab.wait_for_selector("text=sent")
            assert app.state.sent == ["ask"]

    def test_a_second_tap_does_not_send_a_form_twice(self, browser: Browser, app: Litestar):
        with served(app) as address:
            tab = browser.new_page()
            tab.goto(f"{address}/comforts")
            tab.evaluate(
                "for (const ms of [0, 200, 400]) setTimeout(() => document.querySelector('[value=go]').click(), ms)"
            )
            tab.wait_for_selector("text=sent")
            assert app.state.sent == ["go"]

    def test_everything_works_without_javascript(self, browser: Browser, app: Litestar):
        with served(app) as address:
            tab = browser.new_context(java_script_enabled=False).new_page()
            tab.goto(f"{address}/comforts")
            assert not tab.is_visible("text=Chép")
            assert not tab.is_visible("#inside")
            tab.click("text=Mở")
            assert tab.is_visible("#inside")
            tab.click("text=Đóng")
            tab.click("footer >> text=English")
            assert tab.get_attribute("html", "lang") == "en"
            tab.click("text=Dark")
            assert tab.get_attribute("html", "data-theme") == "dark"
            tab.click("[value=go]")
            assert app.state.sent == ["go"]
