"""However many look, who buys gets in; and however many buy, who looks gets in too."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import import_module
from typing import Any
from uuid import uuid4

import httpx
import pytest

from shared.contracts import SERVICES
from shared.db import for_money
from shared.gate import Gate, buying
from shared.settings import MONEY_CONNECTIONS
from tests.conftest import Flat, Flats
from tests.events import an_event, stock
from tests.events.test_api import bearer

pytestmark = pytest.mark.promise("T8")

REGISTRATIONS = "/api/events/v1/registrations"

BUYS = {
    "ads": {
        "/advertise/new",
        "/advertise/orders/{order_id:uuid}/submit",
        "/api/ads/v1/orders",
        "/api/ads/v1/orders/{order_id:uuid}/submit",
    },
    "subscriptions": {"/subscribe/{package:uuid}"},
    "events": {
        "/events/{slug:str}/register",
        "/events/{slug:str}/sponsor/{package:uuid}",
        REGISTRATIONS,
        "/api/events/v1/sponsorships",
    },
}
"""Where purchases begin, by their seller."""


@pytest.mark.parametrize("service", SERVICES)
def test_where_a_purchase_begins_there_is_room_as_where_it_is_paid(flats: Flats, service: str) -> None:
    app = import_module(f"services.{service}.app").create_app(flats.settings(service))
    assert set(buying(app)) == BUYS.get(service, set())
    gate = Gate(1, buying(app))
    for address in BUYS.get(service, ()):
        asked = address.replace("{slug:str}", "chạy-đêm").replace("{order_id:uuid}", str(uuid4()))
        asked = asked.replace("{package:uuid}", str(uuid4()))
        assert gate.room_of("POST", asked) is gate.money, asked
        assert gate.room_of("GET", asked) is gate.crowd, asked
        for beside in (f"{asked}/creatives", f"/desk{asked}"):
            assert gate.room_of("POST", beside) is gate.crowd, beside


@asynccontextmanager
async def taken(flat: Flat, count: int, *, money: bool) -> AsyncIterator[None]:
    """All of one kind of connections to the database are taken."""
    for_money.set(money)
    async with AsyncExitStack() as held:
        for _ in range(count):
            tx = await held.enter_async_context(flat.kit.database.web_tx(["bkh"]))
            await tx.connection()
        for_money.set(False)
        yield


async def sent_away(flat: Flat, method: str, path: str, **given: Any) -> httpx.Response:
    """Ask until the room is full of those who were there before."""
    for _ in range(200):
        answer = await flat.client.request(method, path, **given)
        if answer.status_code == 503:
            return answer
    raise AssertionError(f"{method} {path} was never refused.")


@pytest.fixture
async def race(flats: Flats) -> tuple[Flat, dict[str, Any]]:
    """A run that is on sale at a house of two rooms of two places; and what a runner sends."""
    flat = await flats.start("events", requests_at_once=2, web_connections=1)
    await an_event(flat)
    ticket = (await stock(flat))["5 km"]["id"]
    return flat, {"event": "night-run", "entries": [{"name": "An", "ticket": str(ticket)}]}


async def test_a_crowd_that_fills_its_room_and_holds_its_connections_stops_no_purchase(
    flats: Flats, race: tuple[Flat, dict[str, Any]]
) -> None:
    flat, wanted = race
    async with taken(flat, 1, money=False):
        crowd = [asyncio.create_task(flat.client.get("/api/events/v1/events")) for _ in range(2)]
        await asyncio.sleep(0)
        refused = await sent_away(flat, "GET", "/api/events/v1/events")
        assert refused.headers["retry-after"] == "1"
        bought = await flat.client.post(REGISTRATIONS, json=wanted, headers=bearer(flats.token(id=uuid4())))
        assert bought.status_code == 201, bought.text
        assert not any(one.done() for one in crowd), "they wait all the while"
    assert [one.status_code for one in await asyncio.gather(*crowd)] == [200, 200]


async def test_buyers_who_fill_their_room_are_told_to_come_again_and_stop_nobody_else(
    flats: Flats, race: tuple[Flat, dict[str, Any]]
) -> None:
    flat, wanted = race

    async def buy() -> httpx.Response:
        return await flat.client.post(REGISTRATIONS, json=wanted, headers=bearer(flats.token(id=uuid4())))

    async with taken(flat, MONEY_CONNECTIONS, money=True):
        buyers = [asyncio.create_task(buy()) for _ in range(2)]
        await asyncio.sleep(0)
        me = bearer(flats.token(id=uuid4()))
        refused = await sent_away(flat, "POST", REGISTRATIONS, json=wanted, headers=me)
        assert refused.headers["retry-after"] == "1"
        assert (await flat.client.get("/api/events/v1/events")).status_code == 200
        assert (await flat.client.get("/health/ready")).status_code == 200
    assert [one.status_code for one in await asyncio.gather(*buyers)] == [201, 201]
