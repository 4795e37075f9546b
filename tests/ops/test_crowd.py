"""More than a service can take, on real processes: the rest is sent away and comes again, and money goes through."""

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from itertools import chain
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from prometheus_client.multiprocess import MultiProcessCollector

from ops.embedded import Stack, clone_database
from ops.embedded.parts import plain_env
from shared import auth, clock
from tests.conftest import Templates
from tests.shared.homes import ROOT
from tests.shared.ports import free_port

pytestmark = [pytest.mark.promise("T8"), pytest.mark.timeout(120)]

ROOM, CROWD, EACH, BANKS = 8, 40, 8, 4
IPN = "/gateway/vnpay/ipn?vnp_TxnRef=nobody"
CAPTURES = "/api/payments/v1/captures"
LOOKS = 120


class Payments:
    """Payments as `nguonthu run` starts it, on a database of its own."""

    def __init__(self, stack: Stack, port: int, figures: Path) -> None:
        self.stack, self.address, self.figures = stack, f"http://127.0.0.1:{port}", figures
        # Each question has a connection of its own, which any of the workers may take.
        alone = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=self.address, timeout=20, limits=alone)
        self.get = self.client.get

    def key(self) -> str:
        who = auth.Principal(kind="key", id=uuid4(), agency="bkh", scopes=["payments:read"])
        return auth.Signer(self.stack.settings("accounts")).api_key(who, clock.now() + timedelta(hours=1))


Start = Callable[..., Payments]


@pytest.fixture
def start(stack: Stack, templates: Templates, tmp_path: Path) -> Iterator[Start]:
    with contextlib.ExitStack() as opened:

        def begin(*words: str, **more: str) -> Payments:
            clone_database(stack.admin_url("postgres"), templates.name("payments"), "crowd_payments")
            port = free_port()
            env = plain_env() | stack.env("payments") | {"TMPDIR": str(tmp_path)}
            env |= {"NGUONTHU_DATABASE_PREFIX": "crowd_", "NGUONTHU_BACKGROUND": "false", **more}
            argv = [sys.executable, "-m", "ops.cli", "run", "payments", "--port", str(port), *words]
            log = opened.enter_context((tmp_path / "payments.log").open("wb"))
            process = subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log)
            opened.callback(process.wait)
            opened.callback(process.terminate)
            made = Payments(stack, port, tmp_path)
            opened.callback(made.client.close)
            until(lambda: made.get("/health/ready").status_code == 200)
            return made

        yield begin


def until(look: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(httpx.TransportError):
            if look():
                return
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s")


async def asked(client: httpx.AsyncClient, path: str, **headers: str) -> list[httpx.Response]:
    """One visitor, who asks again as soon as there is an answer."""
    return [await client.get(path, headers=headers) for _ in range(EACH)]


async def rush(payments: Payments) -> tuple[list[httpx.Response], list[httpx.Response]]:
    """What the crowd heard, and what the bank heard meanwhile."""
    bearer = f"Bearer {payments.key()}"
    many = httpx.Limits(max_connections=CROWD + BANKS)
    async with httpx.AsyncClient(base_url=payments.address, timeout=60, limits=many) as client:
        crowd = [asked(client, CAPTURES, Authorization=bearer) for _ in range(CROWD)]
        banks = [asked(client, IPN) for _ in range(BANKS)]
        heard = await asyncio.gather(*crowd, *banks)
    return [*chain(*heard[:CROWD])], [*chain(*heard[CROWD:])]


def test_a_crowd_is_sent_away_politely_while_money_goes_through_and_afterwards_all_is_well(
    start: Start,
) -> None:
    payments = start(NGUONTHU_REQUESTS_AT_ONCE=str(ROOM))
    crowd, bank = asyncio.run(rush(payments))
    assert [answer.json()["RspCode"] for answer in bank] == ["97"] * BANKS * EACH
    said = Counter(answer.status_code for answer in crowd)
    assert said.keys() == {200, 503}, said
    for refused in (answer for answer in crowd if answer.status_code == 503):
        assert refused.headers["retry-after"] == "1"
        assert refused.headers["content-type"] == "application/problem+json"
    assert figure(payments, r'nguonthu_sent_away_total\{room="crowd"\}') == said[503]
    assert 'room="money"' not in payments.get("/metrics").text
    alone = payments.get(CAPTURES, headers={"Authorization": f"Bearer {payments.key()}"})
    assert alone.status_code == 200


def figure(payments: Payments, named: str) -> float:
    """The one figure of a name, from whichever worker answers."""
    found = re.findall(rf"^{named} (\S+)$", payments.get("/metrics").text, re.MULTILINE)
    assert len(found) == 1, found
    return float(found[0])


LIVE = 'nguonthu_requests_total{route="/health/live",status="200"}'


def counted_by(figures: Path) -> dict[int, float]:
    """How many looks each worker's own file counts."""
    found = {}
    for file in figures.glob("nguonthu-figures-*/counter_*.db"):
        metrics = MultiProcessCollector.merge([str(file)])
        samples = [sample for metric in metrics for sample in metric.samples]
        found[int(file.stem.split("_")[1])] = sum(
            sample.value for sample in samples if sample.labels.get("route") == "/health/live"
        )
    return found


@pytest.mark.promise("F5")
def test_the_figures_of_two_workers_are_one_whoever_of_them_is_asked(start: Start) -> None:
    payments = start("--workers", "2")
    for _ in range(LOOKS):
        assert payments.get("/health/live").status_code == 200
    each = counted_by(payments.figures)
    assert len(each) == 2
    assert all(0 < count < LOOKS for count in each.values()), each
    for _ in range(8):
        assert figure(payments, re.escape(LIVE)) == LOOKS
        assert figure(payments, r'nguonthu_request_seconds_count\{route="/health/live"\}') == LOOKS
        assert figure(payments, "nguonthu_outbox_facts") == 0, "what is said of the whole is not added up"
    one, _ = each
    os.kill(one, signal.SIGKILL)
    # A worker's file is there from its first answer on.
    until(lambda: payments.get("/metrics").status_code == 200 and len(counted_by(payments.figures)) == 3)
    assert figure(payments, re.escape(LIVE)) == LOOKS, "what a worker counted stays when it is gone"
