"""A house is copied while people buy, and comes back from a fresh clone: what was under way goes on, nothing twice."""

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from ops.embedded import Stack, state
from ops.embedded.parts import postgres_url
from shared import clock
from shared.contracts import SERVICES
from tests.journeys import buyers
from tests.journeys.conftest import WholeHouse
from tests.journeys.seen import Seen
from tests.shared.homes import a_folder, copy_sources

pytestmark = [pytest.mark.promise("T6"), pytest.mark.xdist_group("house"), pytest.mark.stack]

FORGOTTEN = "SELECT count(*) FROM archive WHERE fact_id NOT IN (SELECT fact_id FROM inbox)"
COUNTED = {
    "mails": ("accounts", "SELECT id FROM message WHERE created_at < '{}'"),
    "captures": ("payments", "SELECT id FROM capture WHERE captured_at < '{}'"),
    "entries": ("ledger", "SELECT id FROM entry WHERE recorded_at < '{}'"),
}
PARKED = "SELECT fact_id FROM retry WHERE state = 'parked'"


@contextmanager
def load(house: WholeHouse) -> Iterator[list[str]]:
    """Readers buy while the body runs; it gets what they bought so far."""
    bought: list[str] = []
    stop = threading.Event()

    def shop() -> None:
        while not stop.is_set():
            buyers.buy_subscription(house)
            bought.append("subscription")

    threads = [threading.Thread(target=shop, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield bought
    finally:
        stop.set()
        for thread in threads:
            thread.join(timeout=120)


@contextmanager
def deaf(house: WholeHouse, service: str) -> Iterator[None]:
    """A service handles nothing while the body runs: what it is told stands in the streams alone."""
    with psycopg.connect(postgres_url(house.home, house.port("postgres"), service)) as db:
        db.execute("SET idle_in_transaction_session_timeout = 0")
        db.execute("LOCK TABLE inbox IN ACCESS EXCLUSIVE MODE")
        yield


def in_a_fresh_clone(folder: Path) -> WholeHouse:
    """The sources as a clone has them; its house is where a clone's is when nobody says where."""
    clone = copy_sources(folder / "clone")
    environ = {key: value for key, value in os.environ.items() if not key.startswith("NGUONTHU_")}
    return WholeHouse(clone / ".data", "", environ | {"PYTHONPATH": str(clone)})


def command(house: WholeHouse, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        env=house.environ,
        cwd=house.home.parent,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def known(home: Path, began: str) -> dict[str, set[str]]:
    """What a house at rest had sent, taken and booked before an instant, and which facts are parked."""
    stack = Stack(home)
    stack.start(["postgres"])
    try:
        return told(stack.ports.of("postgres"), home, began)
    finally:
        stack.stop()


def told(port: int, home: Path, began: str) -> dict[str, set[str]]:
    found = {}
    for what, (service, sql) in COUNTED.items():
        with psycopg.connect(postgres_url(home, port, service)) as db:
            found[what] = {str(row[0]) for row in db.execute(sql.format(began))}
    for service in SERVICES:
        with psycopg.connect(postgres_url(home, port, service)) as db:
            found[f"parked by {service}"] = {str(row[0]) for row in db.execute(PARKED)}
    return found


@pytest.mark.timeout(900)
def test_a_house_copied_under_load_comes_back_and_does_nothing_twice(fresh_house: WholeHouse) -> None:
    house = fresh_house
    first = Seen(house)
    house.until(
        lambda: first.one("ledger", FORGOTTEN) > 0, "the inbox forgets what is a hundred days old", 120
    )
    house.until(first.quiet, "the house is quiet before", 120)
    began = clock.now()
    with a_folder() as folder:
        back = in_a_fresh_clone(folder)
        with load(house) as bought:
            house.until(lambda: len(bought) > 1, "people buy", 120)
            with deaf(house, "ledger"):
                since = len(bought)
                house.until(lambda: len(bought) > since, "people buy while ledger is deaf", 120)
                copied = house.command("backup", str(folder / "copies"))
            assert copied.returncode == 0, copied.stderr
        said = command(back, "restore", str(folder / "copies"))
        handed = int(said.split(" facts were handed on.")[0].split()[-1])
        assert 0 < handed < 1000
        before = known(back.home, str(began))
        try:
            command(back, "up", "--detach")
            back.address = state.look(back.home).address
            seen = Seen(back)
            back.until(seen.quiet, "what was under way is through", 180)
            after = told(back.port("postgres"), back.home, str(began))
            assert after == before
            assert handled_again(seen, began) == []
            seen.check()
            assert "Sound: " in command(back, "ledger", "verify")
        finally:
            command(back, "down")


def handled_again(seen: Seen, began: datetime) -> list[tuple[str, UUID]]:
    """Facts from before the load that were handled since: an id's first 48 bits say when it was made."""
    since = f"SELECT fact_id FROM inbox WHERE handled_at > '{began}'"
    first = int(began.timestamp() * 1000) - 1000
    return [
        (service, fact)
        for service in SERVICES
        for fact in seen.many(service, since)
        if fact.int >> 80 < first
    ]
