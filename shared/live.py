"""Live pages: streams of messages (server-sent events) that are bounded in number, by caller, and in time.

An open stream holds a connection and asks the database again and again, so that nobody may have any number of them.
A browser comes back by itself when a stream ends, and some while after it was refused.
"""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator

from litestar.response import ServerSentEvent

from shared import clock
from shared.auth import principal_of
from shared.errors import TooMany, Unavailable
from shared.limits import neighbourhood
from shared.request import Request

MOST = 400
"""Streams of one worker, well below the requests that it answers at once."""

MOST_STRANGERS = 300
"""Those of whoever is not signed in, all together: the rest is kept for those who are."""

MOST_EACH = 6
"""Streams of one person or key: as many pages as one looks at."""

MOST_ADDRESS = 60
"""Streams of those who are not signed in behind one address, which they share with a whole network."""

STRANGER = "stranger "
"""Before the neighbourhood under which strangers' streams are counted."""

LASTS_S = 240.0
COME_BACK_S = 30


def stream(request: Request, messages: AsyncIterator[str]) -> ServerSentEvent:
    """Answer with messages as they come. Raises TooMany and Unavailable where too many streams are open."""
    opened: Counter[str] = request.app.state.streams
    principal = principal_of(request)
    known = principal.kind != "nobody"
    who = principal.spender if known else STRANGER + neighbourhood(request)
    most = MOST_EACH if known else MOST_ADDRESS
    if opened[who] >= most:
        raise TooMany(f"Only {most} live pages at a time; close one.", retry_after_s=COME_BACK_S)
    if _full(opened, who):
        raise Unavailable("Too many live pages are open; try again later.", retry_after_s=COME_BACK_S)
    return ServerSentEvent(_counted(opened, who, most, messages))


async def _counted(
    opened: Counter[str], who: str, most: int, messages: AsyncIterator[str]
) -> AsyncIterator[str]:
    # Counted from the first message on: what a client left before that was never begun, and would never end.
    if opened[who] >= most or _full(opened, who):
        return
    opened[who] += 1
    try:
        async for message in messages:
            yield message
    finally:
        opened[who] -= 1
        if not opened[who]:
            del opened[who]


def _full(opened: Counter[str], who: str) -> bool:
    strangers = sum(count for other, count in opened.items() if other.startswith(STRANGER))
    return opened.total() >= MOST or (who.startswith(STRANGER) and strangers >= MOST_STRANGERS)


async def ticks(every_s: float, lasts_s: float = LASTS_S) -> AsyncIterator[None]:
    """When a stream looks again: at once, then every so often, until its time is over."""
    until = clock.monotonic_s() + lasts_s
    while clock.monotonic_s() < until:
        yield
        await asyncio.sleep(every_s)
