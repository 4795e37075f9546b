"""What runs in a home, as seen from outside: for `status`, `down`, `doctor` and every command that needs the stores."""

import json
import os
import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import psutil

from ops.embedded import apps, parts
from ops.embedded.ports import Ports
from ops.embedded.process import is_same
from shared import clock, copies


class PartState(msgspec.Struct, frozen=True):
    """One part as `status --json` tells it; `detail` is empty when it is ready."""

    name: str
    ready: bool
    detail: str
    pid: int
    port: int


class HouseState(msgspec.Struct, frozen=True):
    """The house as `status --json` tells it; without an address it does not run, or not yet."""

    address: str
    parts: list[PartState]
    copies: list[str]
    """What is amiss with the copies of its home, which keeps nothing from serving."""

    @property
    def ready(self) -> bool:
        """Whether all of it serves."""
        return bool(self.address) and all(part.ready for part in self.parts)


class Run(msgspec.Struct, frozen=True):
    """The supervisor's own notes of what it started."""

    pid: int
    created: float
    address: str
    ready: bool
    parts: dict[str, dict[str, float]]


def read_run(home: Path) -> Run | None:
    """The notes of the supervisor that runs now, or None when none does."""
    try:
        run = msgspec.convert(json.loads((home / "run.json").read_text(encoding="utf-8")), Run)
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    return run if is_same(run.pid, run.created) else None


def look(home: Path) -> HouseState:
    """Ask every part whether it serves, all at the same time: who is frozen keeps nobody's answer back."""
    run, amiss = read_run(home), copies.troubles(copies.read(home), clock.now())
    if run is None:
        return HouseState("", [], amiss)
    with ThreadPoolExecutor(max(len(run.parts), 1)) as looks:
        parts_now = list(looks.map(lambda part: _look_at(home, *part), run.parts.items()))
    return HouseState(run.address if run.ready else "", parts_now, amiss)


def _look_at(home: Path, name: str, note: dict[str, float]) -> PartState:
    pid, port = int(note["pid"]), int(note["port"])
    detail = waits_for(home, name, port) if is_same(pid, note["created"]) else "has ended"
    return PartState(name, not detail, detail, pid, port)


def waits_for(home: Path, name: str, port: int) -> str:
    """Nothing when a part serves, else what is missing."""
    if name == "postgres":
        return parts.postgres_waits_for(home, port)
    if name == "nats":
        return parts.http_answer(Ports(home / "ports.json", print).of("nats_monitor"), "/healthz")
    if name == "redis":
        return parts.redis_waits_for(home, port)
    return apps.edge_waits_for(port) if name == apps.EDGE else apps.app_waits_for(port)


def stop(home: Path, limit_s: float = 20) -> bool:
    """Ask the supervisor to stop and wait for it. False when none runs; raises TimeoutError when it does not."""
    run = read_run(home)
    if run is None:
        return False
    os.kill(run.pid, signal.SIGTERM)
    end = time.monotonic() + limit_s
    while is_same(run.pid, run.created):
        if time.monotonic() > end:
            raise TimeoutError(f"The house (process {run.pid}) has not stopped within {limit_s:.0f} s.")
        time.sleep(0.05)
    return True


def listening_beyond_loopback(home: Path) -> list[str]:
    """Parts that listen on an address which other machines reach."""
    run = read_run(home)
    if run is None:
        return []
    found = []
    for name, note in run.parts.items():
        try:
            connections = psutil.Process(int(note["pid"])).net_connections("inet")
        except psutil.Error:
            continue
        found += [
            f"{name} on {c.laddr.ip}:{c.laddr.port}"
            for c in connections
            if c.status == psutil.CONN_LISTEN and not c.laddr.ip.startswith(("127.", "::1"))
        ]
    return found
