"""The API page as a programmer opens it, in a real browser and under the edge's own policy."""

from types import SimpleNamespace
from typing import Any

import msgspec
import pytest
from litestar import Litestar, Response, Router, get
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import State
from playwright.sync_api import Browser

from ops.embedded.edge import FALLBACK_POLICY
from shared import api_page, openapi
from shared.contracts import SERVICES
from shared.settings import Settings
from shared.web import static_router, template_config
from shared.web.words import ROOT
from tests.shared.browser import PHONE, served
from tests.shared.test_openapi import TODAY, app_of


def pages(service: str) -> Litestar:
    """The API page of a service, with no stack behind it."""
    text = msgspec.json.encode(openapi.document(app_of(service), service, TODAY))
    document = get(f"/api/{service}/v1/openapi.json", sync_to_thread=False)(_document(text))
    shown = Router(f"/api/{service}/v1", route_handlers=[api_page.show_page])
    return Litestar(
        [static_router(), shown, document],
        template_config=template_config(ROOT / "services" / service),
        csrf_config=CSRFConfig(secret="x" * 32),
        state=State({"settings": Settings(), "kit": SimpleNamespace(service=service)}),
        response_headers={"Content-Security-Policy": FALLBACK_POLICY.format(creatives="")},
        logging_config=None,
        openapi_config=None,
    )


def _document(text: bytes) -> Any:
    def show() -> Response[bytes]:
        return Response(text, media_type="application/json")

    return show


@pytest.mark.browser
class TestInChromium:
    @pytest.mark.promise("F5")
    @pytest.mark.parametrize("service", SERVICES)
    def test_the_page_of_each_service_shows_its_operations_and_no_error(self, browser: Browser, service: str):
        with served(pages(service)) as address:
            tab = browser.new_page(viewport=PHONE, color_scheme="dark")
            said: list[str] = []
            tab.on("console", lambda message: said.append(message.text))
            tab.on("pageerror", lambda error: said.append(str(error)))
            asked: list[str] = []
            tab.on("request", lambda request: asked.append(request.url))
            tab.goto(f"{address}/api/{service}/v1/docs")
            tab.wait_for_selector(".opblock")
            document = openapi.document(app_of(service), service, TODAY)
            operations = sum(len(found) for found in document["paths"].values())
            assert tab.locator(".opblock").count() == operations
            tab.locator(".opblock-summary").first.click()
            tab.wait_for_selector(".opblock-body .responses-table")
            assert tab.locator(".errors-wrapper").count() == 0, tab.locator(
                ".errors-wrapper"
            ).all_text_contents()
            assert [one for one in said if "Content Security" in one or "rror" in one] == [], said
            assert all(url.startswith((address, "data:")) for url in asked), asked
            assert tab.locator('a[href="/docs"]').inner_text() == "Dành cho lập trình viên"
            assert tab.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
