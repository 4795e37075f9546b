"""What must always be so, and what once everything that was said is heard: money, stock, access, books, letters."""

from collections import Counter
from typing import Any

from shared import clock
from tests.simulation.town import Town

SELLERS = ("ads", "subscriptions", "events")


def check(town: Town) -> None:
    """Raises AssertionError for the first truth that does not hold once everything is heard."""
    for truth in TRUTHS:
        truth(town)


def check_at_any_time(town: Town) -> None:
    """Raises AssertionError for the first truth that does not hold, whatever is still on its way."""
    for truth in ALWAYS:
        truth(town)


def _rows(town: Town, flat: str, statement: str) -> list[Any]:
    return town.eyes[flat].execute(statement, {"now": clock.now()}).fetchall()


def _sum(town: Town, flat: str, statement: str) -> int:
    [(found,)] = _rows(town, flat, statement)
    return int(found or 0)


def the_bank_agrees(town: Town) -> None:
    """Bank = captures, applied or in suspense, − refunds."""
    took = _sum(town, "payments", "SELECT sum(amount_vnd) FROM sim_transaction WHERE state = 'paid'")
    gave = _sum(town, "payments", "SELECT sum(refunded_vnd) FROM sim_transaction")
    captured = _sum(town, "payments", "SELECT sum(amount_vnd) FROM capture")
    refunded = _sum(town, "payments", "SELECT sum(amount_vnd) FROM refund WHERE state = 'completed'")
    assert took == captured, f"the bank took {took}, we captured {captured}"
    assert gave == refunded, f"the bank gave back {gave}, we refunded {refunded}"


def no_more_moves_than_the_bank_says(town: Town) -> None:
    """At no time has more come than the bank took, or more gone back than it gave, or than had come."""
    [(took, gave, captured, refunded)] = _rows(
        town,
        "payments",
        "SELECT coalesce((SELECT sum(amount_vnd) FROM sim_transaction WHERE state = 'paid'), 0) AS took, "
        "coalesce((SELECT sum(refunded_vnd) FROM sim_transaction), 0) AS gave, "
        "coalesce((SELECT sum(amount_vnd) FROM capture), 0) AS captured, "
        "coalesce((SELECT sum(amount_vnd) FROM refund WHERE state = 'completed'), 0) AS refunded",
    )
    assert captured <= took, f"the bank took {took}, we captured {captured}"
    assert refunded <= gave <= took, f"the bank took {took} and gave back {gave}, we refunded {refunded}"
    over = _rows(
        town,
        "payments",
        "SELECT c.id, c.amount_vnd, sum(r.amount_vnd) FROM capture c JOIN refund r ON r.capture = c.id "
        "WHERE r.state = 'completed' GROUP BY c.id HAVING sum(r.amount_vnd) > c.amount_vnd",
    )
    assert not over, f"more went back than came: {over}"


def every_entry_balances(town: Town) -> None:
    """At no time do the books hold an entry whose legs do not sum to zero."""
    wrong = _rows(town, "ledger", "SELECT entry FROM leg GROUP BY entry HAVING sum(amount_vnd) <> 0")
    assert not wrong, f"entries do not balance: {wrong}"


def nothing_waits(town: Town) -> None:
    """No fact, offer, refund or hold waits that nobody will answer."""
    for flat in town.flats.values():
        kept = _rows(town, flat.name, "SELECT subject, state, waits_for, error FROM retry")
        assert not kept, f"{flat.name} keeps {kept}"
        assert not flat.inbox, f"{flat.name} has not heard {flat.inbox}"
    refunds = _rows(
        town,
        "payments",
        "SELECT id, state, cause FROM refund r WHERE state NOT IN ('completed', 'rejected', 'refused', 'failed') "
        "OR (state IN ('failed', 'rejected') AND (cause <> 'person' OR state = 'failed') "
        "AND NOT EXISTS (SELECT FROM refund n WHERE n.renews = r.id))",
    )
    assert not refunds, f"refunds wait: {refunds}"
    suspense = _rows(
        town, "payments", "SELECT id, reason, amount_vnd, refunding_vnd FROM capture WHERE NOT applied"
    )
    assert all(row.refunding_vnd == row.amount_vnd for row in suspense), f"in suspense: {suspense}"
    attempts = _rows(town, "payments", "SELECT id, state FROM attempt WHERE state IN ('open', 'held')")
    assert not attempts, f"attempts wait: {attempts}"
    for seller in SELLERS:
        sales = _rows(
            town,
            seller,
            "SELECT number, taken, withdrawn_at, expires_at FROM sale WHERE paid_at IS NULL AND outcome IS NULL "
            "AND (taken IS NOT NULL OR withdrawn_at IS NOT NULL OR (collect = 'prepaid' AND expires_at < %(now)s))",
        )
        assert not sales, f"{seller} waits for {sales}"


def every_dong_has_its_place(town: Town) -> None:
    """What was captured for a sale its seller knows of, no more than it cost; and what is credited has gone back."""
    captured = {
        row.invoice: row
        for row in _rows(
            town,
            "payments",
            "SELECT i.id AS invoice, i.seller, sum(c.amount_vnd) AS amount, i.total_vnd AS total FROM capture c "
            "JOIN invoice i ON i.id = c.invoice WHERE c.applied GROUP BY i.id",
        )
    }
    back: Counter[Any] = Counter()
    for row in _rows(
        town,
        "payments",
        "SELECT c.invoice, r.amount_vnd FROM refund r JOIN capture c ON c.id = r.capture "
        "WHERE r.state = 'completed' AND c.applied",
    ):
        back[row.invoice] += row.amount_vnd
    for seller in SELLERS:
        sales = {
            row.id: row
            for row in _rows(
                town,
                seller,
                "SELECT id, number, kind, total_vnd, captured_vnd, credited_vnd, paid_at FROM sale",
            )
        }
        for invoice, money in captured.items():
            if money.seller != seller:
                continue
            sale = sales[invoice]
            assert sale.captured_vnd == money.amount, (
                f"{sale.number}: {money.amount} came, {sale.captured_vnd} known"
            )
            assert money.amount <= money.total, f"{sale.number} kept {money.amount} of {money.total}"
            assert back[invoice] == sale.credited_vnd, (
                f"{sale.number}: credited {sale.credited_vnd}, went back {back[invoice]}"
            )
        unpaid = [row for row in sales.values() if row.captured_vnd and row.id not in captured]
        assert not unpaid, f"{seller} believes in money for {unpaid}"


_GIVEN = (
    (
        "subscriptions",
        (
            "SELECT s.number FROM sale s LEFT JOIN period p ON p.invoice = s.id "
            "WHERE (s.paid_at IS NOT NULL AND s.credited_vnd < s.total_vnd) AND p.id IS NULL"
        ),
    ),
    (
        "subscriptions",
        (
            "SELECT s.number FROM sale s JOIN period p ON p.invoice = s.id "
            "WHERE s.paid_at IS NULL OR (s.credited_vnd = s.total_vnd AND s.total_vnd > 0 "
            "AND p.until > (%(now)s AT TIME ZONE 'Asia/Ho_Chi_Minh')::date + 1)"
        ),
    ),
    (
        "ads",
        (
            "SELECT s.number FROM sale s JOIN ad_order o ON o.id = s.of "
            "WHERE (s.paid_at IS NOT NULL AND s.credited_vnd < s.total_vnd) <> (o.paid_at IS NOT NULL "
            "AND NOT (s.credited_vnd = s.total_vnd))"
        ),
    ),
    (
        "events",
        (
            "SELECT s.number FROM sale s JOIN hold h ON h.invoice = s.id "
            "WHERE s.kind <> 'instalment' AND (s.paid_at IS NOT NULL AND (s.credited_vnd < s.total_vnd "
            "OR s.total_vnd = 0)) <> (h.sold_at IS NOT NULL AND h.returned_at IS NULL)"
        ),
    ),
    (
        "events",
        (
            "SELECT s.number FROM sale s JOIN registration r ON r.id = s.of JOIN entrant e "
            "ON e.registration = r.id WHERE (s.paid_at IS NOT NULL AND (s.credited_vnd < s.total_vnd "
            "OR s.total_vnd = 0)) AND e.bib IS NULL"
        ),
    ),
)
"""Sales, by flat, of which what was paid and what was given disagree."""


def what_was_paid_is_given(town: Town) -> None:
    """Who paid, and was not given back everything, has what they paid for; nobody else has."""
    for flat, statement in _GIVEN:
        wrong = _rows(town, flat, statement)
        assert not wrong, f"{flat}: paid and given disagree for {wrong}"


def stock_is_what_causes_say(town: Town) -> None:
    """Stock = capacity: what is held and sold follows from its holds, and is never more than there is."""
    wrong = _rows(
        town,
        "events",
        "SELECT s.title, s.held, s.sold, s.capacity FROM sellable s LEFT JOIN hold h ON h.sellable = s.id "
        "GROUP BY s.id HAVING s.held + s.sold > s.capacity "
        "OR s.held <> coalesce(sum(h.quantity) FILTER (WHERE h.freed_at IS NULL AND h.sold_at IS NULL), 0) "
        "OR s.sold <> coalesce(sum(h.quantity) FILTER (WHERE h.sold_at IS NOT NULL AND h.returned_at IS NULL), 0)",
    )
    assert not wrong, f"stock disagrees: {wrong}"
    twice = _rows(
        town,
        "events",
        "SELECT event, bib FROM entrant WHERE bib IS NOT NULL GROUP BY event, bib HAVING count(*) > 1",
    )
    assert not twice, f"bibs twice: {twice}"


def the_books_agree(town: Town) -> None:
    """Cash = bank; suspense and unused credits are empty; no line has earned more than was paid; all sums to zero."""
    balances = {
        row.account: int(row.amount)
        for row in _rows(
            town, "ledger", "SELECT account, sum(amount_vnd) AS amount FROM leg GROUP BY account"
        )
    }
    assert sum(balances.values()) == 0, f"the books do not balance: {balances}"
    cash = sum(amount for account, amount in balances.items() if account.startswith("cash_in_transit"))
    captured = _sum(town, "payments", "SELECT sum(amount_vnd) FROM capture")
    refunded = _sum(town, "payments", "SELECT sum(amount_vnd) FROM refund WHERE state = 'completed'")
    assert cash == captured - refunded, f"the books hold {cash}, we have {captured} − {refunded}"
    assert balances.get("suspense", 0) == 0, f"suspense is {balances['suspense']}"
    assert balances.get("unused_credits", 0) == 0, f"unused credits are {balances['unused_credits']}"
    lines = _rows(
        town,
        "ledger",
        "SELECT line, sum(amount_vnd) AS amount FROM leg WHERE account = 'deferred_revenue' AND line IS NOT NULL "
        "GROUP BY line HAVING sum(amount_vnd) > 0",
    )
    assert not lines, f"more is earned than was paid: {lines}"


_LETTERS = {
    "late": "capture WHERE reason <> ''",
    "taken": "capture WHERE answer = 'taken' AND applied",
    "declined": "capture WHERE answer = 'declined'",
    "returned": "refund WHERE state = 'completed'",
}
"""By letter, of how many rows of payments it tells."""


def everybody_was_told(town: Town) -> None:
    """Each payer whose money came late, was taken, was declined, or came back has one letter about each of these."""
    letters = Counter(
        {
            row.template: row.count
            for row in _rows(
                town, "accounts", "SELECT template, count(*) AS count FROM message GROUP BY template"
            )
        }
    )
    for news, told_of in _LETTERS.items():
        due = _sum(town, "payments", f"SELECT count(*) FROM {told_of}")
        assert letters[f"payments.money-{news}"] == due, f"{due} times money {news}, letters: {letters}"


def every_offer_is_answered(town: Town) -> None:
    """Its seller took or declined all late money; nobody left it to the desk."""
    offered = _sum(
        town,
        "payments",
        "SELECT count(*) FROM fact_log WHERE subject = 'payments.money.unapplied.v1' "
        "AND convert_from(body, 'UTF8')::jsonb ->> 'offered_to' <> ''",
    )
    answered = 0
    for seller in SELLERS:
        answered += _sum(
            town,
            seller,
            f"SELECT count(*) FROM fact_log WHERE subject IN ('{seller}.money.taken.v1', '{seller}.money.declined.v1')",
        )
    assert offered == answered, f"{offered} offers, {answered} answers"


ALWAYS = (
    no_more_moves_than_the_bank_says,
    what_was_paid_is_given,
    stock_is_what_causes_say,
    every_entry_balances,
)

TRUTHS = (
    every_offer_is_answered,
    the_bank_agrees,
    nothing_waits,
    every_dong_has_its_place,
    what_was_paid_is_given,
    stock_is_what_causes_say,
    the_books_agree,
    everybody_was_told,
)
