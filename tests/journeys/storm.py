"""Faults that a house meets while it works: each is begun, lasts, and is over; a seed says which come in what order."""

import asyncio
import contextlib
import json
import math
import os
import random
import re
import shutil
import signal
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Final

import httpx
import psutil

from ops.embedded import doctor, state
from ops.embedded.apps import EDGE
from ops.embedded.process import created, is_same
from ops.embedded.stack import STORES
from shared.contracts import SERVICES
from tests.cut import Line
from tests.journeys.conftest import WholeHouse, kept_by
from tests.shared.ports import free_port

PARTS: Final = (*SERVICES, *STORES, EDGE)


@dataclass(frozen=True)
class Fault:
    """A part is killed or paused, lines to a store are held, cut or slow, or the disk is full."""

    kind: str
    part: str
    lasts_s: float = 0.0

    def __str__(self) -> str:
        return f"{self.kind} {self.part}" + (f" for {self.lasts_s:.0f} s" if self.lasts_s else "")


Gust = tuple[Fault, ...]
"""What goes wrong at once."""

DISK_GIB: Final = 4
"""The whole of a small disk: more than the house thinks it needs to have free."""

ROOM: Final = 2**20
"""What the house itself may take while its disk is being filled."""

LATE_S: Final = 0.2
"""How much later everything comes on a slow line, each way."""

SEEN_S: Final = 8.0
"""A fault that lasts as long as that is seen by whoever looks."""


def kills(chance: random.Random) -> list[Gust]:
    """Each part once, in an order of its own."""
    return [(Fault("kill", part),) for part in chance.sample(PARTS, len(PARTS))]


def short(chance: random.Random) -> Iterator[Gust]:
    """Each part is killed; one is frozen, a store is cut off, and two faults come at once."""
    lasting: list[Gust] = [
        (Fault("pause", chance.choice(SERVICES), SEEN_S),),
        (Fault("cut", "postgres", SEEN_S),),
        (Fault("cut", "nats", 4.0), Fault("kill", "postgres")),
    ]
    both = kills(chance) + lasting
    chance.shuffle(both)
    yield from both


def long(chance: random.Random, *, disk: bool) -> Iterator[Gust]:
    """One gust after the other, without end: a third of them are two faults at once; `disk` says if it can be full."""
    kinds = ("kill", "kill", "pause", "hold", "cut", "slow", *(["fill"] if disk else []))
    for _ in count():
        gust = [_any(chance, kinds)]
        if chance.random() < 1 / 3:
            other = _any(chance, kinds)
            gust += [other] if other.part != gust[0].part else []
        yield tuple(gust)


def _any(chance: random.Random, kinds: tuple[str, ...]) -> Fault:
    kind = chance.choice(kinds)
    part = "disk" if kind == "fill" else chance.choice(PARTS if kind in ("kill", "pause") else STORES)
    return Fault(kind, part, 0.0 if kind == "kill" else chance.choice((2.0, 5.0, 12.0, 20.0)))


class Lines:
    """Lines between the services and each store, on a loop of their own."""

    def __init__(self, ports: dict[str, int]) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever, daemon=True)
        self.thread.start()
        self.to = {store: Line(port) for store, port in ports.items()}
        for line in self.to.values():
            self._await(line.listen())

    def do(self, what: Callable[[], None]) -> None:
        self.loop.call_soon_threadsafe(what)

    def close(self) -> None:
        for line in self.to.values():
            self._await(line.close())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()

    def _await(self, work: Any) -> None:
        asyncio.run_coroutine_threadsafe(work, self.loop).result(10)


class Stormy(WholeHouse):
    """A house in the weather: lines that can be cut, and processes that can be frozen."""

    lines: Lines

    def begin(self, fault: Fault) -> Callable[[], None]:
        """Let it go wrong; what is returned mends it."""
        if fault.kind == "kill":
            os.kill(self.pid(fault.part), signal.SIGKILL)
            return lambda: None
        if fault.kind == "pause":
            return self._pause(fault.part)
        if fault.kind == "fill":
            return self._fill()
        line = self.lines.to[fault.part]
        does = {"hold": line.hold, "cut": line.cut, "slow": lambda: line.slow(LATE_S)}
        self.lines.do(does[fault.kind])
        return lambda: self.lines.do(line.mend)

    def _pause(self, part: str) -> Callable[[], None]:
        """Freeze a part with the processes that it has made, as PostgreSQL makes one for each session."""
        first = psutil.Process(self.pid(part))
        known = {one.pid: created(one.pid) for one in (first, *first.children(recursive=True))}
        _signal(known, signal.SIGSTOP)
        return lambda: _signal(known, signal.SIGCONT)

    def _fill(self) -> Callable[[], None]:
        """Take all that is free of the disk on which the house has its home, and nobody else anything."""
        file = self.home.parent / "taken"
        with file.open("wb", buffering=0) as taken, contextlib.suppress(OSError):
            os.posix_fallocate(taken.fileno(), 0, shutil.disk_usage(self.home).free - ROOM)
            taken.seek(0, os.SEEK_END)
            while True:
                taken.write(bytes(4096))
        return file.unlink

    def shows(self, fault: Fault) -> bool:
        """Whether who looks now is told of it: `status` and `doctor` by the part, readiness, or a metric."""
        if fault.kind in ("kill", "pause"):
            return bool(state.waits_for(self.home, fault.part, self.port(fault.part)))
        if fault.kind == "fill":
            return any(not found.well for found in doctor.examine(self.home) if "GiB" in found.what)
        if fault.kind == "slow":
            return any(self.answers_s(service, fault.part) > LATE_S for service in SERVICES)
        if fault.part == "redis":
            return any(AWAY.search(self.asked(service, "/metrics")) for service in SERVICES)
        return any(state.waits_for(self.home, service, self.port(service)) for service in SERVICES)

    def answers_s(self, service: str, store: str) -> float:
        """After how long a store answered a service, by its metrics."""
        said = re.search(
            rf'^nguonthu_store_answers_seconds{{store="{store}"}} (\S+)$',
            self.asked(service, "/metrics"),
            re.MULTILINE,
        )
        return float(said.group(1)) if said else math.nan

    def asked(self, service: str, path: str) -> str:
        """What a service says on its own port; nothing where it says nothing."""
        with contextlib.suppress(httpx.TransportError):
            return httpx.get(f"http://127.0.0.1:{self.port(service)}{path}", timeout=5).text
        return ""


AWAY = re.compile(r"^nguonthu_redis_away 1\.0$", re.MULTILINE)


def _signal(processes: dict[int, float], number: signal.Signals) -> None:
    for pid, begun in processes.items():
        if is_same(pid, begun):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """A disk of its own for one house, which is full before any other is; that takes root."""
    disk = folder / "disk"
    disk.mkdir(mode=0o711)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_GIB}g,mode=711", "house", disk], check=True)
    try:
        yield disk
    finally:
        subprocess.run(["umount", "--lazy", disk], check=True)


@contextlib.contextmanager
def standing(home: Path, environ: dict[str, str]) -> Iterator[Stormy]:
    """Bring a lived house up behind lines, and take it down."""
    ports = {store: free_port() for store in STORES}
    (home / "ports.json").write_text(json.dumps(ports))
    lines = Lines(ports)
    by_lines = {store: line.port for store, line in lines.to.items()}
    house = Stormy(home, "", environ | {"NGUONTHU_HOME": str(home)})
    house.lines = lines
    try:
        with kept_by("tests.journeys.behind", house, LINES=json.dumps(by_lines)):
            yield house
    finally:
        lines.close()
