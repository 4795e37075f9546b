"""V7: the last pieces of one hot item, held as the events service does, beside an advisory lock and a count."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from uuid import UUID

import sqlalchemy as sa

from bench.ground import stores
from bench.report import Row, ratio
from bench.stock import fill_events, key
from services.events.actions import stock
from services.events.actions.access import Patron
from services.events.actions.holding import Allowed
from services.events.rules.stock import SoldOut
from shared import clock
from shared.contracts.base import Buyer
from shared.db import Database, Tx

BUYERS = 16
"""At once, on as many connections as the service has for requests."""
CAPACITY, SHORT_CAPACITY = 1_000, 150
PAIRS = 5
HOLD_S = 900


async def holds(short: bool) -> list[Row]:
    """Each turn sells out an item of its own, both sides in turn and each first in every other pair."""
    capacity = SHORT_CAPACITY if short else CAPACITY
    ours, theirs = [], []
    async with stores("events") as stack:
        fill_events(stack.admin_url("events"), 2 + 2 * PAIRS, capacity)
        database = Database(stack.settings("events"), "events")
        items = (key("item", n) for n in range(2 + 2 * PAIRS))
        for n in range(1 + PAIRS):
            for hold, rates in ((hold_one, ours), (lock_and_count, theirs))[:: 1 if n % 2 else -1]:
                rates.append(await rate(database, next(items), capacity, hold))
        await database.close()
    what = f"holds on one hot item, {capacity:,} by {BUYERS} at once (yardstick: advisory lock and count)"
    return [ratio("V7", what, ours[1:], theirs[1:], "/s", 1.7)]  # the first turns warm


async def rate(
    database: Database, item: UUID, capacity: int, hold: Callable[[Tx, UUID], Awaitable[None]]
) -> float:
    """Holds a second until an item is sold out, each in a transaction of its own; exactly all of it is held."""
    held = 0

    async def buyer() -> None:
        nonlocal held
        while True:
            try:
                async with database.web_tx(["bkh"]) as tx:
                    await hold(tx, item)
            except SoldOut:
                return
            held += 1

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(BUYERS):
            group.create_task(buyer())
    seconds = time.perf_counter() - started
    assert held == capacity, f"{held} of {capacity} were held"
    return held / seconds


async def hold_one(tx: Tx, item: UUID) -> None:
    owner = clock.new_id()
    patron = Patron(owner, None, Buyer(kind="person", id=owner))
    await stock.hold(tx, patron, clock.new_id(), [(item, 1)], clock.now(), Allowed(HOLD_S))


# A statement sees what was committed when it began: the lock must be there before the one that counts.
_LOCK = sa.text("SELECT pg_advisory_xact_lock(hashtextextended(CAST(:item AS text), 0))")
_COUNT = sa.text(
    "INSERT INTO hold (id, agency, sellable, invoice, owner, quantity, created_at) "
    "SELECT :id, agency, id, :invoice, :owner, 1, :now FROM sellable WHERE id = :item AND capacity > "
    "(SELECT coalesce(sum(quantity), 0) FROM hold WHERE sellable = :item AND freed_at IS NULL) RETURNING id"
)


async def lock_and_count(tx: Tx, item: UUID) -> None:
    """The yardstick: no count is kept; under a lock of the item its holds are counted, and one is added."""
    now = clock.now()
    await tx.execute(_LOCK, {"item": str(item)})
    kept = await tx.execute(
        _COUNT,
        {
            "id": clock.new_id(),
            "item": item,
            "invoice": clock.new_id(),
            "owner": clock.new_id(),
            "now": now,
        },
    )
    if kept.first() is None:
        raise SoldOut("Sold out.")
