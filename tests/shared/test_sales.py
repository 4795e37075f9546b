"""A seller's numbers: no two invoices of a day have one, and what people quote of one finds it."""

from datetime import UTC, datetime

from shared import clock, sales
from shared.sought import sought

NOON = datetime(2026, 11, 27, 5, tzinfo=UTC)


def test_of_a_day_with_three_hundred_thousand_invoices_no_two_have_one_number() -> None:
    with clock.driven(clock.DrivenClock(NOON, 1)):
        numbers = {sales.number("TB", clock.new_id(), NOON) for _ in range(300_000)}
    assert len(numbers) == 300_000


def test_a_number_is_known_by_its_end_and_fits_into_a_memo_of_25_letters() -> None:
    with clock.driven(clock.DrivenClock(NOON, 1)):
        key = clock.new_id()
    number = sales.number("TB", key, NOON)
    plain = number.replace("-", "")
    assert len(plain) <= 25
    for quoted in (number, plain.lower(), f"MBVCB.99.thanh toan {number.replace('-', ' ')}.CT", number[-12:]):
        assert sales.tail(key) in sales.tails("TB", sought(quoted).codes), quoted
    for other in ("EV" + plain[2:], plain[:-1], plain + "0"):
        assert sales.tails("TB", sought(other).codes) == [], other
