"""V8, V9 and V10: how fast pages come and the house stands again, what it takes in memory, and at rest."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from bench.report import Row, figure
from ops.embedded import Stack
from shared import auth, clock, links
from tests.shared.homes import a_folder
from tests.shared.keeper import at_work_in

REST_S = 60
SETTLE_S = 20
VIEWERS = 12


def _command(home: Path, *words: str) -> None:
    environ = {**os.environ, "NGUONTHU_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "ops.cli", *words], env=environ, check=True, timeout=900)


async def second_start(short: bool) -> list[Row]:
    """V9: `nguonthu up` in a home that has been up before, from the command to “the house stands”."""
    took = []
    with a_folder() as home:
        _command(home, "up", "--detach", "--no-demo")
        _command(home, "down")
        for _ in range(1 if short else 3):
            started = time.perf_counter()
            _command(home, "up", "--detach", "--no-demo")
            took.append(time.perf_counter() - started)
            _command(home, "down")
    return [figure("V9", "second `make up`", took, "s", 10)]


async def lived_in(short: bool) -> list[Row]:
    """V8 and V10: pages of a house with demo data; then the same house at rest.

    Half an hour of use is what V10 asks for; here it is used for as long as V8 takes, which the row says.
    """
    with a_folder() as home:
        try:
            _command(home, "up", "--detach")
            began = time.monotonic()
            rows = await _pages(home, 20 if short else 200)
            minutes = (time.monotonic() - began) / 60
            await asyncio.sleep(SETTLE_S)
            rows += _at_rest(home, 15 if short else REST_S, minutes)
        finally:
            _command(home, "down")
    return rows


def _at_rest(home: Path, seconds: float, minutes: float) -> list[Row]:
    """Proportional set size of every process of the house, one worker each, and what all use of a core."""
    before = _used_s(home)
    time.sleep(seconds)
    busy = 100 * (_used_s(home) - before) / seconds
    total = sum(memory.pss for memory in _each(home, lambda process: process.memory_full_info())) / 1e9
    what = f"whole house with demo data after {minutes:.0f} minutes of use"
    return [
        figure("V10", f"{what}, sum of PSS", [total], "GB", 1.0),
        figure("V10b", f"{what}, at rest over {seconds:.0f} s", [busy], "% of a core", 5),
    ]


def _used_s(home: Path) -> float:
    """Seconds of processor that a house has used; what has ended since is counted by the parent that waited for it."""
    return sum(
        times.user + times.system + times.children_user + times.children_system
        for times in _each(home, lambda process: process.cpu_times())
    )


def _each(home: Path, of: Callable[[psutil.Process], Any]) -> Iterator[Any]:
    """What each process of a house says; PostgreSQL's own come and go."""
    for process in at_work_in(home).values():
        with suppress(psutil.NoSuchProcess):
            yield of(process)


@asynccontextmanager
async def _visitor(base_url: str, cookie: str = "") -> AsyncIterator[httpx.AsyncClient]:
    headers = {"accept": "text/html", "accept-encoding": "identity"} | ({"cookie": cookie} if cookie else {})
    async with httpx.AsyncClient(base_url=base_url, headers=headers, timeout=30, trust_env=False) as client:
        yield client


async def _pages(home: Path, times: int) -> list[Row]:
    """V8: each page some times, one request after another, through the edge as a browser has it."""
    stack = Stack(home, say=lambda *_: None)
    settings = stack.settings("accounts")
    signer = auth.Signer(settings)
    person = auth.Principal(kind="person", id=clock.new_id(), roles={"bkh": ["finance"]})
    base_url = json.loads((home / "run.json").read_text(encoding="utf-8"))["address"]
    async with _visitor(base_url, f"{auth.PAGE_COOKIE}={signer.page_token(person)}") as client:
        pages = {
            "article": await _first_link(client, "/", "/bai/"),
            "packages": "/subscribe",
            "checkout": await _first_link(client, "/subscribe?agency=bkh", "/subscribe/"),
            "pay": _pay_link(stack),
            "growth": "/finance",
        }
        rows = [await _p95(client, name, path, times) for name, path in pages.items()]
        rows += await _cold_charts(client)
    return rows


async def _first_link(client: httpx.AsyncClient, page: str, start: str) -> str:
    """The first link of a page that begins so."""
    text = (await client.get(page)).text
    at = text.index(f'href="{start}') + 6
    return text[at : text.index('"', at)].replace("&amp;", "&")


def _pay_link(stack: Stack) -> str:
    """The link of an invoice that waits for its money, as payments itself signs it."""
    with psycopg.connect(stack.admin_url("payments")) as database:
        found = database.execute("SELECT id, agency FROM invoice ORDER BY id DESC LIMIT 1").fetchone()
    assert found, "the demo opened no invoice"
    invoice, agency = found
    # The page shows the invoice's own amount; the link's is for an invoice that has not arrived yet.
    return links.signed(stack.settings("payments"), f"/pay/{invoice}", 3600, agency=agency, amount=0)


async def _p95(client: httpx.AsyncClient, name: str, path: str, times: int) -> Row:
    took = []
    for _ in range(times + 3):
        started = time.perf_counter()
        answer = await client.get(path)
        took.append(1000 * (time.perf_counter() - started))
        assert answer.status_code == 200, (path, answer.status_code)
    return figure("V8", f"page: {name}, p95", [sorted(took[3:])[int(0.95 * times)]], "ms", 50)


async def _cold_charts(client: httpx.AsyncClient) -> list[Row]:
    """Twelve viewers ask at once for charts that nobody has drawn, each for another; meanwhile one reads on."""
    pages, charts = [], []

    async def timed(path: str, into: list[float]) -> None:
        started = time.perf_counter()
        answer = await client.get(path)
        assert answer.status_code == 200, (path, answer.status_code)
        into.append(1000 * (time.perf_counter() - started))

    async def reader() -> None:
        while len(charts) < VIEWERS:
            await timed("/finance", pages)

    await asyncio.gather(
        reader(),
        *(timed(f"/finance/charts/growth.svg?on=2026-10-{n + 1:02}", charts) for n in range(VIEWERS)),
    )
    beside = sorted(pages)[int(0.95 * len(pages))]
    return [
        figure("V8", f"page: growth, while {VIEWERS} cold charts are drawn, p95", [beside], "ms", 50),
        figure("V8b", f"{VIEWERS} cold charts asked for at once, the slowest", [max(charts)], "ms", None),
    ]
