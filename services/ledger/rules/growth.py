"""The growth check: recognised net revenue now against before, by whole đồng, or "not measurable" with its reason."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date, timedelta
from typing import Literal

import msgspec

from shared.calendar import add_months, month_of

TARGET_PERCENT = 20
"""Growth that the provincial plan asks for (9225/KH-UBND)."""

Status = Literal["achieved", "on_track", "at_risk", "missed", "not_measurable"]
Why = Literal["", "base_not_positive", "months_missing", "coverage_unequal"]
WindowName = Literal["year_to_date", "trailing_year", "last_year", "this_year"]
Cover = Collection[tuple[str, str, date]]
"""What the books cover: (unit, stream, first day of the month). A unit is an agency with all that it absorbed, or one
agency as it is."""


class Span(msgspec.Struct, frozen=True):
    """Days from start to end, both included."""

    start: date
    end: date

    def months(self) -> list[date]:
        found, month = [], month_of(self.start)
        while month <= self.end:
            found.append(month)
            month = add_months(month, 1)
        return found


class Window(msgspec.Struct, frozen=True):
    """A span and the same days a year before."""

    name: WindowName
    current: Span
    base: Span


class Measure(msgspec.Struct, frozen=True):
    """What a window says. `change_percent` is for showing, to a tenth; the test is by whole đồng."""

    window: Window
    current_vnd: int
    base_vnd: int
    measurable: bool
    why: Why
    reached: bool
    change_percent: float | None
    missing_months: tuple[date, ...] = ()


def windows(as_of: date) -> tuple[Window, ...]:
    """Year to date against the same days last year, the twelve months to the day, last year whole, this year whole."""
    january = date(as_of.year, 1, 1)
    december = date(as_of.year, 12, 31)
    year_ago = add_months(as_of, -12)
    return (
        Window("year_to_date", Span(january, as_of), Span(add_months(january, -12), year_ago)),
        Window(
            "trailing_year",
            Span(year_ago + timedelta(days=1), as_of),
            Span(add_months(as_of, -24) + timedelta(days=1), year_ago),
        ),
        Window(
            "last_year",
            Span(add_months(january, -12), add_months(december, -12)),
            Span(add_months(january, -24), add_months(december, -24)),
        ),
        Window("this_year", Span(january, as_of), Span(add_months(january, -12), add_months(december, -12))),
    )


def reaches(current_vnd: int, base_vnd: int, percent: int = TARGET_PERCENT) -> bool:
    """Whether 100·current ≥ (100 + percent)·base. The base is positive."""
    return 100 * current_vnd >= (100 + percent) * base_vnd


def measure(window: Window, current_vnd: int, base_vnd: int, cover: Cover) -> Measure:
    """Compare a window, unless the base is not positive, a unit has no books for a month, or coverage differs."""
    missing = _missing(window, cover)
    why: Why = ""
    if missing:
        why = "months_missing"
    elif _unequal(window, cover):
        why = "coverage_unequal"
    elif base_vnd <= 0:
        why = "base_not_positive"
    good = not why
    return Measure(
        window=window,
        current_vnd=current_vnd,
        base_vnd=base_vnd,
        measurable=good,
        why=why,
        reached=good and reaches(current_vnd, base_vnd),
        change_percent=round(100 * (current_vnd - base_vnd) / base_vnd, 1) if good else None,
        missing_months=missing,
    )


def _missing(window: Window, cover: Cover) -> tuple[date, ...]:
    units = {unit for unit, _, _ in cover}
    have = {(unit, month) for unit, _, month in cover}
    months = (*window.base.months(), *window.current.months())
    return tuple(month for month in months if not units or any((unit, month) not in have for unit in units))


def _unequal(window: Window, cover: Cover) -> bool:
    """Revenue brought in from outside this system must be there for the same months in both spans."""
    outside = {(unit, stream) for unit, stream, _ in cover if stream.startswith("imported.")}
    pairs = list(zip(window.base.months(), window.current.months(), strict=False))
    return any(
        ((*key, before) in cover) != ((*key, now) in cover) for key in outside for before, now in pairs
    )


def status(year: Measure, so_far: Measure, as_of: date) -> Status:
    """Where the year stands.

    `year` is this year so far against the whole of last year, `so_far` against its same days. Achieved: the target
    for the whole year is reached already. Missed: the year is over without it. On track: the same days are up by
    the target. At risk: they are not.
    """
    if not so_far.measurable or not year.measurable:
        return "not_measurable"
    if year.reached:
        return "achieved"
    if (as_of.month, as_of.day) == (12, 31):
        return "missed"
    return "on_track" if so_far.reached else "at_risk"


class MonthPair(msgspec.Struct, frozen=True):
    """A month, or January and February together, this year and last; `target_vnd` is last year's plus the target."""

    months: tuple[int, ...]
    current_vnd: int
    base_vnd: int
    target_vnd: int


def months_of_year(totals: Mapping[date, int], year: int) -> list[MonthPair]:
    """The year by month. Tết moves revenue between January and February, so the two are one row."""
    pairs: Iterable[tuple[int, ...]] = ((1, 2), *((m,) for m in range(3, 13)))
    found = []
    for months in pairs:
        now = sum(totals.get(date(year, m, 1), 0) for m in months)
        before = sum(totals.get(date(year - 1, m, 1), 0) for m in months)
        found.append(MonthPair(months, now, before, before * (100 + TARGET_PERCENT) // 100))
    return found
