from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import PriceChanged
from shared.money import (
    VAT_PERCENT,
    Amount,
    allocate,
    check_seen,
    half_up,
    priced,
    share,
    show,
    split,
    split_after,
)

amounts = st.integers(-(10**12), 10**12)
weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)


@given(amounts, weights)
def test_parts_sum_to_the_whole_and_stay_within_one_dong_of_their_share(amount, shares):
    parts = allocate(amount, shares)
    assert sum(parts) == amount
    for part, weight in zip(parts, shares, strict=True):
        assert abs(part * sum(shares) - amount * weight) < sum(shares)


def test_the_largest_remainder_gets_the_odd_dong_and_ties_go_to_the_first():
    assert allocate(100, [1, 1, 1]) == [34, 33, 33]
    assert allocate(100, [1, 2]) == [33, 67]
    assert allocate(-100, [1, 1, 1]) == [-34, -33, -33]


@pytest.mark.parametrize("shares", [[], [0, 0], [1, -1]])
def test_weights_that_share_nothing_are_refused(shares):
    with pytest.raises(ValueError):  # noqa: PT011
        allocate(100, shares)


def test_vat_is_rounded_half_up_away_from_zero():
    assert half_up(5, 10) == 1
    assert half_up(-5, 10) == -1
    assert half_up(4, 10) == 0


def test_the_vat_rate_is_that_of_the_tax_point():
    assert priced(100_000, "standard", date(2026, 12, 31)) == Amount(100_000, 8_000)
    assert priced(100_000, "standard", date(2027, 1, 1)) == Amount(100_000, 10_000)
    assert priced(100_000, "exempt", date(2026, 12, 31)) == Amount(100_000, 0)


def test_an_agreed_gross_stays_when_the_rate_changes_between_the_word_and_the_money():
    agreed = priced(300_000, "standard", date(2026, 12, 31))
    assert split(agreed.gross_vnd, "standard", date(2026, 12, 31)) == agreed
    assert split(agreed.gross_vnd, "standard", date(2027, 1, 1)) == Amount(294_545, 29_455)


@given(
    st.integers(0, 10**12), st.sampled_from(list(VAT_PERCENT)), st.dates(date(2026, 1, 1), date(2028, 1, 1))
)
def test_net_and_vat_of_a_gross_are_the_gross_and_a_price_comes_back_as_it_was(vnd, vat_class, day):
    assert split(vnd, vat_class, day).gross_vnd == vnd
    price = priced(vnd, vat_class, day)
    assert split(price.gross_vnd, vat_class, day) == price


@given(
    st.lists(st.integers(0, 10**10), min_size=1, max_size=12),
    st.sampled_from(sorted(VAT_PERCENT)),
    st.dates(date(2026, 1, 1), date(2028, 1, 1)),
)
def test_the_parts_of_an_agreed_gross_are_its_net_and_its_vat_to_the_dong(parts, vat_class, day):
    split_up = [split_after(sum(parts[:n]), part, vat_class, day) for n, part in enumerate(parts)]
    assert [each.gross_vnd for each in split_up] == parts
    assert all(each.net_vnd >= 0 and each.vat_vnd >= 0 for each in split_up)
    whole = split(sum(parts), vat_class, day)
    assert sum(each.net_vnd for each in split_up) == whole.net_vnd
    assert sum(each.vat_vnd for each in split_up) == whole.vat_vnd
    assert split_up[0] == split(parts[0], vat_class, day), (
        "the first is paid before it is delivered: split by itself"
    )


def test_an_unknown_vat_class_is_an_error_and_not_free_of_tax():
    with pytest.raises(KeyError):
        priced(100_000, "luxury", date(2026, 1, 1))


def test_amounts_are_written_with_dots():
    assert show(1_234_567) == "1.234.567 ₫"


@given(st.integers(0, 10**12), st.lists(st.integers(0, 10**6), min_size=1, max_size=12))
def test_what_is_done_in_steps_comes_to_the_whole_and_the_rest_is_never_rounded_itself(amount, steps):
    whole, done, earned = sum(steps) or 1, 0, 0
    for step in steps:
        done += step
        now = share(amount, done, whole)
        assert now >= earned
        earned = now
    assert earned == (amount if done == whole else 0)
    assert share(amount, whole + 7, whole) == amount, "nobody earns more than was agreed"


def test_another_price_than_the_buyer_saw_is_refused_with_the_new_one():
    check_seen(None, 378_000)
    check_seen(378_000, 378_000)
    with pytest.raises(PriceChanged, match="now 378,000 đồng, no longer 216,000") as refused:
        check_seen(216_000, 378_000)
    assert refused.value.more == {"now_vnd": 378_000}
