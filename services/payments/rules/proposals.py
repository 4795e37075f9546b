"""What two persons do: one proposes, another one agrees or does not; the one who asked is never the one who agrees."""

from typing import Literal
from uuid import UUID

import msgspec

from shared.errors import Refused

Act = Literal["held", "finding", "rail"]
"""Take money that the gateway suspects, say whether a refund went, switch a rail."""


class SamePerson(Refused):
    """The second person must be another than the one who asked."""


class NotAwaited(Refused):
    """It is not waiting for that."""


class AlreadyProposed(Refused):
    """Somebody proposed something about this already; that is decided first."""


class Proposal(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody proposed, and who agreed."""

    id: UUID
    agency: str
    act: Act
    about: str
    """What it is about: the id of an attempt or a refund, or a rail."""
    good: bool
    """What is proposed of the two that can be: take it, it went, switch it on; or not."""
    asked_by: UUID
    agreed: bool | None = None


def require_open(proposal: Proposal, by: UUID, *, agreed: bool) -> None:
    """Whether this person may say so. Raises NotAwaited, or SamePerson for one who agrees with what they proposed.

    Who proposed it may take it back: nothing is done by that.
    """
    if proposal.agreed is not None:
        raise NotAwaited("This was decided already.")
    if agreed and proposal.asked_by == by:
        raise SamePerson("Somebody else than who proposed it must decide.")
