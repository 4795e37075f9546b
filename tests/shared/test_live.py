"""Live pages are streams, and nobody may hold any number of them, nor for ever."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from uuid import UUID

import httpx
import pytest
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.params import FromQuery
from litestar.response import ServerSentEvent
from litestar.types import ASGIApp, Receive, Scope, Send

from shared import clock, live
from shared.auth import Principal
from shared.request import Request
from shared.service import problem_of
from tests.shared.browser import served


@get("/api/ads/v1/live")
async def watch(request: Request, lasts_s: FromQuery[float] = 30) -> ServerSentEvent:
    async def looks() -> AsyncIterator[str]:
        async for _ in live.ticks(0.05, lasts_s):
            yield "still here"

    return live.stream(request, looks())


def by_name(app: ASGIApp) -> ASGIApp:
    """Take a header's word for who asks, as the service takes a token's."""

    async def named(scope: Scope, receive: Receive, send: Send) -> None:
        if person := dict(scope.get("headers", ())).get(b"x-person"):
            scope["user"] = Principal(kind="person", id=UUID(person.decode()))
        await app(scope, receive, send)

    return named


@pytest.fixture
def app() -> Litestar:
    state = State({"streams": Counter()})
    handlers = {Exception: problem_of}
    return Litestar(
        [watch],
        state=state,
        middleware=[by_name],
        exception_handlers=handlers,
        logging_config=None,
        openapi_config=None,
    )


@pytest.fixture
def client(app: Litestar) -> Iterator[httpx.Client]:
    with served(app) as address, httpx.Client(base_url=address, timeout=10, trust_env=False) as made:
        yield made


def opened(
    streams: ExitStack, client: httpx.Client, count: int, address: str = "10.0.0.1", **headers: str
) -> None:
    """Open streams and read a line of each; one whose lines nobody holds any more is closed by the client."""
    for _ in range(count):
        answer = streams.enter_context(
            client.stream("GET", "/api/ads/v1/live", headers={"X-Forwarded-For": address, **headers})
        )
        lines = streams.enter_context(closing(answer.iter_lines()))
        assert next(lines).startswith("data: still here")


def until_closed(app: Litestar) -> None:
    for _ in range(200):
        if not app.state.streams:
            return
        time.sleep(0.02)
    pytest.fail(f"still counted: {app.state.streams}")


@pytest.mark.promise("F5")
def test_one_caller_has_so_many_streams_and_a_closed_one_makes_room(app, client, monkeypatch):
    monkeypatch.setattr(live, "MOST_ADDRESS", 2)
    with ExitStack() as streams:
        opened(streams, client, 2)
        refused = client.get("/api/ads/v1/live", headers={"X-Forwarded-For": "10.0.0.1"})
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many")
        assert int(refused.headers["retry-after"]) == live.COME_BACK_S
        opened(streams, client, 1, "10.0.0.2")
    until_closed(app)
    with ExitStack() as streams:
        opened(streams, client, 2)


@pytest.mark.promise("F5")
def test_who_is_signed_in_has_so_many_streams_of_their_own_wherever_they_are(app, client, monkeypatch):
    monkeypatch.setattr(live, "MOST_EACH", 2)
    monkeypatch.setattr(live, "MOST_ADDRESS", 1)
    mine, other = ({"X-Person": str(clock.new_id())} for _ in "ab")
    with ExitStack() as streams:
        opened(streams, client, 1)
        opened(streams, client, 1, **mine)
        opened(streams, client, 1, "10.0.0.2", **mine)
        refused = client.get("/api/ads/v1/live", headers={"X-Forwarded-For": "10.0.0.3", **mine})
        assert (refused.status_code, refused.json()["code"]) == (429, "too-many")
        opened(streams, client, 2, **other)
    until_closed(app)


@pytest.mark.promise("F5")
def test_however_many_addresses_a_stranger_has_some_streams_are_left_for_who_is_signed_in(
    app, client, monkeypatch
):
    monkeypatch.setattr(live, "MOST_ADDRESS", 2)
    monkeypatch.setattr(live, "MOST_STRANGERS", 3)
    with ExitStack() as streams:
        opened(streams, client, 1, "2405:4800:1:2::5")
        opened(streams, client, 1, "2405:4800:1:2::6")
        refused = client.get("/api/ads/v1/live", headers={"X-Forwarded-For": "2405:4800:1:3::7"})
        assert refused.status_code == 429, "one customer of IPv6 has billions of addresses"
        opened(streams, client, 1)
        refused = client.get("/api/ads/v1/live", headers={"X-Forwarded-For": "10.0.0.2"})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        opened(streams, client, 2, **{"X-Person": str(clock.new_id())})
    until_closed(app)


async def test_streams_that_are_asked_for_at_once_are_bounded_where_they_begin():
    async def message() -> AsyncIterator[str]:
        yield "still here"

    counted: Counter[str] = Counter()
    asked = [live._counted(counted, "10.0.0.1", 2, message()) for _ in range(4)]
    begun = [await anext(stream, None) for stream in asked]
    assert begun == ["still here"] * 2 + [None] * 2
    for stream in asked:
        await stream.aclose()
    assert not counted


@pytest.mark.promise("F5")
def test_all_callers_together_have_so_many_streams(app, client, monkeypatch):
    monkeypatch.setattr(live, "MOST", 3)
    with ExitStack() as streams:
        for n in range(3):
            opened(streams, client, 1, f"10.0.0.{n}")
        refused = client.get("/api/ads/v1/live", headers={"X-Forwarded-For": "10.0.0.9"})
        assert (refused.status_code, refused.json()["code"]) == (503, "unavailable")
        assert int(refused.headers["retry-after"]) == live.COME_BACK_S
    until_closed(app)


@pytest.mark.promise("F5")
def test_a_stream_ends_by_itself(app, client):
    started = time.monotonic()
    answer = client.get("/api/ads/v1/live?lasts_s=0.3")
    assert answer.text.count("data: still here") >= 2
    assert time.monotonic() - started < 5
    until_closed(app)
