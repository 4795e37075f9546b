"""The whole house as processes, for the journeys of its users; it stands once for all of them."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from playwright.sync_api import Browser

from ops.embedded import state
from ops.embedded.process import is_same
from tests.shared.browser import chromium
from tests.shared.homes import ROOT, a_folder
from tests.template import copy_lived

ARTEFACTS = Path(__file__).parent.parent.parent / "artefacts"


@dataclass(eq=False)
class WholeHouse:
    """A running house: its address, its demo sign-ins, and the command line."""

    home: Path
    address: str
    environ: dict[str, str]

    @property
    def demo(self) -> dict[str, Any]:
        made: dict[str, Any] = json.loads((self.home / "demo.json").read_text(encoding="utf-8"))
        return made

    def sign_in(self, opens: str, email: str = "") -> dict[str, str]:
        """The demo sign-in of the person whose work is at an address, or of the one there with this e-mail."""
        there = (person for person in self.demo["sign_ins"] if person["opens"] == opens)
        return next(person for person in there if email in ("", person["email"]))

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "ops.cli", *words],
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    def stands(self) -> bool:
        """Whether every part serves."""
        return all(part.ready for part in state.look(self.home).parts)

    def port(self, part: str) -> int:
        known: dict[str, int] = json.loads((self.home / "ports.json").read_text(encoding="utf-8"))
        return known[part]

    def pid(self, part: str) -> int:
        """The process of a part, once it has one: after a kill the supervisor takes a moment."""

        def alive() -> int:
            run = state.read_run(self.home)
            note = run.parts.get(part) if run else None
            return int(note["pid"]) if note and is_same(int(note["pid"]), note["created"]) else 0

        found: int = self.until(alive, f"{part} runs")
        return found

    def client(self, **more: Any) -> httpx.Client:
        """A client that keeps its cookies and no connection, so that nobody has to close it."""
        return httpx.Client(
            base_url=self.address, timeout=20, limits=httpx.Limits(max_keepalive_connections=0), **more
        )

    def get(self, path: str, **more: Any) -> httpx.Response:
        return httpx.get(self.address + path, timeout=20, **more)

    def post(self, path: str, **more: Any) -> httpx.Response:
        return httpx.post(self.address + path, timeout=20, **more)

    def until(self, look: Any, what: str, seconds: float = 20) -> Any:
        """Ask again and again until the answer is true; facts take a moment."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := look():
                return found
            time.sleep(0.1)
        raise AssertionError(f"Within {seconds} s it did not happen: {what}")


@contextmanager
def lived(request: pytest.FixtureRequest) -> Iterator[WholeHouse]:
    """A lived house, brought up in a home of its own by `nguonthu up --detach`; ended by `nguonthu down`."""
    environ = {k: v for k, v in os.environ.items() if not k.startswith("NGUONTHU_")}
    with a_folder() as folder:
        home = folder / "home"
        copy_lived(request.config.cache.mkdir("lived"), environ, home)
        whole = WholeHouse(home, "", environ | {"NGUONTHU_HOME": str(home)})
        started = whole.command("up", "--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        whole.address = state.look(home).address
        yield whole
        whole.command("down")


@contextmanager
def kept_by(program: str, house: WholeHouse, **env: str) -> Iterator[None]:
    """Bring a house up by a module that is `nguonthu` with something changed for a test, and take it down."""
    told = house.home / "logs" / "house.log"
    told.parent.mkdir(parents=True, exist_ok=True)
    with told.open("wb") as out:
        keeper = subprocess.Popen(
            [sys.executable, "-m", program, "up"],
            env={**house.environ, **env, "PYTHONUNBUFFERED": "1"},
            cwd=ROOT,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        house.until(lambda: _ready(keeper, told, house.home), "the house stands", seconds=120)
        house.address = state.look(house.home).address
        yield
    finally:
        house.command("down")
        keeper.wait(timeout=60)


def _ready(keeper: subprocess.Popen[bytes], told: Path, home: Path) -> bool:
    assert keeper.poll() is None, told.read_text(encoding="utf-8")[-2000:]
    run = state.read_run(home)
    return run is not None and run.ready


@pytest.fixture(scope="session")
def house(request: pytest.FixtureRequest) -> Iterator[WholeHouse]:
    """The house of most journeys, which leave in it what they did.

    `HOUSE_HOME` names a house that stands already and is left standing: quick while a journey is being written.
    """
    if given := os.environ.get("HOUSE_HOME", ""):
        environ = {k: v for k, v in os.environ.items() if not k.startswith("NGUONTHU_")}
        yield WholeHouse(Path(given), state.look(Path(given)).address, environ | {"NGUONTHU_HOME": given})
        return
    with lived(request) as whole:
        yield whole


@pytest.fixture
def fresh_house(request: pytest.FixtureRequest) -> Iterator[WholeHouse]:
    """A house in which no other journey has left anything to wait for."""
    with lived(request) as whole:
        yield whole


@pytest.fixture(scope="package")
def one_chromium() -> Iterator[Browser]:
    """One Chromium for all journeys."""
    with chromium() as browser:
        yield browser
