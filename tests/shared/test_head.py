"""HEAD is GET without a body, on every kind of answer, and nothing is written to the log about it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from litestar import Litestar, get
from litestar.response import ServerSentEvent

from demo.app import create_app
from shared.head import answering_head
from shared.settings import Settings
from shared.web import static
from tests.shared.browser import served

FRONT, ARTICLE = "/", "/bai/ca-ngu-dai-duong-duoc-gia"


@get("/stream")
async def stream() -> ServerSentEvent:
    async def for_ever() -> AsyncIterator[str]:
        while True:
            yield "still here"
            await asyncio.sleep(0.05)

    return ServerSentEvent(for_ever())


@pytest.mark.promise("F5")
def test_a_head_through_a_real_server_is_the_head_of_get_and_leaves_the_log_empty(
    tmp_path: Path, capfd, caplog
):
    paper = create_app(Settings(home=tmp_path))
    with served(paper) as address, httpx.Client(base_url=address, trust_env=False) as client:
        for path in (FRONT, ARTICLE, static("nguonthu.css"), "/rss.xml", "/nothing-here", "/health/live"):
            got, head = client.get(path), client.head(path)
            assert (head.status_code, head.content) == (got.status_code, b""), path
            assert head.headers["content-type"] == got.headers["content-type"], path
            # A nonce or a clock may make the page itself a few bytes longer, never its head shorter.
            assert head.headers["content-length"], path
        assert client.head("/nothing-here").status_code == 404
        assert client.get(FRONT).status_code == 200, "the connection is still good"
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


def test_a_head_of_a_stream_ends_at_once(capfd, caplog):
    app = Litestar([stream], logging_config=None, openapi_config=None)
    app.asgi_handler = answering_head(app.asgi_handler)
    with served(app) as address, httpx.Client(base_url=address, timeout=3, trust_env=False) as client:
        head = client.head("/stream")
        assert (head.status_code, head.content) == (200, b"")
        assert head.headers["content-type"].startswith("text/event-stream")
        assert client.head("/stream").status_code == 200
    assert capfd.readouterr() == ("", "")
    assert caplog.records == []


@pytest.mark.promise("F5")
async def test_a_head_of_the_api_is_that_of_its_get_also_where_it_is_refused(door):
    for path, status in (("things", 200), ("limited", 200), ("listed?x=1", 400), ("nothing-here", 404)):
        got = await door.client.get(f"/api/ads/v1/{path}", headers=door.headers())
        head = await door.client.head(f"/api/ads/v1/{path}", headers=door.headers())
        assert (head.status_code, head.content, got.status_code) == (status, b"", status), path
        assert head.headers["content-length"] == got.headers["content-length"], path
        assert head.headers["content-type"] == got.headers["content-type"], path
