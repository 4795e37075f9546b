"""What one worker holds in memory to answer readers: the snapshot, its lease of impressions, the flusher, the caps."""

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import AsyncIterator, Mapping
from datetime import date
from uuid import UUID

import structlog
from litestar import Litestar

from services.ads.actions import delivery
from services.ads.actions.beacons import Flusher
from services.ads.gateways import Caps
from services.ads.queries import snapshot as reading
from services.ads.rules import tokens
from services.ads.rules.decision import HOUSE_TIER, Line, Snapshot, indexed
from shared import clock, counters, links
from shared.calendar import local_day
from shared.db import Tx
from shared.fence import go_on, is_ending
from shared.kit import Kit

TICK_S = 1.0
PAUSE_S = 0.05
REST_S = 5.0
LEAST_LEASE = 8
FILES_KEPT = 64


class Server:
    """The serving half of one worker."""

    def __init__(self, kit: Kit) -> None:
        self.kit = kit
        self.settings = kit.settings
        self.base_url = kit.settings.base_url
        self.creatives_url = kit.settings.creatives_url
        self.tools_count = not kit.settings.production
        self.key = tokens.key_of(kit.settings.secret)
        self.flusher = Flusher(kit.database)
        self.caps = Caps(counters.address(kit.settings, kit.service))
        self.snapshot = indexed([], [])
        self.lent = 0
        """The lines of the snapshot that may be handed out now: those with a lease, and house ads, which need none."""
        self.targets: dict[UUID, str] = {}
        self.bucket = 0
        self._day = date.min
        self._left: dict[UUID, int] = {}
        self._used: dict[UUID, int] = {}
        self._rests: dict[UUID, float] = {}
        self._hungry = asyncio.Event()
        self._files: OrderedDict[str, bytes] = OrderedDict()

    def shown(self, token: str) -> tokens.Shown | None:
        """What a token of ours says, also one that the key of before signed; none for any other."""
        if (shown := tokens.unseal(self.key, token)) is not None:
            return shown
        keys = map(tokens.key_of, links.openers(self.settings)[1:])
        return next(filter(None, (tokens.unseal(key, token) for key in keys)), None)

    def draw(self) -> float:
        return clock.chance()

    def take(self, line: Line) -> bool:
        """Take one impression off this worker's lease; false when none is left."""
        if line.tier == HOUSE_TIER:
            return True
        left = self._left.get(line.id, 0)
        if left <= 0:
            return False
        self._left[line.id] = left - 1
        self._used[line.id] = self._used.get(line.id, 0) + 1
        if left == 1:
            position = self.snapshot.position.get(line.id)
            if position is not None:
                self.lent &= ~(1 << position)
            self._hungry.set()
        return True

    def agency_of(self, line: UUID) -> str:
        position = self.snapshot.position.get(line)
        return "" if position is None else self.snapshot.lines[position].agency

    async def file(self, name: str) -> bytes:
        """An image, from memory when it was asked for lately."""
        found = self._files.get(name)
        if found is None:
            found = self._files[name] = await self.kit.files.get(name)
            if len(self._files) > FILES_KEPT:
                self._files.popitem(last=False)
        return found

    async def refresh(self) -> None:
        """Follow the version row, renew the leases, write down what was rejected."""
        today = local_day(clock.now())
        number = await self.kit.database.version(reading.VERSION)
        stale = today != self._day or number != self.snapshot.version
        if not stale and self._is_at_rest():
            return
        async with self.kit.database.worker_tx() as tx:
            if stale:
                self.use(await reading.load(tx, today))
                self._day = today
            granted = await self._lease(tx)
            await self.flusher.write_rejections(tx)
        self.lend(granted)  # only what is committed may be handed out

    def lend(self, granted: Mapping[UUID, int]) -> None:
        """Add impressions to this worker's lease."""
        for line, n in granted.items():
            self._left[line] = self._left.get(line, 0) + n
        self._open()

    def use(self, snapshot: Snapshot) -> None:
        """Decide on another snapshot from now on; leases are kept by line."""
        self.snapshot = snapshot
        self.targets = {c.id: c.click_url for line in snapshot.lines for c in line.creatives}
        self._open()

    def _open(self) -> None:
        """Let the decision see the lines of which something is left."""
        left = self._left
        self.lent = self.snapshot.bits(lambda line: line.tier == HOUSE_TIER or left.get(line.id, 0) > 0)

    def _is_at_rest(self) -> bool:
        """Whether no lease has to be renewed and nothing written down, as in most seconds of a quiet house."""
        same_bucket = delivery.bucket_of(clock.now()) == self.bucket
        return same_bucket and not self._used and not self._wanted({}) and not self.flusher.rejected

    def _wanted(self, used: Mapping[UUID, int]) -> dict[UUID, int]:
        """By line, what the next seconds need beyond what is left, by the use of the last."""
        wanted, now_s = {}, clock.monotonic_s()
        for line in self.snapshot.lines:
            if line.tier == HOUSE_TIER or self._rests.get(line.id, 0.0) > now_s:
                continue
            need = max(LEAST_LEASE, 3 * used.get(line.id, 0))
            left = self._left.get(line.id, 0)
            if 2 * left < need:
                wanted[line.id] = need - left
        return wanted

    async def _lease(self, tx: Tx) -> dict[UUID, int]:
        """Ask for what the next seconds need, by the use of the last; returns what was granted."""
        bucket = delivery.bucket_of(clock.now())
        if bucket != self.bucket:
            unused, self._left = self._left, {}
            self._open()
            await delivery.give_back(tx, unused, self.bucket)
            self.bucket = bucket
        used, self._used = self._used, {}
        now_s = clock.monotonic_s()
        granted = await delivery.grant(tx, self._wanted(used), bucket)
        # A line that is ahead of its plan is not asked for again at once: that would lock its row each second.
        self._rests = {line: until for line, until in self._rests.items() if until > now_s}
        self._rests |= {line: now_s + REST_S for line, n in granted.items() if n == 0}
        return granted

    async def run(self) -> None:
        """Refresh each second, and sooner when a lease ran out."""
        while True:
            go_on()
            try:
                await self.refresh()
            except Exception as error:
                if is_ending(error):
                    raise
                # The next second tries again; meanwhile the last snapshot serves.
                structlog.get_logger().warning("snapshot not refreshed", error=str(error)[:200])
                await asyncio.sleep(TICK_S)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TICK_S):
                    await self._hungry.wait()
            self._hungry.clear()
            await asyncio.sleep(PAUSE_S)

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run beside the web, and give back the lease at the end."""
        tasks = [asyncio.create_task(self.flusher.run())]
        if self.settings.background:
            tasks.append(asyncio.create_task(self.run()))
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.caps.close()
            with contextlib.suppress(Exception):
                async with self.kit.database.worker_tx() as tx:
                    await delivery.give_back(tx, self._left, self.bucket)


@contextlib.asynccontextmanager
async def serving(app: Litestar) -> AsyncIterator[None]:
    """Have the serving half of this worker at `app.state.server` for as long as the service runs."""
    app.state.server = Server(app.state.kit)
    async with app.state.server.running():
        yield
