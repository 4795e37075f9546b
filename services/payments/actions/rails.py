"""Ways of paying: each agency switches its own on and off, by two persons."""

from uuid import UUID

from sqlalchemy.dialects.postgresql import insert

from services.payments.tables import RailRow
from shared import clock
from shared.db import Tx


async def switch_rail(tx: Tx, agency: str, rail: str, by: UUID, *, on: bool) -> None:
    """Offer a way of paying from now on, or no longer, as two persons agreed; attempts under way go on."""
    values = {"switched_on": on, "changed_by": by, "changed_at": clock.now()}
    await tx.execute(
        insert(RailRow)
        .values(agency=agency, rail=rail, **values)
        .on_conflict_do_update(index_elements=["agency", "rail"], set_=values)
    )
