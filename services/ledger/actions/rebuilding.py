"""Rebuilding: the archive is replayed beside the running books, which go on, and what came of it takes their place."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import sqlalchemy as sa

from services.ledger.actions.posting import apply, become_writer, reached
from services.ledger.actions.recognising import ALL_AGENCIES, recognise
from services.ledger.actions.storing import Posted, Source
from services.ledger.rules.posting import VERSION, BooksReposted, DayReached, RegimeChosen
from services.ledger.tables.books import BOOKS, books_ddl
from shared import clock, contracts
from shared.calendar import local_day
from shared.contracts import Fact
from shared.db import Tx

CHUNK = 500
BESIDE = "beside"


class Differs(Exception):
    """The books are not what the archive leads to; nothing was changed."""


class Rebuilt(msgspec.Struct, frozen=True):
    """What a rebuild came to."""

    facts: int
    differences: tuple[str, ...]
    """Balances that are others by the rules of now; none where the hashes are the same."""


async def begin(tx: Tx) -> None:
    """Make empty books beside the running ones, as their owner."""
    await tx.execute(sa.text(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE"))
    await tx.execute(sa.text(f"CREATE SCHEMA {BESIDE}"))
    await _look_beside(tx)
    for sql in books_ddl():
        await tx.execute(sa.text(sql.replace(":", "\\:")))


async def go_on(tx: Tx, *, repost: bool = False) -> int:
    """Replay the next chunk of the archive beside; returns how many facts that were, 0 where none is left.

    Each fact must lead to what the archive says, hash by hash. With `repost` all is booked by the rules of now.
    Raises Differs.
    """
    await _look_beside(tx)
    done = int(await tx.scalar(sa.text("SELECT coalesce(max(seq), 0) FROM archive")) or 0)
    count = 0
    async for chunk in _archived(tx, done):
        posted = await _replay(tx, [source for source, _ in chunk], repost=repost)
        for again, (source, digest) in zip(posted, chunk, strict=True):
            if again.hash != digest and not repost:
                raise Differs(
                    f"fact {source.fact.id} ({source.fact.subject()}) leads to others than the archive says"
                )
        count += len(chunk)
        if count >= CHUNK:
            break
    return count


async def _replay(tx: Tx, sources: list[Source], *, repost: bool) -> list[Posted]:
    if repost:
        sources = [source._replace(rules=VERSION) for source in sources]
    day = await reached(tx, local_day(sources[0].recorded_at))
    if isinstance(sources[0].fact, DayReached):
        return [await recognise(tx, sources[0])]
    posted, waiting = await apply(tx, sources, day)
    if waiting:
        raise Differs(f"fact {waiting[0][0].id} {waiting[0][1]}")
    return posted


async def swap(tx: Tx, *, repost: bool = False) -> Rebuilt:
    """Replay what came meanwhile, and let the rebuilt books take the place of the running ones.

    Posting waits for the end of the transaction, and so does, for the moment of the swap, who reads. Where somebody
    reads for longer than that, the database refuses, and it is tried again: what was replayed stays. Raises Differs.
    """
    await become_writer(tx)
    while await go_on(tx, repost=repost):
        pass
    # All at once, and soon or not at all: who reads several of them would otherwise wait for us, and we for them.
    await tx.execute(sa.text("SET LOCAL lock_timeout = '2s'"))
    await tx.execute(sa.text(f"LOCK TABLE {', '.join(f'public.{table}' for table in BOOKS)}"))
    if repost:
        await _say_reposted(tx)
    facts = int(await tx.scalar(sa.text("SELECT count(*) FROM archive")) or 0)
    differences = [
        f"{r.agency} {r.account} {r.month}: {r.before} → {r.after}" for r in await tx.execute(_DIFFERENCES)
    ]
    await tx.execute(sa.text("SET LOCAL search_path = public"))
    for table in BOOKS:
        await tx.execute(sa.text(f"DROP TABLE public.{table} CASCADE"))
    tables = await tx.scalars(sa.text(_TABLES))
    for table in [*tables]:
        await tx.execute(sa.text(f"ALTER TABLE {BESIDE}.{table} SET SCHEMA public"))
    await tx.execute(sa.text(f"DROP SCHEMA {BESIDE}"))
    return Rebuilt(facts, tuple(differences))


async def _say_reposted(tx: Tx) -> None:
    """Archive that the hashes are others since, and what they were."""
    ends = sa.text("SELECT seq, hash FROM archive ORDER BY seq DESC LIMIT 1")
    now = (await tx.execute(ends)).one_or_none()
    await tx.execute(sa.text("SET LOCAL search_path = public"))
    was = (await tx.execute(ends)).one_or_none()
    await _look_beside(tx)
    if was is None or now is None or was.hash == now.hash:
        return
    fact = BooksReposted(agency=ALL_AGENCIES, through=was.seq, digest=bytes(was.hash).hex())
    await _replay(tx, [Source(fact, msgspec.json.encode(fact), clock.now(), VERSION)], repost=True)


async def give_up(tx: Tx) -> None:
    """Drop what was rebuilt so far; the running books were never touched."""
    await tx.execute(sa.text(f"DROP SCHEMA IF EXISTS {BESIDE} CASCADE"))


_TABLES = (
    "SELECT relname FROM pg_class WHERE relnamespace = CAST('beside' AS regnamespace) AND relkind IN ('r', 'p') "
    "ORDER BY relname"
)
_MONTHLY = """
    SELECT agency, account, date_trunc('month', belongs_on)::date AS month, sum(debit_vnd - credit_vnd) AS vnd
    FROM {schema}.rollup GROUP BY 1, 2, 3
"""
_DIFFERENCES = sa.text(
    "SELECT agency, account, month, coalesce(b.vnd, 0) AS before, coalesce(a.vnd, 0) AS after "  # noqa: S608 - ours
    f"FROM ({_MONTHLY.format(schema='public')}) AS b FULL JOIN ({_MONTHLY.format(schema=BESIDE)}) AS a "
    "USING (agency, account, month) WHERE coalesce(a.vnd, 0) <> coalesce(b.vnd, 0) ORDER BY month, agency, account"
)


async def _look_beside(tx: Tx) -> None:
    await tx.execute(sa.text(f"SET LOCAL search_path = {BESIDE}, public"))


async def _archived(tx: Tx, after: int) -> AsyncIterator[list[tuple[Source, bytes]]]:
    """The next facts of the running archive; a day reached stands alone, as it did when it was posted."""
    rows = await tx.execute(
        sa.text(
            "SELECT body, recorded_at, rules, hash FROM public.archive WHERE seq > :after ORDER BY seq LIMIT :n"
        ),
        {"after": after, "n": CHUNK},
    )
    chunk: list[tuple[Source, bytes]] = []
    for row in rows.all():
        source = Source(read(bytes(row.body)), bytes(row.body), row.recorded_at, row.rules)
        alone = isinstance(source.fact, DayReached)
        if alone and chunk:
            yield chunk
            chunk = []
        chunk.append((source, bytes(row.hash)))
        if alone:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def read(body: bytes) -> Fact:
    """Decode an archived fact: a published one, or one of the ledger's own."""
    own = _OWN.get(msgspec.json.decode(body, type=_Tagged).type)
    return msgspec.json.decode(body, type=own) if own else contracts.decode(body)


_OWN: dict[str, Any] = {kind.subject(): kind for kind in (DayReached, RegimeChosen, BooksReposted)}


class _Tagged(msgspec.Struct):
    type: str
