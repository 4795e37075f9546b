"""Live pages are streams, and nobody may hold any number of them, nor for ever."""

import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, closing
from typing import Any

import httpx
import pytest
from litestar import Litestar, Request, get
from litestar.datastructures import State
from litestar.params import FromQuery
from litestar.response import ServerSentEvent

from shared import live
from shared.service import problem_of
from tests.shared.browser import served


@get("/api/ads/v1/live")
async def watch(request: Request[Any, Any, Any], lasts_s: FromQuery[float] = 30) -> ServerSentEvent:
    async def looks() -> AsyncIterator[str]:
        async for _ in live.ticks(0.05, lasts_s):
            yield "still here"

    return live.stream(request, looks())


@pytest.fixture
def app() -> Litestar:
    state = State({"streams": Counter()})
    handlers = {Exception: problem_of}
    return Litestar(
        [watch], state=state, exception_handlers=handlers, logging_config=None, openapi_config=None
    )


@pytest.fixture
def client(app: Litestar) -> Iterator[httpx.Client]:
    with served(app) as address, httpx.Client(base_url=address, timeout=10, trust_env=False) as made:
        yield made


def opened(streams: ExitStack, client: httpx.Client, count: int, address: str = "10.0.0.1") -> None:
    """Open streams and read a line of each; one whose lines nobody holds any more is closed by the client."""
    for _ in range(count):
        answer = streams.enter_context(
            client.stream("GET", "/api/ads/v1/live", headers={"X-Forwarded-For": address})
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
