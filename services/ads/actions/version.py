"""The number that tells every worker to read its snapshot anew."""

from services.ads.queries.snapshot import VERSION
from shared import db
from shared.db import Tx


async def bump(tx: Tx) -> None:
    """Raise the version; workers see it within a second of the commit."""
    await db.bump(tx, VERSION)
