"""Facts leave a service by its outbox, written in the transaction that made them true."""

import asyncio
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.orm import Session

from shared import clock, contracts
from shared.bulk import ForRows
from shared.contracts import Fact
from shared.db import Tx
from shared.errors import TooLarge

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


MAX_BYTES = 1_000_000
"""The largest fact. NATS takes a mebibyte, of which this leaves room for the headers."""


async def emit(tx: Tx, *facts: Fact) -> None:
    """Say that something happened; it is published if and only if the transaction commits. Raises TooLarge."""
    if not facts:
        return
    cause = correlation.get()
    rows = []
    for fact in facts:
        said = fact if fact.correlation or not cause else msgspec.structs.replace(fact, correlation=cause)
        body = contracts.encode(said)
        if len(body) > MAX_BYTES:
            raise TooLarge(
                f"The fact {said.subject()} has {len(body)} bytes; {MAX_BYTES} at the most can be told."
            )
        rows.append(
            {
                "id": said.id,
                "subject": said.subject(),
                "body": body,
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


async def archive(tx: Tx | AsyncConnection, limit: int = ARCHIVED_AT_ONCE) -> list[Fact]:
    """Move facts from the outbox to the log without publishing them; the driven house pumps by this.

    It is one statement, which needs no transaction around it.
    """
    rows = await tx.execute(_ARCHIVE, {"limit": limit})
    return [contracts.decode(bytes(row.body)) for row in rows]


NEXT = sa.text("SELECT seq, id, subject, body FROM outbox WHERE aside = '' ORDER BY seq LIMIT :limit")
"""What is to be published next. It is seen by being there: numbers are given in another order than they commit."""

_MOVE = sa.text(
    "WITH gone AS (DELETE FROM outbox WHERE seq = ANY(:seqs) RETURNING seq, id, subject, body, occurred_at) "
    "INSERT INTO fact_log SELECT seq, id, subject, body, occurred_at FROM gone"
)

_SET_ASIDE = ForRows(
    "UPDATE outbox SET aside = given.reason FROM given WHERE outbox.seq = given.seq", seq=int, reason=str
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


async def set_aside(tx: Tx, reasons: Mapping[int, str]) -> None:
    """Take facts that will never be published out of the way of the others, with the reason; a person looks."""
    if reasons:
        said = [{"seq": seq, "reason": reason or "no reason was given"} for seq, reason in reasons.items()]
        await _SET_ASIDE.run(tx, said)


def listen(database: str, bell: asyncio.Event) -> None:
    """Ring the bell whenever facts were committed to a database."""
    _bells.setdefault(database, set()).add(bell)


def unlisten(database: str, bell: asyncio.Event) -> None:
    _bells.get(database, set()).discard(bell)


def now_id() -> str:
    """A correlation id for work that nobody asked for, such as a job."""
    return str(clock.new_id())
