"""The number that tells every worker's memory that access has changed."""

import sqlalchemy as sa

from shared.db import Tx

NAME = "access"

_BUMP = sa.text(
    "INSERT INTO version (name, number) VALUES (:name, 1) "
    "ON CONFLICT (name) DO UPDATE SET number = version.number + 1 RETURNING number"
)


async def bump(tx: Tx) -> int:
    """Raise the number. Its row stays locked until the commit, so that numbers become visible in their order."""
    return int((await tx.execute(_BUMP, {"name": NAME})).scalar_one())
