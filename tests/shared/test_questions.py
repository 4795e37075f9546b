"""A page keeps the question that was asked of it: which tab, which day, whose agency, and that a person asks."""

import json
from importlib import import_module
from pathlib import Path
from typing import Any

import httpx
import pytest
from joserfc.jwk import OKPKey
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.response import Template

from shared.auth import Principal, Right
from shared.contracts import SERVICES
from shared.contracts.roles import Role
from shared.http import wants_html
from shared.request import Request
from shared.settings import Settings
from shared.web import page, static_router, template_config
from shared.web.doors import DOORS, NAVIGATION
from shared.web.page import menu_of


@get("/finance/entries", sync_to_thread=False)
def show_tabs(request: Request) -> Template:
    return page(request, "tabs.html", current="/finance/entries?agency=bkh", nav=NAVIGATION["finance"])


async def test_a_page_that_says_which_tab_is_current_is_not_overruled(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "tabs.html").write_text(
        '{% extends "base.html" %}{% block main %}<p id="tab">{{ current }}</p>{% endblock %}',
        encoding="utf-8",
    )
    app = Litestar(
        [show_tabs, static_router()],
        template_config=template_config(tmp_path),
        state=State({"settings": Settings()}),
        openapi_config=None,
    )
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=app), base_url="http://house.test"
    ) as client:
        shown = (await client.get("/finance/entries?agency=bkh&on=2026-11-10")).text
    assert '<p id="tab">/finance/entries?agency=bkh</p>' in shown
    assert '<a href="/finance" aria-current="true">' in shown
    # Switching the language and signing in come back to the same question.
    assert "/finance/entries?agency=bkh&amp;on=2026-11-10&amp;lang=en" in shown
    assert "next=/finance/entries%3Fagency%3Dbkh%26on%3D2026-11-10" in shown


@pytest.mark.parametrize(
    ("path", "accept", "is_page"),
    [
        ("/finance", "*/*", True),
        ("/finance", "", True),
        ("/finance", "application/json", False),
        ("/api/ads/v1/orders", "text/html", False),
        ("/gateway/vnpay/ipn", "*/*", False),
        ("/gateway/vnpay/return", "text/html", True),
        ("/health/ready", "*/*", False),
    ],
)
def test_whatever_is_not_a_programs_address_is_a_page_unless_json_is_asked_for(
    path: str, accept: str, is_page: Any
) -> None:
    scope = {"type": "http", "path": path, "raw_path": path.encode(), "method": "GET", "query_string": b""}
    request: Request = Request({**scope, "headers": [(b"accept", accept.encode())]})  # type: ignore[typeddict-item]
    assert wants_html(request) is is_page


def test_a_menu_knows_each_door_of_staff_by_the_right_that_guards_it(tmp_path: Path) -> None:
    key = OKPKey.generate_key("Ed25519", {"kid": "k"})
    settings = Settings(
        home=tmp_path,
        token_private_key=json.dumps(key.as_dict(private=True)),
        token_public_keys=json.dumps({"keys": [key.as_dict(private=False)]}),
    )
    guards: dict[str, Right] = {}
    for name in SERVICES:
        for route in import_module(f"services.{name}.app").create_app(settings).routes:
            if route.path in DOORS:
                (handler,) = {h for h in route.route_handlers if "GET" in h.http_methods}
                (guards[route.path],) = (g for g in handler.guards if isinstance(g, Right))
    assert guards == DOORS


@pytest.mark.parametrize(
    ("roles", "doors"),
    [
        ({"bkh": ["ad_ops"]}, {"/desk", "/desk/ads", "/desk/find"}),
        ({"bkh": ["finance"]}, {"/desk", "/desk/subscriptions", "/desk/payments", "/desk/find"}),
        # Who may open none of them is shown the way back to the newspaper.
        ({}, {"/", "/subscribe", "/events", "/advertise"}),
    ],
)
def test_a_menu_shows_no_door_that_would_stay_shut(roles: dict[str, list[Role]], doors: set[str]) -> None:
    person = Principal(kind="person", roles=roles)
    assert {href for href, _ in menu_of(person, "/desk")} - {"/account"} == doors
