"""Money that comes late or twice: offered to its seller, taken or declined, and its payer told; never both kept."""

from datetime import timedelta

import pytest
import sqlalchemy as sa

from services.payments import jobs
from services.payments.simulators import vnpay as simulator
from services.payments.tables import SimTransactionRow
from shared import clock
from shared.contracts import ads
from shared.contracts.payments import (
    InvoiceClosed,
    MessageRequested,
    MoneyUnapplied,
    PaymentCaptured,
    RefundCompleted,
)
from shared.observe import UNANSWERED
from tests.conftest import Flat, Flats
from tests.payments import (
    a_line,
    an_invoice,
    at_bank,
    declined,
    link,
    money_of,
    notify,
    one,
    paid,
    paid_late,
    state_of,
    taken,
    told,
)
from tests.payments.test_pages import ALL, DESK, agree, post, sign_in


async def letters(flat: Flat) -> list[str]:
    return [letter.template for letter in await told(flat, MessageRequested)]


async def page(flat: Flat, invoice: object) -> str:
    return (await flat.client.get(link(flat.kit.settings, invoice))).text  # type: ignore[arg-type]


@pytest.mark.promise("P7")
async def test_late_money_is_offered_to_its_seller_and_its_payer_is_told(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    payment = await paid_late(flat, invoice)
    facts = await flat.facts()
    (unapplied,) = [fact for fact in facts if isinstance(fact, MoneyUnapplied)]
    assert (unapplied.payment, unapplied.offered_to) == (payment, "subscriptions")
    (letter,) = [fact for fact in facts if isinstance(fact, MessageRequested)]
    assert (letter.person, letter.template) == (invoice.buyer.id, "payments.money-late")
    assert letter.params == {
        "number": invoice.number,
        "amount_vnd": invoice.total_vnd,
        "path": invoice.return_url,
    }
    shown = await page(flat, invoice)
    assert "Tiền đã đến muộn, đang hỏi bên bán" in shown
    assert "chưa bị trừ tiền" not in shown


@pytest.mark.promise("P7")
async def test_late_money_that_its_seller_takes_pays_the_invoice_on_that_day(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 8_000))
    payment = await paid_late(flat, invoice)
    came_at = await one(flat, "SELECT captured_at FROM capture")
    (offer,) = await told(flat, MoneyUnapplied)
    number = await one(flat, "SELECT gateway_no FROM capture")
    assert (offer.buyer, offer.reference) == (invoice.buyer, number)
    await flat.receive(taken(invoice, payment), taken(invoice, payment), declined(invoice, payment))
    facts = await flat.facts()
    captured, closed = [fact for fact in facts if isinstance(fact, PaymentCaptured | InvoiceClosed)]
    assert isinstance(captured, PaymentCaptured)
    assert (captured.payment, captured.from_suspense, captured.amount_vnd) == (payment, True, 108_000)
    assert captured.captured_at > came_at
    assert isinstance(closed, InvoiceClosed)
    assert closed.outcome == "paid"
    assert [fact.template for fact in facts if isinstance(fact, MessageRequested)] == ["payments.money-taken"]
    assert await one(flat, "SELECT applied, answer, captured_at FROM capture") == (True, "taken", came_at)
    assert (await state_of(flat, invoice))[0] == "paid"
    shown = await page(flat, invoice)
    assert "Đã nhận tiền" in shown
    assert "đến muộn" not in shown


@pytest.mark.promise("P7")
async def test_late_money_that_its_seller_declines_goes_back_out_of_suspense(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    payment = await paid_late(flat, invoice)
    await flat.facts()
    await flat.receive(declined(invoice, payment), declined(invoice, payment))
    assert await letters(flat) == ["payments.money-declined"]
    assert await one(flat, "SELECT cause, state, credit, asked_by FROM refund") == (
        "declined",
        "due",
        None,
        None,
    )
    assert "Tiền đang được trả lại" in await page(flat, invoice)
    async with flat.tx() as tx:
        from services.payments.actions import refunds

        row = await tx.scalar(sa.text("SELECT id FROM refund"))
        await refunds.settle(tx, *await refunds.with_capture(tx, row), "completed")
    facts = await flat.facts()
    (done,) = [fact for fact in facts if isinstance(fact, RefundCompleted)]
    assert (done.payment, done.credit, done.amount_vnd) == (payment, None, invoice.total_vnd)
    assert [fact.template for fact in facts if isinstance(fact, MessageRequested)] == [
        "payments.money-returned"
    ]
    assert "Tiền đã được trả lại" in await page(flat, invoice)


async def test_a_declined_large_sum_waits_for_one_person_since_nobody_asked(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(30_000_000, 0))
    await flat.receive(declined(invoice, await paid_late(flat, invoice)))
    refund, state = await one(flat, "SELECT id, state FROM refund")
    assert state == "asked"
    shown = await page(flat, invoice)
    assert "Tiền sẽ được trả lại" in shown
    assert "đang trên đường" not in shown
    sign_in(flats, flat, bkh=["finance_approver"])
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 303
    assert await one(flat, "SELECT state FROM refund") == "due"
    assert "đang trên đường" in await page(flat, invoice)


async def test_what_the_desk_only_wishes_to_return_reads_as_received(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(30_000_000, 0))
    capture = await paid(flat, invoice)
    sign_in(flats, flat, bkh=ALL)
    for amount_vnd in ("1000000", "29000000"):  # one waits for its seller, one for a second person
        where = f"{DESK}/captures/{capture}/refunds"
        assert await post(flat, where, amount_vnd=amount_vnd, reason="Khách đổi ý") == 303
    shown = await page(flat, invoice)
    assert "Đã nhận tiền" in shown
    assert "trả lại" not in shown


@pytest.mark.promise("P7")
async def test_while_money_is_offered_the_desk_cannot_touch_it_and_after_three_days_it_has_it(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    payment = await paid_late(flat, invoice)
    await flat.facts()
    sign_in(flats, flat, bkh=["finance"])
    asked = f"{DESK}/captures/{payment}/refunds"
    shown = (await flat.client.get(f"{DESK}/captures/{payment}")).text
    assert "Đang hỏi bên bán (báo đọc dài kỳ)" in shown
    assert "Yêu cầu hoàn tiền" not in shown
    assert "Đang hỏi bên bán" in (await flat.client.get(f"{DESK}/suspense")).text
    assert await post(flat, asked, amount_vnd="99000", reason="Trả lại") == 409
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=73), 7)):
        sign_in(flats, flat, bkh=["finance"])
        assert "Yêu cầu hoàn tiền" in (await flat.client.get(f"{DESK}/captures/{payment}")).text
        assert await post(flat, asked, amount_vnd="99000", reason="Trả lại") == 303
    assert await one(flat, "SELECT state, cause FROM refund") == ("due", "person")
    await flat.facts()
    # The seller took it after all: what it holds must be free again.
    await flat.receive(taken(invoice, payment), taken(invoice, payment))
    (closed,) = await flat.facts()
    assert isinstance(closed, InvoiceClosed)
    assert closed.outcome == "returned"
    assert await one(flat, "SELECT applied, answer FROM capture") == (False, "too-late")


async def test_what_its_seller_declined_goes_back_also_where_the_desks_own_wish_for_it_is_rejected(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(30_000_000, 0))
    payment = await paid_late(flat, invoice)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=73), 7)):
        sign_in(flats, flat, bkh=ALL)
        asked = f"{DESK}/captures/{payment}/refunds"
        assert await post(flat, asked, amount_vnd="30000000", reason="Trả lại") == 303
        await flat.receive(declined(invoice, payment))
        wish = await one(flat, "SELECT id FROM refund")
        assert await post(flat, f"{DESK}/refunds/{wish}/decision", choice="no") == 303
    assert await one(flat, "SELECT cause, amount_vnd FROM refund WHERE state = 'asked'") == (
        "declined",
        30_000_000,
    )


async def test_a_seller_that_takes_what_it_declined_hears_that_it_went_back(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    payment = await paid_late(flat, invoice)
    await flat.receive(declined(invoice, payment))
    await flat.facts()
    await flat.receive(taken(invoice, payment))
    (closed,) = await flat.facts()
    assert closed.outcome == "returned"  # type: ignore[attr-defined]
    assert await one(flat, "SELECT count(*), sum(amount_vnd) FROM refund") == (1, invoice.total_vnd)


@pytest.mark.promise("P7")
async def test_a_second_payment_of_one_invoice_is_offered_too_and_both_are_never_kept(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    first = await at_bank(flat, invoice)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
    assert await notify(flat, await at_bank(flat, invoice)) == "00"
    await flat.facts()
    assert await notify(flat, first) == "00"
    (unapplied,) = await told(flat, MoneyUnapplied)
    assert (unapplied.reason, unapplied.offered_to) == ("already-paid", "subscriptions")
    shown = await page(flat, invoice)
    assert "Đã nhận tiền" in shown
    assert "Tiền đã đến muộn, đang hỏi bên bán" in shown
    twice = await money_of(flat, invoice)
    # No honest seller takes it; one that does changes nothing, and its fact is kept aside.
    await flat.receive(taken(invoice, twice))
    (kept,) = await flat.held()
    assert "AlreadyPaid" in kept.error
    await flat.receive(declined(invoice, twice))
    assert await one(flat, "SELECT capture, amount_vnd FROM refund") == (twice, invoice.total_vnd)


async def test_only_the_banks_own_no_lets_the_page_say_that_no_money_is_lost(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "funds")) == "00"
    assert "bạn chưa mất tiền" in await page(flat, invoice)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
    shown = await page(flat, invoice)
    assert "Chưa trả được" in shown
    assert "chưa mất tiền" not in shown


async def test_an_offer_without_an_answer_for_an_hour_is_counted_and_shown(flats: Flats) -> None:
    flat = await flats.start("payments")
    await paid_late(flat, an_invoice())
    await jobs.alarm_unanswered(flat.kit)
    assert UNANSWERED.labels("offers")._value.get() == 0
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(minutes=61), 7)):
        await jobs.alarm_unanswered(flat.kit)
        assert UNANSWERED.labels("offers")._value.get() == 1
        sign_in(flats, flat, bkh=["finance"])
        assert "Bên bán chưa trả lời" in (await flat.client.get(f"{DESK}/suspense")).text
    await jobs.alarm_unanswered(flat.kit)
    assert UNANSWERED.labels("offers")._value.get() == 0


@pytest.mark.promise("P7")
async def test_one_sellers_answers_change_nothing_of_anothers_invoice(flats: Flats) -> None:
    flat = await flats.start("payments")
    late, open_ = an_invoice(), an_invoice()
    payment = await paid_late(flat, late)
    await flat.receive(open_)
    await flat.facts()
    of = {"agency": "bkh", "invoice": late.invoice}
    hostile = [
        ads.MoneyTaken(payment=payment, **of),
        ads.MoneyDeclined(payment=payment, reason="sold-out", **of),
        ads.CreditGranted(credit=clock.new_id(), reason="x", lines=(), **of),
        ads.RefundRefused(refund=clock.new_id(), reason="x", **of),
        ads.InvoiceWithdrawn(agency="bkh", invoice=open_.invoice, reason="x"),
        taken(late, clock.new_id()),
        declined(open_, payment),
    ]
    await flat.receive(*hostile)
    assert await flat.facts() == []
    assert await one(flat, "SELECT answer, refunding_vnd FROM capture") == (None, 0)
    assert (await state_of(flat, open_))[0] is None
    assert {row.fact_id for row in await flat.held()} == {fact.id for fact in hostile}


async def test_an_answer_for_money_that_nobody_offered_changes_nothing(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    payment = await paid(flat, invoice)
    await flat.facts()
    await flat.receive(declined(invoice, payment))
    assert await flat.facts() == []
    (kept,) = await flat.held()
    assert "NotOffered" in kept.error


@pytest.mark.promise("P7")
async def test_held_money_that_two_persons_take_later_keeps_the_banks_day(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    attempt, paid_at = await one(flat, "SELECT id, paid_at FROM attempt")
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(days=3), 7)):
        sign_in(flats, flat, bkh=["finance"])
        assert await post(flat, f"{DESK}/held/{attempt}", choice="yes") == 303
        await agree(flats, flat, "held")
    (captured,) = await told(flat, PaymentCaptured)
    assert captured.captured_at == paid_at
    assert await one(flat, "SELECT captured_at FROM capture") == paid_at


def test_the_simulated_bank_pays_late_only_what_ran_out_of_time_there() -> None:
    with pytest.raises(simulator.Unpayable, match="whose time ran out"):
        simulator.pay_late(SimTransactionRow(state="failed", response="24", status="02"))
    slow = SimTransactionRow(state="failed", response="11", status="02")
    simulator.pay_late(slow)
    assert (slow.state, slow.response, slow.status) == ("paid", "00", "00")
    assert slow.paid_at == slow.notify_at is not None
