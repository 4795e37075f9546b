"""Rules of subscriptions: periods, proration, catalogue, the wall's decision."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.subscriptions.rules.access import (
    Ask,
    Entitlement,
    SectionPolicy,
    Spent,
    WallPolicy,
    after_meter,
    look,
)
from services.subscriptions.rules.catalogue import (
    Grant,
    NotOnSale,
    Price,
    Term,
    VatChoice,
    check_on_sale,
    in_force,
    vat_class_of,
)
from services.subscriptions.rules.periods import (
    Anchor,
    Span,
    ended,
    unearned,
    used_days,
)
from services.subscriptions.rules.subscriptions import Life, may_cancel, standing
from shared import clock
from shared.contracts.base import VatClass
from shared.money import Amount, priced, split

TODAY = date(2026, 11, 23)
MONTH = Term("month", 1)
days = st.dates(date(2020, 1, 1), date(2035, 12, 31))
terms = st.one_of(
    st.builds(Term, st.just("month"), st.sampled_from([1, 3, 6, 12])),
    st.builds(Term, st.just("day"), st.integers(1, 90)),
)
vat_classes = st.sampled_from(["exempt", "standard", "telecom"])


@given(days, terms, st.integers(0, 60))
def test_periods_follow_each_other_without_gap_or_overlap(anchor: date, term: Term, n: int) -> None:
    assert Anchor(anchor, 0, term).span(n).until == Anchor(anchor, 0, term).span(n + 1).start
    assert Anchor(anchor, 0, term).span(n).days > 0


@given(days, st.integers(0, 60))
def test_a_short_month_does_not_move_the_later_boundaries(anchor: date, n: int) -> None:
    reached = Anchor(anchor, 0, MONTH).boundary(n)
    last_of_month = (reached + timedelta(days=1)).day == 1
    assert reached.day == anchor.day or (last_of_month and reached.day < anchor.day)


def test_the_last_of_january_renews_on_the_last_of_february_and_the_31st_of_march() -> None:
    assert [Anchor(date(2024, 1, 31), 0, MONTH).boundary(n) for n in range(4)] == [
        date(2024, 1, 31),
        date(2024, 2, 29),
        date(2024, 3, 31),
        date(2024, 4, 30),
    ]
    leap = Anchor(date(2024, 2, 29), 0, Term("month", 12))
    assert leap.boundary(1) == date(2025, 2, 28)
    assert leap.boundary(4) == date(2028, 2, 29)


agreed = st.builds(split, st.integers(0, 10**9), st.just("standard"), st.just(date(2026, 11, 1)))


@given(st.integers(0, 10**9), vat_classes, days, terms, st.integers(-40, 400))
@pytest.mark.promise("S8")
def test_what_is_kept_and_what_goes_back_are_the_whole_and_each_is_taxed_as_an_invoice_of_its_own(
    gross_vnd: int, vat_class: VatClass, start: date, term: Term, into: int
) -> None:
    period = Anchor(start, 0, term).span(0)
    charged = split(gross_vnd, vat_class, start)
    back = unearned(charged, vat_class, start, period, start + timedelta(days=into))
    assert 0 <= back.net_vnd <= charged.net_vnd
    assert 0 <= back.vat_vnd <= charged.vat_vnd
    kept = Amount(charged.net_vnd - back.net_vnd, charged.vat_vnd - back.vat_vnd)
    assert kept == split(kept.gross_vnd, vat_class, start)


@given(st.integers(0, 10**6), st.integers(0, 10**5), days, terms, st.integers(-40, 400))
def test_after_an_allowance_no_more_goes_back_of_net_or_vat_than_is_left(
    net_vnd: int, vat_vnd: int, start: date, term: Term, into: int
) -> None:
    left, period = Amount(net_vnd, vat_vnd), Anchor(start, 0, term).span(0)
    back = unearned(left, "standard", start, period, start + timedelta(days=into))
    assert 0 <= back.net_vnd <= net_vnd
    assert 0 <= back.vat_vnd <= vat_vnd


@given(agreed, days, terms)
def test_nothing_used_gives_all_back_and_all_used_gives_nothing(
    charged: Amount, start: date, term: Term
) -> None:
    period, paid_on = Anchor(start, 0, term).span(0), date(2026, 11, 1)
    assert unearned(charged, "standard", paid_on, period, start - timedelta(days=1)) == charged
    assert unearned(charged, "standard", paid_on, period, period.last) == Amount(0, 0)


@given(agreed, days, st.integers(1, 29))
def test_a_day_more_never_gives_more_back(charged: Amount, start: date, into: int) -> None:
    period, paid_on = Anchor(start, 0, MONTH).span(0), date(2026, 11, 1)
    before, after = (
        unearned(charged, "standard", paid_on, period, start + timedelta(days=n)).gross_vnd
        for n in (into - 1, into)
    )
    assert after <= before


def test_ten_of_thirty_days_used_gives_two_thirds_back_to_the_dong() -> None:
    period = Span(date(2026, 11, 1), date(2026, 12, 1))
    back = unearned(
        priced(50_000, "standard", period.start), "standard", period.start, period, date(2026, 11, 10)
    )
    # 50,000 × 10 / 30 = 16,667 used, with 8 % VAT 1,333.
    assert back == Amount(33_333, 4_000 - 1_333)


def test_today_counts_as_used_and_the_period_ends_after_it() -> None:
    period = Span(TODAY, TODAY + timedelta(days=30))
    assert used_days(period, TODAY) == 1
    assert ended(period, TODAY).until == TODAY + timedelta(days=1)
    assert ended(Span(TODAY + timedelta(days=9), TODAY + timedelta(days=39)), TODAY).days == 0


def test_an_older_price_stays_with_its_buyers_and_the_newest_is_sold() -> None:
    old = Price(clock.new_id(), MONTH, 49_000, date(2024, 1, 1))
    new = Price(clock.new_id(), MONTH, 54_000, date(2026, 1, 1))
    planned = Price(clock.new_id(), MONTH, 60_000, date(2027, 1, 1))
    year = Price(clock.new_id(), Term("month", 12), 499_000, date(2024, 1, 1))
    assert in_force([year, planned, new, old], TODAY) == [new, year]


def test_vat_follows_the_agencys_choice_and_what_nobody_chose_is_taxed() -> None:
    choices = [
        VatChoice("digital_news", "exempt", date(2024, 1, 1)),
        VatChoice("digital_news", "standard", date(2026, 7, 1)),
    ]
    assert vat_class_of(choices, "digital_news", date(2026, 6, 30)) == "exempt"
    assert vat_class_of(choices, "digital_news", date(2026, 7, 1)) == "standard"
    assert vat_class_of([], "mixed", TODAY) == "standard"


def test_a_package_is_sold_until_the_day_before_its_end() -> None:
    check_on_sale(date(2024, 1, 1), TODAY + timedelta(days=1), TODAY)
    for start, end in ((TODAY + timedelta(days=1), None), (date(2024, 1, 1), TODAY)):
        with pytest.raises(NotOnSale):
            check_on_sale(start, end, TODAY)


def an_ask(**changes: object) -> Ask:
    given_ = {"agency": "bkh", "article": "a", "section": "kinh-te", "premium": True, **changes}
    return Ask(**given_)  # type: ignore[arg-type]


def decided(
    policy: WallPolicy, ask: Ask, *, person: bool = False, proved: bool = True, **paid: object
) -> object:
    held = [Entitlement((Grant("bkh", ("kinh-te",)),), TODAY, TODAY + timedelta(days=1))] if paid else []
    who = clock.new_id() if person or paid else None
    return look(policy, ask, who, held, frozenset({"bkh"}), proved, TODAY)


@pytest.mark.parametrize(
    ("rule", "person", "allowed", "reason"),
    [
        ("free", False, True, "free"),
        ("registration", False, False, "registration"),
        ("registration", True, True, "registration"),
        ("hard", True, False, "wall"),
        ("metered", False, None, "metered"),
    ],
)
def test_each_rule_answers_for_itself(*, rule: str, person: bool, allowed: bool | None, reason: str) -> None:
    policy = WallPolicy(default=SectionPolicy(premium=rule))  # type: ignore[arg-type]
    verdict = decided(policy, an_ask(), person=person)
    assert (verdict.allowed, verdict.reason) == (allowed, reason)  # type: ignore[attr-defined]


def test_a_paid_period_opens_its_sections_on_its_days_and_no_others() -> None:
    hard = WallPolicy(default=SectionPolicy(premium="hard"))
    assert decided(hard, an_ask(), paid=True).reason == "entitled"  # type: ignore[attr-defined]
    assert decided(hard, an_ask(section="du-lich"), paid=True).reason == "wall"  # type: ignore[attr-defined]
    over = Entitlement((Grant("bkh"),), TODAY - timedelta(days=30), TODAY)
    verdict = look(hard, an_ask(), clock.new_id(), [over], frozenset({"bkh"}), True, TODAY)
    assert verdict.allowed is False


def test_what_was_bought_at_an_absorbed_agency_opens_its_heir_and_not_the_reverse() -> None:
    hard = WallPolicy(default=SectionPolicy(premium="hard"))
    old = Entitlement((Grant("baokh"),), TODAY, TODAY + timedelta(days=1))
    who = clock.new_id()
    assert look(hard, an_ask(), who, [old], frozenset({"bkh", "baokh"}), True, TODAY).allowed
    new = Entitlement((Grant("bkh"),), TODAY, TODAY + timedelta(days=1))
    assert not look(hard, an_ask(agency="baokh"), who, [new], frozenset({"baokh"}), True, TODAY).allowed


def test_a_device_without_identity_meets_the_stricter_limit() -> None:
    policy = WallPolicy(default=SectionPolicy(limit=5, new_device_limit=1))
    assert decided(policy, an_ask(), proved=False).limit == 1  # type: ignore[attr-defined]
    assert decided(policy, an_ask(), proved=True).limit == 5  # type: ignore[attr-defined]
    assert decided(policy, an_ask(), proved=False, person=True).limit == 5  # type: ignore[attr-defined]


def test_a_verified_crawler_gets_what_the_policy_says_and_spends_nothing() -> None:
    assert decided(WallPolicy(), an_ask(crawler=True)).allowed is False  # type: ignore[attr-defined]
    assert decided(WallPolicy(crawlers="full"), an_ask(crawler=True)).reason == "policy"  # type: ignore[attr-defined]


def test_the_answer_shows_the_policys_limit_and_never_a_negative_rest() -> None:
    policy = WallPolicy(default=SectionPolicy(limit=3))
    assert after_meter(policy, an_ask(), Spent(True, 1)).remaining == 2
    assert after_meter(policy, an_ask(), Spent(True, 5)).remaining == 0
    assert after_meter(policy, an_ask(), Spent(False, 3)).reason == "wall"


def test_standing_follows_from_periods_and_open_invoices() -> None:
    now, later = (
        Span(TODAY, TODAY + timedelta(days=9)),
        Span(TODAY + timedelta(days=9), TODAY + timedelta(days=19)),
    )
    past = Span(date(2026, 1, 1), date(2026, 2, 1))
    cases = [
        ((now,), False, "active"),
        ((past, later), False, "upcoming"),
        ((past,), True, "ended"),
        ((), True, "incomplete"),
        ((), False, "unpaid"),
    ]
    for periods, open_, expected in cases:
        life = Life(periods, open_, cancelled=False, renewal=True)
        assert standing(life, TODAY) == expected
        assert may_cancel(life, TODAY) == (expected in ("active", "upcoming", "incomplete"))
    back = Life((), invoice_open=False, cancelled=False, renewal=False, returned=True)
    assert standing(back, TODAY) == "returned"
