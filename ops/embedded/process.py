"""Child processes of the house: started so that none outlives us, watched, and ended in order."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import psutil

from ops.embedded.fork import Fork

LAUNCH = Path(__file__).with_name("launch.py")
LOG_LIMIT = 10 * 2**20


class CannotStart(Exception):
    """A part does not come up; the sentence says which and why."""


@dataclass(frozen=True)
class Part:
    """How to run one program. `waits_for` says what is missing until it serves, and nothing from then on."""

    name: str
    port: int
    waits_for: Callable[[], str]
    argv: list[str] = field(default_factory=list)
    work: Callable[[], None] | None = None
    """Our own code, run in a fork of this process instead of a program: it need not be imported again."""
    prepare: Callable[[], None] = lambda: None
    """Done before each start, also when a killed part is started again."""
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: Path | None = None
    stop_signal: int = signal.SIGTERM
    user: str = ""
    mode: str = "keep"


class Child:
    """One running part."""

    def __init__(self, part: Part, logs: Path) -> None:
        self.part = part
        part.prepare()
        self.log = logs / f"{part.name}.log"
        self.unlogged = ""
        """Why what it says is not kept."""
        with self._opened_log() as out:
            self._process: Fork | subprocess.Popen[bytes] = (
                Fork(part.work, out.fileno(), part.cwd, part.env)
                if part.work
                else subprocess.Popen(
                    launched(part.argv, part.user, part.mode, part.stop_signal),
                    stdin=subprocess.DEVNULL,
                    stdout=out,
                    stderr=out,
                    cwd=part.cwd,
                    env=dict(part.env),
                    # Ctrl-C in the terminal reaches us alone, and we end the parts in their order.
                    start_new_session=True,
                )
            )
        self.pid = self._process.pid
        self.created = created(self.pid)
        self.since = time.monotonic()

    def _opened_log(self) -> BinaryIO:
        """Its log, begun anew when it is long. Where there can be none it runs all the same."""
        try:
            if self.log.exists() and self.log.stat().st_size > LOG_LIMIT:
                self.log.replace(self.log.with_suffix(".log.1"))
            return self.log.open("ab")
        except OSError as error:
            self.unlogged = str(error)
            return Path(os.devnull).open("ab")

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self._process.poll() is None

    def ask_to_stop(self) -> None:
        """Send the part's own stop signal."""
        if self.alive():
            self._process.send_signal(self.part.stop_signal)

    def end(self) -> None:
        """End it at once, and wait for nothing: what is frozen in the kernel's hands may take its time."""
        if self.alive():
            self._process.send_signal(signal.SIGKILL)

    def kill(self) -> None:
        """End it at once, as a fault would."""
        self.end()
        self._process.wait()

    def wait(self, limit_s: float) -> bool:
        """Whether it has ended within the limit."""
        end = time.monotonic() + limit_s
        while self.alive():
            if time.monotonic() > end:
                return False
            time.sleep(0.01)
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


def launched(
    argv: list[str], user: str = "", mode: str = "keep", stop_signal: int = signal.SIGTERM
) -> list[str]:
    """The program behind the launcher that ties it to us and gives up root as `mode` says."""
    orders = [str(os.getpid()), str(int(stop_signal)), user or "-", mode]
    return [sys.executable, "-IS", str(LAUNCH), *orders, *argv]


def created(pid: int) -> float:
    """When a process began, which with its id names it for good; 0 when it is gone."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return 0.0


def is_same(pid: int, begun: float) -> bool:
    """Whether the process of this id is still the one that began then."""
    try:
        process = psutil.Process(pid)
        return abs(process.create_time() - begun) < 1 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def end_leftovers(run_file: Path, limit_s: float = 10) -> list[str]:
    """End what a killed supervisor left behind. Returns the names of the parts that had to be ended.

    The kernel tells the parts of their parent's death, so mostly this only waits for them.
    """
    try:
        parts: dict[str, dict[str, float]] = json.loads(run_file.read_text()).get("parts", {})
    except (FileNotFoundError, json.JSONDecodeError):
        return []
    left = {name: int(p["pid"]) for name, p in parts.items() if is_same(int(p["pid"]), p["created"])}
    for name, pid in left.items():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT if name == "postgres" else signal.SIGTERM)
    _, stubborn = psutil.wait_procs(_processes(left.values()), timeout=limit_s)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=limit_s)
    return list(left)


def _processes(pids: Iterable[int]) -> list[psutil.Process]:
    found = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            found.append(psutil.Process(pid))
    return found
