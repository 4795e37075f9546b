"""Streams and consumers that were lost are made anew while the house runs, and what was said in them is said again."""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NoReturn

import nats.errors
import psycopg

from ops.keys import as_service
from ops.replay import hand_on, unhandled_since
from ops.streams import PATIENCE_S, NotLaidOut, ask, consumers, lay_out
from shared import clock
from shared.bus import Bus
from shared.consume import Consumer
from shared.contracts import SERVICES
from shared.keys import OPERATOR
from shared.presence import LOOK_S, NO_STREAM
from shared.settings import Settings

LOOK_LIMIT_S = 2.0
"""How long one look may take until NATS counts as away, of which its own part tells."""


@dataclass(frozen=True)
class Gap:
    """Something that is missing of a publisher's stream, in words."""

    publisher: str
    what: str
    lost: bool = False
    """Whether the stream itself is missing, with all that it held."""
    mendable: bool = True
    """Whether making it anew mends it; nobody can make a leader, whom the nodes elect."""


async def gaps(
    settings: Settings, listening: Iterable[Consumer] | None = None, limit_s: float = LOOK_LIMIT_S
) -> list[Gap]:
    """What is missing of streams and consumers. Raises TimeoutError or an error of NATS while that is away."""
    listeners = list(consumers() if listening is None else listening)
    bus = Bus(settings, OPERATOR)
    try:
        async with asyncio.timeout(limit_s):
            await bus.connect()
        found = await asyncio.gather(*(_gaps_of(bus, publisher, listeners) for publisher in SERVICES))
    finally:
        await bus.close()
    return [gap for of_one in found for gap in of_one]


async def _gaps_of(bus: Bus, publisher: str, listeners: list[Consumer]) -> list[Gap]:
    name = publisher.upper()
    try:
        named = await ask(bus, f"CONSUMER.NAMES.{name}", {}, LOOK_LIMIT_S)
        # The leader of all answers for every stream; of a stream its own does. A node that stands alone is both.
        info = (
            await ask(bus, f"STREAM.INFO.{name}", {}, LOOK_LIMIT_S) if bus.settings.nats_replicas > 1 else {}
        )
    except (TimeoutError, nats.errors.NoRespondersError):
        # Where most nodes are away nobody answers for any stream.
        return [Gap(publisher, f"stream {name} has no leader", mendable=False)]
    if named.get("error", {}).get("err_code") == NO_STREAM:
        return [Gap(publisher, f"stream {name} is missing", lost=True)]
    if "error" in named or "error" in info or not info.get("cluster", {"leader": name}).get("leader"):
        return [Gap(publisher, f"stream {name} has no leader", mendable=False)]
    known = named.get("consumers") or []
    wanted = [consumer.service for consumer in listeners if publisher in consumer.sources()]
    return [
        Gap(publisher, f"consumer {service} of stream {name} is missing")
        for service in wanted
        if service not in known
    ]


def mend(
    settings: Settings,
    listening: Iterable[Consumer] | None = None,
    *,
    everything: bool = False,
    limit_s: float = PATIENCE_S,
) -> list[str]:
    """Make what is missing, bring up to date what is there, and hand on what lost streams held and no inbox has.

    Returns what was done, in words. `settings` are the operator's. What is to be handed on is, before the streams stand
    again: who is cut off between the two finds them missing still. `everything` hands on from all logs, also where the
    streams are there, which may have lost a part. NATS has `limit_s` to be reached; one that starts takes its time.
    """
    listeners = list(consumers() if listening is None else listening)
    found = asyncio.run(gaps(settings, listeners, limit_s))
    missing = [gap for gap in found if gap.mendable]
    lost = SERVICES if everything else [gap.publisher for gap in missing if gap.lost]
    since = unhandled_since(clock.now())
    count = sum(
        hand_on(as_service(settings, publisher), publisher, as_service(settings, service), service, since)
        for publisher in lost
        for service in (consumer.service for consumer in listeners if publisher in consumer.sources())
    )
    asyncio.run(lay_out(settings, listeners))
    return [*(f"{gap.what}: made anew" for gap in missing), *([f"{count} facts handed on"] if lost else [])]


def keep(settings: Settings, say: Callable[[str], None]) -> NoReturn:
    """Mend whatever goes missing, for ever. While a store is away nothing can be, which is said once."""
    told = ""
    while True:
        try:
            if any(gap.mendable for gap in asyncio.run(gaps(settings))):
                for line in mend(settings):
                    say(line)
            told = ""
        except (OSError, TimeoutError, nats.errors.Error, psycopg.Error, NotLaidOut) as error:
            reason = str(error) or type(error).__name__
            if reason != told:
                say(f"Nothing can be mended now: {reason}")
            told = reason
        time.sleep(LOOK_S)
