"""The newspaper under test, and a stand-in for the house that answers as it is told."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
from litestar import Litestar

from demo.app import create_app
from shared.settings import Settings
from tests.conftest import Running


@dataclass
class Upstream:
    """A real HTTP server on loopback; what it is asked is kept, what it answers is set by the test."""

    answer: bytes = b"{}"
    status: int = 200
    delay_s: float = 0
    asked: list[tuple[dict[str, str], dict[str, Any]]] = field(default_factory=list)
    port: int = 0

    def says(self, **answer: Any) -> None:
        self.answer = json.dumps({"offers_url": "/subscribe", "device": None, **answer}).encode()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            lines = head.split("\r\n")
            headers = {k.lower(): v for k, _, v in (line.partition(": ") for line in lines[1:] if line)}
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(({"line": lines[0], **headers}, json.loads(body)))
            await asyncio.sleep(self.delay_s)
            writer.write(
                f"HTTP/1.1 {self.status} x\r\ncontent-length: {len(self.answer)}\r\nconnection: close\r\n\r\n".encode()
                + self.answer
            )
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the newspaper gave up waiting, which is what some tests are about
        finally:
            writer.close()


@pytest.fixture
async def upstream() -> AsyncIterator[Upstream]:
    house = Upstream()
    server = await asyncio.start_server(house.serve, "127.0.0.1", 0)
    house.port = server.sockets[0].getsockname()[1]
    yield house
    server.close()


@pytest.fixture
def settings(tmp_path: Path, upstream: Upstream) -> Settings:
    (tmp_path / "demo.json").write_text('{"server_keys": {"bkh": "nt_key"}}', encoding="utf-8")
    return Settings(home=tmp_path, base_url=f"http://127.0.0.1:{upstream.port}")


@pytest.fixture
def app(settings: Settings) -> Litestar:
    return create_app(settings)


@pytest.fixture
async def client(app: Litestar) -> AsyncIterator[httpx.AsyncClient]:
    running = Running(app)
    await running.started()
    transport = httpx.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://paper.test") as client:
        yield client
    await running.stop()
