"""The consent register: one row a change, with what proves it."""

from uuid import UUID

import sqlalchemy as sa

from services.accounts import queries, rules
from services.accounts.tables import ConsentRow, PersonRow
from shared import clock
from shared.contracts.accounts import ConsentChanged
from shared.db import Tx
from shared.errors import Unprocessable
from shared.outbox import emit


async def change_consent(tx: Tx, person: UUID, purpose: str, *, granted: bool, channel: str) -> None:
    """Grant or withdraw one consent; says nothing where nothing changes. Raises Unprocessable."""
    if purpose not in rules.PURPOSES:
        raise Unprocessable(f"There is no purpose {purpose!r}.")
    # The person's row is the lock: of two changes at once the later one sees the earlier.
    row = (
        await tx.execute(sa.select(PersonRow.agency).where(PersonRow.id == person).with_for_update())
    ).one()
    if (await queries.consents(tx, person)).get(purpose, False) == granted:
        return
    tx.add(
        ConsentRow(
            id=clock.new_id(),
            person=person,
            agency=row.agency,
            purpose=purpose,
            granted=granted,
            text_version=rules.CONSENT_TEXT,
            channel=channel,
            at=clock.now(),
        )
    )
    await tx.flush()
    await emit(tx, ConsentChanged(agency=row.agency, person=person, purpose=purpose, granted=granted))
