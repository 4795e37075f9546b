"""The clock's door: close what is over, ask for what was not told, send refunds, tell of silence, play VNPay's part."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cache
from typing import Any

import structlog

from services.payments import gateways
from services.payments.actions import attempts, invoices, notifications, sending
from services.payments.queries import refunds as found
from services.payments.rules import vnpay
from services.payments.rules.attempts import GAP
from services.payments.simulators import vnpay as simulator
from shared import clock
from shared.db import Tx
from shared.jobs import Failures, Jobs, until_nothing_is_due
from shared.kit import Kit
from shared.observe import UNANSWERED

Terminals = dict[str, vnpay.Terminal]
Take = Callable[[Tx, Terminals, datetime], Awaitable[list[vnpay.Call]]]
Hear = Callable[[Tx, Terminals, vnpay.Call, dict[str, Any]], Awaitable[None]]

log = structlog.get_logger()
jobs = Jobs[Kit]("payments")


@cache
def terminals(text: str) -> dict[str, vnpay.Terminal]:
    return vnpay.terminals(text)


@jobs.every(10)
async def expire_invoices(kit: Kit) -> None:
    """Close prepaid invoices whose time is over."""
    await until_nothing_is_due(kit.database, invoices.expire_invoices)


@jobs.every(3600)
async def forget_strangers(kit: Kit) -> None:
    """Drop notifications that nobody vouched for, after a month."""
    async with kit.database.worker_tx() as tx:
        await notifications.forget_strangers(tx, clock.now())


@jobs.every(5)
async def ask_outcomes(kit: Kit) -> None:
    """Ask VNPay how all attempts ended whose notification did not come: after a gap, for all that are open."""
    if kit.jobs.rested("ask_outcomes") > GAP:
        async with kit.database.worker_tx() as tx:
            await attempts.ask_at_once(tx, terminals(kit.settings.vnpay_terminals), clock.now())
    await _converse(kit, attempts.IS_DUE, attempts.take_questions, attempts.hear_answer)


@jobs.every(5)
async def send_refunds(kit: Kit) -> None:
    """Send all refunds that are due; the same request goes again where no answer came."""
    await _converse(kit, sending.IS_DUE, sending.take_refunds_to_send, sending.hear_refund_answer)


async def _converse(kit: Kit, is_due: str, take: Take, hear: Hear) -> None:
    """Commit to a batch of what is due, send each of it to VNPay and hear the answer, until nothing is due.

    Each is planned for later when it is taken, so that the next batch is another, whatever comes of this one. Nothing
    is due nearly always, which a glance tells.
    """
    known, failures = terminals(kit.settings.vnpay_terminals), Failures(hear.__name__)
    while (await kit.database.glance(is_due, {"now": (now := clock.now())})).due:
        async with kit.database.worker_tx() as tx:
            calls = await take(tx, known, now)
        for call in calls:
            with failures.kept(call.about):
                await _exchange(kit, known, call, hear)
        if not calls:
            break
    failures.tell()


async def _exchange(kit: Kit, known: Terminals, call: vnpay.Call, hear: Hear) -> None:
    """Send one request and hear its answer; where none comes that can be believed, the next one is planned."""
    try:
        answer = await gateways.call(kit.settings, call.body)
        async with kit.database.worker_tx() as tx:
            await hear(tx, known, call, answer)
    except (gateways.Unanswered, vnpay.BadSignature) as error:
        log.warning("still unknown", what=hear.__name__, about=str(call.about), error=str(error)[:200])


@jobs.every(60)
async def alarm_unanswered(kit: Kit) -> None:
    """Tell of late money and refunds that no seller, and of attempts that no bank has answered for an hour."""
    async with kit.database.worker_tx() as tx:
        silent = await found.unanswered(tx, clock.now())
    for what, count in silent.items():
        UNANSWERED.labels(what).set(count)
    if any(silent.values()):
        log.error("nobody has answered for more than an hour", **silent)


@jobs.every(1)
async def play_vnpay(kit: Kit) -> None:
    """Send the simulated VNPay's notifications."""
    if not kit.settings.vnpay_url:
        await simulator.send_notifications(kit)
