"""Facts arrive here: each is handled once, in one transaction with its claim, and none is dropped or stops another.

What was received is kept as it was received: a field that this version does not know is there for the next one.
"""

import inspect
import traceback
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from types import UnionType
from typing import Any, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints
from uuid import UUID

import msgspec
import sqlalchemy as sa
import structlog

from shared import clock, contracts, outbox
from shared.bulk import ForRows
from shared.contracts import Fact
from shared.db import Database, Tx, is_away, is_busy, is_lost
from shared.errors import Waits
from shared.fence import is_ending
from shared.kept import BEGIN, DUE, KEEP, LIVED, TAKE, TURN, Received, keepable, kept
from shared.waiting import VERSION

log = structlog.get_logger()

BACKOFF_S = (1, 5, 30, 300)
"""Seconds after which a failing fact is tried again; after the last it is parked."""

PATIENCE_MS = 200
"""So long does a batch wait for a row that somebody has; it is far less than PostgreSQL takes to see a circle.

Each fact locks its rows in the order that all keep, but the second one's come after the first one's. So the batch gives
way, and its facts are handled one by one.
"""

WAIT_S = 5
WAIT_MAX_S = 3600
"""What waits is tried again after as long as it has waited already, within these bounds: a safety net, since it is
woken by what arrives."""

BREAKS = 2
"""So often in a row may the connection be lost while a fact is handled by itself: once is anybody's misfortune."""

DEATHS = 3
"""So many processes may end while a kept fact is tried, all but the first while it alone is; then it is parked."""

VERSION_WAIT_S = 3600
"""No try before an upgrade can succeed, and the process after it tries at once."""

BODIES = "bodies"
"""Where a transaction keeps what came, by the id and subject of the fact that it says."""

TAKEN = "taken"
"""Where a transaction keeps the row of the retry table that it tries."""

STREAM_KEEPS = timedelta(days=90)
"""How long a stream keeps a fact for a service that is away; what is older was handled, or is held in `retry`."""

INBOX_KEEPS = timedelta(days=100)
"""How long a service knows what it handled: longer than any stream could bring it again."""

Handler = Callable[..., Awaitable[None]]
HandlerT = TypeVar("HandlerT", bound=Callable[..., Awaitable[None]])

# In the same statement, for how long the rest of the transaction waits for a row that somebody has.
# By subject too, which NATS guards: an id can be anybody's, and would make another publisher's fact look handled.
# What is known with these bytes is not returned; what is known with others is, and changes nothing.
_CLAIM = ForRows(
    "INSERT INTO inbox AS known (fact_id, subject, digest, handled_at) SELECT id, subject, digest, :now "
    "FROM (SELECT set_config('lock_timeout', "
    "coalesce(CAST(:patience AS text), current_setting('lock_timeout')), true)) AS waits, given "
    "ON CONFLICT (fact_id, subject) DO UPDATE SET digest = known.digest WHERE known.digest <> excluded.digest "
    "RETURNING fact_id, subject, old.fact_id IS NOT NULL AS otherwise",
    id=UUID,
    subject=str,
    digest=bytes,
)
Name = tuple[UUID, str]
"""By what a fact is known: its id, and its subject."""


class Heard(NamedTuple):
    """A fact, and what came that says it."""

    fact: Fact
    came: Received


class Unreadable(Exception):
    """What came is no fact of its subject; no further try of this version could read it."""


class OtherContent(Exception):
    """Other bytes were handled under the id and subject that a fact bears; no further try makes it the first."""

    def __init__(self) -> None:
        super().__init__("Another fact was handled under this id before, and it does not say the same.")


class Breaks(Exception):
    """The database ends the connection whenever a fact is handled, and answers others."""

    def __init__(self) -> None:
        super().__init__(
            f"The connection to the database was lost {BREAKS} times in a row while it was handled."
        )


class Kills(Exception):
    """Each process that tried a fact has ended before it could write down what came of it."""

    def __init__(self, deaths: int) -> None:
        super().__init__(f"The process ended {deaths} times in a row while it was handled.")


class Consumer:
    """The handlers of one service: `@consumer.on` registers a function by the facts in its annotation."""

    def __init__(self, service: str) -> None:
        self.service = service
        self.handlers: dict[type[Fact], tuple[Handler, bool]] = {}
        self.kept = True
        """Whether this process knows of facts that were kept for later; at first it cannot know of none."""
        self.broke: Counter[Name] = Counter()
        """How often in a row the connection to the database was lost while a fact was handled by itself."""
        self.begun: list[dict[str, Any]] = []
        """The kept facts of the turn that this process began last."""

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

    def filters(self, source: str) -> list[str]:
        """What NATS is to bring from one publisher: each subject in all of its versions, also those of tomorrow."""
        return sorted({f"{contracts.stem_of(subject)}.*" for subject in self.sources()[source]})

    def read(self, came: Received) -> Fact:
        """The fact of what came. NATS guards subjects alone: a body could say what only another publisher may say.

        Raises Waits for a subject that only a newer process can handle, and Unreadable.
        """
        if contracts.ALL.get(came.subject) not in self.handlers:
            raise Waits(VERSION)
        try:
            fact = contracts.decode(came.body)
        except msgspec.MsgspecError as error:
            raise Unreadable(str(error)) from error
        if fact.subject() != came.subject:
            raise Unreadable(f"It says {fact.subject()} and came as {came.subject}.")
        return fact

    async def receive(self, database: Database, fetched: Sequence[Received]) -> None:
        """Handle what was fetched. When this returns, each was handled or is kept for later: it may be acked.

        Raises where nothing can be kept either, or where what all need is taken: then it comes again.
        """
        heard = []
        for came in fetched:
            try:
                fact = self.read(came)
            except (Unreadable, Waits) as reason:
                await self._keep(database, came, reason)
            else:
                heard.append(Heard(fact, came._replace(id=fact.id)))
        if heard:
            await self._handle(database, heard)

    async def handle(self, database: Database, facts: Sequence[Fact]) -> None:
        """Handle facts that were said in this very process, as if they had been received."""
        came = [Received(fact.id, fact.subject(), contracts.encode(fact)) for fact in facts]
        await self._handle(database, list(map(Heard, facts, came)))

    async def _handle(self, database: Database, heard: Sequence[Heard]) -> None:
        try:
            async with database.worker_tx() as tx:
                await self._run(tx, heard)
                self.kept |= "kept" in tx.info
        except Exception as error:
            # Whatever a handler raises, the fact must be kept; unless that cannot be, or all would wait in turn.
            whole = all(self._handler(fact)[1] for fact, _ in heard)
            if is_ending(error) or (whole and is_busy(error)) or await _away(database, error):
                raise
            if len(heard) == 1 and (not is_lost(error) or self._broke(heard[0].came)):
                await self._keep(database, heard[0].came, error)
                return
            for one in heard:
                await self._handle(database, [one])
        else:
            self._over(*(came for _, came in heard))

    def _broke(self, came: Received) -> bool:
        """Count that the connection was lost while a fact was handled by itself; whether it is to blame by now."""
        self.broke[came.id, came.subject] += 1
        return self.broke[came.id, came.subject] >= BREAKS

    def _over(self, *whole: Received) -> None:
        """Forget that the connection was lost while these were handled: this time it was not, or it is written down."""
        for came in whole:
            self.broke.pop((came.id, came.subject), None)

    async def set_apart(self, database: Database, came: Received) -> None:
        """Keep a fact that came again and again and was never done: as one that is tried, its next end is counted."""
        async with database.worker_tx() as tx:
            await tx.execute(KEEP, kept(came, "retry", "", 0, "It came again and again.", 0, None))
        self.kept = True

    async def again(self, database: Database) -> int:
        """Try a turn of what is due in the retry table; returns how many were handled.

        Of each publisher first what was woken; no publisher has its second fact tried before all had their first.
        That a turn begins is written down before: what ends the process comes alone the next time, and is parked.
        """
        given = {"publishers": list(contracts.SERVICES), "turn": TURN, "now": clock.now()}
        async with database.worker_tx() as tx:
            if self.begun:
                await LIVED.run(tx, self.begun)
            due = (await tx.execute(DUE, given)).all()
            due = [row for row in due if row.begun][:1] or due
            self.begun = [{"id": row.fact_id, "subject": row.subject, "digest": row.digest} for row in due]
            if self.begun:
                await BEGIN.run(tx, self.begun)
        done = 0
        for row in due:
            done += await self._again(database, row)
        return done

    async def _again(self, database: Database, row: sa.Row[Any]) -> bool:
        came = Received(row.fact_id, row.subject, bytes(row.body))
        if row.begun >= DEATHS:
            await self._keep(database, came, Kills(row.begun), row)
            return False
        if self.broke[came.id, came.subject] >= BREAKS:
            # Where all sessions ended with its own, who led could not write that down before it led again.
            await self._keep(database, came, Breaks(), row)
            return False
        try:
            async with database.worker_tx() as tx:
                name = {"id": came.id, "subject": came.subject, "digest": row.digest}
                taken = await tx.execute(TAKE, name)
                if taken.first() is None:
                    return False
                tx.info[TAKEN] = row
                await self._run(tx, [Heard(self.read(came), came)])
        except Exception as error:
            # Counted before anything is waited for: where all sessions end, so does who leads.
            failed = not is_lost(error) or self._broke(came)
            if is_ending(error):
                raise
            if await _away(database, error):
                self._over(came)
                raise
            if failed:
                await self._keep(database, came, error, row)
            return False
        self._over(came)
        return True

    def _handler(self, fact: Fact) -> tuple[Handler, bool]:
        """What handles a fact, and whether it takes whole batches: those lock what they need at once, in order."""
        return self.handlers.get(type(fact), (_unheard, False))

    async def _run(self, tx: Tx, heard: Sequence[Heard]) -> None:
        facts = [fact for fact, _ in heard]
        tx.info[BODIES] = {(fact.id, fact.subject()): came.body for fact, came in heard}
        said = _each_once(heard)
        alone = sum(not self._handler(fact)[1] for fact in facts) <= 1
        patience = None if alone else f"{PATIENCE_MS}ms"
        rows = (await _CLAIM.run(tx, said, now=clock.now(), patience=patience)).all()
        if any(row.otherwise for row in rows):
            raise OtherContent
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

    async def _keep(
        self, database: Database, came: Received, error: Exception, row: sa.Row[Any] | None = None
    ) -> None:
        """Write what could not be handled to the retry table: it waits, is tried again, or is parked.

        `row` is how it stood there. To wait is not to fail: not for what has not come, nor for a lock.
        """
        self.kept = True
        state, key, failed = "retry", "", row.attempts if row else 0
        if isinstance(error, Waits):
            state, key = "waiting", error.key
            delay = _pause_s(key, row)
        elif is_busy(error):
            delay = WAIT_S
        else:
            parked = isinstance(error, Unreadable | OtherContent | Kills) or failed >= len(BACKOFF_S)
            state = "parked" if parked else "retry"
            delay = 0 if parked else BACKOFF_S[failed]
            failed += 1
        text = str(error) if isinstance(error, Unreadable | OtherContent | Waits) else _told(error)
        if key == VERSION or not isinstance(error, Waits):
            log.warning("fact kept", fact=str(came.id), subject=came.subject, state=state, error=text)
        async with database.worker_tx() as tx:
            await tx.execute(KEEP, kept(came, state, key, failed, text, delay, row))
        self._over(came)


def _each_once(heard: Sequence[Heard]) -> list[dict[str, Any]]:
    """What a batch claims: the same fact twice is one. Raises OtherContent where two of one id do not say the same."""
    digests: dict[Name, bytes] = {}
    for fact, came in heard:
        if digests.setdefault((fact.id, came.subject), came.digest) != came.digest:
            raise OtherContent
    return [{"id": fact, "subject": subject, "digest": said} for (fact, subject), said in digests.items()]


def _pause_s(key: str, row: sa.Row[Any] | None) -> float:
    """How long a fact waits before it is tried for nothing. What it waits for anew may just have come: not for long."""
    if key == VERSION:
        return VERSION_WAIT_S
    known = row is not None and row.waits_for == keepable(key)
    so_far = (clock.now() - row.since).total_seconds() if row is not None and known else 0
    return min(max(so_far, WAIT_S), WAIT_MAX_S)


def _told(error: Exception) -> str:
    return "".join(traceback.format_exception_only(error)).strip()[:2000]


async def _away(database: Database, error: Exception) -> bool:
    """Whether the database is away for everybody; where it answers others, an error is that of what was handled."""
    return is_away(error) and not (is_lost(error) and await database.answers())


async def _unheard(_fact: Fact, _tx: Tx) -> None:
    """A fact of which this version knows nothing is for the next one, and not to be taken as handled."""
    raise Waits(VERSION)


def body_of(tx: Tx, fact: Fact) -> bytes:
    """The bytes in which a fact came; of one that was not received, its own."""
    body: bytes | None = tx.info.get(BODIES, {}).get((fact.id, fact.subject()))
    return contracts.encode(fact) if body is None else body


async def wait(tx: Tx, fact: Fact, key: str) -> None:
    """Let one fact of a whole batch wait for `key` while the others are handled; its claim is given back."""
    tx.info["kept"] = True
    await tx.execute(
        sa.text("DELETE FROM inbox WHERE fact_id = :id AND subject = :subject"),
        {"id": fact.id, "subject": fact.subject()},
    )
    came, row = Received(fact.id, fact.subject(), body_of(tx, fact)), tx.info.get(TAKEN)
    failed = row.attempts if row else 0
    await tx.execute(KEEP, kept(came, "waiting", key, failed, f"waits for {key}", _pause_s(key, row), row))
