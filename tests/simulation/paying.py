"""What buyers do at the bank, what the bank says, and what the desk decides."""

from urllib.parse import urlsplit
from uuid import UUID

import sqlalchemy as sa

from services.payments.actions import attempts, proposals, refunds
from services.payments.rules import vnpay
from services.payments.simulators import vnpay as bank
from services.payments.tables import (
    AttemptRow,
    CaptureRow,
    InvoiceRow,
    ProposalRow,
    RefundRow,
    SimTransactionRow,
)
from shared import clock
from shared.db import Tx
from tests.simulation.town import Town, any_row

ADDRESS = "203.113.131.1"
DESK = [UUID(int=n) for n in (1, 2)]
"""Staff of the payments desk: each asks, and the other one approves."""
CHIEF = UUID(int=3)
"""Who asks for nothing, and so may decide about everything in the end."""


def known(town: Town) -> dict[str, vnpay.Terminal]:
    return vnpay.terminals(town.flats["payments"].kit.settings.vnpay_terminals)


async def go_to_the_bank(town: Town) -> None:
    """A buyer goes from the pay page to the bank, for whatever waits for its money."""
    flat = town.flats["payments"]
    async with flat.tx() as tx:
        row = await any_row(tx, town, InvoiceRow, InvoiceRow.outcome.is_(None))
        settings = flat.kit.settings
        path = await attempts.start_vnpay(tx, known(town), settings.base_url, row.id, ADDRESS, "vi")
        await bank.open_payment(tx, known(town), urlsplit(path).query)


async def decide_at_the_bank(town: Town) -> None:
    """The buyer pays, cancels, or pays suspiciously: in time or, at a bank that lets them, hours later."""
    async with town.flats["payments"].tx() as tx:
        slow = SimTransactionRow.response == bank.OUTCOMES["expire"][1]
        row = await any_row(tx, town, SimTransactionRow, sa.or_(SimTransactionRow.state == "waiting", slow))
        choice = town.random.choices(("pay", "cancel", "suspect"), (8, 1, 1))[0]
        bank.end(row, choice, clock.now())
        town.tell(f"bank: {choice} {row.amount_vnd}")


async def tell_of_payment(town: Town) -> None:
    """A notification of the bank comes, for the first or the second time."""
    async with town.flats["payments"].tx() as tx:
        row = await any_row(tx, town, SimTransactionRow, SimTransactionRow.state != "waiting")
        reply = await attempts.hear_vnpay(tx, known(town), bank.notification_query(row, known(town)), ADDRESS)
        assert reply.RspCode in ("00", "02"), f"the bank is answered {reply.RspCode}"


async def ask_refund(town: Town) -> None:
    """The desk wants all or a part of a payment to go back."""
    async with town.flats["payments"].tx() as tx:
        row = await any_row(tx, town, CaptureRow, CaptureRow.refunding_vnd < CaptureRow.amount_vnd)
        left_vnd = row.amount_vnd - row.refunding_vnd
        amount_vnd = town.random.choice((left_vnd, left_vnd, max(1, left_vnd // 3), 10_000))
        await refunds.ask_refund(tx, row.id, amount_vnd, "Bạn đọc đổi ý", town.random.choice(DESK))


async def decide_refund(town: Town) -> None:
    async with town.flats["payments"].tx() as tx:
        row = await any_row(tx, town, RefundRow, RefundRow.state == "asked")
        good = town.random.random() < 0.8
        await refunds.decide_refund(tx, row.id, town.random.choice(DESK), good=good)


async def look_into_money(town: Town) -> None:
    """The desk proposes something about held money, or about a refund of which nobody knows."""
    by = town.random.choice(DESK)
    async with town.flats["payments"].tx() as tx:
        if town.random.random() < 0.5:
            held = await any_row(tx, town, AttemptRow, AttemptRow.state == "held")
            await proposals.propose_held(tx, held.id, by, good=town.random.random() < 0.8)
        else:
            unclear = await any_row(tx, town, RefundRow, RefundRow.state == "unclear")
            await proposals.propose_finding(tx, unclear.id, by, went=await went(tx, unclear))


async def went(tx: Tx, refund: RefundRow) -> bool:
    """What the bank's own page shows of a refund."""
    known = "SELECT EXISTS (SELECT FROM sim_refund WHERE request = :request)"
    return bool(await tx.scalar(sa.text(known), {"request": refund.request}))


async def decide_proposal(town: Town) -> None:
    async with town.flats["payments"].tx() as tx:
        row = await any_row(tx, town, ProposalRow, ProposalRow.decided_at.is_(None))
        agreed = town.random.random() < 0.8
        await proposals.decide_proposal(tx, row.id, town.random.choice(DESK), agreed=agreed)
        await clear_at_the_bank(tx)


async def clear_at_the_bank(tx: Tx) -> None:
    """What two persons took for good is good money at the bank, too."""
    await tx.execute(
        sa.text(
            "UPDATE sim_transaction s SET state = 'paid', status = '00' FROM attempt a "
            "WHERE a.reference = s.reference AND s.state = 'suspect' AND a.state = 'paid'"
        )
    )


async def renew_refund(town: Town) -> None:
    async with town.flats["payments"].tx() as tx:
        row = await any_row(tx, town, RefundRow, RefundRow.state.in_(("failed", "rejected")))
        await refunds.renew_refund(tx, row.id, town.random.choice(DESK))
