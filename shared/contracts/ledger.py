"""Facts that the ledger publishes."""

from datetime import date, datetime
from typing import Annotated

import msgspec

from shared.contracts.base import Code, Fact, Positive

Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Signature = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{128}$")]


class HeadSigned(Fact, frozen=True, kw_only=True, tag="ledger.head.signed.v1"):
    """The head of the books, signed: who keeps it can prove that nothing booked until then was changed since.

    It is of all agencies at once, and says `*`. What is signed is `signed_bytes` of the ledger's rules.
    """

    seq: Positive
    """The number of the last archived fact, from which the hash reaches back to the first."""
    hash: Hash
    signed_at: datetime
    key: Code
    """The id of the key, as in the set of public keys."""
    signature: Signature
    """Ed25519, in hexadecimal as the hash is."""


class PeriodClosed(Fact, frozen=True, kw_only=True, tag="ledger.period.closed.v1"):
    """A month is sealed; what comes late for it is posted to the open one."""

    month: date
    root: Code
    """Merkle root over the month's entries, in hexadecimal."""
