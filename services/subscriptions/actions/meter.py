"""The meter: different articles a device or person reads in a month, counted so that no unit is spent twice.

Redis decides, since one atomic script is one round trip and serialises every spender; it keeps an append-only file.
Each new read goes to PostgreSQL behind the answer, at most a quarter of a second later. When Redis comes back empty
the month is refilled from there before anybody spends; while Redis is away PostgreSQL itself decides under a lock.
"""

import asyncio
from collections.abc import Sequence
from datetime import date

import msgspec
import sqlalchemy as sa
import structlog
from redis.exceptions import RedisError
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.rules.access import Spent
from services.subscriptions.tables import MeterRow
from shared import clock
from shared.bulk import insert_many
from shared.calendar import add_months, local_day, month_of
from shared.counters import own
from shared.db import Tx
from shared.kit import Kit

log = structlog.get_logger()

FLUSH_S = 0.25
BATCH = 200
KEEP_S = 40 * 86_400
NOT_READY = -1

# KEYS: the month's ready mark, then of each spend the reader's set and the device's set (the same where there is
# only a device). ARGV: how long sets live, then of each spend the article and the limit. A signed-in person's set
# takes in the device's, so that signing in gives no second month. Answers three numbers a spend: allowed, used,
# and what is new (1: this read, 2: articles taken over from the device).
_SPEND = """
if redis.call('EXISTS', KEYS[1]) == 0 then return {-1} end
local out = {}
for i = 1, (#KEYS - 1) / 2 do
  local reader, device = KEYS[2 * i], KEYS[2 * i + 1]
  local article, limit = ARGV[2 * i], tonumber(ARGV[2 * i + 1])
  local new = 0
  if reader ~= device and redis.call('EXISTS', device) == 1 then
    local before = redis.call('SCARD', reader)
    if redis.call('SUNIONSTORE', reader, reader, device) > before then new = 2 end
  end
  local used = redis.call('SCARD', reader)
  local allowed = redis.call('SISMEMBER', reader, article)
  if allowed == 0 and used < limit then
    redis.call('SADD', reader, article)
    redis.call('EXPIRE', reader, ARGV[1])
    if reader ~= device then redis.call('SADD', device, article); redis.call('EXPIRE', device, ARGV[1]) end
    allowed, used, new = 1, used + 1, new + 1
  end
  out[#out + 1] = allowed; out[#out + 1] = used; out[#out + 1] = new
end
return out
"""


class Spend(msgspec.Struct, frozen=True):
    """One article asked for on the meter."""

    agency: str
    reader: str
    """`p:` and a person, or `d:` and a device."""
    device: str
    """The device's own name; the reader's where nobody is signed in."""
    article: str
    limit: int


class Meter:
    """One worker's door to the meter: concurrent spends share a round trip, new reads are written behind."""

    def __init__(self, kit: Kit) -> None:
        self._kit = kit
        self._waiting: list[tuple[Spend, asyncio.Future[Spent]]] = []
        self._at_work: asyncio.Task[None] | None = None
        self._unwritten: dict[tuple[str, str, str], None] = {}
        self._merges: dict[tuple[str, str, str], None] = {}
        self._stale = False
        """Reads were counted in PostgreSQL alone: Redis must be refilled before it is asked again."""

    async def spend(self, spend: Spend) -> Spent:
        """Count an article unless the limit is reached; one that was counted this month is free."""
        future: asyncio.Future[Spent] = asyncio.get_running_loop().create_future()
        self._waiting.append((spend, future))
        if self._at_work is None or self._at_work.done():
            self._at_work = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._waiting:
            batch, self._waiting = self._waiting[:BATCH], self._waiting[BATCH:]
            try:
                answers = await self._decide([spend for spend, _ in batch])
            except Exception as error:  # noqa: BLE001 - each asker gets it, none may hang
                for _, future in batch:
                    if not future.done():
                        future.set_exception(error)
                continue
            for (_, future), answer in zip(batch, answers, strict=True):
                if not future.done():
                    future.set_result(answer)

    async def _decide(self, spends: Sequence[Spend]) -> list[Spent]:
        month = month_of(local_day(clock.now()))
        try:
            if self._stale:
                await self.refill(month)
            numbers = await self._in_redis(spends, month)
            if numbers[0] == NOT_READY:
                await self.refill(month)
                numbers = await self._in_redis(spends, month)
        except (RedisError, OSError) as error:
            log.warning("meter without Redis", error=str(error)[:200])
            self._stale = True
            return await self._in_postgres(spends, month)
        answers = []
        for i, spend in enumerate(spends):
            allowed, used, new = numbers[3 * i : 3 * i + 3]
            self._remember(spend, new)
            answers.append(Spent(bool(allowed), used))
        return answers

    def _remember(self, spend: Spend, new: int) -> None:
        if new >= 2:  # noqa: PLR2004 - as the script says
            self._merges[spend.agency, spend.device, spend.reader] = None
        if new % 2:
            self._unwritten[spend.agency, spend.reader, spend.article] = None
            self._unwritten[spend.agency, spend.device, spend.article] = None

    async def _in_redis(self, spends: Sequence[Spend], month: date) -> list[int]:
        keys, words = [_ready(month)], [str(KEEP_S)]
        for spend in spends:
            keys += [_key(month, spend.agency, spend.reader), _key(month, spend.agency, spend.device)]
            words += [spend.article, str(spend.limit)]
        numbers: list[int] = await self._kit.redis.eval(_SPEND, len(keys), *keys, *words)
        return numbers

    async def _in_postgres(self, spends: Sequence[Spend], month: date) -> list[Spent]:
        """Decide without Redis, exactly but slower: one transaction, one lock a reader, in one order for all."""
        await self.flush()
        answers: dict[int, Spent] = {}
        async with self._kit.database.worker_tx() as tx:
            for i, spend in sorted(enumerate(spends), key=lambda pair: pair[1].reader):
                answers[i] = await _spend_row(tx, spend, month)
        return [answers[i] for i in range(len(spends))]

    async def refill(self, month: date) -> None:
        """Put the month's reads from PostgreSQL into Redis, then mark the month as ready."""
        await self.flush()
        redis = self._kit.redis
        async with self._kit.database.worker_tx() as tx:
            rows = await tx.stream(
                sa.select(MeterRow.agency, MeterRow.reader, sa.func.array_agg(MeterRow.article))
                .where(MeterRow.month == month)
                .group_by(MeterRow.agency, MeterRow.reader)
            )
            async for part in rows.partitions(1000):
                async with redis.pipeline(transaction=False) as pipe:
                    for agency, reader, articles in part:
                        key = _key(month, agency, reader)
                        pipe.sadd(key, *articles)
                        pipe.expire(key, KEEP_S)
                    await pipe.execute()
        await redis.set(_ready(month), 1, ex=KEEP_S)
        self._stale = False

    async def flush(self) -> None:
        """Write what is new to PostgreSQL; what fails is tried again with the next."""
        reads, self._unwritten = self._unwritten, {}
        merges, self._merges = self._merges, {}
        if not reads and not merges:
            return
        try:
            async with self._kit.database.worker_tx() as tx:
                await _write(tx, list(reads), list(merges))
        except BaseException:
            self._unwritten, self._merges = reads | self._unwritten, merges | self._merges
            raise


def _ready(month: date) -> str:
    return own("subscriptions", f"meter:{month:%Y%m}:ready")


def _key(month: date, agency: str, reader: str) -> str:
    return own("subscriptions", f"meter:{month:%Y%m}:{agency}:{reader}")


async def _write(tx: Tx, reads: list[tuple[str, str, str]], merges: list[tuple[str, str, str]]) -> None:
    now = clock.now()
    month = month_of(local_day(now))
    rows = [
        {"month": month, "agency": a, "reader": r, "article": article, "read_at": now}
        for a, r, article in sorted(reads)
    ]
    await insert_many(tx, MeterRow, rows, once=True)
    for agency, device, person in merges:
        await _merge(tx, month, agency, device, person)


async def _merge(tx: Tx, month: date, agency: str, device: str, person: str) -> None:
    """Give a person what their device read this month."""
    await tx.execute(
        sa.text(
            "INSERT INTO meter (month, agency, reader, article, read_at) SELECT month, agency, :person, article, "
            "read_at FROM meter WHERE month = :month AND agency = :agency AND reader = :device "
            "ON CONFLICT DO NOTHING"
        ),
        {"month": month, "agency": agency, "device": device, "person": person},
    )


async def _spend_row(tx: Tx, spend: Spend, month: date) -> Spent:
    await tx.execute(
        sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:key, 1))"), {"key": spend.reader}
    )
    if spend.device != spend.reader:
        await _merge(tx, month, spend.agency, spend.device, spend.reader)
    mine = sa.and_(MeterRow.month == month, MeterRow.agency == spend.agency, MeterRow.reader == spend.reader)
    articles = set(await tx.scalars(sa.select(MeterRow.article).where(mine)))
    if spend.article in articles:
        return Spent(True, len(articles))
    if len(articles) >= spend.limit:
        return Spent(False, len(articles))
    for reader in {spend.reader, spend.device}:
        await tx.execute(
            insert(MeterRow)
            .values(
                month=month,
                agency=spend.agency,
                reader=reader,
                article=spend.article,
                read_at=clock.now(),
            )
            .on_conflict_do_nothing()
        )
    return Spent(True, len(articles) + 1)


async def forget_old_reads(tx: Tx) -> None:
    """Meter data is kept for its month and the one after it, no longer."""
    oldest = add_months(month_of(local_day(clock.now())), -1)
    await tx.execute(sa.delete(MeterRow).where(MeterRow.month < oldest))
