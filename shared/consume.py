"""Facts arrive here: each is handled once, in one transaction with its claim, and none is dropped."""

import inspect
import traceback
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import UnionType
from typing import TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog
from sqlalchemy import event
from sqlalchemy.orm import Session

from shared import clock, contracts, outbox
from shared.bulk import ForRows
from shared.contracts import Fact
from shared.db import Database, Tx
from shared.errors import Waits

log = structlog.get_logger()

BACKOFF_S = (1, 5, 30, 300)
"""Seconds after which a failing fact is tried again; after the last it is parked."""

PATIENCE_MS = 200
"""So long does a batch wait for a row that somebody has; it is far less than PostgreSQL takes to see a circle.

Each fact locks its rows in the order that all keep, but the second one's come after the first one's. So the batch gives
way, and its facts are handled one by one.
"""

WAIT_S = 5
WAIT_MAX_S = 60

Handler = Callable[..., Awaitable[None]]
HandlerT = TypeVar("HandlerT", bound=Callable[..., Awaitable[None]])

# In the same statement, for how long the rest of the transaction waits for a row that somebody has.
# By subject too, which NATS guards: an id can be anybody's, and would make another publisher's fact look handled.
_CLAIM = ForRows(
    "INSERT INTO inbox (fact_id, subject, handled_at) SELECT id, subject, :now "
    "FROM (SELECT set_config('lock_timeout', "
    "coalesce(CAST(:patience AS text), current_setting('lock_timeout')), true)) AS waits, given "
    "ON CONFLICT DO NOTHING RETURNING fact_id, subject",
    id=UUID,
    subject=str,
)
_KEEP = sa.text(
    "INSERT INTO retry (fact_id, subject, body, state, waits_for, attempts, error, since, next_at) "
    "VALUES (:id, :subject, :body, :state, :key, :attempts, :error, :now, :next_at) "
    "ON CONFLICT (fact_id, subject) DO UPDATE SET state = excluded.state, waits_for = excluded.waits_for, "
    "attempts = excluded.attempts, error = excluded.error, next_at = excluded.next_at"
)
_DUE = sa.text(
    "SELECT fact_id, body, attempts, state FROM retry WHERE state <> 'parked' AND next_at <= :now "
    "ORDER BY next_at LIMIT 200"
)


_WAKE = sa.text("UPDATE retry SET next_at = :now WHERE state = 'waiting' AND waits_for = ANY(:keys)")


class Consumer:
    """The handlers of one service: `@consumer.on` registers a function by the facts in its annotation."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.handlers: dict[type[Fact], tuple[Handler, bool]] = {}
        self.kept = True
        """Whether this process knows of facts that were kept for later; at first it cannot know of none."""

    def on(self, handler: HandlerT) -> HandlerT:
        """Register `async def f(fact: A | B, tx)`, or `async def f(facts: Sequence[A | B], tx)` for whole batches.

        A fact of `base` stands for every publisher's.
        """
        parameter = next(iter(inspect.signature(handler).parameters))
        hint = get_type_hints(handler)[parameter]
        whole = get_origin(hint) is not None and get_origin(hint) not in (Union, UnionType)
        if whole:
            hint = get_args(hint)[0]
        for kind in (kind for named in get_args(hint) or (hint,) for kind in contracts.kinds(named)):
            if kind in self.handlers:
                raise ValueError(f"{self.service} handles {kind.subject()} twice.")
            self.handlers[kind] = (handler, whole)
        return handler

    def subjects(self) -> list[str]:
        return sorted(kind.subject() for kind in self.handlers)

    def sources(self) -> dict[str, list[str]]:
        """Subjects by publishing service."""
        found: dict[str, list[str]] = {}
        for kind in sorted(self.handlers, key=lambda kind: kind.subject()):
            found.setdefault(kind.publisher(), []).append(kind.subject())
        return found

    async def handle(self, database: Database, facts: Sequence[Fact]) -> None:
        """Handle a fetched batch. When this returns, each fact was handled or is kept for later: it may be acked."""
        try:
            async with database.worker_tx() as tx:
                await self._run(tx, facts)
                self.kept |= "kept" in tx.info
        except Exception as error:  # noqa: BLE001 - whatever a handler raises, the fact must be kept
            if len(facts) == 1:
                await self._keep(database, facts[0], error, attempts=0)
                return
            for fact in facts:
                await self.handle(database, [fact])

    async def again(self, database: Database) -> int:
        """Try what is due in the retry table; returns how many were handled."""
        async with database.worker_tx() as tx:
            due = (await tx.execute(_DUE, {"now": clock.now()})).all()
        done = 0
        for row in due:
            done += await self._again(database, bytes(row.body), row.attempts)
        return done

    async def _again(self, database: Database, body: bytes, attempts: int) -> bool:
        fact = contracts.decode(body)
        try:
            async with database.worker_tx() as tx:
                taken = await tx.execute(
                    sa.text(
                        "DELETE FROM retry WHERE (fact_id, subject) = (SELECT fact_id, subject FROM retry "
                        "WHERE fact_id = :id AND subject = :subject AND state <> 'parked' "
                        "FOR UPDATE SKIP LOCKED) RETURNING fact_id"
                    ),
                    {"id": fact.id, "subject": fact.subject()},
                )
                if taken.first() is None:
                    return False
                await self._run(tx, [fact])
        except Exception as error:  # noqa: BLE001 - as in handle
            await self._keep(database, fact, error, attempts + 1)
            return False
        return True

    def _handler(self, fact: Fact) -> tuple[Handler, bool]:
        """What handles a fact, and whether it takes whole batches: those lock what they need at once, in order."""
        return self.handlers.get(type(fact), (_ignore, False))

    async def _run(self, tx: Tx, facts: Sequence[Fact]) -> None:
        said = [{"id": fact.id, "subject": fact.subject()} for fact in facts]
        alone = sum(not self._handler(fact)[1] for fact in facts) <= 1
        patience = None if alone else f"{PATIENCE_MS}ms"
        rows = await _CLAIM.run(tx, said, now=clock.now(), patience=patience)
        claimed = {(row.fact_id, row.subject) for row in rows}
        wholes: dict[Handler, list[Fact]] = {}
        for fact in facts:
            name = (fact.id, fact.subject())
            if name not in claimed:
                continue
            claimed.discard(name)  # the same fact twice in one batch is handled once
            handler, whole = self._handler(fact)
            if whole:
                wholes.setdefault(handler, []).append(fact)
            else:
                outbox.correlation.set(fact.correlation or str(fact.id))
                await handler(fact, tx)
        for handler, batch in wholes.items():
            await handler(batch, tx)

    async def _keep(self, database: Database, fact: Fact, error: Exception, attempts: int) -> None:
        """Write a fact that could not be handled to the retry table: it waits, is tried again, or is parked."""
        self.kept = True
        now = clock.now()
        if isinstance(error, Waits):
            state, key, text = "waiting", error.key, str(error)
            delay = min(WAIT_S * 2 ** min(attempts, 8), WAIT_MAX_S)
        else:
            parked = attempts >= len(BACKOFF_S)
            state, key = ("parked", "") if parked else ("retry", "")
            delay = 0 if parked else BACKOFF_S[attempts]
            # PostgreSQL keeps no NUL: a text of the fact's own may have one, and the fact must be kept all the same.
            text = "".join(traceback.format_exception_only(error)).strip()[:2000].replace("\0", "?")
            log.warning("fact failed", fact=str(fact.id), subject=fact.subject(), state=state, error=text)
        async with database.worker_tx() as tx:
            await tx.execute(
                _KEEP,
                {
                    "id": fact.id,
                    "subject": fact.subject(),
                    "body": msgspec.json.encode(fact),
                    "state": state,
                    "key": key,
                    "attempts": attempts,
                    "error": text,
                    "now": now,
                    "next_at": now + timedelta(seconds=delay),
                },
            )


async def _ignore(_fact: Fact, _tx: Tx) -> None:
    """A fact that this service once consumed and no longer does."""


def arrived(tx: Tx, *keys: str) -> None:
    """Say that what facts may be waiting for is here; they are handled at the next tick instead of later.

    A transaction wakes them all by one statement, before it commits.
    """
    said = tx.info.setdefault("arrived", set())
    if keys and not said:
        event.listen(tx.sync_session, "before_commit", _wake, once=True)
    said.update(keys)


def _wake(session: Session) -> None:
    session.execute(_WAKE, {"keys": sorted(session.info.pop("arrived")), "now": clock.now()})


async def wait(tx: Tx, fact: Fact, key: str) -> None:
    """Let one fact of a whole batch wait for `key` while the others are handled; its claim is given back."""
    now = clock.now()
    tx.info["kept"] = True
    await tx.execute(
        sa.text("DELETE FROM inbox WHERE fact_id = :id AND subject = :subject"),
        {"id": fact.id, "subject": fact.subject()},
    )
    await tx.execute(
        _KEEP,
        {
            "id": fact.id,
            "subject": fact.subject(),
            "body": msgspec.json.encode(fact),
            "state": "waiting",
            "key": key,
            "attempts": 0,
            "error": f"waits for {key}",
            "now": now,
            "next_at": now + timedelta(seconds=WAIT_S),
        },
    )
