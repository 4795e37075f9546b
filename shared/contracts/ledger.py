"""Facts that the ledger publishes."""

from datetime import date

from shared.contracts.base import Code, Fact


class PeriodClosed(Fact, frozen=True, kw_only=True, tag="ledger.period.closed.v1"):
    """A month is sealed; what comes late for it is posted to the open one."""

    month: date
    root: Code
    """Merkle root over the month's entries, in hexadecimal."""
