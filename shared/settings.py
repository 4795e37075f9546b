"""Every setting of the house, read once from the environment; `docs/settings.md` lists them all."""

import os
import re
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints
from urllib.parse import urlsplit

import msgspec

PREFIX = "NGUONTHU_"
TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d")
DEMO_SECRET = "demo-only-demo-only-demo-only-demo-only"  # noqa: S105 - published, and refused where it matters

MONEY_CONNECTIONS = 3
"""Connections of each role that a service keeps for the paths of money (`shared.gate`), opened when first used."""

TURNS = re.compile(r"((^|;)until:\d+(,[a-z]+:\w+)+)*")
"""How the keys of before are written, one turn behind the other."""


class Budget(msgspec.Struct, frozen=True):
    """How much may be had at once, and again in each `per_s` seconds: by one who is known, by a network's unknown."""

    known: int
    network: int
    per_s: int

    @classmethod
    def read(cls, text: str) -> "Budget":
        """A budget as it is written, `known/network/seconds`. Raises ValueError."""
        parts = text.split("/")
        if len(parts) != 3 or not all(part.isascii() and part.isdigit() and int(part) for part in parts):  # noqa: PLR2004
            raise ValueError("a budget is written known/network/seconds, three whole numbers above 0.")
        return cls(*map(int, parts))

    def __str__(self) -> str:
        return f"{self.known}/{self.network}/{self.per_s}"


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """One field a setting: `NGUONTHU_` and the upper-cased name. A file named by `…_FILE` wins for secrets."""

    home: Annotated[Path, "Folder that holds all data of the embedded house"] = Path(".data")
    production: Annotated[
        bool,
        "Refuse whatever is unsafe where others reach the house, and count no advertisement that a script or headless "
        "browser saw",
    ] = False
    base_url: Annotated[str, "Public address of the house, without a slash at the end"] = (
        "http://localhost:8080"
    )
    creatives_url: Annotated[str, "Second origin, from which advertisers' files are served"] = (
        "http://creatives.localhost:8080"
    )
    postgres_url: Annotated[
        str, "PostgreSQL server; user, password and database are put in by the service"
    ] = "postgresql://localhost:5432"
    database_prefix: Annotated[str, "Put before each service's database name; tests use it"] = ""
    postgres_password: Annotated[str, "Password of the service's own two roles"] = ""
    postgres_admin_url: Annotated[
        str, "PostgreSQL as superuser, read by `nguonthu migrate --bootstrap` alone"
    ] = ""
    nats_url: Annotated[str, "NATS servers, separated by commas"] = "nats://localhost:4222"
    nats_password: Annotated[
        str, "Secret with which the service enters NATS under its own name; empty where NATS asks for none"
    ] = ""
    nats_replicas: Annotated[int, "Copies of each stream: 1 embedded, 3 on a cluster"] = 1
    redis_url: Annotated[str, "Redis or Valkey; user and password are put in by the service"] = (
        "redis://localhost:6379/0"
    )
    redis_password: Annotated[
        str, "Secret with which the service enters Redis under its own name; empty where Redis asks for none"
    ] = ""
    files_url: Annotated[str, "Where files are kept: empty for `home/files`, or s3://bucket/prefix"] = ""
    backup_at: Annotated[
        str,
        "Time of the day in Viet Nam, such as 03:15, at which the embedded house copies itself; empty: never",
    ] = ""
    backup_keep: Annotated[
        int, "How many copies the embedded house leaves, in its own folder and where they are brought"
    ] = 14
    backup_to: Annotated[
        str,
        "Where each copy is brought besides: a folder of another disk, or s3://bucket/prefix; empty: nowhere",
    ] = ""
    backup_recipient: Annotated[
        str,
        "Public half of the key for which copies are sealed (`nguonthu backup-key` makes one); empty: open",
    ] = ""
    backup_key: Annotated[
        str, "The key that opens sealed copies, for `restore` and its drills; best on another machine alone"
    ] = ""
    backup_drill_days: Annotated[
        int, "So many days may lie between two drills (`nguonthu restore --drill`); 0 asks for none"
    ] = 30
    smtp_url: Annotated[
        str, "SMTP server as smtp://user:password@host:port; empty keeps mail in the inbox"
    ] = ""
    mail_from: Annotated[str, "Sender of outgoing mail"] = "Nguồn Thu <no-reply@localhost>"
    operator_secret: Annotated[
        str,
        "The operator's alone, for `migrate`, `init` and other commands: what every service holds is derived from it",
    ] = ""
    secret: Annotated[
        str, "Key from which the service signs its own links, forms and pseudonyms (≥ 32 characters)"
    ] = DEMO_SECRET
    csrf_secret: Annotated[
        str,
        "Key of the tokens in forms, the same in all services, which share an origin; good for nothing else",
    ] = DEMO_SECRET
    pay_link_keys: Annotated[
        str,
        "One seller:key each, separated by commas: a seller signs pay links by its own, payments opens all",
    ] = ""
    former_keys: Annotated[
        str,
        "What the operator's secrets of before opened, as until:seconds,own:key,seller:key, with a semicolon between "
        "two turns: until then these keys open what they signed, and they sign nothing",
    ] = ""
    token_private_key: Annotated[str, "Ed25519 private JWK of accounts; other services leave it empty"] = ""
    token_public_keys: Annotated[str, "JWK set with which page tokens and API keys are verified"] = ""
    head_private_key: Annotated[
        str,
        "Ed25519 private JWK of the ledger, by which it signs heads of the books; others, and who owns its database, "
        "do not hold it",
    ] = ""
    head_public_keys: Annotated[
        str, "JWK set with which signed heads of the books are verified; those of before stay in it"
    ] = ""
    vnpay_url: Annotated[str, "VNPay's address; empty means the simulator inside payments"] = ""
    simulator_url: Annotated[
        str, "Where payments and its VNPay simulator reach each other; empty means the public address"
    ] = ""
    vnpay_terminals: Annotated[
        str, "One agency:terminal:secret each, separated by commas; empty means those of the simulator"
    ] = ""
    listen: Annotated[str, "Address a service listens on; 0.0.0.0 only inside a container's own network"] = (
        "127.0.0.1"
    )
    trial: Annotated[
        bool,
        "Let services listen in a container's own network without production, while the house's addresses lead "
        "to this machine alone; refused beside production",
    ] = False
    log_level: Annotated[str, "debug, info, warning or error"] = "info"
    background: Annotated[bool, "Run relay, consumers and jobs in this process, beside the web"] = True
    requests_at_once: Annotated[
        int,
        "Requests a process answers at once, open streams among them; beyond it 503 with `Retry-After`. The paths of "
        "money have as many again for themselves",
    ] = 600
    web_connections: Annotated[int, "PostgreSQL connections a service holds for requests"] = 8
    worker_connections: Annotated[int, "PostgreSQL connections a service holds for facts and jobs"] = 6
    processes: Annotated[
        int,
        "Processes of one service to which PostgreSQL gives all their connections: its workers, and during an upgrade "
        "as many of the next version; read where roles are made",
    ] = 4
    budget_sign_in: Annotated[
        Budget,
        "Steps of a sign-in, by `known/network/seconds`: one known device, all unknown ones of a network, in how long",
    ] = Budget(60, 30_000, 600)
    budget_codes: Annotated[
        Budget, "Codes to one address that leave at once; beyond it they come in the slower letter"
    ] = Budget(5, 5, 900)
    budget_tries: Annotated[
        Budget, "Wrong passwords, or second steps, on one account; beyond it a code by mail is the way"
    ] = Budget(5, 5, 900)
    budget_passwords: Annotated[Budget, "Wrong passwords over all accounts"] = Budget(20, 600, 3600)
    budget_registrations: Annotated[
        Budget, "Organisations that register without signing in; beyond it they wait, or sign in first"
    ] = Budget(10, 600, 3600)
    budget_holds: Annotated[
        Budget,
        "Tickets that first-time buyers hold; beyond it for five minutes instead of a quarter of an hour",
    ] = Budget(40, 8000, 900)
    budget_packages: Annotated[
        Budget,
        "Sponsorship packages that first-time buyers hold; beyond it for a quarter of an hour, not for hours",
    ] = Budget(3, 6, 86_400)

    @property
    def exposed(self) -> bool:
        """Whether others may reach the house: nothing of the demo's may then answer."""
        addresses = is_loopback(self.base_url) and is_loopback(self.creatives_url)
        inside = self.trial or is_loopback(f"http://{self.listen}")
        return self.production or not (addresses and inside)

    @property
    def secure(self) -> bool:
        """Whether browsers reach us by HTTPS, so that cookies can carry `__Host-`."""
        return self.base_url.startswith("https://")


def is_loopback(url: str) -> bool:
    """Whether an address is one of this machine alone; `127.example.vn` is anybody's name."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class BadSetting(ValueError):
    """A setting cannot be used; the sentence says which and why."""


def describe() -> list[tuple[str, str, str]]:
    """Return (variable, default, meaning) for each setting, in order."""
    hints = get_type_hints(Settings, include_extras=True)
    fields = msgspec.structs.fields(Settings)
    return [(PREFIX + f.name.upper(), str(f.default), get_args(hints[f.name])[1]) for f in fields]


def read(environ: Mapping[str, str] | None = None) -> Settings:
    """Read the settings alone. Raises BadSetting for a value of the wrong kind or an unknown variable."""
    env = dict(os.environ if environ is None else environ)
    values: dict[str, object] = {}
    hints = get_type_hints(Settings)
    for name, kind in hints.items():
        variable = PREFIX + name.upper()
        if path := env.pop(variable + "_FILE", ""):
            values[name] = _convert(variable, Path(path).read_text(encoding="utf-8").strip(), kind)
            env.pop(variable, None)
        elif (text := env.pop(variable, None)) is not None:
            values[name] = _convert(variable, text, kind)
    unknown = sorted(key for key in env if key.startswith(PREFIX))
    if unknown:
        raise BadSetting(f"{', '.join(unknown)}: there is no such setting; `docs/settings.md` lists them.")
    settings = Settings(**values)  # type: ignore[arg-type]
    if len(settings.secret) < 32:  # noqa: PLR2004
        raise BadSetting(f"{PREFIX}SECRET is shorter than 32 characters.")
    if settings.backup_at and not TIME.fullmatch(settings.backup_at):
        raise BadSetting(f"{PREFIX}BACKUP_AT={settings.backup_at!r} is no time of the day, such as 03:15.")
    if min(settings.web_connections, settings.worker_connections, settings.processes) < 1:
        raise BadSetting(
            f"{PREFIX}WEB_CONNECTIONS, {PREFIX}WORKER_CONNECTIONS and {PREFIX}PROCESSES are 1 or more."
        )
    if settings.backup_keep < 1 or settings.backup_drill_days < 0:
        raise BadSetting(f"{PREFIX}BACKUP_KEEP is 1 or more, and {PREFIX}BACKUP_DRILL_DAYS 0 or more.")
    if not TURNS.fullmatch(settings.former_keys):
        raise BadSetting(
            f"{PREFIX}FORMER_KEYS is not written as until:seconds,own:key,…; `turn-secret` writes it."
        )
    return settings


def _convert(variable: str, text: str, kind: type) -> object:
    if kind is Path:
        return Path(text)
    try:
        if kind is Budget:
            return Budget.read(text)
        return msgspec.convert(text, get_args(kind)[0] if get_origin(kind) else kind, strict=False)
    except ValueError as error:  # msgspec's ValidationError is one
        raise BadSetting(f"{variable}={text!r}: {error}") from error
