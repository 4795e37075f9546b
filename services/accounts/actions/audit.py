"""The audit trail: who did what, before, after and why, chained by hashes that the database computes."""

from datetime import datetime
from typing import Any

import msgspec
import sqlalchemy as sa

from shared import clock
from shared.auth import Principal
from shared.contracts.acts import Act
from shared.db import Tx


async def note(
    tx: Tx,
    *,
    agency: str,
    actor: Principal | str,
    action: Act,
    subject: object,
    before: Any = None,
    after: Any = None,
    why: str = "",
    at: datetime | None = None,
    told_by: str = "accounts",
) -> None:
    """Add an entry, in the transaction that does what it tells. Opaque ids only: no names, no addresses.

    `at` is when it was done and `told_by` which service says so, where that was told by a fact.
    """
    entry = {
        "at": at or clock.now(),
        "agency": agency,
        "actor": actor if isinstance(actor, str) else actor.subject,
        "action": action,
        "subject": str(subject),
        "before": before,
        "after": after,
        "why": why,
        "told_by": told_by,
    }
    await tx.execute(
        sa.text("SELECT audit_append(:agency, :body)"),
        {"agency": agency, "body": msgspec.json.encode(entry).decode()},
    )
