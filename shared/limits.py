"""Rate limits by GCRA (a leaky bucket in one number), in Redis, with a local bucket while Redis is away."""

import math
import time
from ipaddress import IPv6Address, ip_address, ip_network

from litestar.handlers import BaseRouteHandler
from litestar.types import Guard
from redis.exceptions import RedisError

from shared.auth import principal_of
from shared.counters import own
from shared.errors import TooMany
from shared.kit import Kit
from shared.request import Connection

# KEYS[1] holds when the bucket will be empty, in microseconds; ARGV: what is put in, and how much it holds.
_GCRA = """
local now = redis.call('TIME'); now = now[1] * 1000000 + now[2]
local empty = math.max(tonumber(redis.call('GET', KEYS[1]) or 0), now) + ARGV[1]
local over = empty - now - ARGV[2]
if over > 0 and tonumber(ARGV[1]) > 0 then return math.ceil(over) end
if empty <= now then redis.call('DEL', KEYS[1]) return 0 end
redis.call('SET', KEYS[1], string.format('%.0f', empty), 'PX', math.ceil((empty - now) / 1000) + 1)
return 0
"""

_local: dict[str, float] = {}
_LOCAL_MAX = 10_000


async def take(kit: Kit, name: str, count: int, per_s: float, cost: int = 1) -> int:
    """Take from a service's bucket: `count` at once, filling again evenly in `per_s`; returns seconds to wait.

    0 means taken; otherwise nothing was. A negative cost gives back. In any stretch of `per_s` seconds at most
    twice `count` can be had: the full bucket, and what flows in meanwhile.
    """
    window_us = per_s * 1e6
    cost_us = window_us * cost / count
    key = own(kit.service, f"limit:{name}")
    try:
        wait_us = int(await kit.redis.eval(_GCRA, 1, key, round(cost_us), round(window_us)))
    except (RedisError, OSError):
        wait_us = _locally(key, cost_us, window_us)
    return -(-wait_us // 1_000_000)


def limited(name: str, per_minute: int, burst: int) -> Guard:
    """Make a guard that lets a principal (or, for nobody, a neighbourhood) through so often and no more.

    Raises TooMany with the seconds to wait. Carriers put thousands of phones behind one address: limits for
    nobody must be generous.
    """
    count = burst + 1
    per_s = 60 * count / per_minute

    async def guard(connection: Connection, _: BaseRouteHandler) -> None:
        principal = principal_of(connection)
        who = principal.spender if principal.kind != "nobody" else neighbourhood(connection)
        refuse_after(await take(connection.app.state.kit, f"{name}:{who}", count, per_s))

    return guard


def refuse_after(wait_s: int) -> None:
    """Raises TooMany where there is something to wait for."""
    if wait_s:
        raise TooMany(f"Too many requests; try again in {wait_s} s.", retry_after_s=wait_s)


def client_address(connection: Connection) -> str:
    """The caller's address as the edge tells it; only the edge reaches us."""
    forwarded = connection.headers.get("x-forwarded-for", "").split(",")[0].strip()
    address = forwarded or (connection.client.host if connection.client else "")
    return address.removeprefix("::ffff:")


def neighbourhood(connection: Connection) -> str:
    """Where a caller comes from: an IPv4 address, or the block of an IPv6 one, of which its customer has billions."""
    return block_of(client_address(connection), 32)


def block_of(address: str, ipv4: int) -> str:
    """The block that an address lies in: IPv4 by a prefix of this length, IPv6 by /48; what is none shares one.

    A /48 is the smallest block of IPv6 that the internet routes; a customer is given a /56 or /64 of it whole.
    """
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return "unknown"
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped is not None:
        ip = ip.ipv4_mapped
    return str(ip_network((ip, ipv4 if ip.version == 4 else 48), strict=False))  # noqa: PLR2004 - IPv4


def _locally(key: str, cost_us: float, window_us: float) -> int:
    now = time.monotonic() * 1e6
    empty = max(_local.get(key, 0.0), now) + cost_us
    over = empty - now - window_us
    if over > 0 and cost_us > 0:
        return math.ceil(over)
    if len(_local) > _LOCAL_MAX:
        _local.clear()
    _local[key] = empty
    return 0
