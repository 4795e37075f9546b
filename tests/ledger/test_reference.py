"""The reference ledger against sums that were worked out by hand."""

from datetime import date, timedelta

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings

from shared.calendar import start_of
from shared.contracts import Fact
from shared.contracts.base import OnDate, Period
from tests.ledger.builders import (
    a_line,
    captured,
    credit,
    delivered,
    delivery,
    moved,
    opened,
    promised,
    refunded,
    undelivered,
)
from tests.ledger.honest import AGENCIES, Scene, scenes
from tests.ledger.reference import Balances, history

MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))


def books(facts: list[Fact], day: date, agency: str = "bkh") -> dict[str, int]:
    """One agency's balances at the end of a day, by account."""
    found: Balances = history(facts, day, day)[day]
    return {account: amount for (of, account), amount in found.items() if of == agency}


@pytest.mark.promise("L4")
def test_a_campaign_on_terms_is_receivable_then_earned_then_credited_then_paid() -> None:
    """1.000.000 net and 80.000 VAT for 4 deliverables: 1 and then 2 delivered, 500.000 credited, the rest paid."""
    line = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    facts: list[Fact] = [
        opened(line, on=date(2026, 3, 1)),
        delivery(line, 1, on=date(2026, 3, 15)),
        delivery(line, 2, on=date(2026, 3, 31)),
        credit(line, 500_000, 40_000, on=date(2026, 4, 2)),
        captured(line, paid=[540_000], collect="on_terms", on=date(2026, 4, 20)),
    ]
    invoiced = {"receivable": 1_080_000, "output_vat": -80_000, "deferred_revenue": -1_000_000}
    assert books(facts, date(2026, 2, 28)) == {}
    assert books(facts, date(2026, 3, 1)) == books(facts, date(2026, 3, 14)) == invoiced
    assert books(facts, date(2026, 3, 15)) == {**invoiced, "deferred_revenue": -750_000, "revenue": -250_000}
    march = {**invoiced, "deferred_revenue": -250_000, "revenue": -750_000}
    assert books(facts, date(2026, 3, 31)) == books(facts, date(2026, 4, 1)) == march
    # Of the credit 250.000 was not earned yet; the other 250.000 is a deduction from what was.
    april = {"receivable": 540_000, "output_vat": -40_000, "revenue": -750_000, "deductions": 250_000}
    assert books(facts, date(2026, 4, 2)) == books(facts, date(2026, 4, 19)) == april
    paid = {
        "cash_in_transit:vnpay": 540_000,
        "output_vat": -40_000,
        "revenue": -750_000,
        "deductions": 250_000,
    }
    assert books(facts, date(2026, 4, 20)) == paid


@pytest.mark.promise("L4")
def test_a_line_of_march_that_is_half_paid_earns_half_in_march_and_the_rest_when_it_is_paid() -> None:
    line = a_line(155_000, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [
        captured(line, paid=[77_500], on=date(2026, 2, 28)),
        captured(line, paid=[77_500], on=date(2026, 4, 10)),
    ]
    assert books(facts, date(2026, 2, 28)) == {"cash_in_transit:vnpay": 77_500, "deferred_revenue": -77_500}
    assert books(facts, date(2026, 3, 10))["revenue"] == -25_000
    march = {"cash_in_transit:vnpay": 77_500, "revenue": -77_500}
    assert books(facts, date(2026, 3, 31)) == books(facts, date(2026, 4, 9)) == march
    assert books(facts, date(2026, 4, 10)) == {"cash_in_transit:vnpay": 155_000, "revenue": -155_000}


@pytest.mark.promise("L4")
def test_half_a_line_that_is_paid_before_its_day_and_half_after_it_leaves_nothing_deferred() -> None:
    line = a_line(90_000, earn=OnDate(date(2026, 3, 8)), vat_class="exempt")
    facts: list[Fact] = [
        captured(line, paid=[45_000], on=date(2026, 3, 1)),
        captured(line, paid=[45_000], on=date(2026, 3, 9)),
    ]
    assert books(facts, date(2026, 3, 7))["deferred_revenue"] == -45_000
    assert books(facts, date(2026, 3, 8)) == {"cash_in_transit:vnpay": 45_000, "revenue": -45_000}
    assert books(facts, date(2026, 3, 9)) == {"cash_in_transit:vnpay": 90_000, "revenue": -90_000}


def test_what_is_paid_late_within_a_period_makes_up_its_days_at_once() -> None:
    """31.000 a month: on the 10th 10 days of it are over, whenever the halves came."""
    line = a_line(31_000, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [
        captured(line, paid=[15_500], on=date(2026, 2, 1)),
        captured(line, paid=[15_500], on=date(2026, 3, 10)),
    ]
    assert books(facts, date(2026, 3, 9))["revenue"] == -4_500
    assert books(facts, date(2026, 3, 10))["revenue"] == -10_000


def test_a_credit_takes_the_days_that_remain_and_no_day_that_is_over() -> None:
    """3.100 in March: by the 10th 1.000 is earned; 1.050 of the 2.100 left is credited, so 50 a day remain."""
    line = a_line(3_100, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [
        captured(line, on=date(2026, 3, 1)),
        credit(line, 1_050, 0, on=date(2026, 3, 10)),
        refunded(1_050, date(2026, 3, 12)),
    ]
    given = books(facts, date(2026, 3, 10))
    assert given == {
        "cash_in_transit:vnpay": 3_100,
        "unused_credits": -1_050,
        "revenue": -1_000,
        "deferred_revenue": -1_050,
    }
    assert books(facts, date(2026, 3, 11))["revenue"] == -1_050
    assert books(facts, date(2026, 3, 31)) == {"cash_in_transit:vnpay": 2_050, "revenue": -2_050}


def test_a_move_is_reckoned_as_if_the_days_had_always_been_the_new_ones() -> None:
    """On 11 March 1.100 of 3.100 was earned; moved to 2 March – 1 April it is 1.000; moved to April, nothing."""
    line = a_line(3_100, earn=MARCH, vat_class="exempt")
    paid = captured(line, on=date(2026, 3, 1))
    a_day = moved(line, Period(date(2026, 3, 2), date(2026, 4, 1)), date(2026, 3, 11))
    april = moved(line, OnDate(date(2026, 4, 30)), date(2026, 3, 11))
    assert books([paid, a_day], date(2026, 3, 10))["revenue"] == -1_000
    assert books([paid, a_day], date(2026, 3, 11))["revenue"] == -1_000
    assert books([paid, a_day], date(2026, 4, 1))["revenue"] == -3_100
    assert "revenue" not in books([paid, april], date(2026, 3, 11))
    assert books([paid, april], date(2026, 4, 30))["revenue"] == -3_100


def test_what_a_credit_left_is_earned_on_the_days_it_is_moved_to() -> None:
    """Of 3.100 credit took 1.050; the other 2.050 are earned on the first ten days of April, 205 on each."""
    line = a_line(3_100, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [
        captured(line, on=date(2026, 3, 1)),
        credit(line, 1_050, 0, on=date(2026, 3, 10)),
        moved(line, Period(date(2026, 4, 1), date(2026, 4, 10)), date(2026, 3, 12)),
    ]
    assert books(facts, date(2026, 3, 11))["revenue"] == -1_050
    assert books(facts, date(2026, 3, 12))["deferred_revenue"] == -2_050
    assert books(facts, date(2026, 4, 3))["revenue"] == -615
    assert books(facts, date(2026, 4, 10))["revenue"] == -2_050


def test_money_after_a_credit_makes_up_the_days_before_it_and_fills_those_after_it() -> None:
    """1.550 of 3.100 is paid, and what is left of it on the 10th credited; the rest is paid on the 20th."""
    line = a_line(3_100, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [
        captured(line, paid=[1_550], on=date(2026, 3, 1)),
        credit(line, 1_050, 0, on=date(2026, 3, 10)),
        captured(line, paid=[1_550], on=date(2026, 3, 20)),
    ]
    assert books(facts, date(2026, 3, 10))["revenue"] == books(facts, date(2026, 3, 19))["revenue"] == -500
    # Ten days at 100, and ten of the twenty-one that remain for 1.050.
    assert books(facts, date(2026, 3, 20))["revenue"] == -1_500
    assert books(facts, date(2026, 3, 31))["revenue"] == -2_050


def test_what_is_credited_before_the_first_day_leaves_less_for_each_day() -> None:
    line = a_line(3_100, earn=MARCH, vat_class="exempt")
    facts: list[Fact] = [captured(line, on=date(2026, 2, 20)), credit(line, 1_550, 0, on=date(2026, 2, 25))]
    assert books(facts, date(2026, 2, 28))["deferred_revenue"] == -1_550
    assert books(facts, date(2026, 3, 10))["revenue"] == -500


def test_an_order_that_is_changed_earns_by_what_it_says_last() -> None:
    line = a_line(155_000, earn=MARCH, stream="sponsorship.cash")
    signed = promised(line, on=date(2026, 3, 1))
    less = msgspec.structs.replace(line, net_vnd=77_500)
    facts: list[Fact] = [signed, promised(less, on=date(2026, 3, 10), order=signed.order)]
    assert books(facts, date(2026, 3, 9)) == {"unbilled_delivery": 45_000, "revenue": -45_000}
    assert books(facts, date(2026, 3, 10)) == {"unbilled_delivery": 25_000, "revenue": -25_000}


def test_money_before_its_invoice_on_terms_is_an_advance_and_the_first_invoice_is_the_one_that_counts() -> (
    None
):
    line = a_line(100_000, earn=OnDate(date(2026, 3, 9)))
    dearer = msgspec.structs.replace(line, net_vnd=200_000, vat_vnd=16_000)
    facts: list[Fact] = [
        captured(line, on=date(2026, 3, 1), collect="on_terms"),
        opened(line, on=date(2026, 3, 5)),
        opened(dearer, on=date(2026, 3, 7)),
    ]
    assert books(facts, date(2026, 3, 4)) == {"cash_in_transit:vnpay": 108_000, "customer_advances": -108_000}
    invoiced = {"cash_in_transit:vnpay": 108_000, "output_vat": -8_000, "deferred_revenue": -100_000}
    assert books(facts, date(2026, 3, 5)) == books(facts, date(2026, 3, 8)) == invoiced


@pytest.mark.parametrize("fact", [opened(a_line(100_000)), refunded(5_000, date(2026, 3, 1))])
def test_a_day_begins_at_midnight_in_viet_nam(fact: Fact) -> None:
    midnight = start_of(date(2026, 3, 1))
    first = msgspec.structs.replace(fact, occurred_at=midnight)
    before = msgspec.structs.replace(fact, occurred_at=midnight - timedelta(microseconds=1))
    assert books([first], date(2026, 2, 28)) == {}
    assert books([before], date(2026, 2, 28)) == books([first], date(2026, 3, 1)) != {}


def test_what_is_delivered_of_a_signed_order_is_unbilled_until_its_invoice() -> None:
    line = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    facts: list[Fact] = [
        promised(line, on=date(2026, 3, 1)),
        delivery(line, 3, on=date(2026, 3, 10)),
        undelivered(line, 1, on=date(2026, 3, 12)),
        opened(line, on=date(2026, 3, 31)),
    ]
    assert books(facts, date(2026, 3, 1)) == {}
    assert books(facts, date(2026, 3, 10)) == {"unbilled_delivery": 750_000, "revenue": -750_000}
    assert books(facts, date(2026, 3, 12)) == {"unbilled_delivery": 500_000, "revenue": -500_000}
    assert books(facts, date(2026, 3, 31)) == {
        "receivable": 1_080_000,
        "output_vat": -80_000,
        "deferred_revenue": -500_000,
        "revenue": -500_000,
    }


def test_an_order_that_is_called_off_earns_nothing_any_more() -> None:
    line = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    signed = promised(line, on=date(2026, 3, 1))
    off = msgspec.structs.replace(promised(line, on=date(2026, 3, 20)), order=signed.order, lines=())
    facts: list[Fact] = [signed, off, delivery(line, 3, on=date(2026, 3, 10))]
    assert books(facts, date(2026, 3, 19))["revenue"] == -750_000
    assert books(facts, date(2026, 3, 20)) == {}


def test_the_customer_stands_at_the_agency_that_invoices_and_the_sale_at_the_one_that_sells() -> None:
    line = a_line(100_000, agency="tcnt", earn=OnDate(date(2026, 3, 5)))
    facts: list[Fact] = [
        opened(line, on=date(2026, 3, 1)),
        captured(line, paid=[118_000], collect="on_terms", on=date(2026, 3, 2)),
    ]
    assert books(facts, date(2026, 3, 1)) == {"receivable": 108_000, "due_to:tcnt": -108_000}
    assert books(facts, date(2026, 3, 2)) == {
        "cash_in_transit:vnpay": 118_000,
        "customer_advances": -10_000,
        "due_to:tcnt": -108_000,
    }
    assert books(facts, date(2026, 3, 5), "tcnt") == {
        "due_from:bkh": 108_000,
        "output_vat": -8_000,
        "revenue": -100_000,
    }


def test_a_credit_across_agencies_nets_on_both_sides() -> None:
    line = a_line(100_000, agency="tcnt", earn=OnDate(date(2026, 3, 5)))
    facts: list[Fact] = [
        captured(line, on=date(2026, 3, 1)),
        credit(line, 100_000, 8_000, on=date(2026, 3, 2)),
        refunded(108_000, date(2026, 3, 3)),
    ]
    assert books(facts, date(2026, 3, 2)) == {"cash_in_transit:vnpay": 108_000, "unused_credits": -108_000}
    assert books(facts, date(2026, 3, 2), "tcnt") == {}
    assert history(facts, date(2026, 3, 3), date(2026, 3, 9))[date(2026, 3, 9)] == {}


def test_vat_of_money_beyond_the_line_is_cut_to_the_line_and_the_rest_is_an_advance() -> None:
    line = a_line(100_000, earn=OnDate(date(2026, 3, 5)))
    facts: list[Fact] = [captured(line, paid=[216_000], vat=[16_000], on=date(2026, 3, 1))]
    assert books(facts, date(2026, 3, 5)) == {
        "cash_in_transit:vnpay": 216_000,
        "customer_advances": -108_000,
        "output_vat": -8_000,
        "revenue": -100_000,
    }


def test_charity_is_never_revenue_and_what_is_given_in_kind_is_cost_and_revenue_at_once() -> None:
    gift = a_line(500_000, stream="pass_through", vat_class="exempt")
    kind = a_line(2_000_000, stream="sponsorship.in_kind", vat_class="exempt", earn=OnDate(date(2026, 3, 5)))
    facts: list[Fact] = [captured(gift, on=date(2026, 3, 1)), opened(kind, on=date(2026, 3, 2))]
    assert books(facts, date(2026, 3, 1)) == {"cash_in_transit:vnpay": 500_000, "pass_through": -500_000}
    assert books(facts, date(2026, 3, 5)) == {
        "cash_in_transit:vnpay": 500_000,
        "pass_through": -500_000,
        "in_kind_revenue": -2_000_000,
        "in_kind_cost": 2_000_000,
    }


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(scenes())
def test_whatever_honest_senders_say_every_agency_balances_on_every_day(scene: Scene) -> None:
    for day, found in history(scene.facts, scene.first, scene.last).items():
        for agency in AGENCIES:
            assert sum(amount for (of, _), amount in found.items() if of == agency) == 0, day
