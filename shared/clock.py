"""The one source of time and of ids: real, or driven by a seed so that a run can be repeated exactly."""

import os
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from uuid import UUID


class Clock:
    """Real time and random ids."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def micros(self) -> int:
        """Microseconds since 1970."""
        return time.time_ns() // 1000

    def random_bits(self, bits: int) -> int:
        """Fit for secrets."""
        return int.from_bytes(os.urandom((bits + 7) // 8), "big") >> (-bits % 8)

    def chance(self) -> float:
        return random.random()  # noqa: S311 - for lots, never for secrets


class DrivenClock(Clock):
    """Time that moves only when told, and ids that follow from the seed."""

    def __init__(self, start: datetime, seed: int) -> None:
        self._now = start
        self.random = random.Random(seed)  # noqa: S311 - repeatable on purpose

    @property
    def instant(self) -> datetime:
        """Where it stands; to look does not move it."""
        return self._now

    def now(self) -> datetime:
        # A microsecond a call, so that no two facts of a run share an instant.
        self._now += timedelta(microseconds=1)
        return self._now

    def micros(self) -> int:
        return (self.now() - _EPOCH) // _MICROSECOND

    def move_to(self, instant: datetime) -> None:
        if instant < self._now:
            raise ValueError(f"A clock does not go back from {self._now} to {instant}.")
        self._now = instant

    def set_to(self, instant: datetime) -> None:
        """Jump, also back, as a machine's clock does that is set."""
        self._now = instant

    def random_bits(self, bits: int) -> int:
        return self.random.getrandbits(bits)

    def chance(self) -> float:
        return self.random.random()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_current: Clock = Clock()


def now() -> datetime:
    """The instant in UTC."""
    return _current.now()


def new_id() -> UUID:
    """A UUID version 7 (RFC 9562, method 3): milliseconds, their fraction in 12 bits, then 62 random bits.

    One process's ids sort in the order in which they were made, to the microsecond.
    """
    ms, us = divmod(_current.micros(), 1000)
    fraction = us * 4096 // 1000
    value = (ms << 80) | (0x7 << 76) | (fraction << 64) | (0b10 << 62) | _current.random_bits(62)
    return UUID(int=value)


def new_secret(bits: int = 128) -> str:
    """A random token in hexadecimal, for links and nonces."""
    return f"{_current.random_bits(bits):0{bits // 4}x}"


def chance() -> float:
    """A number from 0 up to 1, for drawing lots."""
    return _current.chance()


def monotonic_s() -> float:
    """Seconds for measuring durations; never stored."""
    return time.monotonic()


@contextmanager
def driven(clock: Clock) -> Iterator[Clock]:
    """Put a clock in place of the real one for the whole process, until the block ends."""
    global _current  # noqa: PLW0603 - one clock a process is the point
    before, _current = _current, clock
    try:
        yield clock
    finally:
        _current = before
