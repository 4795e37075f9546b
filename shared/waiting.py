"""What waiting facts are woken by: what they wait for arrives, or a newer process begins to lead."""

from datetime import timedelta
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared import clock
from shared.db import Database, Tx

VERSION = "version"
"""What a fact waits for that this process has no handler for: a newer one, which an upgrade starts.

That is a version beside the one that is heard, or a subject of which a newer process has said that it is heard.
"""

AHEAD = timedelta(days=36_525)
"""What was woken by an arrival is due as if since a century ago: before all of its publisher that is due by the clock,
and in the order of its waking."""

PART = 200
"""So many facts are woken at once for a newer version: no more than a turn tries, so that they pile up nowhere."""

_WAKE = sa.text("UPDATE retry SET next_at = :now WHERE state = 'waiting' AND waits_for = ANY(:keys)")
_WAKE_PART = sa.text(
    "WITH part AS (SELECT fact_id, subject FROM retry WHERE state = 'waiting' AND waits_for = :key "
    "AND (fact_id, subject) > (:id, :subject) ORDER BY fact_id, subject LIMIT :part), "
    "woken AS (UPDATE retry SET next_at = :now FROM part WHERE retry.fact_id = part.fact_id "
    "AND retry.subject = part.subject AND state = 'waiting' AND next_at > :now) "
    "SELECT fact_id, subject FROM part ORDER BY fact_id, subject"
)


def arrived(tx: Tx, *keys: str) -> None:
    """Say that what facts may be waiting for is here; they are handled at the next tick instead of later.

    A transaction wakes them all by one statement, before it commits.
    """
    said = tx.info.setdefault("arrived", set())
    if keys and not said:
        event.listen(tx.sync_session, "before_commit", _wake, once=True)
    said.update(keys)


def _wake(session: Session) -> None:
    session.execute(_WAKE, {"keys": sorted(session.info.pop("arrived")), "now": clock.now() - AHEAD})


class Waking:
    """Has all that an older version could not read tried again, part by part: this process may be the newer one."""

    def __init__(self) -> None:
        self.over = False
        self._last = (UUID(int=0), "")

    async def part(self, database: Database) -> None:
        """Wake the next part in a transaction of its own; what was woken is not woken anew, whatever happens."""
        if self.over:
            return
        identity, subject = self._last
        given = {"key": VERSION, "id": identity, "subject": subject, "part": PART, "now": clock.now()}
        async with database.worker_tx() as tx:
            names = (await tx.execute(_WAKE_PART, given)).all()
        self.over = len(names) < PART
        if names:
            self._last = (names[-1].fact_id, names[-1].subject)
