"""The whole house as processes: it comes up, mends itself, keeps to loopback, and goes down in order."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg
import pytest

from ops.embedded import Stack
from ops.embedded.apps import APPS
from ops.embedded.parts import postgres_url
from ops.embedded.ports import Ports
from ops.embedded.state import listening_beyond_loopback, read_run
from ops.embedded.supervisor import FIRST_PAUSE_S, LONGEST_PAUSE_S, Supervisor
from tests.shared.homes import a_folder
from tests.shared.keeper import at_work_in

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("supervisor")]

PARTS = ("postgres", "nats", "redis", *APPS, "caddy")


def nguonthu(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NGUONTHU_")}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        env={**kept, "NGUONTHU_HOME": str(home)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def status(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(nguonthu(home, "status", "--json").stdout)
    return found


def share() -> float:
    """By how much others' work beside ours slows us: limits are those of a machine of our own."""
    return max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def until_ready(home: Path, limit_s: float = 30) -> dict[str, Any]:
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        state = status(home)
        if state["parts"] and all(part["ready"] for part in state["parts"]):
            return {part["name"]: part["pid"] for part in state["parts"]}
        time.sleep(0.2)
    raise AssertionError(state)


@pytest.fixture(scope="module")
def house() -> Iterator[Path]:
    """A running house without demo history."""
    with a_folder() as home:
        told = nguonthu(home, "up", "--detach", "--no-demo")
        assert told.returncode == 0, told.stdout + told.stderr
        assert "✓" in told.stdout, "a detached start shows its steps"
        yield home
        nguonthu(home, "down")


@pytest.mark.promise("F1")
def test_status_names_the_address_and_every_part(house: Path) -> None:
    state = status(house)
    assert [part["name"] for part in state["parts"]] == list(PARTS)
    assert all(part["ready"] and not part["detail"] for part in state["parts"])
    answer = httpx.get(state["address"] + "/", timeout=20)
    assert answer.status_code == 200
    assert "content-security-policy" in answer.headers


@pytest.mark.promise("F1")
def test_nothing_listens_beyond_loopback_and_the_doctor_agrees(house: Path) -> None:
    assert listening_beyond_loopback(house) == []
    told = nguonthu(house, "doctor")
    assert told.returncode == 0, told.stdout
    assert "Nothing listens beyond loopback" in told.stdout


def test_a_second_up_says_where_the_house_stands(house: Path) -> None:
    told = nguonthu(house, "up")
    assert told.returncode == 0
    assert told.stdout.strip() == f"The house already stands: {status(house)['address']}"


def test_a_house_that_is_still_being_started_says_so_and_is_not_called_standing(
    house: Path, tmp_path: Path
) -> None:
    run = json.loads((house / "run.json").read_text(encoding="utf-8"))
    (tmp_path / "run.json").write_text(
        json.dumps({**run, "ready": False, "parts": {"ads": run["parts"]["ads"]}})
    )
    told = nguonthu(tmp_path, "up", "--detach")
    assert (told.returncode, "is being started already" in told.stderr) == (1, True)
    looked = nguonthu(tmp_path, "status")
    assert (looked.returncode, "(still starting)" in looked.stdout) == (1, True)


def test_who_starts_it_detached_or_again_is_told_the_demo_sign_ins_too(house: Path, tmp_path: Path) -> None:
    person = {"who": "Tài chính", "email": "tai@chinh.example", "password": "bien-xanh", "opens": "/finance"}
    (tmp_path / "demo.json").write_text(json.dumps({"sign_ins": [{**person, "totp_secret": "ABC"}]}))
    (tmp_path / "run.json").write_bytes((house / "run.json").read_bytes())
    told = nguonthu(tmp_path, "up")
    assert told.returncode == 0
    assert "tai@chinh.example  bien-xanh  TOTP ABC" in told.stdout


def test_a_command_that_needs_quiet_refuses_while_the_house_runs(house: Path) -> None:
    told = nguonthu(house, "simulate", "--from", "2026-01-01", "--to", "2026-01-02")
    assert told.returncode == 1
    assert "The house is running." in told.stderr


@pytest.mark.promise("F1")
def test_every_killed_part_is_started_again(house: Path) -> None:
    before = until_ready(house)
    for pid in before.values():
        os.kill(pid, signal.SIGKILL)
    time.sleep(1)
    after = until_ready(house, limit_s=60)
    assert not set(before.values()) & set(after.values())


@pytest.mark.promise("F1", "T7")
def test_parts_that_are_frozen_are_ended_and_started_again(house: Path) -> None:
    before = until_ready(house)
    frozen = ("payments", "redis", "nats", "caddy")
    for name in frozen:
        os.kill(before[name], signal.SIGSTOP)
    told = nguonthu(house, "doctor")
    assert told.returncode == 1
    assert "payments: port" in told.stdout, "the doctor shows who is frozen"
    after = before
    end = time.monotonic() + 120 * share()
    while any(after[name] == before[name] for name in frozen):
        assert time.monotonic() < end
        time.sleep(0.5)
        run = read_run(house)
        assert run, "the supervisor lives"
        after = {name: int(note["pid"]) for name, note in run.parts.items()}
    until_ready(house, limit_s=60 * share())
    assert {name for name in before if before[name] != after[name]} == set(frozen), "nobody else was ended"


def heard(home: Path, service: str) -> int:
    """How many agencies a service has heard of."""
    with psycopg.connect(postgres_url(home, Ports(home / "ports.json", print).of("postgres"), service)) as db:
        row = db.execute(
            "SELECT count(*) FROM inbox WHERE subject LIKE 'accounts.agency.registered.%'"
        ).fetchone()
    assert row
    return int(row[0])


def until_heard(home: Path, service: str, count: int) -> None:
    end = time.monotonic() + 60 * share()
    while heard(home, service) < count:
        assert time.monotonic() < end
        time.sleep(0.2)


@pytest.mark.promise("F3")
def test_a_nats_that_lost_all_is_mended_and_what_nobody_had_heard_is_heard_once(house: Path) -> None:
    pids = until_ready(house)
    before = heard(house, "ads")
    os.kill(pids["ads"], signal.SIGSTOP)
    assert nguonthu(house, "accounts", "register-agency", "baymot", "Báy Một").returncode == 0
    until_heard(house, "ledger", before + 1)  # so it is published, and ads has not heard it
    os.kill(pids["nats"], signal.SIGKILL)
    shutil.rmtree(house / "nats" / "store")
    os.kill(pids["ads"], signal.SIGCONT)
    assert nguonthu(house, "accounts", "register-agency", "bayhai", "Báy Hai").returncode == 0
    for service in ("ads", "ledger"):
        until_heard(house, service, before + 2)
    until_ready(house, limit_s=60 * share())
    told = nguonthu(house, "doctor")
    assert told.returncode == 0, told.stdout
    assert "Every stream and consumer is there" in told.stdout
    assert "stream ACCOUNTS is missing" in (house / "logs" / "house.log").read_text()
    assert nguonthu(house, "streams", "mend").stdout == "Nothing is missing.\n"
    assert [heard(house, service) for service in ("ads", "ledger")] == [before + 2] * 2


def test_a_killed_supervisor_takes_its_parts_along_and_the_next_start_is_quick(house: Path) -> None:
    pids = until_ready(house)
    run = read_run(house)
    assert run
    os.kill(run.pid, signal.SIGKILL)
    begun = time.monotonic()
    told = nguonthu(house, "up", "--detach", "--no-demo")
    took = time.monotonic() - begun
    assert told.returncode == 0, told.stdout + told.stderr
    assert not [
        pid for pid in pids.values() if psutil.pid_exists(pid) and psutil.Process(pid).status() != "zombie"
    ]
    assert took < 25 * share()  # the old parts may take their ten seconds to finish


@pytest.mark.promise("F1", "V9")
def test_it_goes_down_within_three_seconds_and_up_again_within_ten(house: Path) -> None:
    pids = until_ready(house)
    begun = time.monotonic()
    assert nguonthu(house, "down").stdout == "Stopped.\n"
    stopped = time.monotonic()
    assert not [pid for pid in pids.values() if psutil.pid_exists(pid)]
    told = nguonthu(house, "up", "--detach")
    assert (told.returncode, "This house has no demo" in told.stdout) == (0, True), "nor is it given one now"
    assert stopped - begun < 3 * share()
    assert time.monotonic() - stopped < 10 * share()
    assert "killed" not in (house / "logs" / "house.log").read_text()


def _interrupted(number: signal.Signals, moment: Callable[[Path], bool]) -> Path:
    """Run a test that brings a house up, interrupt it at a moment of that, and return the folder it had."""
    # A shell that starts a run behind itself has it ignore interrupts, and so would this test's own.
    code = (
        "import signal, time; from tests.shared.homes import a_folder\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from tests.ops.test_supervisor import nguonthu\n"
        "with a_folder() as home:\n"
        "    print(home, flush=True); nguonthu(home, 'up', '--detach', '--no-demo'); time.sleep(60)"
    )
    test = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert test.stdout
    home = Path(test.stdout.readline().strip())
    end = time.monotonic() + 60
    while not moment(home):
        assert time.monotonic() < end
        time.sleep(0.02)
    test.send_signal(number)
    test.wait(timeout=30 * share())
    test.stdout.close()
    return home


def is_asked_for(home: Path) -> bool:
    """A command for this house runs, and the house itself has not noted anything yet."""
    return bool(at_work_in(home)) and not (home / "run.json").exists()


def comes_up(home: Path) -> bool:
    return (run := read_run(home)) is not None and not run.ready


def stands(home: Path) -> bool:
    return (run := read_run(home)) is not None and run.ready


@pytest.mark.parametrize("moment", [is_asked_for, comes_up, stands])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_an_interrupted_test_leaves_no_house_running_and_no_folder(
    number: signal.Signals, moment: Callable[[Path], bool]
) -> None:
    home = _interrupted(number, moment)
    end = time.monotonic() + 30 * share()
    while home.exists() and time.monotonic() < end:
        time.sleep(0.1)
    time.sleep(1)  # a house that was only asked for would make its folder anew
    assert not home.exists()
    assert not at_work_in(home)


class Part:
    """A part that has ended, for the supervisor's arithmetic."""

    since = 0.0

    def alive(self) -> bool:
        return False


def test_a_part_that_keeps_ending_is_started_after_ever_longer_pauses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    moment = 1000.0
    starts: list[float] = []
    keeper = Supervisor(tmp_path, {}, lambda _: None, lambda _: None, with_demo=False)  # type: ignore[arg-type, return-value]
    keeper.stack.children["redis"] = part = Part()  # type: ignore[assignment]
    part.since = moment

    def restart(_: str) -> None:
        starts.append(moment)
        part.since = moment

    monkeypatch.setattr(time, "monotonic", lambda: moment)
    monkeypatch.setattr(keeper.stack, "restart", restart)
    while moment < 1300:
        keeper.tend()
        moment += 0.05
    pauses = [round(b - a) for a, b in pairwise(starts)]
    assert starts[0] - 1000 == pytest.approx(FIRST_PAUSE_S, abs=0.1)
    assert pauses == sorted(pauses)
    assert pauses[-1] == LONGEST_PAUSE_S
    # One that then ran for long is started at once again.
    moment += 3600
    part.since = moment - 600
    keeper._pauses["redis"].until = 0.0
    before = moment
    while starts[-1] < before:
        keeper.tend()
        moment += 0.05
    assert starts[-1] - before < 1


class Lost:
    """What a signal raises while this goes is lost."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_the_house_stops_at_a_signal_although_what_it_raised_was_lost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    turns = iter(range(3))
    house = Supervisor(tmp_path, {}, told.append, lambda _: None, with_demo=False)  # type: ignore[arg-type, return-value]
    monkeypatch.setattr(house, "_bring_up", lambda: None)
    monkeypatch.setattr(house, "tend", lambda: next(turns))
    monkeypatch.setattr(house.stack, "write_out", lambda: None)

    def ready(_: Stack) -> None:
        Lost()

    house.run(ready)
    assert told == ["Stopping …"]
