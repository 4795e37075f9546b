"""How many impressions of a line may be handed out now: evenly over its flight, with catch-up, never past its goal."""

from datetime import date, datetime, timedelta

from shared.calendar import start_of

HEADROOM_SHARE = 48
"""A line may run ahead of its plan by a 48th of a day, so that a quiet minute is not a lost one."""

HEADROOM_LEAST = 20
FINISH_EARLY = timedelta(hours=3)
"""The plan ends so long before the flight does, so that the last impressions find readers."""


def planned(goal: int, starts_on: date, ends_on: date, now: datetime) -> int:
    """Impressions that should have been delivered by now."""
    start, end = start_of(starts_on), start_of(ends_on + timedelta(days=1)) - FINISH_EARLY
    if now <= start:
        return 0
    if now >= end:
        return goal
    return int(goal * ((now - start) / (end - start)))


def grantable(
    goal: int, counted: int, outstanding: int, starts_on: date, ends_on: date, now: datetime
) -> int:
    """Impressions that workers may be given now.

    `outstanding` were given and may yet be counted: whatever becomes of them, counted stays within the goal.
    """
    a_day = goal // ((ends_on - starts_on).days + 1)
    ahead = planned(goal, starts_on, ends_on, now) + max(HEADROOM_LEAST, a_day // HEADROOM_SHARE)
    return max(0, min(ahead, goal) - counted - outstanding)
