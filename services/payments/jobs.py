"""The clock's door: close what is over, ask for what was not told, send refunds, tell of silence, play VNPay's part."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from functools import cache
from typing import TypeVar

import structlog

from services.payments import gateways
from services.payments.actions import attempts, invoices, notifications, sending
from services.payments.queries import refunds as found
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as simulator
from shared import clock
from shared.db import Tx
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit
from shared.observe import UNANSWERED

T = TypeVar("T")
Take = Callable[[Tx, dict[str, vnpay.Terminal], datetime], Awaitable[list[T]]]

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
    """Ask VNPay how all attempts ended whose notification did not come."""
    known = terminals(kit.settings.vnpay_terminals)
    while questions := await _take(kit, attempts.take_questions, known):
        for question in questions:
            try:
                answer = await gateways.call(kit.settings, question.request)
                async with kit.database.worker_tx() as tx:
                    await attempts.hear_answer(tx, known, question, answer)
            except (gateways.Unanswered, vnpay.BadSignature) as error:
                log.warning("outcome still unknown", attempt=str(question.attempt), error=str(error)[:200])


@jobs.every(5)
async def send_refunds(kit: Kit) -> None:
    """Send all refunds that are due; the same request goes again where no answer came."""
    known = terminals(kit.settings.vnpay_terminals)
    while orders := await _take(kit, sending.take_refunds_to_send, known):
        for order in orders:
            try:
                answer = await gateways.call(kit.settings, order.request)
                async with kit.database.worker_tx() as tx:
                    await sending.hear_refund_answer(tx, known, order, answer)
            except (gateways.Unanswered, vnpay.BadSignature) as error:
                log.warning("refund still unknown", refund=str(order.refund), error=str(error)[:200])


async def _take(kit: Kit, take: Take[T], known: dict[str, vnpay.Terminal]) -> list[T]:
    """Commit to a batch of what is due; each is planned for later by that, so that the next batch is another."""
    async with kit.database.worker_tx() as tx:
        return await take(tx, known, clock.now())


@jobs.every(60)
async def alarm_unanswered(kit: Kit) -> None:
    """Tell of late money and refunds that their seller has not answered for an hour."""
    async with kit.database.worker_tx() as tx:
        silent = await found.unanswered(tx, clock.now())
    for what, count in silent.items():
        UNANSWERED.labels(what).set(count)
    if any(silent.values()):
        log.error("sellers have not answered for more than an hour", **silent)


@jobs.every(1)
async def play_vnpay(kit: Kit) -> None:
    """Send the simulated VNPay's notifications."""
    if not kit.settings.vnpay_url:
        await simulator.send_notifications(kit)
