"""The writes that happen while decisions are measured: each second a creative is approved and an order is paid."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import sqlalchemy as sa

from bench import load
from bench.ledger import capture
from bench.stock import PENDING, key
from ops.embedded import Stack
from services.ads.actions.creatives import CHECKS
from shared import auth, clock, outbox, sales
from shared.bus import Bus, Relay
from shared.contracts.base import PaidLine
from shared.contracts.payments import PaymentCaptured
from shared.db import Database
from shared.sales import Sale


@asynccontextmanager
async def writes(stack: Stack, port: int) -> AsyncIterator[None]:
    """Write beside the body: the approval by the service's own API, the payment as a fact that payments says.

    At the end all of both must have arrived: a service that drops its writes is not fast.
    """
    payments = Database(stack.settings("payments"), "payments")
    bus = Bus(stack.settings("payments"), "payments")
    await bus.connect()
    done: list[int] = []
    relay = asyncio.create_task(Relay(bus, payments).run())
    paid = await _owed(stack)
    writer = asyncio.create_task(_write(payments, _reviewer(stack), port, paid, done))
    try:
        yield
        for task in (relay, writer):
            assert not task.done(), task.exception()
        writer.cancel()
        await asyncio.wait([writer])
        await _arrived(stack, len(done))  # what was said last is still on its way: the relay goes on
    finally:
        for task in (relay, writer):
            task.cancel()
        await asyncio.gather(relay, writer, return_exceptions=True)
        await bus.close()
        await payments.close()


def _reviewer(stack: Stack) -> dict[str, str]:
    signer = auth.Signer(stack.settings("accounts"))
    desk = auth.Principal(kind="key", id=clock.new_id(), agency="bkh", scopes=["ads:review"])
    return {"Authorization": f"Bearer {signer.api_key(desk, clock.now() + timedelta(hours=1))}"}


async def _owed(stack: Stack) -> list[PaymentCaptured]:
    """The whole money of each order that waits for it."""
    ads = Database(stack.settings("ads"), "ads")
    async with ads.worker_tx() as tx:
        sold = await sales.find(tx, [key("unpaid invoice", n) for n in range(PENDING)])
    await ads.close()
    return [paying(sold[key("unpaid invoice", n)]) for n in range(PENDING)]


def paying(sale: Sale) -> PaymentCaptured:
    """The whole money of a sale, as payments says it."""
    return msgspec.structs.replace(
        capture(sale.id),
        seller="ads",
        amount_vnd=sale.total_vnd,
        lines=tuple(PaidLine(line, line.gross_vnd, line.vat_vnd) for line in sale.lines),
    )


async def _write(
    payments: Database, headers: dict[str, str], port: int, paid: list[PaymentCaptured], done: list[int]
) -> None:
    body = json.dumps({"verdict": "approved", "checks": CHECKS}).encode()
    for n in range(PENDING):
        path = f"/api/ads/v1/creatives/{key('waiting creative', 3 * n)}/review"
        status, said = await load.ask(port, load.request("POST", path, body, headers))
        assert status == 200, said
        async with payments.worker_tx() as tx:
            await outbox.emit(tx, paid[n])
        done.append(n)
        await asyncio.sleep(1)


async def _arrived(stack: Stack, count: int) -> None:
    """Wait until the ads service has as many paid orders more as payments were said, or fail."""
    ads = Database(stack.settings("ads"), "ads")
    paid = sa.text("SELECT count(*) FROM ad_order WHERE invoice = ANY(:invoices) AND paid_at IS NOT NULL")
    invoices = [key("unpaid invoice", n) for n in range(count)]
    try:
        for _ in range(100):
            async with ads.worker_tx() as tx:
                if await tx.scalar(paid, {"invoices": invoices}) == count:
                    return
            await asyncio.sleep(0.2)
    finally:
        await ads.close()
    raise AssertionError("Not every payment reached the ads service.")
