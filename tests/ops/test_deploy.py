"""The deployed shape: compose.yaml, Dockerfile, the cluster's NATS and the edge are what they claim to be."""

import asyncio
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import nats
import nats.errors
import nats.js.errors
import pytest
import yaml

from ops.deploy import NODES, edge_text, nats_text, write_secrets
from ops.embedded.keys import Keys
from ops.embedded.parts import program
from ops.embedded.ports import Ports
from ops.golive import load
from ops.keys import of_service
from ops.mending import gaps
from ops.streams import lay_out
from shared.bus import Bus
from shared.consume import Consumer
from shared.contracts import SERVICES
from shared.contracts.ads import InvoiceWithdrawn
from shared.keys import OPERATOR, nats_door
from shared.presence import Presence
from shared.settings import Settings, describe

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
PARTS: dict[str, Any] = COMPOSE["services"]
OPERATING = ("migrate", "streams")
OURS = (*SERVICES, "demo", *OPERATING)
SECRET = "/run/secrets/"


@pytest.fixture(scope="module")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("secrets") / "secrets"
    write_secrets(folder)
    return folder


def environment(name: str, secrets: Path) -> dict[str, str]:
    """What a container's process sees, with the compose file's defaults and its mounted secrets."""
    found = {}
    for key, value in PARTS[name].get("environment", {}).items():
        text = re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))
        found[key] = text.replace(SECRET, f"{secrets}/")
    return found


@pytest.mark.parametrize("name", PARTS)
@pytest.mark.promise("F8")
def test_every_container_is_locked_down_watched_and_started_again(name: str) -> None:
    part = PARTS[name]
    assert part["healthcheck"]["test"]
    assert part["restart"] in ("unless-stopped", "on-failure")
    assert int(part["user"].split(":")[0]) > 0
    assert part["read_only"] is True
    assert part["cap_drop"] == ["ALL"]
    assert part["security_opt"] == ["no-new-privileges:true"]
    assert "/tmp" in part["tmpfs"]
    assert "privileged" not in part


def test_all_parts_of_the_house_are_there() -> None:
    assert set(PARTS) == {*OURS, *NODES, "postgres", "valkey", "caddy"}


@pytest.mark.parametrize("name", OURS)
@pytest.mark.promise("F8")
def test_each_of_our_containers_gets_settings_that_can_be_read(name: str, secrets: Path) -> None:
    env = environment(name, secrets)
    known = {variable for variable, _, _ in describe()}
    assert {key.removesuffix("_FILE") for key in env} <= known
    settings = load(env, OPERATOR if name in OPERATING else name)
    if name in SERVICES:
        held = of_service((secrets / "operator").read_text(), name)
        assert {key: getattr(settings, key) for key in held} == held
    if name != "demo":
        assert settings.nats_replicas == len(NODES) == len(settings.nats_url.split(","))
    assert bool(settings.token_private_key) == (name == "accounts")
    assert bool(settings.head_private_key) == (name == "ledger")
    assert bool(settings.nats_password) == (name != "demo")
    assert bool(settings.redis_password) == (name in SERVICES)
    assert bool(settings.operator_secret) == (name in OPERATING)
    assert bool(settings.postgres_admin_url) == (name == "migrate")


@pytest.mark.parametrize("name", PARTS)
def test_each_container_mounts_the_secrets_that_it_reads_and_no_others(name: str, secrets: Path) -> None:
    part = PARTS[name]
    others = {f"_{service}" for service in SERVICES if service != name}
    assert not [held for held in part.get("secrets", []) if held.endswith(tuple(others))]
    said = str(part.get("environment", "")) + str(part.get("command", ""))
    assert set(re.findall(rf"{SECRET}([\w.]+)", said)) == set(part.get("secrets", []))
    for secret in part.get("secrets", []):
        assert COMPOSE["secrets"][secret]["file"] == f"deploy/secrets/{secret}"
        # VNPay alone knows its secrets, and of before there is nothing until something is turned.
        empty = secret == "vnpay_terminals" or secret.startswith("former_keys_")
        assert (secrets / secret).read_text().strip() or empty


@pytest.mark.parametrize("name", OURS)
def test_each_command_is_one_of_ours(name: str) -> None:
    command = [str(word) for word in PARTS[name]["command"]]
    asked = command[:1] if command[0] == "run" else [word for word in command if not word.startswith("--")]
    told = subprocess.run(
        [sys.executable, "-m", "ops.cli", *asked, "--help"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    if command[0] == "run":
        assert command == ["run", name]
    for option in (word for word in command if word.startswith("--")):
        assert option in told.stdout


def test_secrets_are_made_once_and_never_changed(tmp_path: Path) -> None:
    first = {name: (tmp_path / "s" / name).read_bytes() for name in write_secrets(tmp_path / "s")}
    assert {name: (tmp_path / "s" / name).read_bytes() for name in write_secrets(tmp_path / "s")} == first
    assert (tmp_path / "s").stat().st_mode & 0o077 == 0


def test_the_server_of_the_databases_never_answers_before_the_disk_has_it() -> None:
    command = PARTS["postgres"]["command"]
    assert PARTS["postgres"]["image"] == "postgres:18"
    for name in ("fsync", "synchronous_commit", "full_page_writes"):
        assert f"-c{name}=on" in command
    assert {"lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"} <= {
        word[2:].split("=")[0] for word in command
    }
    assert "--data-checksums" in PARTS["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]
    assert "scram-sha-256" in PARTS["postgres"]["environment"]["POSTGRES_INITDB_ARGS"]


@pytest.mark.parametrize(
    ("base", "creatives"),
    [
        ("http://localhost:8080", "http://creatives.localhost:8080"),
        ("https://news.example", "https://ads.example"),
    ],
)
def test_the_edge_is_as_generated_and_caddy_takes_it(base: str, creatives: str, tmp_path: Path) -> None:
    file = ROOT / "deploy" / "Caddyfile"
    assert file.read_text(encoding="utf-8") == edge_text(), "written anew by: python -m ops.deploy"
    told = subprocess.run(
        [program("caddy"), "adapt", "--validate", "--adapter", "caddyfile", "--config", str(file)],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "NGUONTHU_BASE_URL": base,
            "NGUONTHU_CREATIVES_URL": creatives,
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr


def test_the_image_is_pinned_by_hashes_and_does_not_run_as_root() -> None:
    lines = (ROOT / "Dockerfile").read_text(encoding="utf-8").splitlines()
    installs = [line for line in lines if "pip install" in line]
    assert all("--require-hashes" in line or "--no-deps" in line for line in installs)
    assert installs
    assert [line for line in lines if line.startswith("USER ")] == ["USER nguonthu"]


# The cluster, on loopback


@pytest.mark.parametrize("node", NODES)
@pytest.mark.promise("F8")
def test_nats_takes_the_configuration_of_each_node(node: str, secrets: Path) -> None:
    told = subprocess.run(
        [program("nats-server"), "-t", "-c", str(secrets / "nats.conf"), "--name", node],
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stderr
    assert "sync_interval: always" in (secrets / "nats.conf").read_text()


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[list[str], Keys, list[subprocess.Popen[bytes]]]]:
    """Three nodes with the deployed configuration, moved to ports of this machine."""
    keys = Keys(tmp_path / "secrets")
    ports = Ports(tmp_path / "ports.json", print)
    running: list[subprocess.Popen[bytes]] = []
    text = nats_text(keys)
    for node in NODES:
        text = text.replace(f"{node}:6222", f"127.0.0.1:{ports.choose(f'{node} route')}")
    for node in NODES:
        own = (
            text.replace("0.0.0.0:4222", f"127.0.0.1:{ports.choose(node)}")
            .replace("0.0.0.0:6222", f"127.0.0.1:{ports.of(f'{node} route')}")
            .replace("127.0.0.1:8222", f"127.0.0.1:{ports.choose(f'{node} monitor')}")
            .replace('"/data"', f'"{tmp_path / node}"')
        )
        (tmp_path / f"{node}.conf").write_text(own)
        with (tmp_path / f"{node}.log").open("wb") as log:
            running.append(
                subprocess.Popen(
                    [program("nats-server"), "-c", str(tmp_path / f"{node}.conf"), "--name", node],
                    stdout=log,
                    stderr=log,
                )
            )
    yield [f"nats://127.0.0.1:{ports.of(node)}" for node in NODES], keys, running
    for process in running:
        process.kill()
        process.wait()


async def _until(what: Any, limit: int = 300) -> Any:
    """Try an action until it succeeds; elections take seconds."""
    for _ in range(limit):
        try:
            return await what()
        except (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError):
            await asyncio.sleep(0.1)
    raise AssertionError("the cluster did not answer in time")


async def _in_step(info: Any) -> Any:
    """The stream, once each of its nodes has all of it."""
    made = await info("ADS")
    others = made.cluster.replicas or []
    if len(others) == made.config.num_replicas - 1 == 2 and all(node.current for node in others):
        return made
    raise TimeoutError


def _operator(urls: list[str], keys: Keys) -> Settings:
    return msgspec.structs.replace(
        Settings(),
        nats_url=",".join(urls),
        nats_password=keys.nats_password("operator"),
        operator_secret=keys.text("operator"),
        nats_replicas=3,
    )


@pytest.mark.promise("F3")
async def test_where_one_node_of_three_is_left_it_is_told_that_nobody_leads_the_streams(
    cluster: tuple[list[str], Keys, list[subprocess.Popen[bytes]]],
) -> None:
    urls, keys, running = cluster
    operator, hears = _operator(urls, keys), Consumer("ads")

    @hears.on
    async def note(fact: InvoiceWithdrawn, tx: object) -> None:
        """It is not called."""

    await lay_out(operator, [hears])
    bus = Bus(msgspec.structs.replace(operator, nats_password=keys.nats_password("ads")), "ads")
    await bus.connect()
    seen = Presence(bus, hears)
    await seen.look()
    assert seen.away == []
    assert await gaps(operator, [hears], 30) == []
    for process in running[1:]:
        process.kill()
        process.wait()
    await _until(lambda: bus.client and bus.client.flush(1))
    nobody = {(f"stream {name.upper()} has no leader", False) for name in SERVICES}

    async def told() -> None:
        """A node that is left alone leads on for some seconds, until it misses the others."""
        await seen.look()
        found = {(gap.what, gap.mendable) for gap in await gaps(operator, [hears])}
        if "stream ADS has no leader" not in seen.away or found != nobody:
            raise TimeoutError

    await _until(told)
    await bus.close()


@pytest.mark.promise("F8")
@pytest.mark.promise("T2")
async def test_a_cluster_that_grew_loses_no_acknowledged_fact_with_its_leader(
    cluster: tuple[list[str], Keys, list[subprocess.Popen[bytes]]],
) -> None:
    urls, keys, running = cluster

    async def quiet(_: Exception) -> None:
        """Lost connections are the point of this test."""

    operator = _operator(urls, keys)
    # It began on one node; the others were added to it.
    await lay_out(msgspec.structs.replace(operator, nats_replicas=1), [])
    boss, client = [
        await _until(
            lambda name=name: nats.connect(
                urls,
                user=name,
                password=keys.nats_password(name),
                error_cb=quiet,
                reconnect_time_wait=0.1,
                inbox_prefix=f"_INBOX_{name}",
            )
        )
        for name in ("operator", "ads")
    ]
    door = nats_door(keys.nats_password("ads"), "ads")
    try:
        jet, info = client.jetstream(timeout=2), boss.jetstream(timeout=2).stream_info
        for n in range(20):
            await _until(
                lambda n=n: jet.publish(f"{door}.trial.made.v1", b"x", headers={"Nats-Msg-Id": str(n)})
            )
        await lay_out(operator, [])
        made = await _until(lambda: _in_step(info))
        assert made.config.num_replicas == 3
        leader = NODES.index(str(made.cluster.leader))
        running[leader].kill()
        running[leader].wait()
        for n in range(20, 40):
            await _until(
                lambda n=n: jet.publish(f"{door}.trial.made.v1", b"x", headers={"Nats-Msg-Id": str(n)})
            )
        assert (await _until(lambda: info("ADS"))).state.messages == 40
    finally:
        await client.close()
        await boss.close()
