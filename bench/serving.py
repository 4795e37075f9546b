"""V1, V3 and V4: what readers' pages ask, beside the plainest handler on the same server, one core each."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from bench import load
from bench.report import Row
from bench.served import PLACES, SECTIONS, expires
from shared import auth, clock
from shared.embedded import Stack
from shared.migrate import migrate

PAIRS = 5
SECONDS = 3.0
CONNECTIONS = 16
VISITORS = 5_000


@contextlib.contextmanager
def stack() -> Iterator[Stack]:
    """PostgreSQL, NATS and Redis with the two databases, for as long as the measuring takes."""
    home = Path(tempfile.mkdtemp(prefix="nt-bench-"))
    made = Stack(home, say=lambda *_: None)
    made.start()
    try:
        for service in ("ads", "subscriptions"):
            migrate(made.settings(), service)
        yield made
    finally:
        made.stop()
        shutil.rmtree(home, ignore_errors=True)


@contextlib.asynccontextmanager
async def server(made: Stack, service: str, *words: str, background: bool = False) -> AsyncIterator[int]:
    """A server of ours on core 0, with its consumers where wanted; the load stays on the other one."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environ = {
        **os.environ,
        **made.env(service),
        "NGUONTHU_BACKGROUND": str(background).lower(),
        "NGUONTHU_LOG_LEVEL": "error",
    }
    process = subprocess.Popen(
        [sys.executable, "-m", "bench.served", words[0], str(port), *words[1:]], env=environ
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The server for {words} did not start.")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait(10)


def _to_core_one() -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {1})


async def _paired(
    ours: tuple[int, list[bytes]], plain: tuple[int, list[bytes]], *, short: bool
) -> tuple[list[float], list[float], float]:
    """Run both in turn, so that a drift of the machine hits both; returns rates and our worst p99 in ms."""
    a, b, worst = [], [], 0.0
    for _ in range(2 if short else PAIRS):
        seconds = 1.0 if short else SECONDS
        mine = await load.run(ours[0], ours[1], seconds=seconds, connections=CONNECTIONS)
        theirs = await load.run(plain[0], plain[1], seconds=seconds, connections=CONNECTIONS)
        for one in (mine, theirs):
            assert set(one.statuses) == {200}, one.statuses
        a.append(mine.per_second)
        b.append(theirs.per_second)
        worst = max(worst, mine.percentile_ms(0.99))
    return a, b, worst


TRIVIAL = [load.request("GET", "/trivial")]


def _asks() -> list[bytes]:
    """One slot each, of pages of different sections and devices; a visitor comes back some twenty times in a run."""
    made = []
    for n in range(VISITORS):
        body = {
            "agency": "bkh",
            "placements": [PLACES[n % 3]],
            "section": SECTIONS[n % 5],
            "device": ("phone", "desktop")[n % 2],
            "visitor": f"visitor-{n}",
        }
        made.append(load.request("POST", "/api/ads/v1/decide", json.dumps(body).encode()))
    return made


async def decisions(short: bool) -> list[Row]:
    """V1: a slot a request among 10,000 line items, caps on."""
    with stack() as made:
        _to_core_one()
        async with server(made, "ads", "ads", "10000") as ours, server(made, "ads", "trivial") as plain:
            a, b, _ = await _paired((ours, _asks()), (plain, TRIVIAL), short=short)
    row = Row("V1", "ad decision for one slot, 10,000 lines, caps on", a, b, "/s", "≥ 0.80", met=True)
    return [_judged(row, 0.80)]


async def growth_of_decisions(short: bool) -> list[Row]:
    """V3: the same with 100 and 100,000 line items, as cost per request; p99 at half of full load."""
    rates: dict[int, list[float]] = {100: [], 100_000: []}
    with stack() as made:
        _to_core_one()
        async with server(made, "ads", "ads", "100") as few, server(made, "ads", "ads", "100000") as many:
            for _ in range(2 if short else PAIRS):
                for lines, port in ((100, few), (100_000, many)):
                    got = await load.run(port, _asks(), seconds=1.0 if short else SECONDS)
                    rates[lines].append(got.per_second)
            half = CONNECTIONS / (2 * min(rates[100_000]))
            calm = await load.run(
                many, _asks(), seconds=SECONDS, connections=4, pause_s=8 / CONNECTIONS * half
            )
    row = Row(
        "V3", "ad decision, 100,000 lines (yardstick: 100)", rates[100_000], rates[100], "/s", "", met=True
    )
    p99 = calm.percentile_ms(0.99)
    return [
        Row(row.name, row.what, row.ours, row.against, "/s", "≥ 0.25", (row.ratio or 0) >= 0.25),
        Row("V3b", "ad decision, 100,000 lines, p99 at half load", [p99], [], "ms", "≤ 10 ms", p99 <= 10),
    ]


def _questions(made: Stack, *, premium: bool) -> list[bytes]:
    key = auth.Signer(made.settings("accounts")).api_key(
        auth.Principal(kind="key", id=clock.new_id(), agency="bkh", scopes=["subscriptions:access"]),
        clock.now() + expires(),
    )
    asks = []
    for n in range(200):
        body = {
            "agency": "bkh",
            "article": f"bai-{n}",
            "section": "kinh-te",
            "premium": premium,
            "device": None,
            "person_token": None,
        }
        headers = {"Authorization": f"Bearer {key}"}
        asks.append(load.request("POST", "/api/subscriptions/v1/access", json.dumps(body).encode(), headers))
    return asks


async def access_checks(short: bool) -> list[Row]:
    """V4: a free article, answered from memory, and a premium one, which asks the meter in Redis."""
    rows = []
    with stack() as made:
        _to_core_one()
        async with server(made, "subscriptions", "access") as ours, server(made, "ads", "trivial") as plain:
            for name, premium, bar in (("V4", False, 0.60), ("V4b", True, 0.40)):
                pair = ((ours, _questions(made, premium=premium)), (plain, TRIVIAL))
                a, b, _ = await _paired(*pair, short=short)
                what = "access check, metered" if premium else "access check, from memory"
                rows.append(_judged(Row(name, what, a, b, "/s", f"≥ {bar:.2f}", met=True), bar))
    return rows


def _judged(row: Row, bar: float) -> Row:
    return Row(row.name, row.what, row.ours, row.against, row.unit, row.bar, (row.ratio or 0) >= bar)
