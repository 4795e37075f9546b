"""Frequency counters over the real Redis, and without one."""

import asyncio
from uuid import uuid4

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis.asyncio import Redis

from services.ads.gateways import Caps, Incomplete, RedisSaid, command, parsed
from shared import counters
from shared.keys import OPERATOR

replies = st.recursive(
    st.one_of(st.binary(max_size=20), st.integers(-(2**40), 2**40), st.none()),
    lambda inner: st.lists(inner, max_size=4),
)


def written(reply):
    if reply is None:
        return b"$-1\r\n"
    if isinstance(reply, int):
        return b":%d\r\n" % reply
    if isinstance(reply, list):
        return b"*%d\r\n" % len(reply) + b"".join(map(written, reply))
    return b"$%d\r\n%b\r\n" % (len(reply), reply)


@given(replies, st.binary(max_size=5))
def test_what_redis_writes_is_read_whole_and_never_before(reply, rest):
    text = written(reply)
    assert parsed(text + rest, 0) == (reply, len(text))
    for cut in range(len(text)):
        with pytest.raises(Incomplete):
            parsed(text[:cut], 0)


def test_a_refusal_is_read_as_one():
    said, _ = parsed(b"-WRONGPASS no\r\n", 0)
    assert isinstance(said, RedisSaid)
    assert command(b"GET", b"a") == b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n"


async def test_many_visitors_are_counted_at_once(stack):
    caps = Caps(counters.address(stack.settings("ads"), "ads"))
    visitors = [f"ads:cap:{uuid4()}" for _ in range(100)]
    line, other = b"\r\n$-1\r\n\xff", b"12345678"
    for visitor in visitors:
        caps.add(visitor, [line, line, other], new=True)
    found = await asyncio.gather(*(caps.seen(visitor) for visitor in visitors))
    assert found == [{line: 2, other: 1}] * 100
    assert await caps.seen(f"ads:cap:{uuid4()}") == {}
    caps.close()


async def test_without_redis_nothing_is_known_and_nobody_waits():
    caps = Caps("redis://127.0.0.1:1/0")
    assert await caps.seen("cap:x") is None
    caps.add("cap:x", [b"12345678"], new=True)
    async with asyncio.timeout(0.5):
        assert [await caps.seen("cap:x") for _ in range(100)] == [None] * 100


async def test_a_wrong_password_is_no_fault(stack):
    settings = msgspec.structs.replace(stack.settings("ads"), redis_password="wrong")
    caps = Caps(counters.address(settings, "ads"))
    assert await caps.seen("cap:x") is None


async def test_a_broken_counter_is_not_known_and_leaves_nobody_waiting(stack):
    url = counters.address(stack.settings("ads"), "ads")
    visitor, text = f"ads:cap:{uuid4()}", f"ads:cap:{uuid4()}"
    async with Redis.from_url(counters.address(stack.settings(), OPERATOR)) as redis:
        await redis.hset(visitor, "line", "many")
        await redis.set(text, "no hash")
    caps = Caps(url)
    async with asyncio.timeout(5):
        assert await asyncio.gather(*(caps.seen(key) for key in (visitor, text, f"{text}?"))) == [
            None,
            None,
            {},
        ]
    caps.close()
