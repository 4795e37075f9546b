"""How the copies of a home are doing: what was done last, what is due, and in words what is amiss."""

from datetime import datetime, time, timedelta
from pathlib import Path

import msgspec

from shared.calendar import ZONE

FILE = "copies.json"

LATE = timedelta(days=1, hours=12)
"""A night may be missed once; half a day later somebody is to know."""

PATIENCE = timedelta(hours=3)
"""So long may a copy or a drill take until it counts as stuck or cut off; and so long after one that failed it is tried
again."""

UNENDED = "it was begun and has not ended"
CUT_OFF = "it was cut off, and is tried again"


class Turn(msgspec.Struct, frozen=True):
    """One kind of work: when it was begun last, when it last went well, and why it has not since."""

    begun_at: datetime | None = None
    well_at: datetime | None = None
    trouble: str = ""

    def begun(self, now: datetime) -> "Turn":
        """As it is while the work is under way."""
        trouble = CUT_OFF if self.trouble == UNENDED else self.trouble or UNENDED
        return Turn(now, self.well_at, trouble)

    def ended(self, now: datetime, trouble: str) -> "Turn":
        """As it is afterwards; `trouble` is empty where it went well."""
        return Turn(self.begun_at, self.well_at if trouble else now, trouble)

    def failed(self, now: datetime) -> str:
        """Why the last time did not go well; nothing where it did, or is under way for the first time."""
        under_way = self.trouble == UNENDED and self.begun_at is not None and now - self.begun_at < PATIENCE
        return "" if under_way else self.trouble

    def may_begin(self, now: datetime) -> bool:
        """Whether the last try was long enough ago."""
        return self.begun_at is None or now - self.begun_at > PATIENCE


class Record(msgspec.Struct, frozen=True):
    """What a home knows of its copies. `at` and `drill_days` are as the house was started with."""

    at: str = ""
    """The time of the day, in Viet Nam, at which one is made each night; empty where none is."""
    drill_days: int = 0
    """So many days may lie between two drills; 0 where nobody asks for any."""
    since: datetime | None = None
    """When the first copy was made."""
    copied: Turn = Turn()
    drilled: Turn = Turn()


def read(home: Path) -> Record:
    """What is written down in a home. What cannot be read is a trouble of its own."""
    try:
        return msgspec.json.decode((home / FILE).read_bytes(), type=Record)
    except FileNotFoundError:
        return Record()
    except (OSError, msgspec.DecodeError) as error:
        return Record(copied=Turn(trouble=f"{home / FILE} cannot be read: {error}"))


def is_late(well: datetime, now: datetime) -> bool:
    """Whether the last copy is older than a house may have it."""
    return now - well > LATE


def troubles(record: Record, now: datetime) -> list[str]:
    """What is amiss, in words; nothing where nobody asked for copies at a time and none failed."""
    found = []
    if told := record.copied.failed(now):
        found.append(f"the last copy failed: {told}")
    if record.at and (well := record.copied.well_at) is None:
        found.append("no copy has been made yet")
    elif record.at and well and is_late(well, now):
        found.append(f"no copy has been made since {well:%Y-%m-%d %H:%M} UTC")
    if told := record.drilled.failed(now):
        found.append(f"the last drill failed: {told}")
    last = record.drilled.well_at or record.since
    if record.drill_days and last and now - last > timedelta(days=record.drill_days) + LATE:
        found.append(f"no copy has come back in a drill since {last:%Y-%m-%d}")
    return found


def copy_is_due(record: Record, now: datetime) -> bool:
    """Whether tonight's copy is still to be made; one that a machine slept through is made when it wakes."""
    if not record.at:
        return False
    slot = datetime.combine(now.astimezone(ZONE).date(), time.fromisoformat(record.at), ZONE)
    slot -= timedelta(days=slot > now)
    turn = record.copied
    fresh = turn.begun_at is None or turn.begun_at < slot
    return (turn.well_at is None or turn.well_at < slot) and (fresh or turn.may_begin(now))


def drill_is_due(record: Record, now: datetime) -> bool:
    """Whether the last copy is to be brought back for trial."""
    last = record.drilled.well_at
    old = last is None or now - last > timedelta(days=record.drill_days)
    return bool(record.drill_days and record.since and old and record.drilled.may_begin(now))
