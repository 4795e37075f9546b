"""Let the audit trail keep what a person did; what no person did stands in the facts themselves."""

from collections.abc import Mapping
from typing import Any, get_type_hints
from uuid import UUID

import msgspec

from shared.auth import Principal
from shared.contracts.acts import Act
from shared.contracts.base import ActRecorded
from shared.db import Tx
from shared.outbox import emit


async def record(
    tx: Tx,
    fact: type[ActRecorded],
    agency: str,
    by: Principal | UUID | None,
    act: str,
    about: UUID | None,
    details: Mapping[str, Any],
    before: Mapping[str, Any] | None = None,
) -> None:
    """Say who did what to what: how it stands, and how it stood `before` where it was changed.

    Of what a key did its person answers, and the key is named. An act that is not among who says it is a fault of ours.
    """
    told = dict(details)
    if isinstance(by, Principal):
        told |= {"key": str(by.id)} if by.kind == "key" else {}
        by = by.answers
    if by is None:
        return
    known: Act = msgspec.convert(act, get_type_hints(fact)["act"])
    await emit(
        tx, fact(agency=agency, actor=by, act=known, about=about, before=dict(before or {}), details=told)
    )
