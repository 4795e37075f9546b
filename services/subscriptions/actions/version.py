"""The number that tells every worker's memory that access has changed."""

from shared import db
from shared.db import Tx

NAME = "access"


async def bump(tx: Tx) -> int:
    """Raise the number and return it."""
    return await db.bump(tx, NAME)
