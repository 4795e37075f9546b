"""Change an agency's wall: each change is a new version of one document."""

from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.subscriptions.actions.version import bump
from services.subscriptions.rules.access import WallPolicy
from services.subscriptions.tables import PolicyRow
from shared import clock
from shared.db import Tx, check_acts_at
from shared.errors import Stale


async def change_policy(tx: Tx, agency: str, policy: WallPolicy, seen: int, by: UUID | None) -> int:
    """Put a new version in force and return it. Raises NotAllowed, and Stale when `seen` is no longer the newest."""
    check_acts_at(tx, agency)
    newest = await tx.scalar(sa.select(sa.func.max(PolicyRow.version)).where(PolicyRow.agency == agency)) or 0
    made = await tx.scalar(
        insert(PolicyRow)
        .values(
            agency=agency,
            version=seen + 1,
            document=msgspec.to_builtins(policy),
            changed_by=by,
            changed_at=clock.now(),
        )
        .on_conflict_do_nothing()
        .returning(PolicyRow.version)
    )
    if newest != seen or made is None:
        raise Stale("Somebody changed this wall meanwhile: read it again and repeat your change.")
    await bump(tx)
    return seen + 1
