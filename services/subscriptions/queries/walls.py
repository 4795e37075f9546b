"""The wall in force of an agency, as staff and programs read it."""

import msgspec
import sqlalchemy as sa

from services.subscriptions.rules.access import WallPolicy
from services.subscriptions.tables import PolicyRow
from shared.db import Tx


class Wall(msgspec.Struct, frozen=True):
    """A wall and its version."""

    agency: str
    version: int
    policy: WallPolicy


async def wall(tx: Tx, agency: str) -> Wall:
    """The newest version, or the house's default as version 0."""
    row = await tx.scalar(
        sa.select(PolicyRow).where(PolicyRow.agency == agency).order_by(PolicyRow.version.desc()).limit(1)
    )
    if row is None:
        return Wall(agency, 0, WallPolicy())
    return Wall(agency, row.version, msgspec.convert(row.document, WallPolicy))
