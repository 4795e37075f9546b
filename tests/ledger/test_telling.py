"""What a fact tells of a line: from which day on its history is another one, and until when it is due."""

from datetime import date

import msgspec

from services.ledger.rules.telling import first_day, paid
from services.ledger.rules.telling import opened as claimed
from shared.calendar import start_of
from shared.contracts.base import Period
from tests.ledger.builders import a_line, captured, opened


def test_a_first_payment_on_terms_changes_its_own_day_alone() -> None:
    """Ten years of a line that were earned before it are not worked out anew."""
    line = a_line(100_000, earn=Period(date(2026, 1, 1), date(2026, 12, 31)))
    before = claimed(None, line, opened(line, on=date(2026, 1, 1)))
    fact = captured(line, on=date(2026, 11, 1), collect="on_terms")
    after = paid(before, fact.lines[0], fact)
    assert first_day(before, after, date(2026, 11, 1)) == date(2026, 11, 1)


def test_what_is_due_until_midnight_is_due_on_the_day_before() -> None:
    line = a_line(100_000)
    fact = opened(line)
    until = start_of(date(2026, 11, 29))
    assert claimed(None, line, msgspec.structs.replace(fact, due_at=until)).due_on == date(2026, 11, 28)
    assert claimed(None, line, fact).due_on == date(2026, 12, 1)
