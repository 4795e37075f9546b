"""The clock's door: close what is over, ask for what was not told, send refunds, play the simulator's part."""

from functools import cache

import structlog

from services.payments import gateways
from services.payments.actions import attempts, invoices, refunds
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as simulator
from shared import clock
from shared.jobs import Jobs, until_nothing_is_due
from shared.kit import Kit

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
        await attempts.forget_strangers(tx, clock.now())


@jobs.every(5)
async def ask_outcomes(kit: Kit) -> None:
    """Ask VNPay how attempts ended whose notification did not come."""
    known = terminals(kit.settings.vnpay_terminals)
    async with kit.database.worker_tx() as tx:
        questions = await attempts.take_questions(tx, known, clock.now())
    for question in questions:
        try:
            answer = await gateways.call(kit.settings, question.request)
            async with kit.database.worker_tx() as tx:
                await attempts.hear_answer(tx, known, question, answer)
        except (gateways.Unanswered, vnpay.BadSignature) as error:
            log.warning("outcome still unknown", attempt=str(question.attempt), error=str(error)[:200])


@jobs.every(5)
async def send_refunds(kit: Kit) -> None:
    """Send refunds that are due; the same request goes again where no answer came."""
    known = terminals(kit.settings.vnpay_terminals)
    async with kit.database.worker_tx() as tx:
        orders = await refunds.take_refunds_to_send(tx, known, clock.now())
    for order in orders:
        try:
            answer = await gateways.call(kit.settings, order.request)
            async with kit.database.worker_tx() as tx:
                await refunds.hear_refund_answer(tx, known, order, answer)
        except (gateways.Unanswered, vnpay.BadSignature) as error:
            log.warning("refund still unknown", refund=str(order.refund), error=str(error)[:200])


@jobs.every(1)
async def play_vnpay(kit: Kit) -> None:
    """Send the simulated VNPay's notifications."""
    if not kit.settings.vnpay_url:
        await simulator.send_notifications(kit)
