"""What two persons do about money: one proposes, another one agrees, and only then it is done."""

from uuid import UUID

import msgspec
from sqlalchemy.dialects.postgresql import insert

from services.payments.actions import attempts, rails, refunds
from services.payments.actions.telling import record_act
from services.payments.rules import proposals as rules
from services.payments.rules.proposals import Act, Proposal
from services.payments.tables import ProposalRow
from shared import clock
from shared.db import Tx, check_acts_at, locked
from shared.errors import NotAllowed, NotFound


async def propose_held(tx: Tx, attempt: UUID, by: UUID, *, good: bool) -> UUID:
    """Propose to take suspect money, or to call its attempt failed. Raises NotFound, NothingHeld, AlreadyProposed."""
    agency = await attempts.held_at(tx, attempt)
    return await _propose(tx, agency, "held", str(attempt), by, good=good, about=attempt)


async def propose_finding(tx: Tx, refund: UUID, by: UUID, *, went: bool) -> UUID:
    """Propose what the gateway's own page shows of a refund. Raises NotFound, NotAwaited, AlreadyProposed."""
    agency = await refunds.unclear_at(tx, refund)
    return await _propose(tx, agency, "finding", str(refund), by, good=went, about=refund)


async def propose_rail(tx: Tx, agency: str, rail: str, by: UUID, *, on: bool) -> UUID:
    """Propose to offer a way of paying, or no longer. Raises NotAllowed, AlreadyProposed."""
    check_acts_at(tx, agency)
    return await _propose(tx, agency, "rail", rail, by, good=on, about=None)


async def _propose(
    tx: Tx, agency: str, act: Act, subject: str, by: UUID, *, good: bool, about: UUID | None
) -> UUID:
    row = insert(ProposalRow).values(
        id=clock.new_id(),
        agency=agency,
        act=act,
        about=subject,
        good=good,
        asked_by=by,
        asked_at=clock.now(),
    )
    made = await tx.scalar(row.on_conflict_do_nothing().returning(ProposalRow.id))
    if made is None:
        raise rules.AlreadyProposed(
            "Somebody proposed something about this already; decide about that first."
        )
    await record_act(tx, agency, by, f"{act}.propose", about, what=subject, good=good)
    return UUID(str(made))


async def decide_proposal(tx: Tx, proposal: UUID, by: UUID, *, agreed: bool) -> Act:
    """Agree to a proposal, and do it, or not; returns of which act it is.

    Raises NotFound, NotAwaited, SamePerson, and what the deed refuses.
    """
    found = await tx.get(ProposalRow, proposal)
    if found is None:
        raise NotFound("There is no such proposal.")
    if found.act == "held":
        # Before the proposal, as the bank's own word locks it, which drops the proposal.
        await attempts.lock(tx, UUID(found.about))
    row: ProposalRow = await locked(tx, ProposalRow, proposal)
    proposed = msgspec.convert(row, Proposal, from_attributes=True)
    rules.require_open(proposed, by, agreed=agreed)
    row.decided_by, row.decided_at, row.agreed = by, clock.now(), agreed
    await tx.flush()
    subject = UUID(row.about) if row.act != "rail" else None
    act = (
        f"{row.act}.agree" if agreed else f"{row.act}.withdraw" if by == row.asked_by else f"{row.act}.reject"
    )
    await record_act(tx, row.agency, by, act, subject, what=row.about, good=row.good)
    if agreed:
        await _do(tx, row, by)
    return proposed.act


async def withdraw_proposal(tx: Tx, proposal: UUID, by: UUID) -> Act:
    """Take back what one proposed, so that something else can be. Raises NotFound, NotAllowed, NotAwaited."""
    row = await tx.get(ProposalRow, proposal)
    if row is not None and row.asked_by != by:
        raise NotAllowed("Only who proposed it takes it back.")
    return await decide_proposal(tx, proposal, by, agreed=False)


async def _do(tx: Tx, row: ProposalRow, by: UUID) -> None:
    if row.act == "held":
        await attempts.decide_held(tx, UUID(row.about), by, good=row.good)
    elif row.act == "finding":
        await refunds.clear_refund(tx, UUID(row.about), went=row.good)
    else:
        await rails.switch_rail(tx, row.agency, row.about, by, on=row.good)
