"""The demo history of a house: made in an empty one alone, and anew only while it is all that the house holds."""

from collections.abc import Callable
from datetime import datetime

import psycopg

from ops.embedded.ports import write_whole
from ops.embedded.stack import Stack
from shared import clock
from shared.contracts import SERVICES

UNFINISHED = "demo.unfinished"
"""Holds the instant at which a history was begun, until it is whole. It ends a day before (`simulate --first`), so that
whatever was said from that instant on is not of it."""

NONE = "demo.none"
"""Stands in a house that was begun without a demo, so that no later start makes one."""

_SAID = (
    "SELECT EXISTS (SELECT FROM fact_log WHERE occurred_at >= %(since)s) "
    "OR EXISTS (SELECT FROM outbox WHERE occurred_at >= %(since)s)"
)


def forget_unfinished(stack: Stack, say: Callable[[str], None]) -> None:
    """Empty a house whose demo history was cut off halfway; one that holds more by now stays as it is."""
    mark = stack.home / UNFINISHED
    if not mark.exists():
        return
    if holds(stack, datetime.fromisoformat(mark.read_text(encoding="utf-8"))):
        say("  … The demo history was never finished, and the house holds more by now: it stays as it is.")
        (stack.home / NONE).touch()
    else:
        say("  … The demo history was not finished last time; what there is of it is removed.")
        stack.forget_databases()
        (stack.home / "demo.json").unlink(missing_ok=True)
    mark.unlink()


def is_wanted(stack: Stack, say: Callable[[str], None], *, asked_for: bool) -> bool:
    """Whether a demo history is to be made now; that none is asked for is noted, and no later start makes one."""
    home = stack.home
    if any((home / name).exists() for name in ("demo.json", "production.json")):
        return False
    if not asked_for:
        (home / NONE).touch()
    elif (home / NONE).exists() or holds(stack):
        say("  … This house has no demo: one is made in an empty folder alone (NGUONTHU_HOME).")
    else:
        return True
    return False


def begin(stack: Stack) -> None:
    """Note that the demo history is being made from now on."""
    write_whole(stack.home / UNFINISHED, clock.now().isoformat())


def holds(stack: Stack, since: datetime | None = None) -> bool:
    """Whether any service has said anything, or has since an instant."""
    for service in SERVICES:
        with psycopg.connect(stack.admin_url(service)) as db:
            made = db.execute("SELECT to_regclass('fact_log') IS NOT NULL").fetchone()
            if made and made[0]:
                said = db.execute(_SAID, {"since": since or "-infinity"}).fetchone()
                if said and said[0]:
                    return True
    return False
