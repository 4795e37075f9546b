"""`nguonthu doctor`: look at everything a house needs, and say of each trouble how it is mended."""

import asyncio
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import nats.errors
import psycopg

from ops import mending
from ops.embedded import parts
from ops.embedded.history import UNFINISHED
from ops.embedded.ports import Ports, is_free
from ops.embedded.process import CannotStart
from ops.embedded.stack import Stack
from ops.embedded.state import listening_beyond_loopback, look, read_run
from ops.golive import load
from shared import clock, copies, held
from shared.contracts import SERVICES
from shared.settings import BadSetting
from shared.waiting import VERSION

OLDEST_PYTHON = (3, 11)
FREE_GIB = 2


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at; `mend` is empty when all is well with it."""

    what: str
    mend: str = ""

    @property
    def well(self) -> bool:
        return not self.mend


def examine(home: Path) -> Iterator[Finding]:
    """Each finding in turn, from the ground up."""
    yield _python()
    yield _settings()
    yield from _programs()
    yield _disk(home)
    yield from _folder(home)
    yield from _copies(home)
    if read_run(home):
        yield from _running(home)
    else:
        yield from _resting(home)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    if sys.version_info < OLDEST_PYTHON:
        return Finding(
            f"Python {version} is too old", "Install Python 3.11 or newer, then: make clean install"
        )
    return Finding(f"Python {version}")


def _settings() -> Finding:
    try:
        load()
    except BadSetting as error:
        return Finding(
            f"The settings cannot be used: {error}", "Mend it in the environment; docs/settings.md lists all."
        )
    return Finding("Settings can be read")


def _programs() -> Iterator[Finding]:
    wanted: tuple[tuple[str, Callable[[], object]], ...] = (
        ("PostgreSQL", parts.postgres_bin),
        ("NATS", lambda: parts.program("nats-server")),
        ("Redis", parts.redis_program),
        ("Caddy", lambda: parts.program("caddy")),
    )
    for title, find in wanted:
        try:
            find()
        except CannotStart as error:
            yield Finding(str(error), "make install")
        else:
            yield Finding(f"The program of {title} is here")


def _disk(home: Path) -> Finding:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    free = shutil.disk_usage(place).free / parts.GIB
    if free < FREE_GIB:
        return Finding(
            f"Only {free:.1f} GiB are free on the disk of {place}",
            f"Free some space: JetStream and PostgreSQL stop writing on a full disk; {FREE_GIB} GiB are wanted.",
        )
    return Finding(f"{free:.0f} GiB are free")


def _folder(home: Path) -> Iterator[Finding]:
    place = next(folder for folder in (home, *home.parents) if folder.exists())
    if not os.access(place, os.W_OK | os.X_OK):
        yield Finding(
            f"{place} cannot be written to", "Give yourself the right, or set NGUONTHU_HOME elsewhere."
        )
        return
    secrets = home / "secrets"
    if secrets.exists() and secrets.stat().st_mode & 0o077:
        yield Finding(f"{secrets} can be read by others", f"chmod 700 {secrets}")
    if (home / UNFINISHED).exists() and not read_run(home):
        yield Finding(
            "The demo history was not finished",
            "nguonthu up makes it anew; a house that holds more by now stays as it is.",
        )
    try:
        if home.exists():
            parts.way_down_from_root(home, parts.postgres_bin() / "postgres")
    except CannotStart as error:
        yield Finding(str(error), "Run the house as an ordinary user who owns its folder.")
    else:
        yield Finding(f"Data belongs in {home}")


def _copies(home: Path) -> Iterator[Finding]:
    record = copies.read(home)
    for trouble in copies.troubles(record, clock.now()):
        yield Finding(
            f"Copies: {trouble}",
            f"All that was said is in {home / 'logs' / 'copier.log'}; nguonthu backup tries now.",
        )
    well = record.copied.well_at
    if (
        (home / "production.json").exists()
        and not record.at
        and (well is None or copies.is_late(well, clock.now()))
    ):
        yield Finding(
            "Nobody makes copies of this house at a time of its own",
            "Set NGUONTHU_BACKUP_AT, or let cron run nguonthu backup: docs/operations/restore.md",
        )


def _resting(home: Path) -> Iterator[Finding]:
    yield Finding("The house does not run; nguonthu up starts it")
    port = Ports(home / "ports.json", lambda _: None).known("caddy") if home.exists() else 0
    if port and not is_free(port):
        yield Finding(
            f"Port {port} is in use by another program", "Nothing to do: the next start moves to a free one."
        )


def _running(home: Path) -> Iterator[Finding]:
    state = look(home)
    for part in state.parts:
        if part.ready:
            yield Finding(f"{part.name} is ready")
        else:
            log = home / "logs" / f"{part.name}.log"
            yield Finding(f"{part.name}: {part.detail}", f"It is started again by itself; its log is {log}.")
    beyond = listening_beyond_loopback(home)
    if beyond:
        yield Finding(
            "Reached from other machines: " + ", ".join(beyond), "Stop it and report this: it must not be."
        )
    else:
        yield Finding("Nothing listens beyond loopback")
    yield from _streams(home)
    yield from _held(home, next(part.port for part in state.parts if part.name == "postgres"))


def _streams(home: Path) -> Iterator[Finding]:
    try:
        missing = asyncio.run(mending.gaps(Stack(home).settings()))
    except (OSError, TimeoutError, nats.errors.Error) as error:
        yield Finding(
            f"NATS cannot be asked for its streams: {str(error) or 'it does not answer'}",
            "It is started again by itself, also where it is frozen; facts wait meanwhile.",
        )
        return
    for gap in missing:
        made = "It is made anew within seconds; by hand: nguonthu streams mend"
        yield Finding(
            f"NATS: {gap.what}",
            made if gap.mendable else "The nodes of NATS elect one as soon as most of them are there.",
        )
    if not missing:
        yield Finding("Every stream and consumer is there")


def _held(home: Path, port: int) -> Iterator[Finding]:
    for service in SERVICES:
        try:
            with psycopg.connect(parts.postgres_url(home, port, service), connect_timeout=3) as db:
                counts: dict[str, int] = dict(db.execute(held.COUNTS).fetchall())
                overdue = db.execute(_OVERDUE, {"then": clock.now() - OVERDUE}).fetchall()
        except psycopg.Error as error:
            yield Finding(
                f"The database of {service} cannot be asked: {str(error).splitlines()[0]}", "nguonthu migrate"
            )
            continue
        for state, words in held.WORDS.items():
            if counts.get(state):
                yield Finding(f"{service} {words.format(counts[state])}", _mend(service, state))
        for subject, key, count in overdue:
            yield Finding(
                f"{service} has let {count} facts {subject} wait for over an hour, such as for {key}",
                f"If that never comes: {_drop(service, subject)}",
            )


def _mend(service: str, state: str) -> str:
    """What to do about facts in a state; nothing where the service does it, or a person has decided."""
    if state in ("parked", "aside"):
        return f"nguonthu facts parked {service} shows why; after mending it: nguonthu facts replay {service}"
    if state == VERSION:
        drop = _drop(service, "SUBJECT")
        return (
            f"Upgrade {service}: it handles them when it starts. Those that no version hears any more: {drop}"
        )
    return ""


def _drop(service: str, subject: str) -> str:
    return f"nguonthu facts drop {service} --subject {subject} --reason WHY"


OVERDUE = timedelta(hours=1)
_OVERDUE = (
    "SELECT subject, min(waits_for), count(*) FROM retry "  # noqa: S608 - our own word
    f"WHERE state = 'waiting' AND waits_for <> '{VERSION}' AND since < %(then)s GROUP BY subject ORDER BY subject"
)
