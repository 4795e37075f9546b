"""Frequency counters in Redis: one hash for each visitor and day, read for all requests of a loop's turn at once."""

import asyncio
from collections.abc import Iterable, Mapping

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

KEEP_S = 26 * 3600


class Caps:
    """Reads and writes share one pipeline a turn of the loop; while Redis is away nobody's caps are known."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis
        self._reads: list[tuple[str, asyncio.Future[Mapping[bytes, int] | None]]] = []
        self._adds: list[tuple[str, bytes]] = []
        self._flushing: asyncio.Task[None] | None = None

    async def seen(self, key: str) -> Mapping[bytes, int] | None:
        """How often a visitor saw each capped line on a day; none while Redis is away."""
        answer: asyncio.Future[Mapping[bytes, int] | None] = asyncio.get_running_loop().create_future()
        self._reads.append((key, answer))
        self._schedule()
        return await answer

    def add(self, key: str, lines: Iterable[bytes]) -> None:
        """Count lines as seen; written with the next turn's reads."""
        self._adds += [(key, line) for line in lines]
        self._schedule()

    def _schedule(self) -> None:
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.create_task(self._flush())

    async def _flush(self) -> None:
        while self._reads or self._adds:
            reads, self._reads = self._reads, []
            adds, self._adds = self._adds, []
            try:
                pipe = self._redis.pipeline(transaction=False)
                for key, line in adds:
                    pipe.hincrby(key, line, 1)
                for key in {key for key, _ in adds}:
                    pipe.expire(key, KEEP_S)
                for key, _ in reads:
                    pipe.hgetall(key)
                answers = (await pipe.execute())[-len(reads) :] if reads else await pipe.execute()
            except (RedisError, OSError) as error:
                structlog.get_logger().warning("frequency caps not known", error=str(error)[:200])
                answers = [None] * len(reads)
            for (_, waiting), found in zip(reads, answers, strict=False):
                if not waiting.done():
                    known = None if found is None else {line: int(n) for line, n in found.items()}
                    waiting.set_result(known)


def cap_hash(visitor: str, day: str) -> str:
    return f"cap:{day}:{visitor}"
