"""One run: so many deeds by chance, after each of which some truths hold; then peace, then all truths."""

from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog

from services.payments.actions import attempts, proposals, refunds
from services.payments.simulators import vnpay as bank
from services.payments.tables import AttemptRow, CaptureRow, ProposalRow, RefundRow, SimTransactionRow
from shared import clock
from shared.db import Tx
from shared.errors import Refused
from tests.simulation import buying, deeds, paying, truths
from tests.simulation.deeds import DEEDS
from tests.simulation.paying import ADDRESS, CHIEF, DESK
from tests.simulation.town import Ground, Killed, Nothing, Town, at_the_bank

STEPS = 60
PEACE = tuple(timedelta(hours=hours) for hours in (0, 0.4, 1, 4, 12, 24, 72, 72, 24))
"""After a run time passes in these steps; together they outlast every hold, offer and wait."""

MORE = 12
"""So many more rounds follow at most where something still waits: a chain of refusals takes its time."""

DEATHS = 0.05
"""Of all deeds, how many end by a kill before one of their transactions commits."""


async def run(ground: Ground, seed: int, steps: int = STEPS) -> Town:
    """Live a run from a seed. Raises AssertionError, with what was done, where something does not hold."""
    ground.clear()
    town = Town(ground.flats(), ground.eyes, seed)
    try:
        with clock.driven(town.clock), at_the_bank(town), structlog.testing.capture_logs():
            await _live(town, steps)
    except AssertionError as error:
        story = "\n".join(town.told)
        raise AssertionError(
            f"{error}\n\nSeed {seed} did:\n{story}\n\nReplay: python -m tests.simulation {seed} {steps}"
        ) from error
    return town


async def _live(town: Town, steps: int) -> None:
    await buying.begin(town)
    for _ in range(steps):
        [deed] = town.random.choices(list(DEEDS), list(DEEDS.values()))
        await _do(town, deed)
        truths.check_at_any_time(town)
    await settle(town)
    truths.check(town)


async def _do(town: Town, deed: deeds.Deed) -> None:
    if town.random.random() < DEATHS:
        for flat in town.flats.values():
            flat.database.left = town.random.choice((0, 0, 1, 3))
    try:
        await deed(town)
        town.tell(deed.__name__)
    except Nothing:
        pass
    except Refused as refusal:
        town.tell(f"{deed.__name__}: refused, {refusal.code}")
    except Killed:
        town.tell(f"{deed.__name__}: killed")
    for flat in town.flats.values():
        flat.database.left = None


async def settle(town: Town) -> None:
    """Everybody is back, the desk decides on what waits, and time passes until nothing has to be said."""
    town.silent = False
    for flat in town.flats.values():
        flat.away = False
    for step in PEACE:
        await _live_on(town, step)
    for _ in range(MORE):
        try:
            truths.nothing_waits(town)
        except AssertionError:
            await _live_on(town, timedelta(hours=7))


async def _live_on(town: Town, step: timedelta) -> None:
    town.clock.move_to(clock.now() + step)
    await _hear_all(town)
    for flat in town.flats.values():
        await deeds.do_jobs(flat)
    await _hear_all(town)
    await _decide(town)
    await _hear_all(town)


async def _hear_all(town: Town) -> None:
    while await town.collect() or any(flat.inbox for flat in town.flats.values()):
        for flat in town.flats.values():
            await town.hear(flat)


async def _decide(town: Town) -> None:
    """What waits for a person, or for the bank, gets its answer."""
    payments = town.flats["payments"]
    async with payments.tx() as tx:
        for row in await _all(tx, SimTransactionRow, SimTransactionRow.state == "waiting"):
            bank.end(row, "expire", clock.now())
        for row in await _all(tx, SimTransactionRow, SimTransactionRow.reply.not_in(("00", "02"))):
            said = bank.notification_query(row, paying.known(town))
            bank.note_reply(row, (await attempts.hear_vnpay(tx, paying.known(town), said, ADDRESS)).RspCode)
    async with payments.tx() as tx:
        for row in await _all(tx, RefundRow, RefundRow.state == "asked"):
            await refunds.decide_refund(tx, row.id, CHIEF, good=True)
        for row in await _all(tx, ProposalRow, ProposalRow.decided_at.is_(None)):
            await proposals.decide_proposal(tx, row.id, CHIEF, agreed=True)
        await paying.clear_at_the_bank(tx)
        for row in await _all(tx, AttemptRow, AttemptRow.state == "held"):
            await proposals.propose_held(tx, row.id, DESK[0], good=True)
        for row in await _all(tx, RefundRow, RefundRow.state == "unclear"):
            await proposals.propose_finding(tx, row.id, DESK[0], went=await paying.went(tx, row))
        for row in await _all(tx, RefundRow, RefundRow.state.in_(("failed", "rejected"))):
            try:
                await refunds.renew_refund(tx, row.id, DESK[0])
            except Refused:
                continue  # nothing is owed by it, or it was renewed
        await _return_suspense(tx)


async def _return_suspense(tx: Tx) -> None:
    """What lies in suspense and is nobody's goes back."""
    for row in await _all(tx, CaptureRow, ~CaptureRow.applied):
        if row.refunding_vnd < row.amount_vnd:
            try:
                left_vnd = row.amount_vnd - row.refunding_vnd
                await refunds.ask_refund(tx, row.id, left_vnd, "không của ai", DESK[0])
            except Refused:
                continue  # its seller has still to answer


async def _all(tx: Tx, row: Any, *where: Any) -> list[Any]:
    key = row.__table__.primary_key.columns
    return list(await tx.scalars(sa.select(row).where(*where).order_by(*key)))
