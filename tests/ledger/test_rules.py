"""The rules of the books, without any store: lines, posting, growth."""

from datetime import date, timedelta
from itertools import permutations
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ledger.rules import growth
from services.ledger.rules.earning import spread
from services.ledger.rules.lines import Credit, last_position
from services.ledger.rules.posting import in_order
from services.ledger.rules.telling import paid
from shared.contracts import Fact
from shared.contracts.base import OnDate, PaidLine, Period
from shared.money import share, split
from tests.ledger.builders import (
    a_line,
    a_ticket,
    captured,
    credit,
    delivered,
    delivery,
    moved,
    noon,
    opened,
    ordered,
    refunded,
    unapplied,
    undelivered,
)
from tests.ledger.replay import DAY, Replay

FIRST = date(2026, 12, 20)
amounts = st.integers(1, 10**10)
spans = st.integers(1, 400)


@pytest.mark.promise("L4")
@given(amounts, spans, st.integers(0, 400))
def test_a_period_is_earned_exactly_and_never_backwards(net: int, length: int, offset: int) -> None:
    end = FIRST + timedelta(days=length - 1)
    day = FIRST + timedelta(days=offset)
    assert spread(net, FIRST, end, FIRST - timedelta(days=1)) == 0
    assert spread(net, FIRST, end, day) >= spread(net, FIRST, end, day - timedelta(days=1))
    assert spread(net, FIRST, end, end) == net
    assert spread(net, FIRST, end, day) == net * min(offset + 1, length) // length


@pytest.mark.promise("L4")
@given(amounts, spans, st.lists(st.tuples(st.integers(-5, 410), amounts), max_size=3), st.integers(0, 420))
def test_a_line_never_loses_or_makes_money(net: int, length: int, given: Any, offset: int) -> None:
    line = a_line(net, earn=Period(FIRST, FIRST + timedelta(days=length - 1)))
    state = paid(None, PaidLine(line, line.gross_vnd, line.vat_vnd), captured(line, on=FIRST - 9 * DAY))
    taken_back = [Credit(FIRST + on * DAY, min(c, net), 0) for on, c in sorted(dict(given).items())]
    state = msgspec.structs.replace(state, credits=tuple(taken_back))
    position = last_position(state)
    done, everything = position.earned(FIRST + timedelta(days=offset)), position.earned(date.max)
    assert 0 <= done <= everything
    # What was not taken out of the unearned part is earned in the end.
    assert everything + position.taken_vnd == net
    assert sum(position.balances(date.max).values()) == -line.gross_vnd


@given(amounts, st.integers(0, 12))
def test_partial_payments_book_vat_in_proportion_and_in_full_at_the_end(net: int, parts: int) -> None:
    line = a_line(net)
    gross = line.gross_vnd
    shares = [gross * n // (parts + 1) - gross * (n - 1) // (parts + 1) for n in range(1, parts + 2)]
    vats = [
        share(line.vat_vnd, n + 1, parts + 1) - share(line.vat_vnd, n, parts + 1) for n in range(parts + 1)
    ]
    state = None
    for n, (amount, vat) in enumerate(zip(shares, vats, strict=True)):
        fact = captured(line, on=FIRST + n * DAY, paid=[amount], vat=[vat])
        state = paid(state, fact.lines[0], fact)
        position = last_position(state)
        assert position.net_vnd + position.vat_vnd == sum(shares[: n + 1])
        assert position.vat_vnd == sum(vats[: n + 1])
    assert (position.net_vnd, position.vat_vnd) == (line.net_vnd, line.vat_vnd)


def a_busy_month() -> list[Fact]:
    """A subscription cancelled on 6 January, a campaign paid on terms, a ticket, a line of another agency."""
    month = a_line(100_001, earn=Period(FIRST, date(2027, 1, 18)))
    campaign = a_line(3_000_000, earn=delivered(7), stream="advertising.web")
    invoice = opened(campaign, on=FIRST)
    guest = a_line(77_777, agency="tcnt", earn=Period(date(2026, 12, 28), date(2027, 1, 3)))
    return [
        captured(month, a_ticket(date(2026, 12, 31)), guest, on=FIRST),
        invoice,
        delivery(campaign, 3, on=date(2026, 12, 24)),
        delivery(campaign, 4, on=date(2027, 1, 2)),
        captured(campaign, on=date(2027, 1, 4), collect="on_terms", rail="vietqr", invoice=invoice.invoice),
        moved(month, Period(FIRST + timedelta(days=2), date(2027, 1, 20)), on=FIRST + timedelta(days=2)),
        moved(month, Period(FIRST + timedelta(days=1), date(2027, 1, 19)), on=FIRST + timedelta(days=1)),
        credit(month, 40_000, 3_200, on=date(2027, 1, 6)),
        refunded(43_200, date(2027, 1, 7)),
    ]


@pytest.mark.promise("L4")
@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_order_and_duplication_of_deliveries_gives_the_same_books_of_each_day(data: Any) -> None:
    facts = a_busy_month()
    end = date(2027, 1, 31)
    straight = Replay(FIRST)
    straight.hear(*facts)
    straight.reach(end)
    shuffled = data.draw(st.permutations([*facts, *data.draw(st.lists(st.sampled_from(facts), max_size=4))]))
    mixed = Replay(FIRST)
    for fact in shuffled:
        mixed.reach(min(end, mixed.reached + timedelta(days=data.draw(st.integers(0, 9)))))
        mixed.hear(fact)
    mixed.reach(end)
    assert mixed.waiting == []
    assert mixed.history() == straight.history()


def test_each_day_of_the_effective_calendar_is_the_same_however_late_a_payment_is_heard() -> None:
    line = a_line(100_000, earn=Period(FIRST, FIRST + timedelta(days=29)))
    paid = captured(line, on=FIRST)
    on_time, late = Replay(FIRST), Replay(FIRST)
    on_time.hear(paid)
    on_time.reach(date(2027, 1, 31))
    late.reach(date(2027, 1, 10))
    late.hear(paid)
    late.reach(date(2027, 1, 31))
    assert on_time.history() == late.history()


@pytest.mark.promise("L4")
def test_a_december_prepayment_keeps_its_rate_when_it_is_delivered_in_january() -> None:
    """VAT falls from the sale: 8 % of all at collection in 2026, though the days lie in 2027 at 10 %."""
    line = a_line(1_000_000, earn=Period(date(2027, 1, 1), date(2027, 1, 31)), tax_point=date(2026, 12, 31))
    replay = Replay(date(2026, 12, 31))
    replay.hear(captured(line, on=date(2026, 12, 31)))
    assert replay.balances() == {
        ("bkh", "cash_in_transit:vnpay"): 1_080_000,
        ("bkh", "output_vat"): -80_000,
        ("bkh", "deferred_revenue"): -1_000_000,
    }
    replay.reach(date(2027, 1, 31))
    assert replay.balances()["bkh", "revenue"] == -1_000_000
    assert replay.balances()["bkh", "output_vat"] == -80_000


@pytest.mark.promise("L4")
def test_a_january_invoice_is_at_the_new_rate_and_a_credit_note_at_the_original() -> None:
    new = a_line(1_000_000, earn=delivered(), tax_point=date(2027, 1, 2), stream="advertising.web")
    old = a_line(1_000_000, earn=delivered(), tax_point=date(2026, 12, 2), stream="advertising.web")
    replay = Replay(date(2027, 1, 5))
    replay.hear(opened(old, on=date(2026, 12, 2)), opened(new, on=date(2027, 1, 2)))
    assert replay.balances()["bkh", "output_vat"] == -180_000
    replay.hear(credit(old, 500_000, 40_000, on=date(2027, 1, 5)))
    assert replay.balances()["bkh", "output_vat"] == -140_000
    assert replay.balances()["bkh", "receivable"] == 1_080_000 + 1_100_000 - 540_000


@pytest.mark.promise("L4")
def test_what_is_claimed_late_is_owed_from_its_tax_point_on_at_the_rate_of_that_day() -> None:
    """An event of 31 December whose claim is said on 3 January, since the seller's house stood still."""
    event = date(2026, 12, 31)
    line = a_line(1_000_000, earn=OnDate(event), stream="sponsorship.cash", tax_point=event)
    replay = Replay(date(2027, 1, 4))
    replay.hear(opened(line, on=date(2027, 1, 3), tax_point=event))
    assert replay.balances(event) == {
        ("bkh", "receivable"): 1_080_000,
        ("bkh", "output_vat"): -80_000,
        ("bkh", "revenue"): -1_000_000,
    }


@pytest.mark.promise("L4")
def test_what_was_paid_in_advance_keeps_its_split_when_its_invoice_is_said_again_on_terms() -> None:
    paid_at = a_line(1_000_000, earn=OnDate(date(2027, 1, 2)), stream="sponsorship.cash")
    at_ten = split(paid_at.gross_vnd, "standard", date(2027, 1, 2))
    again = msgspec.structs.replace(paid_at, net_vnd=at_ten.net_vnd, vat_vnd=at_ten.vat_vnd)
    facts = [captured(paid_at, on=date(2026, 12, 31)), opened(again, on=date(2027, 1, 2))]
    histories = []
    for order in permutations(facts):
        replay = Replay(date(2027, 1, 4))
        replay.hear(*order)
        histories.append(replay.history())
    assert histories[0] == histories[1]
    assert histories[0][date(2027, 1, 2)] == {
        ("bkh", "cash_in_transit:vnpay"): 1_080_000,
        ("bkh", "output_vat"): -80_000,
        ("bkh", "revenue"): -1_000_000,
    }


@pytest.mark.promise("L4")
def test_what_is_delivered_before_it_is_billed_is_unbilled_and_the_rate_is_that_of_its_invoice() -> None:
    """Signed in December at 8 %, shown in December and January, accepted and invoiced in January at 10 %."""
    signed = a_line(1_000_000, earn=delivered(10), stream="advertising.web", tax_point=date(2026, 12, 1))
    billed = split(signed.gross_vnd, "standard", date(2027, 1, 5))
    line = msgspec.structs.replace(signed, net_vnd=billed.net_vnd, vat_vnd=billed.vat_vnd)
    facts = [
        ordered(signed, on=date(2026, 12, 1)),
        delivery(signed, 4, on=date(2026, 12, 20)),
        delivery(signed, 6, on=date(2027, 1, 3)),
        opened(line, on=date(2027, 1, 5)),
    ]
    for order in permutations(facts):
        replay = Replay(date(2027, 1, 10))
        replay.hear(*order)
        assert replay.waiting == []
        assert replay.balances(date(2026, 12, 31)) == {
            ("bkh", "unbilled_delivery"): 400_000,
            ("bkh", "revenue"): -400_000,
        }
        assert replay.balances() == {
            ("bkh", "receivable"): 1_080_000,
            ("bkh", "output_vat"): -billed.vat_vnd,
            ("bkh", "revenue"): -billed.net_vnd,
        }


def test_a_credit_and_a_refund_of_anothers_line_net_where_the_customer_paid() -> None:
    guest = a_line(100_000, agency="tcnt")
    replay = Replay(date(2026, 11, 30))
    replay.hear(captured(guest), credit(guest, 100_000, 8_000, on=date(2026, 11, 2), agency="bkh"))
    replay.hear(refunded(108_000, date(2026, 11, 3)))
    found = replay.balances()
    assert not {account for _, account in found if account == "unused_credits"}
    assert found.get(("bkh", "due_to:tcnt"), 0) == -found.get(("tcnt", "due_from:bkh"), 0) == 0


def test_a_credit_beyond_what_is_unearned_becomes_a_deduction() -> None:
    line = a_line(1_000_000, earn=delivered(10), stream="advertising.web")
    for facts in permutations([delivery(line, 8), credit(line, 500_000, 40_000, on=date(2026, 11, 9))]):
        replay = Replay(date(2026, 11, 10))
        replay.hear(captured(line), *facts)
        found = replay.balances()
        assert found["bkh", "revenue"] == -800_000
        assert found["bkh", "deductions"] == 300_000
        assert ("bkh", "deferred_revenue") not in found
        assert found["bkh", "unused_credits"] == -540_000


def test_charity_money_is_never_revenue_and_kind_stands_beside() -> None:
    gift = a_line(500_000, stream="pass_through", vat_class="exempt")
    kind = a_line(2_000_000, stream="sponsorship.in_kind", vat_class="exempt")
    replay = Replay(date(2026, 12, 31))
    replay.hear(captured(gift), opened(kind))
    found = {account for _, account in replay.balances()}
    assert "revenue" not in found
    assert replay.balances()["bkh", "pass_through"] == -500_000
    assert replay.balances()["bkh", "in_kind_revenue"] == -2_000_000
    assert replay.balances()["bkh", "in_kind_cost"] == 2_000_000
    assert ("bkh", "barter_clearing") not in replay.balances()


def test_money_beyond_the_lines_and_unknown_money_lie_in_suspense() -> None:
    line = a_line(100_000)
    replay = Replay(date(2026, 11, 1))
    replay.hear(captured(line, amount_vnd=line.gross_vnd + 1_000))
    assert replay.balances()["bkh", "suspense"] == -1_000


def test_late_money_that_its_seller_took_leaves_suspense_and_buys_what_it_would_have_bought_in_time() -> None:
    line = a_line(100_000, earn=delivered())
    late, plain = Replay(FIRST), Replay(FIRST)
    late.hear(
        unapplied(line.gross_vnd, FIRST), captured(line, on=FIRST + timedelta(days=3), from_suspense=True)
    )
    plain.hear(captured(line, on=FIRST + timedelta(days=3)))
    assert late.balances() == plain.balances()
    assert {draft.belongs_on for draft in late.drafts if draft.kind == "unapplied"} == {FIRST}


def test_a_line_that_moved_is_earned_on_its_new_days_alone() -> None:
    line = a_line(30_000, earn=Period(FIRST, FIRST + timedelta(days=29)))
    replay = Replay(FIRST)
    replay.hear(captured(line, on=FIRST))
    replay.reach(FIRST + timedelta(days=3))
    later = FIRST + timedelta(days=10)
    replay.hear(moved(line, Period(later, later + timedelta(days=29)), on=FIRST + timedelta(days=3)))
    assert ("bkh", "revenue") not in replay.balances()
    replay.reach(later + timedelta(days=29))
    assert replay.balances()["bkh", "revenue"] == -30_000


def test_a_delivery_that_is_reversed_is_earned_no_more() -> None:
    line = a_line(30_000, earn=delivered(1000))
    replay = Replay(FIRST)
    replay.hear(captured(line, on=FIRST), delivery(line, 500, on=FIRST))
    replay.hear(undelivered(line, 200, on=FIRST))
    assert replay.balances()["bkh", "revenue"] == -9_000


def test_a_batch_is_sorted_so_that_lines_are_known_before_they_are_delivered() -> None:
    line = a_line(earn=delivered())
    facts = [credit(line, 1, 0, date(2026, 11, 2)), delivery(line, 1), captured(line)]
    assert in_order(facts) == facts[::-1]


def _cover(*months: date, stream: str = "subscription", unit: str = "bkh") -> set[tuple[str, str, date]]:
    return {(unit, stream, month) for month in months}


ALL_MONTHS = [date(year, month, 1) for year in (2024, 2025, 2026) for month in range(1, 13)]


def _measured(
    current: int, base: int, cover: Any, on: date = date(2026, 11, 23), n: int = 0
) -> growth.Measure:
    return growth.measure(growth.windows(on)[n], current, base, cover)


def test_the_test_of_growth_is_by_whole_dong() -> None:
    cover = _cover(*ALL_MONTHS)
    assert _measured(1_200_000_000_000, 1_000_000_000_000, cover).reached
    assert not _measured(1_199_999_999_999, 1_000_000_000_000, cover).reached
    assert _measured(6, 5, cover).reached


@pytest.mark.parametrize("base", [0, -1])
def test_a_base_that_is_not_positive_cannot_be_measured(base: int) -> None:
    found = _measured(10, base, _cover(*ALL_MONTHS))
    assert (found.measurable, found.why, found.reached, found.change_percent) == (
        False,
        "base_not_positive",
        False,
        None,
    )


def test_a_month_without_books_cannot_be_compared() -> None:
    found = _measured(10, 5, _cover(*(m for m in ALL_MONTHS if m != date(2025, 3, 1))))
    assert (found.why, found.missing_months) == ("months_missing", (date(2025, 3, 1),))


def test_an_agency_that_began_in_april_has_no_year_to_compare_with_by_itself() -> None:
    both = _cover(*ALL_MONTHS, unit="tcnt") | _cover(*(m for m in ALL_MONTHS if m >= date(2025, 4, 1)))
    assert _measured(10, 5, both).why == "months_missing"


def test_imported_streams_must_cover_the_same_months() -> None:
    cover = _cover(*ALL_MONTHS) | _cover(date(2026, 3, 1), stream="imported.print")
    assert _measured(10, 5, cover).why == "coverage_unequal"
    assert _measured(10, 5, cover | _cover(date(2025, 3, 1), stream="imported.print")).measurable


@pytest.mark.parametrize(
    ("year", "so_far", "on", "status"),
    [
        ((120, 100), (120, 90), date(2026, 11, 23), "achieved"),
        ((100, 100), (108, 90), date(2026, 11, 23), "on_track"),
        ((100, 100), (107, 90), date(2026, 11, 23), "at_risk"),
        ((119, 100), (119, 100), date(2026, 12, 31), "missed"),
        ((120, 0), (120, 0), date(2026, 11, 23), "not_measurable"),
    ],
)
def test_the_status_of_a_year(year: Any, so_far: Any, on: date, status: str) -> None:
    cover = _cover(*ALL_MONTHS)
    assert growth.status(_measured(*year, cover, on, 3), _measured(*so_far, cover, on, 0), on) == status


def test_january_and_february_are_one_and_a_leap_day_compares_with_the_28th() -> None:
    pairs = growth.months_of_year({date(2026, 1, 1): 5, date(2026, 2, 1): 7, date(2025, 2, 1): 10}, 2026)
    assert (pairs[0].months, pairs[0].current_vnd, pairs[0].base_vnd, pairs[0].target_vnd) == (
        (1, 2),
        12,
        10,
        12,
    )
    assert growth.windows(date(2028, 2, 29))[0].base.end == date(2027, 2, 28)
    assert noon(FIRST).tzinfo is not None


def test_a_partial_credit_spreads_the_rest_over_the_days_that_remain() -> None:
    line = a_line(3_000, earn=Period(date(2026, 11, 1), date(2026, 11, 30)), vat_class="exempt")
    replay = Replay(date(2026, 11, 1))
    replay.hear(captured(line), credit(line, 1_000, 0, on=date(2026, 11, 10)))
    earned_by = {}
    for day in (10, 11, 20, 30):
        replay.reach(date(2026, 11, day))
        earned_by[day] = -replay.balances()["bkh", "revenue"]
    assert earned_by == {10: 1_000, 11: 1_050, 20: 1_500, 30: 2_000}
