"""Child processes of the house: started so that none outlives us, watched, and ended in order."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

LAUNCH = Path(__file__).with_name("launch.py")
LOG_LIMIT = 10 * 2**20


class CannotStart(Exception):  # noqa: N818 - an answer to the person who started it
    """A part does not come up; the sentence says which and why."""


@dataclass(frozen=True)
class Part:
    """How to run one program. `waits_for` says what is missing until it serves, and nothing from then on."""

    name: str
    argv: list[str]
    port: int
    waits_for: Callable[[], str]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: int = signal.SIGTERM
    user: str = ""
    mode: str = "keep"

    def command(self) -> list[str]:
        """The program behind the launcher that ties it to us."""
        orders = [str(os.getpid()), str(int(self.stop_signal)), self.user or "-", self.mode]
        return [sys.executable, "-IS", str(LAUNCH), *orders, *self.argv]


class Child:
    """One running part."""

    def __init__(self, part: Part, logs: Path) -> None:
        self.part = part
        self.log = logs / f"{part.name}.log"
        if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
            self.log.replace(self.log.with_suffix(".log.1"))
        with self.log.open("ab") as out:
            self._popen = subprocess.Popen(
                part.command(),
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                cwd=part.cwd,
                env=dict(part.env),
                # Ctrl-C in the terminal reaches us alone, and we end the parts in their order.
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self.created = _created(self.pid)
        self.since = time.monotonic()

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._popen.poll() is None

    def ask_to_stop(self) -> None:
        """Send the part's own stop signal."""
        if self.alive():
            self._popen.send_signal(self.part.stop_signal)

    def kill(self) -> None:
        """End it at once, as a fault would."""
        if self.alive():
            self._popen.kill()
        self._popen.wait()

    def wait(self, limit_s: float) -> bool:
        """Whether it has ended within the limit."""
        try:
            self._popen.wait(max(limit_s, 0.01))
        except subprocess.TimeoutExpired:
            return False
        return True

    def missing(self) -> str:
        """What it still waits for, or nothing once it serves. Raises CannotStart when it has ended."""
        if not self.alive():
            raise CannotStart(f"{self.part.name} ended at its start. {self.last_words()}")
        return self.part.waits_for()

    def last_words(self) -> str:
        """The last lines of its log, for a person."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()[-5:]
        return f"Its log {self.log} ends with: " + " / ".join(line[:300] for line in lines)


def _created(pid: int) -> float:
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def is_same(pid: int, created: float) -> bool:
    """Whether the process of this id is still the one that was started then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - created) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_leftovers(run_file: Path, limit_s: float = 10) -> list[str]:
    """End what a killed supervisor left behind. Returns the names of the parts that had to be ended.

    Parts are told of their parent's death by the kernel, so mostly this only waits for them.
    """
    if not run_file.exists():
        return []
    with contextlib.suppress(json.JSONDecodeError):
        parts: dict[str, dict[str, float]] = json.loads(run_file.read_text()).get("parts", {})
        left = {n: int(p["pid"]) for n, p in parts.items() if is_same(int(p["pid"]), p["created"])}
        for name, pid in left.items():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
        _, stubborn = psutil.wait_procs(_processes(left.values()), timeout=limit_s)
        for process in stubborn:
            process.kill()
        psutil.wait_procs(stubborn, timeout=limit_s)
        return list(left)
    return []


def _processes(pids: object) -> list[psutil.Process]:
    found = []
    for pid in pids:  # type: ignore[attr-defined]
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found
