"""The API page as a programmer opens it, in a real browser and under the edge's own policy."""

from typing import Any

import msgspec
import pytest
from litestar import Litestar, Response, get

from shared import api_page, openapi
from shared.embedded.edge import FALLBACK_POLICY
from shared.settings import SERVICES
from shared.web import static_router
from tests.shared.browser import DESKTOP, chromium, served
from tests.shared.test_openapi import TODAY, app_of


def pages() -> Litestar:
    """The API pages of all six services, with no stack behind them."""
    handlers: list[Any] = [static_router()]
    for service in SERVICES:
        text = msgspec.json.encode(openapi.document(app_of(service), service, TODAY))
        handlers += [
            get(f"/api/{service}/v1/docs", sync_to_thread=False, media_type="text/html")(_page(service)),
            get(f"/api/{service}/v1/openapi.json", sync_to_thread=False)(_document(text)),
        ]
    policy = {"Content-Security-Policy": FALLBACK_POLICY.format(creatives="")}
    return Litestar(handlers, response_headers=policy, logging_config=None, openapi_config=None)


def _page(service: str) -> Any:
    def show() -> str:
        return api_page.page(service)

    return show


def _document(text: bytes) -> Any:
    def show() -> Response[bytes]:
        return Response(text, media_type="application/json")

    return show


@pytest.mark.browser
@pytest.mark.promise("F5")
def test_the_page_of_each_service_shows_its_operations_and_no_error():
    with served(pages()) as address, chromium() as browser:
        for service in SERVICES:
            tab = browser.new_page(viewport=DESKTOP)
            said: list[str] = []
            tab.on("console", lambda message, said=said: said.append(message.text))
            tab.on("pageerror", lambda error, said=said: said.append(str(error)))
            asked: list[str] = []
            tab.on("request", lambda request, asked=asked: asked.append(request.url))
            tab.goto(f"{address}/api/{service}/v1/docs")
            tab.wait_for_selector(".opblock")
            document = openapi.document(app_of(service), service, TODAY)
            operations = sum(len(found) for found in document["paths"].values())
            assert tab.locator(".opblock").count() == operations, service
            tab.locator(".opblock-summary").first.click()
            tab.wait_for_selector(".opblock-body .responses-table")
            assert tab.locator(".errors-wrapper").count() == 0, tab.locator(
                ".errors-wrapper"
            ).all_text_contents()
            assert [one for one in said if "Content Security" in one or "rror" in one] == [], (service, said)
            assert all(url.startswith((address, "data:")) for url in asked), asked
            tab.close()
