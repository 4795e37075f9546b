"""Rate limits by GCRA (a leaky bucket in one number), in Redis, with a local bucket while Redis is away."""

import time
from typing import Any

from litestar.connection import ASGIConnection
from litestar.handlers import BaseRouteHandler
from redis.exceptions import RedisError

from shared.auth import Guard, principal_of
from shared.errors import TooMany

# KEYS[1] holds the theoretical arrival time in microseconds; ARGV: interval and tolerance in microseconds.
_GCRA = """
local now = redis.call('TIME'); now = now[1] * 1000000 + now[2]
local tat = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now)
local ahead = tat - now
if ahead > tonumber(ARGV[2]) then return ahead - tonumber(ARGV[2]) end
redis.call('SET', KEYS[1], string.format('%.0f', tat + ARGV[1]), 'PX', math.ceil((ahead + ARGV[1]) / 1000) + 1)
return 0
"""

_local: dict[str, float] = {}
_LOCAL_MAX = 10_000


def limited(name: str, per_minute: int, burst: int) -> Guard:
    """Make a guard that lets a principal (or, for nobody, an address) through so often and no more.

    Raises TooMany with the seconds to wait. Carriers put thousands of phones behind one address: limits for
    nobody must be generous.
    """
    interval_us = 60_000_000 // per_minute
    tolerance_us = interval_us * burst

    async def guard(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
        principal = principal_of(connection)
        who = principal.subject if principal.kind != "nobody" else client_address(connection)
        key = f"limit:{name}:{who}"
        redis = connection.app.state.house.redis
        try:
            wait_us = int(await redis.eval(_GCRA, 1, key, interval_us, tolerance_us))
        except (RedisError, OSError):
            wait_us = _locally(key, interval_us, tolerance_us)
        if wait_us:
            seconds = -(-wait_us // 1_000_000)
            raise TooMany(f"Too many requests; try again in {seconds} s.", retry_after_s=seconds)

    return guard  # type: ignore[return-value]


def client_address(connection: ASGIConnection[Any, Any, Any, Any]) -> str:
    """The caller's address as the edge tells it; only the edge reaches us."""
    forwarded = connection.headers.get("x-forwarded-for", "").split(",")[0].strip()
    address = forwarded or (connection.client.host if connection.client else "")
    return address.removeprefix("::ffff:")


def _locally(key: str, interval_us: int, tolerance_us: int) -> int:
    now = time.monotonic() * 1e6
    tat = max(_local.get(key, 0.0), now)
    if tat - now > tolerance_us:
        return int(tat - now - tolerance_us)
    if len(_local) > _LOCAL_MAX:
        _local.clear()
    _local[key] = tat + interval_us
    return 0
