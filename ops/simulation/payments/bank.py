"""The way to the simulated bank and back, without any server: a buyer goes there, and what the bank says is heard."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit
from uuid import UUID

from ops.simulation import World
from services.payments import gateways
from services.payments.actions import attempts
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as simulator
from services.payments.tables import SimTransactionRow
from shared.db import Tx
from shared.settings import Settings

ADDRESS = "203.113.131.1"


def wire(world: World) -> None:
    """Let requests to VNPay go straight to the simulator: no server runs while years pass."""

    async def straight(settings: Settings, body: dict[str, str]) -> dict[str, Any]:
        async with world.kit.database.worker_tx() as tx:
            return dict(await simulator.answer(tx, vnpay.terminals(settings.vnpay_terminals), body))

    gateways.wire.set(straight)


def _known(world: World) -> dict[str, vnpay.Terminal]:
    return vnpay.terminals(world.settings.vnpay_terminals)


async def go(tx: Tx, world: World, invoice: UUID) -> SimTransactionRow:
    """A buyer goes from the pay page to the bank, where the payment waits."""
    known = _known(world)
    address = await attempts.start_vnpay(tx, known, world.settings.base_url, invoice, ADDRESS, "vi")
    return await simulator.open_payment(tx, known, urlsplit(address).query)


async def tell(tx: Tx, world: World, rows: Sequence[SimTransactionRow]) -> None:
    """The bank's signed notifications of what has ended there; the buyers of a day come side by side."""
    known = _known(world)
    said = [simulator.notification_query(row, known) for row in rows]
    replies = [await attempts.hear_vnpay(tx, known, raw, ADDRESS) for raw in said]
    for row, reply in zip(rows, replies, strict=True):
        simulator.note_reply(row, reply.RspCode)
