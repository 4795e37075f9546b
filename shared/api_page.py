"""What a service tells programmers: its OpenAPI and AsyncAPI documents, and a page that shows them."""

from datetime import date
from functools import lru_cache
from typing import Any

import msgspec
from litestar import Litestar, MediaType, Response, Router, get
from litestar.response import Template

from shared import clock, openapi
from shared.calendar import local_day
from shared.contracts.asyncapi import document
from shared.request import Request
from shared.web import page


@lru_cache(maxsize=8)
def _openapi(app: Litestar, service: str, today: date) -> bytes:
    return msgspec.json.encode(openapi.document(app, service, today))


@get("/openapi.json", include_in_schema=False, sync_to_thread=False)
def show_openapi(request: Request) -> Response[bytes]:
    """The service's own document; its examples are good today."""
    service = request.app.state.kit.service
    body = _openapi(request.app, service, local_day(clock.now()))
    return Response(body, media_type=MediaType.JSON)


@get("/asyncapi.json", include_in_schema=False, sync_to_thread=False)
def show_asyncapi(request: Request) -> dict[str, Any]:
    """The facts that the service sends and receives, as AsyncAPI."""
    kit = request.app.state.kit
    return document(kit.service, kit.consumer.subjects())


@get("/docs", include_in_schema=False, sync_to_thread=False)
def show_page(request: Request) -> Template:
    """The page that shows the document to people: Swagger UI from its installed package, nothing from elsewhere."""
    return page(request, "api_page.html", service=request.app.state.kit.service, theme="light")


def routes(service: str) -> Router:
    """What every service answers to programmers below its API."""
    return Router(f"/api/{service}/v1", route_handlers=[show_openapi, show_asyncapi, show_page])
