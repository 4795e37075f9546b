"""Heads of the books that accounts has heard and keeps."""

from datetime import datetime

import msgspec
import sqlalchemy as sa

from shared.db import Tx


class Head(msgspec.Struct, frozen=True):
    """A head as it was heard, hash and signature in hexadecimal."""

    seq: int
    hash: str
    signed_at: datetime
    key: str
    signature: str
    heard_at: datetime


async def newest(tx: Tx, limit: int) -> list[Head]:
    """The heads that were signed last, the newest first."""
    rows = await tx.execute(
        sa.text(
            "SELECT seq, hash, signed_at, key, signature, heard_at FROM head "
            "ORDER BY seq DESC, signed_at DESC LIMIT :limit"
        ),
        {"limit": limit},
    )
    return [Head(*row) for row in rows]
