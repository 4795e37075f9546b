"""Keys that were revoked and sessions that ended: accounts tells it, and every service refuses them within seconds."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from uuid import UUID

import sqlalchemy as sa

from shared import clock
from shared.bulk import ForRows
from shared.contracts.accounts import KeyRevoked, SessionEnded
from shared.db import Tx, bump

VERSION = "revoked"
OUTLIVED = timedelta(days=1)
"""Longer than a page token of an ended session is taken for anything, its grace for reading on included."""

_REVOKE = ForRows(
    "INSERT INTO revoked (id, until) SELECT id, CAST(:until AS timestamptz) FROM given ON CONFLICT DO NOTHING",
    id=UUID,
)


async def keep_key(fact: KeyRevoked, tx: Tx) -> None:
    await _keep(tx, [fact.key], None)


async def keep_sessions(fact: SessionEnded, tx: Tx) -> None:
    await _keep(tx, fact.sessions, clock.now() + OUTLIVED)


async def _keep(tx: Tx, ids: Iterable[UUID], until: datetime | None) -> None:
    await _REVOKE.run(tx, [{"id": key} for key in ids], until=until)
    await bump(tx, VERSION)


async def forget(tx: Tx) -> None:
    """Drop sessions of which no token can live any more."""
    await tx.execute(sa.text("DELETE FROM revoked WHERE until < :now"), {"now": clock.now()})


async def ids(tx: Tx) -> frozenset[str]:
    """The keys and sessions that are refused."""
    return frozenset(str(found) for found in await tx.scalars(sa.text("SELECT id FROM revoked")))
