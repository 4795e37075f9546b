"""What was not told is asked for, what is over is closed, and money goes back once, whatever the wire does."""

from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.payments import gateways, jobs
from services.payments.rules import vnpay
from shared import clock
from shared.contracts.payments import InvoiceClosed, PaymentCaptured, RefundCompleted, RefundFailed
from shared.settings import Settings
from tests.conftest import Flat
from tests.payments import (
    KNOWN,
    a_credit,
    a_line,
    an_invoice,
    at_bank,
    link,
    misbehave,
    one,
    paid,
    press_pay,
    state_of,
    told,
    withdrawn,
)
from tests.payments.conftest import Serve


async def later(flat: Flat, **delta: float) -> None:
    """Let time pass for what is stored: every instant that is waited for moves back by so much."""
    moved = {"attempt": ("expires_at", "next_ask_at"), "invoice": ("expires_at",), "refund": ("next_try_at",)}
    async with flat.tx() as tx:
        for table, columns in {**moved, "sim_transaction": ("expires_at", "notify_at")}.items():
            changes = ", ".join(f"{column} = {column} - :by" for column in columns)
            await tx.execute(sa.text(f"UPDATE {table} SET {changes}"), {"by": timedelta(**delta)})


async def test_the_simulator_tells_us_by_real_http_and_stops_when_confirmed(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    await flat.tick()
    assert await state_of(flat, invoice) == ("paid", ["paid"])
    async with flat.tx() as tx:
        assert (
            await tx.execute(sa.text("SELECT notify_at, reply, notified FROM sim_transaction"))
        ).one() == (
            None,
            "00",
            1,
        )


@pytest.mark.parametrize(
    "told",
    [
        {"duplicate": 8},
        {"forge": True},
        {"lose_reply": True},
        {"delay_s": 5},
        {"reorder": True},
        {"duplicate": 3, "forge": True, "lose_reply": True, "reorder": True},
    ],
    ids="+".join,
)
async def test_whatever_the_simulator_does_each_payment_is_captured_once(
    serve: Serve, told: dict[str, Any]
) -> None:
    flat = await serve()
    await misbehave(flat, **told)
    invoices = [an_invoice(a_line(10_000 + n, 0)) for n in range(4)]
    await flat.receive(*invoices)
    for invoice in invoices:
        await at_bank(flat, invoice)
    for _ in range(3):
        await jobs.play_vnpay(flat.kit)
        await later(flat, seconds=6)
    captured = [fact for fact in await flat.facts() if isinstance(fact, PaymentCaptured)]
    assert sorted(fact.invoice for fact in captured) == sorted(invoice.invoice for invoice in invoices)
    theirs = (await flat.client.get("/gateway/vnpay-sim/captures")).json()
    assert theirs["amount_vnd"] == sum(fact.amount_vnd for fact in captured)


@pytest.mark.promise("P2")
async def test_a_silent_bank_is_asked_and_its_answer_counts(serve: Serve) -> None:
    flat = await serve()
    await misbehave(flat, silent=True)
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    await flat.tick()
    assert await state_of(flat, invoice) == (None, ["open"])
    await later(flat, minutes=18)
    await flat.tick()
    assert await state_of(flat, invoice) == ("paid", ["paid"])


async def test_a_buyer_who_comes_back_before_the_notification_is_asked_for_soon(serve: Serve) -> None:
    flat = await serve()
    await misbehave(flat, silent=True)
    invoice = an_invoice()
    await flat.receive(invoice)
    back = await flat.client.get(f"/gateway/vnpay/return?{await at_bank(flat, invoice)}")
    assert await state_of(flat, invoice) == (None, ["open"])
    shown = await flat.client.get(back.headers["location"])
    assert "Đang chờ ngân hàng xác nhận" in shown.text
    assert 'http-equiv="refresh"' in shown.text
    await later(flat, seconds=20)
    await flat.tick()
    assert await state_of(flat, invoice) == ("paid", ["paid"])


@pytest.mark.promise("P2")
async def test_an_abandoned_attempt_ends_only_when_the_bank_says_so_and_then_the_invoice_closes(
    serve: Serve,
) -> None:
    flat = await serve()
    invoice = an_invoice()
    await flat.receive(invoice)
    await press_pay(flat, invoice)  # the buyer never reaches the bank
    await flat.receive(withdrawn(invoice))
    await later(flat, minutes=16)
    await flat.tick()
    assert await flat.facts() == []
    await later(flat, minutes=2)
    await flat.tick()
    (closed,) = await flat.facts()
    assert isinstance(closed, InvoiceClosed)
    assert closed.outcome == "withdrawn"
    assert await state_of(flat, invoice) == ("withdrawn", ["expired"])


@pytest.mark.promise("P2")
async def test_an_outcome_that_nobody_tells_is_never_guessed(serve: Serve) -> None:
    flat = await serve()
    await misbehave(flat, silent=True, lose_answer=True)
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    await flat.receive(withdrawn(invoice))
    for minutes in (18, 10, 60, 1500):
        await later(flat, minutes=minutes)
        await flat.tick()
    assert await state_of(flat, invoice) == (None, ["open"])
    shown = await flat.client.get(link(flat.kit.settings, invoice))
    assert "Đang chờ ngân hàng xác nhận" in shown.text
    await misbehave(flat)
    await later(flat, days=1)
    await flat.tick()
    assert await state_of(flat, invoice) == ("paid", ["paid"])


@pytest.mark.promise("P2", "P11")
async def test_an_answer_without_a_good_signature_or_about_other_money_is_not_believed(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = await serve()
    await misbehave(flat, silent=True)
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    true = gateways.over_http

    async def answer(change: dict[str, str], *, signed: bool, body: dict[str, str]) -> dict[str, Any]:
        said = {**await true(flat.kit.settings, body), **change}
        return vnpay.with_pipe_hash(KNOWN["KHNEWS01"].secret, said, vnpay.QUERY_ANSWER) if signed else said

    lies: list[tuple[dict[str, str], bool]] = [
        ({"vnp_Amount": "100"}, False),
        ({"vnp_SecureHash": ""}, False),
        ({"vnp_Amount": str(invoice.total_vnd * 100 + 100)}, True),
        ({"vnp_TxnRef": "of-another"}, True),
        ({"vnp_ResponseCode": "99"}, True),
    ]
    for change, signed in lies:

        async def lying(
            _settings: Settings,
            body: dict[str, str],
            *,
            change: dict[str, str] = change,
            signed: bool = signed,
        ) -> dict[str, Any]:
            return await answer(change, signed=signed, body=body)

        token = gateways.wire.set(lying)
        await later(flat, days=2)
        await jobs.ask_outcomes(flat.kit)
        gateways.wire.reset(token)
        assert await state_of(flat, invoice) == (None, ["open"]), change
    await later(flat, days=2)
    await jobs.ask_outcomes(flat.kit)
    assert await state_of(flat, invoice) == ("paid", ["paid"])


@pytest.mark.promise("T1")
async def test_what_was_paid_while_the_house_was_away_is_asked_for_in_the_first_turn_back(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = await serve()
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    monkeypatch.setitem(flat.kit.jobs.ended, "ask_outcomes", clock.now() - timedelta(seconds=40))
    await jobs.ask_outcomes(flat.kit)
    assert await state_of(flat, invoice) == (None, ["open"]), "VNPay has two minutes more to tell by itself"
    monkeypatch.setitem(flat.kit.jobs.ended, "ask_outcomes", clock.now() - timedelta(minutes=3))
    await jobs.ask_outcomes(flat.kit)
    assert await state_of(flat, invoice) == ("paid", ["paid"])


async def test_an_invoice_nobody_pays_expires(serve: Serve) -> None:
    flat = await serve()
    prepaid, terms = an_invoice(), an_invoice(collect="on_terms")
    await flat.receive(prepaid, terms)
    await flat.tick()
    assert await flat.facts() == []
    await later(flat, hours=2)
    await flat.tick()
    (closed,) = await flat.facts()
    assert (closed.invoice, closed.outcome) == (prepaid.invoice, "expired")  # type: ignore[attr-defined]
    shown = await flat.client.get(link(flat.kit.settings, prepaid))
    assert "Phiếu đã hết hạn" in shown.text


async def test_a_credit_sends_money_back_once_even_when_the_answer_is_lost(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice(a_line(100_000, 8_000))
    await paid(flat, invoice)
    await flat.facts()
    credit = a_credit(invoice, 50_000, 4_000)
    await misbehave(flat, lose_answer=True)
    await flat.receive(credit, credit)
    await flat.tick()
    assert await flat.facts() == []
    await misbehave(flat)
    await later(flat, minutes=10)
    await flat.tick()
    # The bank says that it knows this request, not what became of it: a person looks.
    async with flat.tx() as tx:
        assert list(await tx.scalars(sa.text("SELECT state FROM refund"))) == ["unclear"]
    theirs = (await flat.client.get("/gateway/vnpay-sim/captures")).json()
    assert theirs["refunded_vnd"] == 54_000


@pytest.mark.promise("P2")
async def test_a_credit_is_refunded_and_told(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice(a_line(100_000, 8_000))
    payment = await paid(flat, invoice)
    await flat.facts()
    credit = a_credit(invoice, 50_000, 4_000)
    await flat.receive(credit)
    await flat.tick()
    (done,) = await told(flat, RefundCompleted)
    assert (done.payment, done.credit, done.amount_vnd) == (payment, credit.credit, 54_000)
    assert done.buyer == invoice.buyer
    assert done.reference == await one(flat, "SELECT gateway_no FROM refund")


async def test_a_refund_that_the_bank_refuses_is_told_and_the_money_stays_owed(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice()
    await paid(flat, invoice)
    await flat.facts()
    await misbehave(flat, refuse=True)
    await flat.receive(a_credit(invoice, 10_000))
    await flat.tick()
    assert len(await told(flat, RefundFailed)) == 1
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 10_000


async def test_a_credit_before_the_money_lowers_what_is_asked_for(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice(a_line(100_000, 8_000))
    await flat.receive(invoice)
    await flat.receive(a_credit(invoice, 10_000, 800))
    await at_bank(flat, invoice)
    await flat.tick()
    captured = next(fact for fact in await flat.facts() if isinstance(fact, PaymentCaptured))
    assert captured.amount_vnd == 97_200
    assert [(part.amount_vnd, part.vat_vnd) for part in captured.lines] == [(97_200, 7_200)]


async def test_a_credit_during_the_attempt_goes_back_after_it(serve: Serve) -> None:
    flat = await serve()
    invoice = an_invoice(a_line(100_000, 8_000))
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    await flat.receive(a_credit(invoice, 10_000, 800))
    await flat.tick()
    await flat.tick()
    facts = await flat.facts()
    assert [fact.amount_vnd for fact in facts if isinstance(fact, PaymentCaptured)] == [108_000]
    assert [fact.amount_vnd for fact in facts if isinstance(fact, RefundCompleted)] == [10_800]


def test_the_questions_go_out_at_the_set_times() -> None:
    from services.payments.rules import attempts

    expires_at = clock.now()
    asked = [expires_at]
    for _ in range(5):
        asked.append(attempts.next_ask(expires_at, asked[-1]))
    assert [at - expires_at for at in asked[1:]] == [
        timedelta(minutes=2),
        timedelta(minutes=10),
        timedelta(hours=1),
        timedelta(days=1, hours=1),
        timedelta(days=2, hours=1),
    ]


async def test_all_invoices_that_an_outage_left_open_are_closed_in_one_turn(
    serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.AT_ONCE", 1)
    flat = await serve()
    await flat.receive(*(an_invoice() for _ in range(3)))
    await later(flat, hours=2)
    await flat.tick()
    assert [type(fact) for fact in await flat.facts()] == [InvoiceClosed] * 3
