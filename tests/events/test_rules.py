"""What events decides, without a database."""

from datetime import UTC, date, datetime, timedelta
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.events.rules import industries
from services.events.rules.registrations import Entry, wanted
from services.events.rules.sponsorships import (
    InstalmentTerms,
    Terms,
    check_instalments,
    reminders_due,
    schedule,
    state_of,
)
from services.events.rules.stock import VAT_CLASS, SalesClosed, check_open
from shared.errors import Unprocessable
from shared.money import priced, split_after
from tests.events import BANK, BEER, DIGITAL_BANK, FINANCE, TELECOM

NOW = datetime(2026, 11, 23, tzinfo=UTC)
TODAY = date(2026, 11, 23)
RUN = date(2026, 12, 12)


def overlap(a: tuple[int, int], b: tuple[int, int]) -> bool:
    return a[0] <= b[1] and b[0] <= a[1]


def test_two_industries_overlap_exactly_when_one_lies_within_the_other() -> None:
    def trail(code: int) -> set[int]:
        return {code, code // 100 * 100, code // 10_000 * 10_000}

    for a, b in product(industries.INDUSTRIES, repeat=2):
        akin = a in trail(b) or b in trail(a)
        assert overlap(industries.span(a), industries.span(b)) == akin, (a, b)


def test_every_industry_has_its_parents_in_the_tree() -> None:
    for code in industries.INDUSTRIES:
        assert {code // 100 * 100, code // 10_000 * 10_000} <= set(industries.INDUSTRIES)


def test_bank_spans_digital_bank_and_lies_in_finance_but_not_in_telecoms_or_beer() -> None:
    assert overlap(industries.span(BANK), industries.span(DIGITAL_BANK))
    assert overlap(industries.span(BANK), industries.span(FINANCE))
    assert not overlap(industries.span(BANK), industries.span(TELECOM))
    assert not overlap(industries.span(BANK), industries.span(BEER))


def test_claims_of_two_events_never_meet() -> None:
    _, last, *_ = industries.claim(
        999_999 if 999_999 in industries.INDUSTRIES else 180200, 1, 1, exclusive=True
    )
    first, *_ = industries.claim(100000, 2, 1, exclusive=True)
    assert last < first


def terms(price_vnd: int, shares: list[int]) -> Terms:
    parts = [InstalmentTerms(f"Đợt {n}", share, 14 * (n > 0)) for n, share in enumerate(shares)]
    return Terms(
        title="Vàng",
        tier="gold",
        price_vnd=price_vnd,
        exclusive=True,
        benefits=[],
        instalments=parts,
        deliverables=[],
    )


@given(
    st.integers(0, 10**11),
    st.lists(st.integers(1, 30), min_size=1, max_size=8).map(lambda xs: [*xs[:-1], xs[-1]]),
)
@pytest.mark.promise("E7")
def test_instalments_make_up_the_price_that_was_shown_to_the_dong_net_and_vat_each(
    price_vnd: int, shares: list[int]
) -> None:
    shown = priced(price_vnd, VAT_CLASS, TODAY)
    parts = schedule(terms(price_vnd, shares), RUN, TODAY)
    assert sum(part.gross_vnd for part in parts) == shown.gross_vnd
    invoiced = [split_after(part.before_vnd, part.gross_vnd, VAT_CLASS, TODAY) for part in parts]
    assert sum(cost.net_vnd for cost in invoiced) == price_vnd
    assert sum(cost.vat_vnd for cost in invoiced) == shown.vat_vnd
    assert parts[0].due_on == TODAY
    assert all(TODAY <= part.due_on <= RUN for part in parts)


def test_an_instalment_whose_day_is_past_is_due_today() -> None:
    late = schedule(terms(100, [50, 50]), RUN, RUN - timedelta(days=3))
    assert [part.due_on for part in late] == [RUN - timedelta(days=3)] * 2


def test_shares_that_do_not_make_the_whole_are_refused() -> None:
    with pytest.raises(Unprocessable):
        check_instalments([InstalmentTerms("Đợt 1", 50), InstalmentTerms("Đợt 2", 49)])


def test_the_state_follows_from_what_happened() -> None:
    def state(*times: datetime | None, delivered: int = 0, of: int = 2) -> str:
        return state_of(*times, delivered, of)

    assert state(None, None, None, None) == "draft"
    assert state(NOW, None, None, None) == "proposed"
    assert state(NOW, NOW, None, None) == "accepted"
    assert state(NOW, NOW, NOW, None) == "contracted"
    assert state(NOW, NOW, NOW, None, delivered=1) == "fulfilling"
    assert state(NOW, NOW, NOW, None, delivered=2) == "fulfilled"
    assert state(NOW, NOW, NOW, None, of=0) == "contracted"
    assert state(NOW, NOW, NOW, NOW, delivered=2) == "cancelled"


def test_reminders_come_before_at_and_after_the_due_day() -> None:
    counts = [reminders_due(TODAY, TODAY + timedelta(days=days)) for days in (-8, -7, -1, 0, 7, 14, 99)]
    assert counts == [0, 1, 1, 2, 3, 4, 4]


def test_the_sale_ends_at_its_instant() -> None:
    check_open("Run", NOW, NOW - timedelta(microseconds=1))
    with pytest.raises(SalesClosed):
        check_open("Run", NOW, NOW)


def test_tickets_are_taken_in_the_order_of_ids() -> None:
    from uuid import UUID

    low, high = UUID(int=1), UUID(int=2)
    entries = [Entry(high, "An"), Entry(low, "Bình"), Entry(high, "Chi")]
    assert wanted(entries) == [(low, 1), (high, 2)]
