"""The retry table: what is kept of a fact that was not handled, and in which order it is tried again."""

from datetime import timedelta
from hashlib import sha256
from typing import Any, NamedTuple
from uuid import UUID

import sqlalchemy as sa

from shared import clock
from shared.bulk import ForRows

TURN = 200
"""So many kept facts are tried in a turn. Publishers take them by turns: nobody's backlog is before another's facts."""

# What was woken while it was tried stays awake: its next time is then no longer the one that was seen.
KEEP = sa.text(
    "INSERT INTO retry (fact_id, subject, body, state, waits_for, attempts, error, since, next_at) "
    "VALUES (:id, :subject, :body, :state, :key, :attempts, :error, :since, :next_at) "
    "ON CONFLICT (fact_id, subject, digest) DO UPDATE SET state = excluded.state, waits_for = excluded.waits_for, "
    "attempts = excluded.attempts, begun = 0, error = excluded.error, "
    "next_at = CASE WHEN retry.next_at = CAST(:seen AS timestamptz) THEN excluded.next_at "
    "ELSE least(retry.next_at, excluded.next_at) END WHERE retry.state <> 'dropped'"
)
DUE = sa.text(
    "SELECT due.* FROM unnest(CAST(:publishers AS text[])) AS publisher, LATERAL ("
    "SELECT fact_id, subject, digest, body, waits_for, attempts, begun, since, next_at, "
    "row_number() OVER (ORDER BY next_at) AS place "
    "FROM retry WHERE state IN ('retry', 'waiting') AND split_part(subject, '.', 1) = publisher AND next_at <= :now "
    "ORDER BY next_at LIMIT :turn) AS due ORDER BY place, next_at LIMIT :turn"
)
TAKE = sa.text(
    "DELETE FROM retry WHERE (fact_id, subject, digest) = (SELECT fact_id, subject, digest FROM retry "
    "WHERE fact_id = :id AND subject = :subject AND digest = :digest AND state IN ('retry', 'waiting') "
    "FOR UPDATE SKIP LOCKED) RETURNING fact_id"
)
BEGIN = ForRows(
    "UPDATE retry SET begun = begun + 1 FROM given WHERE retry.fact_id = given.id AND retry.subject = given.subject "
    "AND retry.digest = given.digest",
    id=UUID,
    subject=str,
    digest=bytes,
)
LIVED = ForRows(
    "UPDATE retry SET begun = 0 FROM given WHERE retry.fact_id = given.id AND retry.subject = given.subject "
    "AND retry.digest = given.digest",
    id=UUID,
    subject=str,
    digest=bytes,
)


class Received(NamedTuple):
    """What came, as it came: the id that it bears, the subject that NATS guards, and its bytes."""

    id: UUID
    subject: str
    body: bytes

    @property
    def digest(self) -> bytes:
        """By which two are told apart that bear the same id; the retry table reckons it itself."""
        return sha256(self.body).digest()[:16]


def kept(
    came: Received, state: str, key: str, failed: int, error: str, delay_s: float, row: sa.Row[Any] | None
) -> dict[str, Any]:
    """The row of a fact that is kept, with a pause before it is tried; `row` is how it stood before."""
    now = clock.now()
    return {
        "id": came.id,
        "subject": keepable(came.subject),
        "body": came.body,
        "state": state,
        "key": keepable(key),
        "attempts": failed,
        "error": keepable(error),
        "since": row.since if row else now,
        "seen": row.next_at if row else None,
        "next_at": now + timedelta(seconds=delay_s),
    }


def keepable(text: str) -> str:
    """A text as PostgreSQL keeps it: a fact's own may have a NUL, or half a character, and must be kept."""
    return text.encode(errors="replace").decode().replace("\0", "?")
