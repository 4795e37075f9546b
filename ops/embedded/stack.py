"""PostgreSQL, NATS, Redis (and Caddy) of one home folder, started, watched and stopped from one object."""

import contextlib
import fcntl
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

import psycopg

from ops.embedded import parts
from ops.embedded.apps import EDGE, app, caddy, with_port
from ops.embedded.databases import bootstrap_databases, drop_databases
from ops.embedded.edge import DEMO
from ops.embedded.keys import Keys
from ops.embedded.ports import Ports, write_whole
from ops.embedded.process import CannotStart, Child, Part, created, end_leftovers
from ops.keys import of_service
from shared.keys import OPERATOR, nats_password, redis_password
from shared.settings import PREFIX, Settings, is_loopback, read

STORES = ("postgres", "nats", "redis")


class Stack:
    """The embedded house of one folder. Only one process at a time holds a folder.

    Start it from a thread that lives as long as the parts shall: they end with the thread that started them.
    """

    def __init__(
        self,
        home: Path | str,
        say: Callable[[str], None] = lambda _: None,
        *,
        durable: bool = True,
        given: Mapping[str, str] | None = None,
    ) -> None:
        self.home = Path(home).absolute()
        self.say = say
        self.children: dict[str, Child] = {}
        self.address = ""
        self.creatives = ""
        self.is_ready = False
        self.is_noted = True
        """Whether what runs could be written down."""
        self.given = dict(given or {})
        """Settings that the person gave, as environment variables; what the stack itself decides wins."""
        self._durable = durable
        self._lock: int | None = None
        self.logs = self.home / "logs"
        self.run_file = self.home / "run.json"
        self.logs.mkdir(parents=True, exist_ok=True)
        # PostgreSQL may run as another user and must get through; what is secret has its own closed folder.
        self.home.chmod(0o711)
        self.logs.chmod(0o700)
        self.keys = Keys(self.home / "secrets")
        self.ports = Ports(self.home / "ports.json", self.say)

    # Starting and stopping

    def start(self, names: Iterable[str] = STORES, meanwhile: Callable[[], None] = lambda: None) -> None:
        """Start what does not run yet and wait until it serves. Raises CannotStart.

        `meanwhile` is done between the two, since starting is mostly waiting.
        """
        self.hold()
        wanted = [name for name in names if not self.runs(name)]
        try:
            for name in wanted:
                self.launch(self._part(name))
            meanwhile()
            self._wait_until_ready(wanted)
        except BaseException:
            self.stop()
            raise

    def _part(self, name: str) -> Part:
        if name == "postgres":
            return parts.postgres(self.home, self.ports, durable=self._durable)
        if name == "nats":
            return parts.nats(self.home, self.ports)
        if name == "redis":
            return parts.redis(self.home, self.ports)
        if name == EDGE:
            return caddy(self.home, self.ports, self.address, self.creatives)
        return app(self.home, self.ports, name, self.env(name))

    def _wait_until_ready(self, names: list[str], limit_s: float = 60) -> None:
        waiting, end = [self.children[name] for name in names], time.monotonic() + limit_s
        while waiting:
            for child in list(waiting):
                if not (missing := child.missing()):
                    waiting.remove(child)
                    if child.part.name == "postgres":
                        bootstrap_databases(self.admin_url(), self.settings())
                elif time.monotonic() > end:
                    raise CannotStart(f"{child.part.name} is not ready after {limit_s:.0f} s: {missing}.")
            time.sleep(0.02 if waiting else 0)

    def find_address(self, base_url: str, creatives_url: str) -> None:
        """Settle where the house is reached; on loopback at another port when the wanted one is taken."""
        self.address, self.creatives = base_url, creatives_url
        if is_loopback(base_url):
            port = self.ports.choose(EDGE, preferred=urlsplit(base_url).port or 80)
            self.ports.hold(EDGE)
            self.address, self.creatives = with_port(base_url, port), with_port(creatives_url, port)

    def restart(self, name: str) -> None:
        """Start an ended part anew, as it was, without waiting for it."""
        self.launch(self.children[name].part)

    def hold(self) -> None:
        """Take this folder for our process alone, and end what a killed one left in it."""
        if self._lock is not None:
            return
        lock = os.open(self.home / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(lock)
            raise CannotStart(
                f"{self.home} is in use by a running house: `nguonthu status` shows it, "
                "`nguonthu down` stops it."
            ) from error
        self._lock = lock
        for name in end_leftovers(self.run_file):
            self.say(f"Ended {name}, left over from a run that was killed.")
        self.run_file.unlink(missing_ok=True)

    def launch(self, part: Part) -> Child:
        """Start one part without waiting for it."""
        child = Child(part, self.logs)
        if child.unlogged:
            self.say(f"What {part.name} logs is lost: {child.unlogged}.")
        self.children[part.name] = child
        self.note()
        return child

    def runs(self, name: str) -> bool:
        """Whether this part was started here and has not ended."""
        return name in self.children and self.children[name].alive()

    def kill(self, name: str) -> None:
        """End a part at once, as a fault would (`kill -9`)."""
        self.children[name].kill()

    def stop(self, limit_s: float = 9) -> None:
        """End all parts, doors first and stores last, and let go of the folder."""
        end = time.monotonic() + limit_s
        stores = [name for name in STORES if name in self.children]
        apps = [name for name in self.children if name not in (*STORES, EDGE)]
        for group, share in (([EDGE] if EDGE in self.children else [], 2.0), (apps, 5.0), (stores, limit_s)):
            until = min(end, time.monotonic() + share)
            for name in group:
                self.children[name].ask_to_stop()
            for name in group:
                if not self.children[name].wait(until - time.monotonic()):
                    self.say(f"{name} does not stop and is killed.")
                    self.children[name].kill()
        self.children.clear()
        self.ports.let_go()
        if self._lock is not None:
            self.run_file.unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def write_out(self) -> None:
        """Have PostgreSQL bring to the disk what a new house wrote, so that whoever stops it soon need not wait."""
        with psycopg.connect(self.admin_url(), autocommit=True) as db:
            db.execute("CHECKPOINT")

    def forget_databases(self) -> None:
        """Empty all services' databases. What JetStream and Redis hold goes too, so nothing must be using them."""
        drop_databases(self.admin_url())
        for name in ("nats", "redis"):
            self.children[name].ask_to_stop()
            if not self.children[name].wait(5):
                self.children[name].kill()
        shutil.rmtree(self.home / "nats" / "store", ignore_errors=True)
        shutil.rmtree(self.home / "redis", ignore_errors=True)
        bootstrap_databases(self.admin_url(), self.settings())
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def note(self) -> None:
        """Write down what runs, for `status`, `down` and whoever comes after a crash."""
        state = {
            "pid": os.getpid(),
            "created": created(os.getpid()),
            "address": self.address,
            "ready": self.is_ready,
            "parts": {
                name: {"pid": child.pid, "created": child.created, "port": child.part.port}
                for name, child in self.children.items()
            },
        }
        try:
            write_whole(self.run_file, json.dumps(state, indent=1))
        except OSError as error:
            if self.is_noted:
                self.say(
                    f"{self.run_file} cannot be written ({error.strerror}): it is, when it can be again."
                )
            self.is_noted = False
        else:
            self.is_noted = True

    # What others need to know

    def admin_url(self, database: str = "postgres") -> str:
        """PostgreSQL's address as superuser; only for bootstrapping, backup and tests."""
        return parts.postgres_url(self.home, self.ports.of("postgres"), database)

    def env(self, service: str | None = None) -> dict[str, str]:
        """The settings as environment variables, for one service or (None) for the operator.

        A private key is for who signs by it (accounts, the ledger) and the operator; each gets its own user of NATS
        and of Redis.
        """
        decided = {
            "NGUONTHU_HOME": str(self.home),
            "NGUONTHU_LISTEN": "127.0.0.1",
            "NGUONTHU_TOKEN_PUBLIC_KEYS": self.keys.text("token_public_keys"),
            "NGUONTHU_HEAD_PUBLIC_KEYS": self.keys.text("head_public_keys"),
        }
        if self.address:
            decided |= {"NGUONTHU_BASE_URL": self.address, "NGUONTHU_CREATIVES_URL": self.creatives}
        if service == DEMO:
            # The newspaper is a customer like any other: it knows its key and the public addresses, and no secret.
            return decided
        operator = self.keys.text("operator")
        held = (
            of_service(operator, service, self.keys.formers())
            if service
            else {
                "operator_secret": operator,
                "nats_password": nats_password(operator, OPERATOR),
                "redis_password": redis_password(operator, OPERATOR),
            }
        )
        decided |= {PREFIX + name.upper(): value for name, value in held.items()}
        for signed, signer in (("token", "accounts"), ("head", "ledger")):
            if service in (None, signer):
                name = f"{signed}_private_key"
                decided[PREFIX + name.upper()] = self.keys.text(name)
        with contextlib.suppress(KeyError):
            decided["NGUONTHU_POSTGRES_URL"] = f"postgresql://127.0.0.1:{self.ports.of('postgres')}"
            decided["NGUONTHU_REDIS_URL"] = f"redis://127.0.0.1:{self.ports.of('redis')}/0"
            decided["NGUONTHU_NATS_URL"] = f"nats://127.0.0.1:{self.ports.of('nats')}"
        # A file named by `…_FILE` would win over what is decided here.
        withheld = {*decided, *([f"{PREFIX}BACKUP_KEY"] if service else [])}
        given = {key: value for key, value in self.given.items() if key.removesuffix("_FILE") not in withheld}
        return given | decided

    def settings(self, service: str | None = None) -> Settings:
        """The same as `env`, read."""
        return read(self.env(service))


@contextlib.contextmanager
def running(home: Path | str, names: Iterable[str] = STORES) -> Iterator[Stack]:
    """A stack for the length of a block."""
    stack = Stack(home)
    stack.start(names)
    try:
        yield stack
    finally:
        stack.stop()
