"""The history that a first start lives: it holds whatever a newcomer should be able to look up, once at least."""

import psycopg
import pytest

from ops.embedded.parts import postgres_url
from shared.contracts import SERVICES

pytestmark = [pytest.mark.promise("F7"), pytest.mark.xdist_group("house"), pytest.mark.stack]


@pytest.fixture(scope="module")
def ask(house):
    """One figure of a service's database, read behind its back."""

    def one(service, sql):
        with psycopg.connect(postgres_url(house.home, house.port("postgres"), service)) as db:
            return db.execute(sql).fetchone()[0]

    return one


def test_late_money_was_taken_by_its_seller_and_paid_the_invoice(ask):
    taken = ask(
        "payments",
        "SELECT count(*) FROM capture c JOIN invoice i ON i.id = c.invoice WHERE c.reason = 'invoice-closed' "
        "AND c.answer = 'taken' AND c.applied AND i.outcome = 'paid'",
    )
    assert taken > 0
    assert ask("events", "SELECT count(*) FROM sale WHERE taken IS NOT NULL AND paid_at IS NOT NULL") > 0


def test_late_money_was_declined_by_its_seller_and_went_back(ask):
    declined = ask(
        "payments",
        "SELECT count(*) FROM capture c JOIN refund r ON r.capture = c.id WHERE c.reason = 'already-paid' "
        "AND c.answer = 'declined' AND r.cause = 'declined' AND r.state = 'completed'",
    )
    assert declined > 0


def test_a_large_refund_was_asked_by_one_person_of_finance_and_approved_by_another(ask):
    two = ask(
        "payments",
        "SELECT json_agg(json_build_array(asked_by, approved_by)) FROM refund "
        "WHERE cause = 'person' AND state = 'completed' AND amount_vnd >= 20000000",
    )
    assert two
    for asked, approved in two:
        assert asked != approved
        names = f"SELECT count(*) FROM person WHERE id IN ('{asked}', '{approved}') AND name <> ''"
        assert ask("accounts", names) == 2
    over = "SELECT count(*) FROM sponsorship WHERE cancel_reason = 'refunded'"
    assert ask("events", over) > 0


def test_a_small_refund_took_one_person_and_voided_the_tickets(ask):
    alone = ask(
        "payments",
        "SELECT count(*) FROM refund WHERE cause = 'person' AND state = 'completed' AND approved_by IS NULL",
    )
    assert alone > 0
    assert ask("events", "SELECT count(*) FROM entrant WHERE voided_at IS NOT NULL") >= alone


def test_every_payer_was_told_what_became_of_unusual_money(ask):
    for news in ("late", "taken", "declined", "returned"):
        letters = "SELECT count(*) FROM message WHERE template = 'payments.money-{}'"
        assert ask("accounts", letters.format(news)) > 0, news


def test_tickets_for_nothing_were_given_without_an_invoice(ask):
    for_nothing = (
        "SELECT count(*) FROM sale JOIN registration r ON r.id = sale.of JOIN entrant e ON e.registration = r.id "
        "WHERE sale.total_vnd = 0 AND sale.paid_at IS NOT NULL AND e.bib IS NOT NULL"
    )
    assert ask("events", for_nothing) > 0


def test_two_agencies_merged_and_every_service_knows_it(ask):
    for service in SERVICES:
        assert ask(service, "SELECT count(*) FROM agency WHERE successor = 'bkh'") == 2, service


def test_a_package_changed_its_price_and_was_sold_at_both(ask):
    sold = (
        "SELECT count(*) FROM (SELECT 1 FROM price p JOIN subscription s ON s.price = p.id "
        "GROUP BY p.package, p.term_unit, p.term_count HAVING count(DISTINCT p.net_vnd) > 1) AS changed"
    )
    assert ask("subscriptions", sold) > 0


def test_what_the_bank_took_and_sent_back_is_what_payments_says(house, ask):
    by_the_bank = "SELECT sum(amount_vnd) - sum(refunded_vnd) FROM sim_transaction WHERE state = 'paid'"
    went = "(SELECT sum(amount_vnd) FROM refund WHERE state = 'completed')"
    ours = f"SELECT sum(amount_vnd) - {went} FROM capture WHERE rail = 'vnpay'"
    # Other journeys live in the same house, and what they paid may be on its way.
    house.until(lambda: ask("payments", by_the_bank) == ask("payments", ours) > 0, "the two books agree")
