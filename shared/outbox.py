"""Facts leave a service by its outbox, written in the transaction that made them true."""

import asyncio
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared import clock, contracts
from shared.bulk import ForRows
from shared.contracts import Fact
from shared.db import Tx

correlation: ContextVar[str] = ContextVar("correlation", default="")
"""The request or fact that the work under way answers to."""

_INSERT = ForRows(
    "INSERT INTO outbox (id, subject, body, occurred_at) "
    "SELECT id, subject, body, occurred_at FROM given ORDER BY nth",
    id=UUID,
    subject=str,
    body=bytes,
    occurred_at=datetime,
)

_bells: dict[str, set[asyncio.Event]] = {}
"""By database, who in this process is told when a transaction with facts has committed; others find out by polling."""


async def emit(tx: Tx, *facts: Fact) -> None:
    """Say that something happened; it is published if and only if the transaction commits."""
    if not facts:
        return
    cause = correlation.get()
    rows = []
    for fact in facts:
        said = fact if fact.correlation or not cause else msgspec.structs.replace(fact, correlation=cause)
        rows.append(
            {
                "id": said.id,
                "subject": said.subject(),
                "body": contracts.encode(said),
                "occurred_at": said.occurred_at,
            }
        )
    await _INSERT.run(tx, rows)
    if not tx.info.get("emitted"):
        tx.info["emitted"] = True
        event.listen(tx.sync_session, "after_commit", _ring, once=True)


def _ring(session: Session) -> None:
    for bell in _bells.get(session.get_bind().engine.url.database or "", ()):
        bell.set()


async def emitted(tx: Tx) -> list[Fact]:
    """Facts that wait in the outbox, oldest first."""
    rows = await tx.execute(sa.text("SELECT body FROM outbox ORDER BY seq"))
    return [contracts.decode(bytes(row.body)) for row in rows]


ARCHIVED_AT_ONCE = 1000


async def archive(tx: Tx, limit: int = ARCHIVED_AT_ONCE) -> list[Fact]:
    """Move facts from the outbox to the log without publishing them; the driven house pumps by this."""
    rows = await tx.execute(_ARCHIVE, {"limit": limit})
    return [contracts.decode(bytes(row.body)) for row in rows]


CLAIM = sa.text(
    "SELECT seq, id, subject, body, occurred_at FROM outbox ORDER BY seq LIMIT :limit FOR UPDATE SKIP LOCKED"
)

_MOVE = sa.text(
    "WITH gone AS (DELETE FROM outbox WHERE seq = ANY(:seqs) RETURNING seq, id, subject, body, occurred_at) "
    "INSERT INTO fact_log SELECT seq, id, subject, body, occurred_at FROM gone"
)

_ARCHIVE = sa.text(
    "WITH next AS (SELECT seq FROM outbox ORDER BY seq LIMIT :limit FOR UPDATE SKIP LOCKED), "
    "gone AS (DELETE FROM outbox USING next WHERE outbox.seq = next.seq "
    "RETURNING outbox.seq, id, subject, body, occurred_at), "
    "kept AS (INSERT INTO fact_log SELECT seq, id, subject, body, occurred_at FROM gone) "
    "SELECT body FROM gone ORDER BY seq"
)


async def forget(tx: Tx, seqs: list[int]) -> None:
    """Move published facts from the outbox to the log."""
    if seqs:
        await tx.execute(_MOVE, {"seqs": seqs})


def listen(database: str, bell: asyncio.Event) -> None:
    """Ring the bell whenever facts were committed to a database."""
    _bells.setdefault(database, set()).add(bell)


def unlisten(database: str, bell: asyncio.Event) -> None:
    _bells.get(database, set()).discard(bell)


def now_id() -> str:
    """A correlation id for work that nobody asked for, such as a job."""
    return str(clock.new_id())
