"""The embedded stores: safe settings, closed doors, and recovery from every kind of death."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import msgspec
import psutil
import psycopg
import pytest

from ops.embedded import CannotStart, Stack, bootstrap_databases, parts, state
from ops.embedded.apps import app_waits_for, edge_waits_for
from ops.embedded.databases import room
from ops.embedded.ports import Ports, is_free
from ops.embedded.process import is_same
from ops.embedded.state import listening_beyond_loopback
from ops.golive import load
from ops.keys import of_service
from ops.streams import lay_out
from shared import counters
from shared.contracts import SERVICES
from shared.keys import OPERATOR, postgres_password
from shared.settings import MONEY_CONNECTIONS, BadSetting, Settings
from tests.shared.homes import a_folder


@pytest.fixture
def home() -> Iterator[Path]:
    with a_folder() as folder:
        yield folder / "home"


# PostgreSQL


def test_postgres_never_answers_before_the_disk_has_it(home: Path) -> None:
    with Stack(home) as stack, psycopg.connect(stack.admin_url()) as db:
        for name in ("fsync", "full_page_writes", "synchronous_commit", "data_checksums"):
            assert db.execute(f"SHOW {name}").fetchone() == ("on",), name
        assert db.execute("SHOW lock_timeout").fetchone() == ("15s",)
        assert db.execute(
            "SELECT count(*) FROM pg_hba_file_rules WHERE auth_method = 'trust'"
        ).fetchone() == (0,)


def test_no_role_of_a_service_can_pass_row_level_security(stack: Stack) -> None:
    with psycopg.connect(stack.admin_url()) as db:
        rows = db.execute(
            "SELECT rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole FROM pg_roles "
            "WHERE rolname ~ '_(owner|web|worker)$'"
        ).fetchall()
    assert {row[0] for row in rows} >= {f"{s}_{r}" for s in SERVICES for r in ("owner", "web", "worker")}
    assert not [row for row in rows if any(row[1:])]


@pytest.mark.parametrize("role", ["owner", "web", "worker"])
def test_a_service_cannot_enter_anothers_database(stack: Stack, role: str) -> None:
    settings = stack.settings("ads")
    password = postgres_password(stack.keys.text("operator"), "ads", role)
    psycopg.connect(f"{settings.postgres_url}/ads", user=f"ads_{role}", password=password).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(f"{settings.postgres_url}/ledger", user=f"ads_{role}", password=password)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(f"{settings.postgres_url}/ads", user=f"ads_{role}", password="guess")


@pytest.mark.parametrize("database", ["postgres", "template1"])
def test_no_role_of_a_service_enters_a_database_of_the_server_itself(stack: Stack, database: str) -> None:
    settings = stack.settings("ads")
    for role in ("web", "worker"):
        with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
            psycopg.connect(
                f"{settings.postgres_url}/{database}", user=f"ads_{role}", password=settings.postgres_password
            )


def test_one_service_cannot_take_the_connections_of_all_and_has_enough_for_two_releases_of_two_workers(
    home: Path,
) -> None:
    with Stack(home, given={"NGUONTHU_WEB_CONNECTIONS": "2", "NGUONTHU_PROCESSES": "2"}) as stack:
        settings = stack.settings("ads")
        ads = f"{settings.postgres_url}/ads"
        with contextlib.ExitStack() as held, pytest.raises(psycopg.OperationalError) as refused:
            for taken in range(200):  # noqa: B007 - how many were taken is what is asked
                held.enter_context(psycopg.connect(ads, user="ads_web", password=settings.postgres_password))
        assert taken == 2 * (2 + MONEY_CONNECTIONS)
        assert "too many connections for role" in str(refused.value)
    most = room(Settings())
    assert most == {"owner": 5, "web": 44, "worker": 44}
    assert sum(most.values()) * 2 < 200, "not even two services together"


def test_so_many_connections_that_one_service_could_take_all_are_refused_with_what_to_change(
    stack: Stack,
) -> None:
    much = msgspec.structs.replace(stack.settings(), processes=9)
    with pytest.raises(
        BadSetting, match="let one service hold 203 connections, and PostgreSQL has 197 for all"
    ):
        bootstrap_databases(stack.admin_url(), much, [])


def test_a_request_cannot_hold_a_connection_for_ever(stack: Stack) -> None:
    settings = stack.settings("ads")
    with psycopg.connect(
        f"{settings.postgres_url}/ads", user="ads_web", password=settings.postgres_password
    ) as db:
        assert db.execute("SHOW statement_timeout").fetchone() == ("15s",)
        assert db.execute("SHOW idle_in_transaction_session_timeout").fetchone() == ("30s",)


def test_a_cluster_made_halfway_is_made_anew(home: Path) -> None:
    (home / "postgres.new").mkdir(parents=True)
    (home / "postgres.new" / "PG_VERSION").write_text("18\n")
    with Stack(home) as stack:
        psycopg.connect(stack.admin_url("ledger")).close()


def test_a_lock_file_that_names_a_stranger_does_not_keep_postgres_down(home: Path) -> None:
    with Stack(home) as stack:
        stack.kill("postgres")
        lock = home / "postgres" / "postmaster.pid"
        text = lock.read_text().splitlines()
        text[0] = str(os.getpid())
        lock.write_text("\n".join(text) + "\n")
        stack.start()
        psycopg.connect(stack.admin_url()).close()


def _ways_down() -> list[str]:
    """The ways in which root can be given up; an ordinary user has none to give up."""
    return ["drop", "drop+reach"] if os.geteuid() == 0 else ["keep"]


@pytest.mark.parametrize("mode", _ways_down())
def test_postgres_does_not_run_as_root_even_below_a_folder_that_only_root_may_enter(
    home: Path, mode: str
) -> None:
    home.mkdir()
    if mode == "drop+reach":
        home.parent.chmod(0o700)
    with Stack(home) as stack:
        process = psutil.Process(stack.children["postgres"].pid)
        assert stack.children["postgres"].part.mode == mode
        assert process.uids().effective != 0
        psycopg.connect(stack.admin_url()).close()


# NATS and Redis


def test_nats_refuses_strangers(stack: Stack) -> None:
    with socket.create_connection(("127.0.0.1", stack.ports.of("nats")), timeout=5) as line:
        line.sendall(b'CONNECT {"verbose":false}\r\nPING\r\n')
        heard = b""
        while more := line.recv(4096):
            heard += more
    assert b"Authorization Violation" in heard


def test_jetstream_syncs_every_message_before_it_acknowledges(stack: Stack) -> None:
    asked = http.client.HTTPConnection("127.0.0.1", stack.ports.of("nats_monitor"), timeout=5)
    asked.request("GET", "/jsz?config=true")
    config = json.loads(asked.getresponse().read())["config"]
    asked.close()
    assert config["sync_always"] is True


def test_redis_refuses_strangers_and_forgets_nothing_when_full(stack: Stack) -> None:
    from redis import Redis
    from redis.exceptions import AuthenticationError

    with Redis.from_url(counters.address(stack.settings(), OPERATOR)) as redis:
        assert redis.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert redis.config_get("appendonly") == {"appendonly": "yes"}
    with (
        Redis(host="127.0.0.1", port=stack.ports.of("redis")) as stranger,
        pytest.raises(AuthenticationError),
    ):
        stranger.ping()


async def test_what_a_store_writes_is_for_its_owner_alone(stack: Stack) -> None:
    from redis import Redis

    with Redis.from_url(counters.address(stack.settings("ads"), "ads")) as redis:
        redis.hincrby("ads:here", "n", 1)
    await lay_out(stack.settings(), [])
    for name in ("redis", "nats", "postgres"):
        places = [stack.home / name, *(stack.home / name).rglob("*")]
        assert len(places) > 3
        assert [place for place in places if place.stat().st_mode & 0o077] == []


# Secrets and settings


def test_secrets_are_for_their_owner_alone_and_stay_the_same(home: Path) -> None:
    before = Stack(home).env("accounts")
    for file in (home / "secrets").iterdir():
        assert file.stat().st_mode & 0o077 == 0, file.name
    assert (home / "secrets").stat().st_mode & 0o077 == 0
    assert Stack(home).env("accounts") == before


def test_each_app_gets_only_the_secrets_that_it_needs(stack: Stack) -> None:
    for key, signer in (("token_private_key", "accounts"), ("head_private_key", "ledger")):
        assert [name for name in SERVICES if getattr(load(stack.env(name)), key)] == [signer]
    assert load(stack.env()).operator_secret
    assert not any(load(stack.env(service)).operator_secret for service in SERVICES)
    assert len({stack.env(service)["NGUONTHU_NATS_PASSWORD"] for service in SERVICES}) == len(SERVICES)
    paper = stack.env("demo")
    assert not {key for key in paper if any(word in key for word in ("SECRET", "PASSWORD", "PRIVATE"))}


def test_what_the_stack_decides_wins_and_other_wishes_are_kept(tmp_path: Path) -> None:
    given = {"NGUONTHU_SECRET_FILE": "/nowhere", "NGUONTHU_SMTP_URL": "smtp://mail.example:25"}
    stack = Stack(tmp_path, given=given)
    assert load(stack.env("ads")).smtp_url == "smtp://mail.example:25"
    assert load(stack.env("ads")).secret == of_service(stack.keys.text("operator"), "ads")["secret"]
    assert "NGUONTHU_SMTP_URL" not in stack.env("demo")


# Life and death


def test_only_one_process_holds_a_home(home: Path) -> None:
    with Stack(home) as first:
        with pytest.raises(CannotStart, match="in use by a running house"):
            Stack(home).start()
        assert first.runs("postgres")


def test_parts_end_with_their_parent_and_the_next_start_recovers(home: Path) -> None:
    code = (
        "import sys, time; from ops.embedded import Stack; s = Stack(sys.argv[1]); s.start(); "
        "print('up', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(home)], stdout=subprocess.PIPE)
    assert holder.stdout
    assert holder.stdout.readline() == b"up\n"
    run = json.loads((home / "run.json").read_text())
    notes = [(int(part["pid"]), part["created"]) for part in run["parts"].values()]
    assert len(notes) == 3
    assert all(is_same(*note) for note in notes)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    end = time.monotonic() + 10
    while any(is_same(*note) for note in notes) and time.monotonic() < end:
        time.sleep(0.05)
    assert not any(is_same(*note) for note in notes)
    with Stack(home) as stack:
        psycopg.connect(stack.admin_url("ledger")).close()


def test_what_a_killed_house_left_running_is_ended_first(home: Path) -> None:
    said: list[str] = []
    stack = Stack(home, said.append)
    left = subprocess.Popen(["sleep", "60"])
    note = {"pid": left.pid, "created": psutil.Process(left.pid).create_time(), "port": 1}
    (home / "run.json").write_text(json.dumps({"pid": 1, "parts": {"redis": note}}))
    try:
        stack.start(["redis"])
        assert not is_same(left.pid, note["created"])
        assert said == ["Ended redis, left over from a run that was killed."]
    finally:
        stack.stop()
        left.kill()


@pytest.mark.parametrize("name", ["postgres", "nats", "redis"])
def test_a_killed_store_comes_back_with_what_it_held(home: Path, name: str) -> None:
    with Stack(home) as stack:
        with psycopg.connect(stack.admin_url("ledger")) as db:
            db.execute("CREATE TABLE kept AS SELECT 1 AS one")
        stack.kill(name)
        assert not stack.runs(name)
        stack.start()
        assert not stack.children[name].missing()
        with psycopg.connect(stack.admin_url("ledger")) as db:
            assert db.execute("SELECT one FROM kept").fetchone() == (1,)


def test_a_part_that_cannot_start_says_why(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "redis_program", lambda: "/bin/false")
    with pytest.raises(CannotStart, match="redis ended at its start"):
        Stack(home).start(["redis"])


def test_a_door_that_takes_connections_and_answers_nothing_is_not_taken_for_open() -> None:
    with socket.create_server(("127.0.0.1", 0)) as frozen:
        assert "does not answer" in edge_waits_for(frozen.getsockname()[1])


def test_a_service_that_waits_is_told_of_in_its_own_words() -> None:
    body = json.dumps(
        {"status": "waiting", "waits_for": ["PostgreSQL: does not answer", "x" * 400], "holds": []}
    )
    for answer, told in (
        (body, "PostgreSQL: does not answer; " + "x" * 400),
        ("cut", "/health/ready says 503 cut"),
    ):
        with socket.create_server(("127.0.0.1", 0)) as door, ThreadPoolExecutor() as asking:
            asked = asking.submit(app_waits_for, door.getsockname()[1])
            with door.accept()[0] as line:
                line.recv(1000)
                head = f"HTTP/1.1 503 Away\r\nContent-Length: {len(answer)}\r\nConnection: close\r\n\r\n"
                line.sendall((head + answer).encode())
            assert asked.result(5) == told


@pytest.mark.promise("T7")
def test_all_parts_are_asked_at_the_same_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = Barrier(3, timeout=20)
    monkeypatch.setattr(state, "waits_for", lambda *_: str(asked.wait())[:0] or "does not answer")
    own = {"pid": os.getpid(), "created": psutil.Process().create_time(), "port": 1}
    run = {
        **own,
        "address": "",
        "ready": True,
        "parts": dict.fromkeys(("postgres", "ads", "ledger"), own),
    }
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert [part.detail for part in state.look(tmp_path).parts] == ["does not answer"] * 3


# Ports


@pytest.mark.promise("F1")
def test_a_taken_port_moves_and_says_so_and_stays_where_it_moved(tmp_path: Path) -> None:
    said: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        moved = Ports(tmp_path / "ports.json", said.append).choose("caddy", preferred=port)
        assert moved != port
        assert said == [f"Port {port} for caddy is taken; caddy moves to {moved}."]
    # Letters lead there by now, so that it does not go back; only who asks for another port gets that one.
    assert Ports(tmp_path / "ports.json", said.append).choose("caddy", preferred=port) == moved
    with socket.create_server(("127.0.0.1", 0)) as probe:
        other = probe.getsockname()[1]
    assert len(said) == 1
    assert Ports(tmp_path / "ports.json", said.append).choose("caddy", preferred=other) == other
    with socket.create_server(("127.0.0.1", other)):
        again = Ports(tmp_path / "ports.json", said.append).choose("caddy", preferred=other)
    assert said[1:] == [f"Port {other} for caddy is taken; caddy moves to {again}."]


@pytest.mark.promise("F1")
def test_two_houses_that_start_at_once_do_not_share_an_address(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        wanted = f"http://localhost:{probe.getsockname()[1]}"
    one, other = (Stack(tmp_path / name) for name in ("one", "other"))
    one.find_address(wanted, wanted)
    # The first lives through its history now, and its edge does not listen yet.
    other.find_address(wanted, wanted)
    assert one.address == wanted != other.address
    # Nor is there a moment for the other between our letting go and our edge's listening: it listens beside us.
    with socket.socket() as edge:
        for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT):
            edge.setsockopt(socket.SOL_SOCKET, option, 1)
        edge.bind(("127.0.0.1", one.ports.of("caddy")))
        edge.listen()
        assert not is_free(one.ports.of("caddy"))
    other.find_address(wanted, wanted)
    assert other.address != wanted
    one.ports.let_go()
    other.ports.let_go()


def test_a_port_is_remembered_and_given_to_one_alone(tmp_path: Path) -> None:
    file = tmp_path / "ports.json"
    first = Ports(file, print).choose("nats")
    assert is_free(first)
    assert Ports(file, print).choose("nats") == first
    assert Ports(file, print).choose("redis", preferred=first) != first


def test_no_store_listens_beyond_loopback(stack: Stack) -> None:
    assert listening_beyond_loopback(stack.home) == []
    with socket.create_server(("0.0.0.0", 0)):  # the check itself can fail
        run = json.loads(stack.run_file.read_text())
        ours = {"pid": os.getpid(), "created": psutil.Process().create_time(), "port": 0}
        run["parts"]["open"] = ours
        stack.run_file.write_text(json.dumps(run))
        assert [text for text in listening_beyond_loopback(stack.home) if text.startswith("open on 0.0.0.0:")]
    stack.note()
