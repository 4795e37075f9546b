"""Parts that run and answer nothing, or serve nothing any more, are found; and the house's own notes never end it."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path

import nats.errors
import pytest

from ops.embedded import Stack, mender, watch
from ops.embedded.apps import APPS
from ops.embedded.process import Child, Part
from ops.embedded.stack import STORES
from ops.embedded.supervisor import Stopping, Supervisor
from ops.embedded.watch import LOOKS, LOOKS_AT_WORK, LOOKS_OF_POSTGRES, WELL, Watch
from ops.streams import lay_out
from shared.bus import Bus
from tests.shared.homes import a_folder

PORTS = (*STORES, "nats_monitor")


class Running:
    """A part that runs, for the watch's arithmetic."""

    pid = os.getpid()

    def __init__(self, name):
        self.part = Part(name, 1, lambda: "")

    def alive(self):
        return True


@pytest.fixture
def watched(tmp_path, monkeypatch):
    """A watch over parts that answer as `answers` says."""
    stack = Stack(tmp_path)
    stack.children = {name: Running(name) for name in (*STORES, *APPS, "caddy")}
    answers, made, worked = dict.fromkeys(stack.children, WELL), Watch(stack), [0.0]

    async def ask(names):
        return {name: answers[name] for name in names}

    monkeypatch.setattr(made, "_ask", ask)
    monkeypatch.setattr(watch, "_worked_s", lambda _: worked[0])
    made.answers, made.worked = answers, worked
    return made


def looks_until_trouble(watched, work_s=0.0):
    for n in range(1, 200):
        watched.worked[0] += work_s
        if found := watched.look():
            return n, found
    raise AssertionError("nothing was found")


@pytest.mark.parametrize("name", ["accounts", "demo", "nats", "redis", "caddy"])
def test_a_part_that_answers_nothing_any_more_is_found_frozen_after_fifteen_seconds(watched, name):
    assert watched.look() == []
    watched.answers[name] = b""
    n, [found] = looks_until_trouble(watched)
    assert (n, found.name, found.frozen) == (LOOKS, name, True)
    assert LOOKS * watch.LOOK_S == 15


def test_postgres_gets_a_minute_since_a_slow_one_must_not_be_killed(watched):
    watched.look()
    watched.answers["postgres"] = b""
    assert looks_until_trouble(watched)[0] == LOOKS_OF_POSTGRES
    assert LOOKS_OF_POSTGRES * watch.LOOK_S == 60


def test_a_part_that_works_or_is_still_starting_is_given_longer(watched):
    watched.answers["ads"] = b""
    assert looks_until_trouble(watched)[0] == LOOKS_AT_WORK, "it has not answered yet"
    watched.stack.children["ads"] = Running("ads")
    watched.answers["ads"] = WELL
    watched.look()
    watched.answers["ads"] = b""
    assert looks_until_trouble(watched, work_s=3.0)[0] == LOOKS_AT_WORK


def test_a_part_that_answers_now_and_then_is_left_alone(watched):
    for n in range(40):
        watched.answers["ledger"] = WELL if n % LOOKS == 0 else b""
        assert watched.look() == []


def test_a_service_that_waits_for_another_is_no_trouble_but_nats_that_serves_no_stream_is(watched):
    watched.look()
    watched.answers |= {"payments": b"HTTP/1.1 503", "caddy": b"HTTP/1.1 421"}
    assert [watched.look() for _ in range(5)] == [[]] * 5
    watched.answers["nats"] = b"HTTP/1.1 503"
    n, [found] = looks_until_trouble(watched)
    assert (n, found.name, found.frozen) == (LOOKS, "nats", False)
    assert not watched.nats_is_well


def test_nats_is_not_started_anew_while_the_disk_is_full(watched, monkeypatch):
    watched.look()
    watched.answers["nats"] = b"HTTP/1.1 503"
    room = [0]
    monkeypatch.setattr(watch.shutil, "disk_usage", lambda _: type("Usage", (), {"free": room[0]}))
    assert [watched.look() for _ in range(3 * LOOKS)] == [[]] * 3 * LOOKS
    room[0] = watch.ROOM
    assert [found.name for found in watched.look()] == ["nats"]


def until_well(watched, limit_s=20):
    end = time.monotonic() + limit_s
    while not watched.nats_is_well:
        assert time.monotonic() < end
        watched.look()
        time.sleep(0.1)


def supervising(stack):
    """What tends a house, over a stack that runs already; it has no streams made."""
    house = Supervisor(stack.home, {}, lambda _: None, lambda _: None, with_demo=False)
    house.stack, house.watch = stack, Watch(stack)
    house.mender.look = lambda: None
    return house


def tend(house, over, limit_s=120):
    """Look after a house, as it does by itself, until something is over."""
    end = time.monotonic() + limit_s
    while not over():
        assert time.monotonic() < end
        house.look()
        house.tend()
        time.sleep(0.1)


@pytest.fixture
def alone():
    """NATS in a home of its own."""
    with a_folder() as home:
        stack = Stack(home, lambda _: None)
        for name in PORTS:
            stack.ports.choose(name)
        stack.start(["nats"])
        yield stack
        stack.stop()


async def fill(stack, count, size=900_000):
    """Say facts of some size in the stream of ads; returns how many were taken."""
    taken, bus = 0, Bus(stack.settings("ads"), "ads")
    await bus.connect()
    for n in range(count):
        try:
            await bus.js.publish(
                bus.entered("ads.x.y.v1"), b"x" * size, timeout=1, headers={"Nats-Msg-Id": f"{n}"}
            )
        except (nats.errors.Error, TimeoutError):
            continue
        taken += 1
    await bus.close()
    return taken


@pytest.mark.promise("T7")
def test_a_stream_that_met_a_full_disk_serves_again_when_there_is_room_and_has_lost_nothing(alone):
    asyncio.run(lay_out(alone.settings(), []))
    stuck = alone.children["nats"].pid
    [blocks] = (alone.home / "nats" / "store").glob("jetstream/*/streams/ADS/msgs")
    # Where the next block is to be, each byte meets what a full disk says; mounting a small one asks for root.
    (blocks / "2.blk").symlink_to("/dev/full")
    taken = asyncio.run(fill(alone, 12))
    assert 0 < taken < 12
    house = supervising(alone)
    house.look()
    assert not house.watch.nats_is_well
    (blocks / "2.blk").unlink()
    house.look()
    assert not house.watch.nats_is_well, "there is room again, and it stays frozen"
    house.watch.pulses["nats"].patience = LOOKS
    tend(house, lambda: house.watch.nats_is_well)
    assert alone.children["nats"].pid != stuck

    async def held():
        bus = Bus(alone.settings(), "operator")
        await bus.connect()
        info = await bus.js.stream_info("ADS")
        await bus.close()
        return info.state.messages

    assert asyncio.run(held()) == taken
    assert asyncio.run(fill(alone, 12)) == 12, "the publisher says again what was not taken"
    assert asyncio.run(held()) == 12


def test_a_frozen_nats_is_found_by_asking_it(alone, monkeypatch):
    seen = Watch(alone)
    until_well(seen)
    monkeypatch.setattr(watch, "ANSWER_S", 0.3)
    os.kill(alone.children["nats"].pid, signal.SIGSTOP)
    found = [seen.look() for _ in range(LOOKS)]
    assert [len(each) for each in found] == [0] * (LOOKS - 1) + [1]
    alone.children["nats"].end()
    assert alone.children["nats"].wait(5)


def full(file: Path) -> None:
    """Make every byte that is written to a file meet a full disk."""
    file.unlink(missing_ok=True)
    file.symlink_to("/dev/full")


@pytest.mark.promise("T7")
def test_notes_that_a_full_disk_does_not_take_are_told_of_once_and_written_later(tmp_path):
    told = []
    stack = Stack(tmp_path, told.append)
    stack.ports.choose("ads")
    before = (tmp_path / "ports.json").read_text()
    full(tmp_path / "run.part")
    full(tmp_path / "ports.part")
    for _ in range(3):
        stack.note()
    for name in ("ledger", "events"):
        stack.ports.choose(name)
    assert [line.split(" cannot")[0] for line in told] == [
        str(tmp_path / "run.json"),
        str(tmp_path / "ports.json"),
    ]
    assert (tmp_path / "ports.json").read_text() == before, "what was written before is whole"
    assert not stack.is_noted
    (tmp_path / "run.part").unlink()
    stack.note()
    assert stack.is_noted
    assert (tmp_path / "run.json").exists()


def test_a_part_whose_log_cannot_be_opened_runs_all_the_same(tmp_path):
    (tmp_path / "part.log").mkdir()
    child = Child(
        Part("part", 0, lambda: "", [sys.executable, "-c", "print('said')"], env=dict(os.environ)), tmp_path
    )
    assert "part.log" in child.unlogged
    assert child.wait(20)


@pytest.mark.promise("T7")
def test_nothing_that_the_supervisor_does_for_itself_ends_the_house(tmp_path, monkeypatch):
    told, turns = [], iter(range(6))
    asked: list[int] = []

    def say(line):
        told.append(line)
        raise OSError(28, "No space left on device")

    house = Supervisor(tmp_path, {}, say, lambda _: None, with_demo=False)
    monkeypatch.setattr(house.stack, "restart", lambda _: (tmp_path / "no" / "place").write_text(""))
    house.stack.children["redis"] = gone = Running("redis")
    gone.alive, gone.since = (lambda: False), 0.0

    def look():
        if next(turns) == 5:
            asked.append(15)
        raise RuntimeError("it is broken")

    monkeypatch.setattr(house, "look", look)
    monkeypatch.setattr("ops.embedded.supervisor.LOOK_S", 0.2)
    with pytest.raises(Stopping):
        house._stay(asked)
    assert told[0] == "Redis ended and is started again."
    assert [line for line in told if "it is broken" in line]
    assert [line for line in told if "No such file" in line]
    assert len(told) < 12


def test_who_logs_on_a_full_disk_goes_on():
    code = "from shared.observe import Stderr; s = Stderr(); [s.write('x' * 9000 + '\\n') for _ in range(3)]; s.flush()"
    with Path("/dev/full").open("w") as disk:
        told = subprocess.run(
            [sys.executable, "-c", f"{code}; import os; os._exit(7)"], stderr=disk, check=False
        )
    assert told.returncode == 7


class Missing:
    """Gaps as they are found, one list a look."""

    def __init__(self, *found):
        self.found = list(found)

    async def __call__(self, _settings):
        return self.found.pop(0) if len(self.found) > 1 else self.found[0]


def test_missing_streams_are_mended_one_attempt_at_a_time_and_ever_later(tmp_path, monkeypatch):
    stack, moment, begun = Stack(tmp_path), [1000.0], []
    for name in PORTS:
        stack.ports.choose(name)

    class Attempt:
        def __init__(self, part, _logs):
            begun.append(moment[0])
            self.left = 2

        def alive(self):
            self.left -= 1
            return self.left > 0

    monkeypatch.setattr(mender, "Child", Attempt)
    monkeypatch.setattr(mender.time, "monotonic", lambda: moment[0])
    gap = mender.mending.Gap("ads", "stream ADS is missing", lost=True)
    monkeypatch.setattr(mender.mending, "gaps", Missing([gap]))
    made = mender.Mender(stack)
    while moment[0] < 1400:
        made.look()
        moment[0] += 5
    pauses = [later - one for one, later in pairwise(begun)]
    assert begun[0] == 1000
    assert pauses == sorted(pauses)
    assert pauses[-1] == mender.LONGEST_PAUSE_S
    unled = mender.mending.Gap("ads", "stream ADS has no leader", mendable=False)
    monkeypatch.setattr(mender.mending, "gaps", Missing([unled]))
    count = len(begun)
    for _ in range(20):
        made.look()
        moment[0] += 60
    assert len(begun) == count, "nobody can make a leader"
