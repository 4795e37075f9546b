"""What must be so once everything that was said is heard: money, stock, access, books, and who was told."""

from collections import Counter
from typing import Any

import sqlalchemy as sa

from shared import clock
from tests.simulation.town import Town

SELLERS = ("ads", "subscriptions", "events")


async def check(town: Town) -> None:
    """Raises AssertionError for the first truth that does not hold."""
    for truth in TRUTHS:
        await truth(town)


async def _rows(town: Town, flat: str, statement: str) -> list[Any]:
    async with town.flats[flat].tx() as tx:
        return list((await tx.execute(sa.text(statement), {"now": clock.now()})).all())


async def _sum(town: Town, flat: str, statement: str) -> int:
    [(found,)] = await _rows(town, flat, statement)
    return int(found or 0)


async def the_bank_agrees(town: Town) -> None:
    """Bank = captures, applied or in suspense, − refunds."""
    took = await _sum(town, "payments", "SELECT sum(amount_vnd) FROM sim_transaction WHERE state = 'paid'")
    gave = await _sum(town, "payments", "SELECT sum(refunded_vnd) FROM sim_transaction")
    captured = await _sum(town, "payments", "SELECT sum(amount_vnd) FROM capture")
    refunded = await _sum(town, "payments", "SELECT sum(amount_vnd) FROM refund WHERE state = 'completed'")
    assert took == captured, f"the bank took {took}, we captured {captured}"
    assert gave == refunded, f"the bank gave back {gave}, we refunded {refunded}"


async def nothing_waits(town: Town) -> None:
    """No fact, offer, refund or hold waits that nobody will answer."""
    for flat in town.flats.values():
        kept = await _rows(town, flat.name, "SELECT subject, state, waits_for, error FROM retry")
        assert not kept, f"{flat.name} keeps {kept}"
        assert not flat.inbox, f"{flat.name} has not heard {flat.inbox}"
    refunds = await _rows(
        town,
        "payments",
        "SELECT id, state, cause FROM refund r WHERE state NOT IN ('completed', 'rejected', 'refused', 'failed') "
        "OR (state IN ('failed', 'rejected') AND (cause <> 'person' OR state = 'failed') "
        "AND NOT EXISTS (SELECT FROM refund n WHERE n.renews = r.id))",
    )
    assert not refunds, f"refunds wait: {refunds}"
    suspense = await _rows(
        town, "payments", "SELECT id, reason, amount_vnd, refunding_vnd FROM capture WHERE NOT applied"
    )
    assert all(row.refunding_vnd == row.amount_vnd for row in suspense), f"in suspense: {suspense}"
    attempts = await _rows(town, "payments", "SELECT id, state FROM attempt WHERE state IN ('open', 'held')")
    assert not attempts, f"attempts wait: {attempts}"
    for seller in SELLERS:
        sales = await _rows(
            town,
            seller,
            "SELECT number, taken, withdrawn_at, expires_at FROM sale WHERE paid_at IS NULL AND outcome IS NULL "
            "AND (taken IS NOT NULL OR withdrawn_at IS NOT NULL OR (collect = 'prepaid' AND expires_at < :now))",
        )
        assert not sales, f"{seller} waits for {sales}"


async def every_dong_has_its_place(town: Town) -> None:
    """What was captured for a sale its seller knows of, no more than it cost; and what is credited has gone back."""
    captured = {
        row.invoice: row
        for row in await _rows(
            town,
            "payments",
            "SELECT i.id AS invoice, i.seller, sum(c.amount_vnd) AS amount, i.total_vnd AS total FROM capture c "
            "JOIN invoice i ON i.id = c.invoice WHERE c.applied GROUP BY i.id",
        )
    }
    back: Counter[Any] = Counter()
    for row in await _rows(
        town,
        "payments",
        "SELECT c.invoice, r.amount_vnd FROM refund r JOIN capture c ON c.id = r.capture "
        "WHERE r.state = 'completed' AND c.applied",
    ):
        back[row.invoice] += row.amount_vnd
    for seller in SELLERS:
        sales = {
            row.id: row
            for row in await _rows(
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
            "AND p.until > (:now AT TIME ZONE 'Asia/Ho_Chi_Minh')::date + 1)"
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


async def what_was_paid_is_given(town: Town) -> None:
    """Who paid, and was not given back everything, has what they paid for; nobody else has."""
    for flat, statement in _GIVEN:
        wrong = await _rows(town, flat, statement)
        assert not wrong, f"{flat}: paid and given disagree for {wrong}"


async def stock_is_what_causes_say(town: Town) -> None:
    """Stock = capacity: what is held and sold follows from its holds, and is never more than there is."""
    wrong = await _rows(
        town,
        "events",
        "SELECT s.title, s.held, s.sold, s.capacity FROM sellable s LEFT JOIN hold h ON h.sellable = s.id "
        "GROUP BY s.id HAVING s.held + s.sold > s.capacity "
        "OR s.held <> coalesce(sum(h.quantity) FILTER (WHERE h.freed_at IS NULL AND h.sold_at IS NULL), 0) "
        "OR s.sold <> coalesce(sum(h.quantity) FILTER (WHERE h.sold_at IS NOT NULL AND h.returned_at IS NULL), 0)",
    )
    assert not wrong, f"stock disagrees: {wrong}"
    twice = await _rows(
        town, "events", "SELECT bib FROM entrant WHERE bib IS NOT NULL GROUP BY bib HAVING count(*) > 1"
    )
    assert not twice, f"bibs twice: {twice}"


async def the_books_agree(town: Town) -> None:
    """Cash = bank; suspense and unused credits are empty; no line has earned more than was paid; all sums to zero."""
    balances = {
        row.account: int(row.amount)
        for row in await _rows(
            town, "ledger", "SELECT account, sum(amount_vnd) AS amount FROM leg GROUP BY account"
        )
    }
    assert sum(balances.values()) == 0, f"the books do not balance: {balances}"
    cash = sum(amount for account, amount in balances.items() if account.startswith("cash_in_transit"))
    captured = await _sum(town, "payments", "SELECT sum(amount_vnd) FROM capture")
    refunded = await _sum(town, "payments", "SELECT sum(amount_vnd) FROM refund WHERE state = 'completed'")
    assert cash == captured - refunded, f"the books hold {cash}, we have {captured} − {refunded}"
    assert balances.get("suspense", 0) == 0, f"suspense is {balances['suspense']}"
    assert balances.get("unused_credits", 0) == 0, f"unused credits are {balances['unused_credits']}"
    lines = await _rows(
        town,
        "ledger",
        "SELECT line, sum(amount_vnd) AS amount FROM leg WHERE account = 'deferred_revenue' AND line IS NOT NULL "
        "GROUP BY line HAVING sum(amount_vnd) > 0",
    )
    assert not lines, f"more is earned than was paid: {lines}"


async def everybody_was_told(town: Town) -> None:
    """Each payer whose money was taken late, declined, or came back has a letter about it."""
    letters = Counter(
        {
            row.template: row.count
            for row in await _rows(
                town, "accounts", "SELECT template, count(*) AS count FROM message GROUP BY template"
            )
        }
    )
    back = await _sum(town, "payments", "SELECT count(*) FROM refund WHERE state = 'completed'")
    assert letters["payments.money-returned"] == back, f"{back} refunds, letters: {letters}"


async def every_offer_is_answered(town: Town) -> None:
    """Its seller took or declined all late money; nobody left it to the desk."""
    offered = await _sum(
        town,
        "payments",
        "SELECT count(*) FROM fact_log WHERE subject = 'payments.money.unapplied.v1' "
        "AND convert_from(body, 'UTF8')::jsonb ->> 'offered_to' <> ''",
    )
    answered = 0
    for seller in SELLERS:
        answered += await _sum(
            town,
            seller,
            f"SELECT count(*) FROM fact_log WHERE subject IN ('{seller}.money.taken.v1', '{seller}.money.declined.v1')",
        )
    assert offered == answered, f"{offered} offers, {answered} answers"


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
