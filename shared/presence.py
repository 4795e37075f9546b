"""Whether the streams that a service needs are there now, with its place in each and somebody who leads them."""

import asyncio

import nats.errors
import nats.js.errors

from shared.bus import PUBLISH_TIMEOUT_S, Bus
from shared.consume import Consumer
from shared.fence import go_on

LOOK_S = 10.0
"""How often it is looked; what a look finds is told until the next one."""

NO_STREAM = 10059
"""JetStream's error for a stream that does not exist."""

REFUSED = {"Nats-Expected-Stream": "-"}
"""Makes a stream refuse what is published with it: so it answers, and keeps nothing."""


class Presence:
    """What one service finds missing of NATS; readiness and metrics tell it."""

    def __init__(self, bus: Bus, consumer: Consumer) -> None:
        self.bus = bus
        self.consumer = consumer
        self.away: list[str] = []
        """What the last look found missing, in words."""

    async def keep_looking(self) -> None:
        """Look again and again, for ever."""
        while True:
            go_on()
            await self.look()
            await asyncio.sleep(LOOK_S)

    async def look(self) -> None:
        """Ask once for each stream, within bounded time. While NATS itself is away nothing is known of them."""
        if not self.bus.connected:
            return
        found = [await self._heard(source) for source in self.consumer.sources()]
        found.append(await self._said(self.bus.service))
        self.away = sorted({*found} - {""})

    async def _heard(self, source: str) -> str:
        """What is missing of a stream that the service hears. A place that has no leader answers nothing."""
        stream, durable = source.upper(), self.consumer.service
        try:
            info = await self.bus.js.consumer_info(stream, durable, timeout=PUBLISH_TIMEOUT_S)
        except nats.js.errors.NotFoundError as error:
            gone = f"consumer {durable} of stream {stream}"
            return f"{f'stream {stream}' if error.err_code == NO_STREAM else gone} is missing"
        except (nats.errors.Error, TimeoutError):
            return f"stream {stream} has no leader"
        led = info.cluster is None or info.cluster.leader
        return "" if led else f"stream {stream} has no leader"

    async def _said(self, own: str) -> str:
        """What is missing of the service's own stream, of which it may ask nothing: it can only say something there."""
        try:
            if self.bus.client is not None:
                door = self.bus.entered(f"{own}.look")
                await self.bus.client.request(door, b"", timeout=PUBLISH_TIMEOUT_S, headers=REFUSED)
        except nats.errors.NoRespondersError:
            return f"stream {own.upper()} is missing or has no leader"
        except (nats.errors.Error, TimeoutError):
            return f"stream {own.upper()} does not answer"
        return ""
