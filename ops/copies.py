"""A home's copies over time: one work on them at once, each noted with how it ended, so that somebody is told."""

import contextlib
import shutil
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import msgspec

from ops.backup import alone, settle, unpack, work_in
from ops.embedded.ports import write_whole
from ops.embedded.stack import Stack, running
from ops.places import BadBackup, Place
from shared import clock, copies
from shared.copies import Record, Turn

DRILLED = "drilled.json"
"""What a drill leaves beside the copies, so that the house knows of one on another machine."""

GROWS = 6
"""How often the size of a copy must be free to bring it back: packed, open, and as databases."""


def note(home: Path, **changes: Any) -> None:
    """Write down what has changed about a home's copies."""
    record = msgspec.structs.replace(copies.read(home), **changes)
    write_whole(home / copies.FILE, msgspec.json.encode(record).decode())


@contextlib.contextmanager
def attempt(home: Path, what: str) -> Iterator[None]:
    """Work on a home's copies (`copied` or `drilled`) as the only one, and write down how it ended."""
    with alone(home):
        note(home, **{what: _turn(home, what).begun(clock.now())})
        try:
            yield
        except BaseException as error:
            note(home, **{what: _turn(home, what).ended(clock.now(), str(error) or type(error).__name__)})
            raise
        note(home, **{what: _turn(home, what).ended(clock.now(), "")})
        if what == "copied" and copies.read(home).since is None:
            note(home, since=clock.now())


def _turn(home: Path, what: str) -> Turn:
    found: Turn = getattr(copies.read(home), what)
    return found


def schedule(home: Path, at: str, drill_days: int) -> Record:
    """Write down when a home's copies are made and tried, and return all that is known of them."""
    if (record := copies.read(home)).at != at or record.drill_days != drill_days:
        note(home, at=at, drill_days=drill_days)
    return copies.read(home)


def bring(made: Path, where: str, home: Path) -> Place:
    """Bring a copy to another place, and hear there of drills on other machines. Raises BadBackup."""
    try:
        place = Place(where, make=True)
        place.put(made)
        told = place.noted(DRILLED)
    except BadBackup as error:
        raise BadBackup(f"{error} The copy is in {made} alone.", "Mend it, and make another one.") from error
    drilled = copies.read(home).drilled
    at = msgspec.json.decode(told, type=datetime) if told else None
    if at and (drilled.well_at is None or drilled.well_at < at):
        note(home, drilled=Turn(drilled.begun_at, at))
    return place


@contextlib.contextmanager
def brought_back(place: Place, name: str, home: Path, key: str) -> Iterator[Stack]:
    """A copy in a home of its own below another one, with PostgreSQL alone, for the length of the block.

    Raises BadBackup where it does not come back whole.
    """
    wanted = GROWS * place.size(name)
    if (free := shutil.disk_usage(home).free) < wanted:
        raise BadBackup(
            f"A drill may need {wanted // 2**20} MiB and {free // 2**20} MiB are free.",
            "Free some space, or drill on another machine.",
        )
    with work_in(home, "drill") as folder:
        # PostgreSQL may run as another user and must get through; what is secret has its own closed folder.
        folder.chmod(0o711)
        manifest = unpack(place, name, folder / "home", key)
        with running(folder / "home", ("postgres",)) as stack:
            settle(stack, manifest)
            yield stack


def tell_of_drill(place: Place) -> None:
    """Leave beside the copies when the last one came back."""
    place.note(DRILLED, msgspec.json.encode(clock.now()))
