"""V5, V6 and V11: posting in batches, the time from a fact to the books, and their proof."""

import asyncio
import contextlib
import hashlib
import time
from collections.abc import AsyncIterator
from datetime import timedelta
from statistics import median
from uuid import UUID

import sqlalchemy as sa

from bench.bare import bare_rate
from bench.ground import server, stores
from bench.report import Row, figure, ratio
from ops.embedded import Stack
from services.ledger.actions.posting import post
from services.ledger.consumers import consumer
from services.ledger.jobs import jobs
from services.ledger.queries.proof import verify
from services.ledger.tables import EntryRow, LegRow, RollupRow
from shared import clock, outbox
from shared.bus import Bus, Relay
from shared.calendar import local_day
from shared.contracts.base import Line, PaidLine, Period
from shared.contracts.payments import PaymentCaptured
from shared.db import Database, Tx
from shared.kit import Kit

BATCH = 500


def capture(invoice: UUID | None = None) -> PaymentCaptured:
    """A prepaid month of reading, three legs or more."""
    day = local_day(clock.now())
    line = Line(
        id=clock.new_id(),
        agency="bkh",
        stream="subscription",
        product_class="digital_news",
        title="Gói tháng",
        net_vnd=45_370,
        vat_class="standard",
        vat_vnd=3_630,
        earn=Period(day, day + timedelta(days=29)),
    )
    return PaymentCaptured(
        agency="bkh",
        payment=clock.new_id(),
        invoice=invoice or clock.new_id(),
        seller="subscriptions",
        rail="vnpay",
        collect="prepaid",
        amount_vnd=49_000,
        captured_at=clock.now(),
        lines=(PaidLine(line, 49_000, 3_630),),
    )


@contextlib.asynccontextmanager
async def ledger() -> AsyncIterator[tuple[Stack, Kit]]:
    """A ledger with a database of its own, durable as in production."""
    async with stores("ledger", "payments") as stack:
        kit = Kit("ledger", stack.settings("ledger"), consumer, jobs)
        yield stack, kit
        await kit.stop()


async def posting_rate(database: Database, facts: int, batch: int) -> float:
    """Facts posted a second, in transactions of so many."""
    made = [capture() for _ in range(facts)]
    started = time.perf_counter()
    for n in range(0, facts, batch):
        async with database.worker_tx() as tx:
            await post(tx, made[n : n + batch])
    return facts / (time.perf_counter() - started)


async def one_by_one(database: Database, facts: int) -> float:
    """The yardstick: the plain way of SQLAlchemy, one entry with its legs and the rollups it moves a transaction."""
    made = [capture() for _ in range(facts)]
    started = time.perf_counter()
    for fact in made:
        async with database.worker_tx() as tx:
            await _post_plainly(tx, fact)
    return facts / (time.perf_counter() - started)


async def _post_plainly(tx: Tx, fact: PaymentCaptured) -> None:
    day, now = local_day(fact.captured_at), clock.now()
    if await tx.scalar(sa.select(EntryRow.id).where(EntryRow.fact_id == fact.id)):
        return
    entry = clock.new_id()
    paid = fact.lines[0].line
    amounts = {"transit.vnpay": 49_000, "output_vat": -paid.vat_vnd, "deferred_revenue": -paid.net_vnd}
    tx.add(
        EntryRow(
            id=entry,
            fact_id=fact.id,
            agency=fact.agency,
            seq=entry.int & 0xFFFFFFFF,
            year=day.year,
            number=entry.int & 0xFFFFFFFFFFFF,
            belongs_on=day,
            posted_on=day,
            recorded_at=now,
            kind="bench",
            reversal_of=None,
            rules=1,
            legs=len(amounts),
            before=b"",
            hash=hashlib.sha256(fact.id.bytes).digest(),
        )
    )
    await tx.flush()
    common = {
        "entry": entry,
        "agency": fact.agency,
        "belongs_on": day,
        "posted_on": day,
        "reference": "",
        "stream": paid.stream,
        "line": paid.id,
    }
    # One statement: the database checks the balance of each as it ends.
    legs = [{**common, "n": n, "account": a, "amount_vnd": v} for n, (a, v) in enumerate(amounts.items())]
    await tx.execute(sa.insert(LegRow).values(legs))
    for account, amount in amounts.items():
        key = (fact.agency, account, paid.stream, day, day, day)
        rollup = await tx.get(RollupRow, key, with_for_update=True)
        if rollup is None:
            names = ("agency", "account", "stream", "posted_on", "belongs_on", "recorded_on")
            rollup = RollupRow(**dict(zip(names, key, strict=True)), debit_vnd=0, credit_vnd=0)
            tx.add(rollup)
        rollup.debit_vnd += max(amount, 0)
        rollup.credit_vnd += max(-amount, 0)


async def posting(short: bool) -> list[Row]:
    """V5: in batches of 500, beside the plain way and beside the bare rows."""
    batched, single, again, bare = [], [], [], []
    async with ledger() as (stack, kit):
        await posting_rate(kit.database, BATCH, BATCH)
        for _ in range(5):
            batched.append(await posting_rate(kit.database, BATCH * (4 if short else 12), BATCH))
            single.append(await one_by_one(kit.database, 100 if short else 300))
        for _ in range(5):
            again.append(await posting_rate(kit.database, BATCH * (4 if short else 12), BATCH))
            bare.append(await bare_rate(stack.admin_url("ledger"), BATCH, 4 if short else 12))
    what = "posting, batches of 500"
    return [
        ratio("V5", f"{what} (yardstick: one transaction an entry)", batched, single, "/s", 15),
        ratio("V5b", f"{what} (yardstick: bare rows by unnest)", again, bare, "/s", 0.75),
    ]


async def verifying(short: bool) -> list[Row]:
    """V11: `ledger verify` over entries, rollups and the archive."""
    count = BATCH * (10 if short else 80)
    rates = []
    async with ledger() as (_, kit):
        await posting_rate(kit.database, count, BATCH)
        for _ in range(2 if short else 3):
            started = time.perf_counter()
            async with kit.database.worker_tx() as tx:
                proof = await verify(tx)
            rates.append(proof.entries / (time.perf_counter() - started))
            assert proof.entries >= count
            assert not proof.findings, proof.findings[:3]
    return [Row("V11", "`ledger verify`", rates, [], " entries/s", "≥ 150,000", median(rates) >= 150_000)]


async def fact_to_ledger(short: bool) -> list[Row]:
    """V6: 1,000 facts a second through outbox, relay, stream and inbox; from commit to visible in the books.

    The ledger runs in a process of its own, as it does in the house.
    """
    seconds = 4 if short else 15
    said: dict[str, float] = {}
    seen: dict[str, float] = {}
    async with ledger() as (stack, kit):
        payments = Database(stack.settings("payments"), "payments")
        bus = Bus(stack.settings("payments"), "payments")
        await bus.connect()
        async with server(stack, "ledger", "ledger"):
            tasks = [
                asyncio.create_task(Relay(bus, payments).run()),
                asyncio.create_task(_watch(kit.database, seen)),
            ]
            await _say(payments, {}, 1)
            await asyncio.sleep(3)
            seen.clear()
            await _say(payments, said, seconds)
            began = time.perf_counter()
            while not said.keys() <= seen.keys() and time.perf_counter() < began + 30:
                await asyncio.sleep(0.05)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        await bus.close()
        await payments.close()
    assert said.keys() <= seen.keys(), f"{len(said.keys() - seen.keys())} facts did not arrive"
    lags = sorted(seen[key] - said[key] for key in said)
    p99 = lags[int(0.99 * len(lags))]
    return [figure("V6", "fact to ledger at 1,000 facts/s, p99", [p99], "s", 1)]


async def _say(payments: Database, said: dict[str, float], seconds: int) -> None:
    """Emit 1,000 facts a second in transactions of fifty, noting when each was committed."""
    began = time.perf_counter()
    for tick in range(seconds * 20):
        facts = [capture() for _ in range(50)]
        async with payments.worker_tx() as tx:
            await outbox.emit(tx, *facts)
        said.update(dict.fromkeys((str(fact.id) for fact in facts), time.perf_counter()))
        await asyncio.sleep(max(0.0, began + (tick + 1) * 0.05 - time.perf_counter()))


async def _watch(database: Database, seen: dict[str, float]) -> None:
    """Note when each fact's entry becomes visible; an entry is written within a second of its recorded instant."""
    found = sa.text("SELECT fact_id, recorded_at FROM entry WHERE recorded_at > :since")
    newest = clock.now()
    while True:
        async with database.worker_tx() as tx:
            rows = (await tx.execute(found, {"since": newest - timedelta(seconds=1)})).all()
        now = time.perf_counter()
        for row in rows:
            seen.setdefault(str(row.fact_id), now)
            newest = max(newest, row.recorded_at)
        await asyncio.sleep(0.05)
