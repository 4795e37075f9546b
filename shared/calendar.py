"""Days, months and years as Viet Nam counts them (Asia/Ho_Chi_Minh, no summer time)."""

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

ZONE = ZoneInfo("Asia/Ho_Chi_Minh")

TET = {
    2023: date(2023, 1, 22),
    2024: date(2024, 2, 10),
    2025: date(2025, 1, 29),
    2026: date(2026, 2, 17),
    2027: date(2027, 2, 6),
    2028: date(2028, 1, 26),
    2029: date(2029, 2, 13),
    2030: date(2030, 2, 2),
}
"""First day of the lunar year, as the government announces it."""


def local_day(instant: datetime) -> date:
    """The day on which an instant falls in Viet Nam."""
    return instant.astimezone(ZONE).date()


def start_of(day: date) -> datetime:
    """The first instant of a local day, in UTC."""
    return datetime.combine(day, time(), ZONE).astimezone(UTC)


def days(first: date, last: date) -> Iterator[date]:
    """Each day from first to last, both included."""
    for n in range((last - first).days + 1):
        yield first + timedelta(days=n)


def month_of(day: date) -> date:
    """The first day of a month."""
    return day.replace(day=1)


def add_months(day: date, months: int) -> date:
    """The same day some months on, or the month's last day where it has no such day (31 Jan + 1 = 28 Feb)."""
    index = day.year * 12 + day.month - 1 + months
    first = date(index // 12, index % 12 + 1, 1)
    following = date((index + 1) // 12, (index + 1) % 12 + 1, 1)
    return min(first + timedelta(days=day.day - 1), following - timedelta(days=1))


def show_day(day: date) -> str:
    """Write a day as `dd/mm/yyyy`."""
    return f"{day:%d/%m/%Y}"
