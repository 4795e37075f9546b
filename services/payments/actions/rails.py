"""Ways of paying: each agency switches its own on and off."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from services.payments.tables import RailRow
from shared import clock
from shared.contracts.base import Rail
from shared.db import Tx, check_acts_at


async def switch_rail(tx: Tx, agency: str, rail: Rail, by: UUID, *, on: bool) -> None:
    """Offer a way of paying from now on, or no longer; attempts under way go on. Raises NotAllowed."""
    check_acts_at(tx, agency)
    values = {"switched_on": on, "changed_by": by, "changed_at": clock.now()}
    await tx.execute(
        insert(RailRow)
        .values(agency=agency, rail=rail, **values)
        .on_conflict_do_update(index_elements=["agency", "rail"], set_=values)
    )
