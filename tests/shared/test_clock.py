from datetime import UTC, datetime

import pytest

from shared import clock

START = datetime(2024, 1, 1, tzinfo=UTC)


def test_the_same_seed_gives_the_same_times_and_ids():
    def run(seed):
        with clock.driven(clock.DrivenClock(START, seed)):
            return [(clock.now(), clock.new_id(), clock.new_secret()) for _ in range(50)]

    assert run(7) == run(7)
    assert not {made[1] for made in run(7)} & {made[1] for made in run(8)}


def test_ids_are_uuid_version_7_and_sort_by_time():
    with clock.driven(clock.DrivenClock(START, 1)) as driven:
        first = clock.new_id()
        driven.move_to(datetime(2024, 1, 2, tzinfo=UTC))
        second = clock.new_id()
    assert first.version == 7
    assert first < second
    assert int.from_bytes(first.bytes[:6], "big") == int(START.timestamp() * 1000)


def test_a_driven_clock_does_not_go_back():
    driven = clock.DrivenClock(START, 1)
    with pytest.raises(ValueError, match="does not go back"):
        driven.move_to(datetime(2023, 12, 31, tzinfo=UTC))


def test_the_real_clock_is_back_after_the_block():
    with clock.driven(clock.DrivenClock(START, 1)):
        assert clock.now().year == 2024
    assert abs((clock.now() - datetime.now(UTC)).total_seconds()) < 5


def test_ids_sort_in_the_order_in_which_they_were_made():
    with clock.driven(clock.DrivenClock(datetime(2026, 11, 23, tzinfo=UTC), seed=7)):
        made = [clock.new_id() for _ in range(3000)]
    assert made == sorted(made)
    assert len(set(made)) == len(made)
    assert {(key.version, key.variant) for key in made} == {(7, "specified in RFC 4122")}
