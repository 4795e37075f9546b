"""What measuring stands on: stores of our own, servers of ours on one core, and the load on the other."""

import contextlib
import os
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from statistics import median

import psutil

from bench import load
from ops.embedded import Stack
from ops.migrate import migrate
from ops.streams import lay_out
from tests.shared.homes import a_folder

PAIRS, SHORT_PAIRS = 7, 7
SECONDS, SHORT_SECONDS = 2.0, 0.7
"""Many short turns of each side rather than few long ones: what the machine does besides then hits both alike."""

START_S = 120

TRIVIAL = [load.request("GET", "/trivial")]


@contextmanager
def on_core_one() -> Iterator[None]:
    """Keep this process and the stores that it starts off core 0, where the server is that is measured."""
    if not hasattr(os, "sched_setaffinity") or (os.cpu_count() or 1) == 1:
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {1})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@asynccontextmanager
async def stores(*services: str) -> AsyncIterator[Stack]:
    """PostgreSQL, NATS and Redis, durable as in production, with the databases of some services."""
    with a_folder() as home, on_core_one():
        stack = Stack(home, say=lambda *_: None)
        stack.start()
        try:
            for service in services:
                migrate(stack.settings(), service)
            await lay_out(stack.settings())
            yield stack
        finally:
            stack.stop()


@dataclass(frozen=True)
class Server:
    """A server under measure."""

    port: int
    process: psutil.Process

    def cpu_s(self) -> float:
        """Seconds of a core that it has used."""
        used = self.process.cpu_times()
        return float(used.user + used.system)


@asynccontextmanager
async def server(stack: Stack, service: str, what: str) -> AsyncIterator[Server]:
    """A server on core 0 with all that runs beside its web, as users have it."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    environ = {**os.environ, **stack.env(service), "NGUONTHU_LOG_LEVEL": "error"}
    process = subprocess.Popen([sys.executable, "-m", "bench.served", what, str(port)], env=environ)
    try:
        deadline = time.monotonic() + START_S
        while True:
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                break
            if process.poll() is not None:
                raise RuntimeError(
                    f"The server of {what} ended with {process.returncode} instead of starting."
                )
            if time.monotonic() > deadline:
                raise RuntimeError(f"The server of {what} did not start within {START_S} s.")
            time.sleep(0.1)
        yield Server(port, psutil.Process(process.pid))
    finally:
        process.terminate()
        process.wait(20)


async def paired(
    ours: tuple[int, list[bytes]], plain: tuple[int, list[bytes]], *, short: bool
) -> tuple[list[float], list[float]]:
    """Answers a second of both in a closed loop, in turn and each first in every other pair."""
    rates: dict[int, list[float]] = {ours[0]: [], plain[0]: []}
    seconds = SHORT_SECONDS if short else SECONDS
    for port, asks in (ours, plain):  # warm
        await load.closed(port, asks, seconds=seconds)
    for n in range(SHORT_PAIRS if short else PAIRS):
        for port, asks in (ours, plain) if n % 2 else (plain, ours):
            got = await load.closed(port, asks, seconds=seconds)
            assert set(got.statuses) == {200}, got.statuses
            rates[port].append(got.per_second)
    return rates[ours[0]], rates[plain[0]]


async def most(port: int, asks: list[bytes]) -> float:
    """Full load: the median of some short closed loops, in answers a second."""
    return median([(await load.closed(port, asks, seconds=0.7)).per_second for _ in range(3)])
