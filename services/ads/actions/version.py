"""The number that tells every worker to read its snapshot anew."""

import sqlalchemy as sa

from services.ads.queries.snapshot import VERSION
from shared.db import Tx


async def bump(tx: Tx) -> None:
    """Raise the version; workers see it within a second of the commit."""
    await tx.execute(
        sa.text(
            "INSERT INTO version (name, number) VALUES (:name, 1) "
            "ON CONFLICT (name) DO UPDATE SET number = version.number + 1"
        ),
        {"name": VERSION},
    )
