from datetime import UTC, date, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from shared.calendar import add_months, days, local_day, show_day, start_of


def test_a_day_begins_at_five_in_the_afternoon_utc_of_the_day_before():
    assert start_of(date(2026, 1, 1)) == datetime(2025, 12, 31, 17, tzinfo=UTC)
    assert local_day(datetime(2025, 12, 31, 16, 59, 59, tzinfo=UTC)) == date(2025, 12, 31)
    assert local_day(datetime(2025, 12, 31, 17, tzinfo=UTC)) == date(2026, 1, 1)


def test_a_month_on_from_the_last_day_is_the_last_day():
    assert add_months(date(2026, 1, 31), 1) == date(2026, 2, 28)
    assert add_months(date(2024, 1, 31), 1) == date(2024, 2, 29)
    assert add_months(date(2026, 12, 15), 1) == date(2027, 1, 15)
    assert add_months(date(2026, 3, 31), -1) == date(2026, 2, 28)


@given(st.dates(date(2020, 1, 1), date(2040, 1, 1)), st.integers(0, 60))
def test_months_on_never_skip_a_month(day, months):
    later = add_months(day, months)
    assert (later.year * 12 + later.month) - (day.year * 12 + day.month) == months
    assert later.day <= day.day


def test_days_include_both_ends():
    assert list(days(date(2026, 2, 27), date(2026, 3, 1))) == [
        date(2026, 2, 27) + timedelta(days=n) for n in range(3)
    ]


def test_a_day_is_written_day_first():
    assert show_day(date(2026, 2, 3)) == "03/02/2026"
