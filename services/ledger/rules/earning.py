"""How time earns an amount: floor(A·d/N) cumulative by local day, so that the last day ends at exactly A."""

from datetime import date, timedelta

import msgspec

from shared.contracts.base import OnDate, Period
from shared.money import share

DAY = timedelta(days=1)


def held(amount: int, limit: int) -> int:
    """The amount, but not beyond the limit and not on zero's other side."""
    return max(0, min(amount, limit)) if limit >= 0 else min(0, max(amount, limit))


def spread(amount: int, start: date, end: date, at: date) -> int:
    """What d of N days come to, rounded toward zero; the last day ends at exactly the amount."""
    if at < start:
        return 0
    if at >= end:
        return amount
    return share(amount, (at - start).days + 1, (end - start).days + 1)


class Plan(msgspec.Struct, frozen=True):
    """What time still earns: `base_vnd` is earned, `amount_vnd` is earned evenly from `since` to `end`."""

    start: date
    end: date
    since: date
    base_vnd: int
    amount_vnd: int

    @classmethod
    def of(cls, earn: Period | OnDate, amount_vnd: int) -> "Plan":
        start, end = (earn.on, earn.on) if isinstance(earn, OnDate) else (earn.start, earn.end)
        return cls(start, end, start, 0, amount_vnd)

    def earned(self, day: date) -> int:
        return self.base_vnd + spread(self.amount_vnd, self.since, self.end, day)

    def grown(self, more_vnd: int) -> "Plan":
        """So much more is to be earned: of what the past days would have earned of it, all at once."""
        past = spread(more_vnd, self.start, self.end, self.since - DAY)
        return msgspec.structs.replace(
            self, base_vnd=self.base_vnd + past, amount_vnd=self.amount_vnd + more_vnd - past
        )

    def cut(self, credit_vnd: int, day: date) -> tuple["Plan", int]:
        """A credit stops what its day has not earned; what is left is spread over the days that remain.

        Returns the plan and how much was taken of what was not earned.
        """
        gone = self.earned(day)
        rest = self.base_vnd + self.amount_vnd - gone
        taken = held(credit_vnd, rest)
        since = max(day + DAY, self.start)
        return Plan(self.start, self.end, since, gone, rest - taken), taken
