"""How many tickets one order may have, and how bibs are written."""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated
from uuid import UUID

import msgspec

MOST = 10
"""Tickets in one order."""

LINK_DAYS = 60
"""A ticket's link lives so long beyond the event."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One ticket asked for: which, and for whom."""

    ticket: UUID
    name: Annotated[str, msgspec.Meta(min_length=2, max_length=80, pattern=r"\S")]


def wanted(entries: Sequence[Entry]) -> list[tuple[UUID, int]]:
    """How many of each ticket, in the order of ids: everybody takes rows in the same order."""
    return sorted(Counter(entry.ticket for entry in entries).items())


def bib(number: int) -> str:
    """A bib as it is printed."""
    return f"{number:04d}"
