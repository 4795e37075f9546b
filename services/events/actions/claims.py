"""A sponsor's place in the tree of industries: no rival has it where one of the two was promised to be alone."""

from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.events.rules import industries
from services.events.rules.sponsorships import Terms
from services.events.tables import ClaimRow, EventRow, SponsorshipRow
from shared.db import Tx


async def claim(tx: Tx, sponsorship: SponsorshipRow) -> bool:
    """Put the sponsor into its industry, or leave it there; False where another's claim is in the way.

    ON CONFLICT waits for a rival's transaction instead of failing, and two rivals cannot lock each other.
    """
    if await tx.scalar(sa.select(ClaimRow.sponsorship).where(ClaimRow.sponsorship == sponsorship.id)):
        return True
    number = await tx.scalar(sa.select(EventRow.number).where(EventRow.id == sponsorship.event))
    first, last, lowest, highest = industries.claim(
        sponsorship.industry,
        number or 0,
        sponsorship.number,
        exclusive=msgspec.convert(sponsorship.terms, Terms).exclusive,
    )
    claimed = await tx.execute(
        insert(ClaimRow)
        .values(
            sponsorship=sponsorship.id,
            agency=sponsorship.agency,
            first=first,
            last=last,
            lowest=lowest,
            highest=highest,
        )
        .on_conflict_do_nothing()
        .returning(ClaimRow.sponsorship)
    )
    return claimed.first() is not None


async def leave(tx: Tx, sponsorship: UUID) -> None:
    """The industry is free for others."""
    await tx.execute(sa.delete(ClaimRow).where(ClaimRow.sponsorship == sponsorship))
