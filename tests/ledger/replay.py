"""The rules over a list of facts, as the actions drive them, without a database."""

from datetime import date, timedelta
from typing import Any
from uuid import UUID

from services.ledger.rules.lines import LineState, earning_legs, last_position
from services.ledger.rules.posting import RULES, Books, Draft
from shared.contracts import Fact, base
from shared.errors import Waits

DAY = timedelta(days=1)
Day = dict[tuple[str, str], int]
"""Balances by agency and account."""


class Replay:
    """What is heard is booked, each fact once; what waits is tried again whenever something has come."""

    def __init__(self, first: date) -> None:
        self.lines: dict[UUID, LineState] = {}
        self.rails: dict[UUID, str] = {}
        self.orders: dict[UUID, list[base.OrderSigned]] = {}
        self.reached = first
        self.drafts: list[Draft] = []
        self.seen: set[UUID] = set()
        self.waiting: list[Fact] = []

    def hear(self, *facts: Fact) -> None:
        for fact in facts:
            if fact.id in self.seen:
                continue
            self.seen.add(fact.id)
            if not self._booked(fact):
                self.waiting.append(fact)
                continue
            waited, self.waiting = self.waiting, []
            self.seen -= {each.id for each in waited}
            self.hear(*waited)

    def _booked(self, fact: Any) -> bool:
        try:
            outcome = RULES[type(fact)](fact, Books(self.reached, self.lines, self.rails, self.orders))
        except Waits:
            return False
        self.drafts += outcome.drafts
        self.lines |= {line.id: line for line in outcome.lines}
        self.rails |= dict(outcome.rails)
        if isinstance(fact, base.OrderSigned):
            self.orders.setdefault(fact.order, []).append(fact)
        return True

    def reach(self, last: date) -> None:
        """Recognise each day until the last, as the database does it from the columns of the lines."""
        while self.reached < last:
            self.reached += DAY
            day = self.reached
            for line in self.lines.values():
                position = last_position(line)
                if line.through >= day or position.plan is None:
                    continue
                earned = position.earned(day) - position.earned(day - DAY)
                legs = earning_legs(line.stream, line.id, earned, position.counter)
                self.drafts.append(Draft("day", line.agency, day, tuple(legs)))

    def balances(self, until: date = date.max) -> Day:
        """Of all that belongs to the days until one."""
        found: Day = {}
        for draft in self.drafts:
            assert sum(leg.amount_vnd for leg in draft.legs) == 0, draft
            for leg in draft.legs if draft.belongs_on <= until else ():
                key = (draft.agency, leg.account)
                found[key] = found.get(key, 0) + leg.amount_vnd
        return {key: amount for key, amount in found.items() if amount}

    def history(self) -> dict[date, Day]:
        """Balances at the end of each day on which they changed."""
        found: dict[date, Day] = {}
        last: Day = {}
        for day in sorted({draft.belongs_on for draft in self.drafts}):
            balances = self.balances(day)
            if balances != last:
                found[day] = last = balances
        return found
