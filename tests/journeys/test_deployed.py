"""The deployed shape, without containers: each service at an address of its own, and a reader who buys at the edge."""

import contextlib
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from ops.deploy import write_secrets
from ops.embedded import Stack
from ops.embedded.parts import plain_env, program
from shared.contracts import SERVICES
from tests.journeys import buyers
from tests.journeys.conftest import WholeHouse
from tests.ops.test_deploy import PARTS, ROOT, environment
from tests.shared.homes import a_folder
from tests.shared.ports import free_port

pytestmark = [pytest.mark.promise("F8"), pytest.mark.xdist_group("house"), pytest.mark.stack]

ADDRESSES = {name: f"127.0.1.{n}" for n, name in enumerate(SERVICES, start=1)}
"""Loopback addresses in place of the containers' own: who listens on 127.0.0.1 alone is reached at none of them."""


class Deployed:
    """The processes of `compose.yaml` with its settings and secrets, by its Caddyfile; stores as in the wheels."""

    def __init__(self, home: Path, opened: contextlib.ExitStack) -> None:
        self.home, self.opened = home, opened
        self.port, self.edge = free_port(), free_port()
        write_secrets(home / "secrets")
        # The stores' passwords come from the same secrets, as they do in the containers.
        self.stack = opened.enter_context(Stack(home, durable=False))
        self.running: list[subprocess.Popen[bytes]] = []
        opened.callback(self.stop)

    def env(self, name: str) -> dict[str, str]:
        """What compose would give a container, its network's names replaced by what they stand for here."""
        stores = self.stack.env(None)
        found = environment(name, self.home / "secrets")
        found |= {
            key: stores[key] for key in ("NGUONTHU_POSTGRES_URL", "NGUONTHU_NATS_URL", "NGUONTHU_REDIS_URL")
        }
        return (
            plain_env()
            | found
            | {
                "NGUONTHU_HOME": str(self.home),
                "NGUONTHU_BASE_URL": f"http://localhost:{self.edge}",
                "NGUONTHU_CREATIVES_URL": f"http://creatives.localhost:{self.edge}",
                "NGUONTHU_NATS_REPLICAS": "1",
                "NGUONTHU_TRIAL": "true",
                "NGUONTHU_LISTEN": ADDRESSES.get(name, "127.0.0.1"),
                "NGUONTHU_SIMULATOR_URL": f"http://{ADDRESSES['payments']}:{self.port}",
            }
        )

    def command(self, name: str, *words: str, **more: str) -> None:
        """Run a job of the house to its end."""
        done = subprocess.run(
            [sys.executable, "-m", "ops.cli", *words],
            env=self.env(name) | more,
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self, name: str, argv: list[str], env: dict[str, str]) -> None:
        log = self.opened.enter_context((self.home / "logs" / f"{name}.log").open("wb"))
        self.running.append(subprocess.Popen(argv, env=env, cwd=ROOT, stdout=log, stderr=log))

    def stop(self) -> None:
        """End all of it at the same time, as compose would."""
        for process in self.running:
            process.terminate()
        for process in self.running:
            process.wait()

    def start_service(self, name: str) -> None:
        command = [*PARTS[name]["command"], "--port", str(self.port)]
        self.start(name, [sys.executable, "-m", "ops.cli", *command], self.env(name))

    def start_edge(self) -> None:
        text = (ROOT / "deploy" / "Caddyfile").read_text(encoding="utf-8").replace(":2015", f":{free_port()}")
        for name, address in ADDRESSES.items():
            text = text.replace(f"reverse_proxy {name}:8000", f"reverse_proxy {address}:{self.port}")
        assert not re.search(r"reverse_proxy [a-z]", text)
        (self.home / "Caddyfile").write_text(text, encoding="utf-8")
        kept = {"XDG_DATA_HOME": str(self.home / "caddy"), "XDG_CONFIG_HOME": str(self.home / "caddy")}
        argv = [program("caddy"), "run", "--adapter", "caddyfile", "--config", str(self.home / "Caddyfile")]
        self.start("edge", argv, self.env("demo") | kept)

    def is_healthy(self, name: str) -> bool:
        """What compose's own health check says of a container; it is not asked before somebody listens there."""
        with socket.socket() as probe:
            if probe.connect_ex((ADDRESSES[name], self.port)):
                return False
        *_, code = PARTS[name]["healthcheck"]["test"]
        named = f"import socket; socket.gethostname = lambda: {ADDRESSES[name]!r}\n"
        asked = [sys.executable, "-c", named + code.replace(":8000/", f":{self.port}/")]
        return subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0


@pytest.fixture
def deployed() -> Iterator[Deployed]:
    with a_folder() as folder, contextlib.ExitStack() as opened:
        yield Deployed(folder / "home", opened)


@pytest.mark.timeout(600)
@pytest.mark.skipif(sys.platform != "linux", reason="only Linux answers at every loopback address")
def test_a_reader_buys_at_the_edge_of_the_deployed_house(deployed: Deployed) -> None:
    keys = ("token_private_key", "head_private_key")
    signing = {f"NGUONTHU_{key.upper()}_FILE": str(deployed.home / "secrets" / key) for key in keys}
    admin = {
        "NGUONTHU_POSTGRES_ADMIN_URL": deployed.stack.admin_url(),
        "NGUONTHU_POSTGRES_ADMIN_URL_FILE": "",
    }
    deployed.command("migrate", *PARTS["migrate"]["command"], **admin)
    deployed.command("migrate", "seed", **signing)
    for name in SERVICES:
        deployed.start_service(name)
    deployed.start_edge()
    house = WholeHouse(deployed.home, f"http://localhost:{deployed.edge}", dict(os.environ))
    for name in SERVICES:
        house.until(lambda name=name: deployed.is_healthy(name), f"{name} is healthy", seconds=240)
        assert house.get(f"/health/{name}").status_code == 200, "the edge reaches what is healthy"
    with psycopg.connect(deployed.stack.admin_url("ledger"), autocommit=True) as books:
        asked = "SELECT count(*) FROM archive WHERE subject = 'payments.payment.captured.v1'"
        before = books.execute(asked).fetchone()
        buyers.buy_subscription(house)
        house.until(lambda: books.execute(asked).fetchone() > before, "the sale is in the books", seconds=60)
