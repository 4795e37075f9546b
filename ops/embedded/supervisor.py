"""`nguonthu up`: bring the whole house up, keep it up, and take it down in order."""

import contextlib
import gc
import importlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import nats.errors
import psycopg

from ops import mending
from ops.embedded import history
from ops.embedded.apps import APPS, EDGE
from ops.embedded.copier import Copier
from ops.embedded.mender import Mender
from ops.embedded.process import CannotStart
from ops.embedded.stack import STORES, Stack
from ops.embedded.watch import LOOK_S, Watch
from ops.golive import HOUSE, load
from ops.streams import NotLaidOut
from shared.settings import PREFIX, Settings

FIRST_PAUSE_S, LONGEST_PAUSE_S, STEADY_S = 0.2, 30.0, 60.0
TICK_S = 0.1

TITLES = {
    "postgres": "PostgreSQL",
    "nats": "NATS",
    "redis": "Redis",
    "caddy": "Caddy",
    "demo": "the newspaper",
}


class Stopping(BaseException):
    """Somebody asked us to stop."""


@dataclass
class Pause:
    """How long to wait before a part that keeps ending is started again."""

    seconds: float = FIRST_PAUSE_S
    until: float = 0.0


class Supervisor:
    """One house under way. `say` shows a line to the person; `step` shows what is being done until it is."""

    def __init__(
        self,
        home: Path,
        environ: Mapping[str, str],
        say: Callable[[str], None],
        step: Callable[[str], contextlib.AbstractContextManager[None]],
        *,
        with_demo: bool,
    ) -> None:
        self.given = {key: value for key, value in environ.items() if key.startswith(PREFIX)}
        self.wishes: Settings = load(self.given, HOUSE)
        self.say = partial(_said, say)
        self.step = step
        self.with_demo = with_demo
        self.stack = Stack(home, self.say, given=self.given)
        self.watch = Watch(self.stack)
        self.mender = Mender(self.stack)
        self.copier = Copier(self.stack, self.wishes)
        self._pauses: dict[str, Pause] = {}
        self._next_look = 0.0
        self._trouble = ""
        """What its own work last failed with; it is said once."""

    def run(self, ready: Callable[[Stack], None]) -> None:
        """Bring the house up, call `ready`, and tend it until a signal comes; then stop all of it."""
        with _signals_raise() as asked:
            try:
                self._bring_up()
                ready(self.stack)
                # What ends meanwhile is tended right after; if PostgreSQL itself did, there is nothing to write out.
                with contextlib.suppress(psycopg.OperationalError):
                    self.stack.write_out()
                self._stay(asked)
            except Stopping:
                self.say("Stopping …")
            finally:
                # A second Ctrl-C must not leave half of it running.
                for number in (signal.SIGINT, signal.SIGTERM):
                    signal.signal(number, signal.SIG_IGN)
                self.mender.stop()
                self.copier.stop()
                self.stack.stop()

    def _stay(self, asked: list[int]) -> NoReturn:
        while not asked:
            time.sleep(TICK_S)
            self._without_dying(self.tend)
            if time.monotonic() >= self._next_look:
                self._without_dying(self.look)
                self._without_dying(self.copier.look)
                self._next_look = time.monotonic() + LOOK_S
        raise Stopping

    def _without_dying(self, work: Callable[[], None]) -> None:
        """Do a part of our own work; whatever it fails with, such as a full disk, the house is tended on."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 - nobody starts the supervisor anew
            if (trouble := f"{type(error).__name__}: {error}") != self._trouble:
                self._trouble = trouble
                self.say(f"The house is tended on, although this failed: {trouble}")

    def _bring_up(self) -> None:
        with self.step("PostgreSQL, NATS and Redis"):
            self.stack.start(STORES, meanwhile=self._import_apps)
        history.forget_unfinished(self.stack, self.say)
        with self.step("Migrations"):
            migrate_all(self.stack.settings())
        # Before there is any history: in an empty log there is nothing to hand on.
        with self.step("Streams"):
            self._make_streams()
        self.stack.find_address(self.wishes.base_url, self.wishes.creatives_url)
        if history.is_wanted(self.stack, self.say, asked_for=self._fills):
            self._fill()
        with self.step("Six services, the newspaper and Caddy"):
            for name in APPS:  # all ports first, since Caddy names them
                self.stack.ports.choose(name)
            self.stack.start((*APPS, EDGE))
        self.stack.is_ready = True
        self.stack.note()

    def _import_apps(self) -> None:
        """Import once what the forks need, so that they start at once; what cannot be is left to its own part."""
        for module in ("uvloop", "uvicorn.protocols.http.httptools_impl", "uvicorn.lifespan.on"):
            importlib.import_module(module)
        for name in APPS:
            with contextlib.suppress(Exception):
                # Made and dropped: the first app of a process imports as much again as its module.
                module_of(name).create_app(self.stack.settings(name))
        # What is here now stays shared between all forks.
        gc.collect()
        gc.freeze()
        gc.enable()

    @property
    def _fills(self) -> bool:
        """Whether this house is one that demo history may be made in."""
        return self.with_demo and not self.wishes.exposed

    def _make_streams(self) -> None:
        """Make streams and consumers, or bring them up to date; those that are missing held something once, perhaps."""
        try:
            mending.mend(self.stack.settings())
        except (TimeoutError, nats.errors.Error, NotLaidOut) as error:
            raise CannotStart(
                f"The streams cannot be made: {str(error) or 'NATS does not answer'}"
            ) from error

    def _fill(self) -> None:
        """Make the demo's history."""
        home = self.stack.home
        history.begin(self.stack)
        # In a process of its own: it drives the clock and imports everything.
        told = subprocess.run(
            [sys.executable, "-P", "-m", "ops.cli", "simulate", "--first"],
            env={**os.environ, **self.stack.env()},
            cwd=home,
            check=False,
        )
        if told.returncode != 0:
            raise CannotStart(
                "The demo history could not be made; `nguonthu up --no-demo` starts without it."
            )
        (home / history.UNFINISHED).unlink()

    def look(self) -> None:
        """End what is frozen or stuck, so that it is started again, and have streams made that are missing."""
        for trouble in self.watch.look():
            self.say(f"{TITLES.get(trouble.name, trouble.name)} {trouble.why}: it is ended.")
            child = self.stack.children[trouble.name]
            child.end() if trouble.frozen else child.ask_to_stop()
        if self.watch.nats_is_well:
            self.mender.look()
        if not self.stack.is_noted:
            self.stack.note()

    def tend(self) -> None:
        """Start again what has ended, each time after a longer pause."""
        now = time.monotonic()
        for name, child in list(self.stack.children.items()):
            if child.alive():
                continue
            pause = self._pauses.setdefault(name, Pause())
            if not pause.until:
                if now - child.since > STEADY_S:
                    pause.seconds = FIRST_PAUSE_S
                pause.until = now + pause.seconds
                self.say(f"{TITLES.get(name, name)} ended and is started again.")
            elif now >= pause.until:
                pause.seconds = min(pause.seconds * 2, LONGEST_PAUSE_S)
                pause.until = 0.0
                self.stack.restart(name)


def _said(say: Callable[[str], None], line: str) -> None:
    """Say a line; where its own log lies on a full disk, nobody can hear it."""
    with contextlib.suppress(OSError):
        say(line)


def module_of(name: str) -> Any:
    """The module that makes an app."""
    return importlib.import_module("demo.app" if name == "demo" else f"services.{name}.app")


def migrate_all(settings: Settings) -> None:
    """Bring every service's database to its newest version. Raises CannotStart."""
    from ops import migrate

    try:
        migrate.migrate_all(settings)
    except migrate.NotMigrated as error:
        raise CannotStart(str(error)) from error


@contextlib.contextmanager
def _signals_raise() -> Iterator[list[int]]:
    """Raise Stopping at a signal, and keep its number: what is raised where Python only tidies up is lost."""
    asked: list[int] = []

    def stop(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        raise Stopping

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, stop) for number in numbers}
    try:
        yield asked
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def read_sign_ins(home: Path) -> list[dict[str, str]]:
    """The demo's people, as the simulation left them; none in a house without a demo."""
    file = home / "demo.json"
    if not file.exists():
        return []
    people: list[dict[str, str]] = json.loads(file.read_text(encoding="utf-8")).get("sign_ins", [])
    return people
