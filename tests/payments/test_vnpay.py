"""VNPay's notification: what is believed, what is refused, and that nothing but the right one changes anything."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from services.payments.actions import notifications
from shared import clock
from shared.contracts.payments import InvoiceClosed, MoneyUnapplied, PaymentCaptured
from shared.observe import REFUSED_NOTIFICATIONS
from tests.conftest import Flats
from tests.payments import (
    a_line,
    an_invoice,
    at_bank,
    link,
    notify,
    one,
    paid,
    press_pay,
    resigned,
    state_of,
    tampered,
    told,
    withdrawn,
)


@pytest.mark.promise("P2")
async def test_a_paid_invoice_is_captured_and_closed_with_its_lines(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 8_000), a_line(50_000, 0, vat_class="exempt"))
    await paid(flat, invoice)
    captured, closed = await flat.facts()
    assert isinstance(captured, PaymentCaptured)
    assert captured.amount_vnd == 158_000
    assert [part.amount_vnd for part in captured.lines] == [108_000, 50_000]
    assert [part.vat_vnd for part in captured.lines] == [8_000, 0]
    assert captured.lines[0].line == invoice.lines[0]
    assert captured.buyer == invoice.buyer
    number = await one(flat, "SELECT number FROM sim_transaction")
    assert captured.reference == str(number)
    assert closed == InvoiceClosed(
        agency="bkh",
        invoice=invoice.invoice,
        outcome="paid",
        seller="subscriptions",
        id=closed.id,
        occurred_at=closed.occurred_at,
        correlation=closed.correlation,
    )
    assert await state_of(flat, invoice) == ("paid", ["paid"])


async def _books(flat: Any) -> tuple[Any, ...]:
    async with flat.tx() as tx:
        rows = await tx.execute(
            sa.text(
                "SELECT (SELECT count(*) FROM capture), (SELECT count(*) FROM outbox), "
                "(SELECT string_agg(state, ',') FROM attempt), (SELECT count(*) FROM invoice WHERE outcome IS NULL)"
            )
        )
        return tuple(rows.one())


@pytest.mark.promise("P11")
async def test_what_is_forged_altered_foreign_or_off_by_one_is_refused_and_changes_nothing(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    amount = invoice.total_vnd * 100
    before = await _books(flat)
    counted = REFUSED_NOTIFICATIONS.labels("vnpay", "bad-signature")._value.get()
    refused = {
        "97": [
            tampered(query, vnp_Amount=str(amount + 100)),
            tampered(query, vnp_ResponseCode="24"),
            query.replace("vnp_SecureHash=", "vnp_SecureHash=0"),
            query.split("&vnp_SecureHash")[0],
            query + "&vnp_Amount=100",
            resigned(query).replace("KHNEWS01", "STRANGER"),
            "",
            "%ff=%fe",
        ],
        "01": [
            resigned(query, vnp_TxnRef="0" * 32),
            resigned(query, terminal="NTMAG001"),
        ],
        "04": [
            resigned(query, vnp_Amount=str(amount + 100)),
            resigned(query, vnp_Amount=str(amount - 100)),
            resigned(query, vnp_Amount=str(amount + 1)),
            resigned(query, vnp_Amount=str(amount // 100)),
            resigned(query, vnp_Amount="5e3"),
        ],
        "99": [resigned(query, vnp_TransactionStatus="01"), resigned(query, vnp_TransactionNo="0")],
    }
    for code, queries in refused.items():
        for bad in queries:
            assert await notify(flat, bad) == code, bad
    assert await _books(flat) == before
    assert REFUSED_NOTIFICATIONS.labels("vnpay", "bad-signature")._value.get() == counted + 8
    async with flat.tx() as tx:
        logged = dict(
            (await tx.execute(sa.text("SELECT reply, count(*) FROM notification GROUP BY 1"))).all()
        )
    assert logged == {"97": 8, "01": 2, "04": 5, "99": 2}
    assert await notify(flat, query) == "00"


@pytest.mark.promise("P11")
async def test_a_notification_that_comes_many_times_at_once_captures_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    codes = await asyncio.gather(*(notify(flat, query) for _ in range(12)))
    assert sorted(codes) == ["00"] + ["02"] * 11
    assert await notify(flat, query) == "02"
    assert len([fact for fact in await flat.facts() if isinstance(fact, PaymentCaptured)]) == 1


async def test_a_transaction_number_serves_one_order_only(flats: Flats) -> None:
    flat = await flats.start("payments")
    first, second = an_invoice(), an_invoice()
    await flat.receive(first, second)
    told = await at_bank(flat, first)
    assert await notify(flat, told) == "00"
    number = told.split("vnp_TransactionNo=")[1].split("&")[0]
    assert await notify(flat, resigned(await at_bank(flat, second), vnp_TransactionNo=number)) == "99"
    assert await state_of(flat, second) == (None, ["open"])


async def test_a_failed_attempt_is_confirmed_and_the_buyer_may_try_again(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    failed = await at_bank(flat, invoice, "funds")
    assert await notify(flat, failed) == "00"
    assert await notify(flat, failed) == "02"
    assert await flat.facts() == []
    shown = await flat.client.get(link(flat.kit.settings, invoice))
    assert "không đủ số dư" in shown.text
    assert await notify(flat, await at_bank(flat, invoice)) == "00"
    assert await state_of(flat, invoice) == ("paid", ["failed", "paid"])


async def test_while_an_attempt_is_under_way_the_button_leads_to_the_same_one(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await press_pay(flat, invoice) == await press_pay(flat, invoice)
    assert await state_of(flat, invoice) == (None, ["open"])


async def test_suspect_money_that_comes_during_a_second_attempt_stops_the_buyer_from_a_third(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    first = await at_bank(flat, invoice, "suspect")
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
    await press_pay(flat, invoice)
    assert await notify(flat, first) == "00"
    assert (await state_of(flat, invoice))[1] == ["held", "open"]
    address = link(flat.kit.settings, invoice)
    answer = await flat.client.post(address)
    assert (answer.status_code, answer.headers["location"]) == (303, address)
    assert "Ngân hàng cần kiểm tra thêm" in (await flat.client.get(address)).text


@pytest.mark.promise("P2")
async def test_suspect_money_is_held_and_neither_failed_nor_captured(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    assert await state_of(flat, invoice) == (None, ["held"])
    await flat.receive(withdrawn(invoice))
    assert await flat.facts() == []
    shown = await flat.client.get(link(flat.kit.settings, invoice))
    assert "Ngân hàng cần kiểm tra thêm" in shown.text


async def test_money_for_an_invoice_that_is_closed_lies_in_suspense(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE attempt SET state = 'expired'"))
    await flat.receive(withdrawn(invoice))
    assert await notify(flat, query) == "00"
    _, unapplied = await told(flat, InvoiceClosed, MoneyUnapplied)
    assert (unapplied.amount_vnd, unapplied.reason) == (invoice.total_vnd, "invoice-closed")


@pytest.mark.promise("P11")
async def test_strangers_notifications_are_counted_and_only_the_latest_are_kept_for_a_month(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "STRANGERS_KEPT", 3)
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    counted = REFUSED_NOTIFICATIONS.labels("vnpay", "bad-signature")._value.get()
    assert await notify(flat, query) == "00"
    for n in range(7):
        assert await notify(flat, f"vnp_TxnRef={n}&vnp_SecureHash={'0' * 128}") == "97"
    assert REFUSED_NOTIFICATIONS.labels("vnpay", "bad-signature")._value.get() == counted + 7
    kept = sa.text("SELECT raw FROM notification WHERE agency IS NULL ORDER BY id")
    async with flat.tx() as tx:
        assert [raw[:12] for raw in await tx.scalars(kept)] == [f"vnp_TxnRef={n}" for n in (4, 5, 6)]
        await notifications.forget_strangers(tx, clock.now() + timedelta(days=29))
        assert len(list(await tx.scalars(kept))) == 3
    [job] = [job for job in flat.kit.jobs.scheduled if job.name == "forget_strangers"]
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(days=31), 7)):
        await job.run(flat.kit)
    async with flat.tx() as tx:
        assert list(await tx.scalars(kept)) == []
        await tx.execute(sa.text("DELETE FROM notification"))
    async with flat.tx() as tx:
        told = list(await tx.scalars(sa.text("SELECT reply FROM notification")))
    assert told == ["00"], "what an agency's bank said stays, whoever asks to delete it"


async def test_a_notification_that_breaks_us_is_kept_and_asked_for_again(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)

    async def broken(*_: Any) -> None:
        raise RuntimeError("planted")

    with monkeypatch.context() as patched:
        patched.setattr("services.payments.actions.attempts.capture", broken)
        assert await notify(flat, query) == "99"
    assert await state_of(flat, invoice) == (None, ["open"])
    assert await notify(flat, query) == "00"
    async with flat.tx() as tx:
        replies = list(await tx.scalars(sa.text("SELECT reply FROM notification ORDER BY id")))
    assert replies == ["99", "00"]
