"""One invoice, attempt or refund that fails stops no other, and an outcome that nobody tells alarms."""

from typing import Any

import pytest
import sqlalchemy as sa

from services.payments import gateways, jobs
from services.payments.rules import vnpay
from shared.contracts.payments import InvoiceClosed, PaymentCaptured, RefundCompleted
from shared.contracts.subscriptions import InvoiceOpened
from shared.observe import UNANSWERED
from shared.settings import Settings
from tests.conftest import Flat, Flats
from tests.failing import fails_for, forbid
from tests.payments import KNOWN, a_credit, an_invoice, at_bank, misbehave, one, paid, told
from tests.payments.conftest import Serve
from tests.payments.test_jobs import later
from tests.payments.test_pages import DESK, sign_in


async def three(flat: Flat) -> list[InvoiceOpened]:
    invoices = sorted((an_invoice() for _ in range(3)), key=lambda each: each.invoice)
    await flat.receive(*invoices)
    return invoices


async def test_an_invoice_that_cannot_be_closed_stops_no_other(flats: Flats) -> None:
    flat = await flats.start("payments")
    first, broken, last = [each.invoice for each in await three(flat)]
    await later(flat, hours=2)
    forbid(flats, flat, "invoice", "id <> %s OR outcome IS NULL", broken)
    await fails_for(jobs.expire_invoices, flat, broken)
    assert [fact.invoice for fact in await told(flat, InvoiceClosed)] == [first, last]


async def test_an_attempt_whose_answer_cannot_be_kept_stops_no_other(serve: Serve, flats: Flats) -> None:
    flat = await serve()
    await misbehave(flat, silent=True)
    broken, *others = await three(flat)
    for invoice in (broken, *others):
        await at_bank(flat, invoice)
    await later(flat, minutes=18)
    attempt = await one(flat, "SELECT id FROM attempt WHERE invoice = :invoice", invoice=broken.invoice)
    forbid(flats, flat, "attempt", "id <> %s OR state = 'open'", attempt)
    await fails_for(jobs.ask_outcomes, flat, attempt, turns=1)
    captured = {fact.invoice for fact in await told(flat, PaymentCaptured)}
    assert captured == {invoice.invoice for invoice in others}


async def test_a_refund_whose_answer_cannot_be_kept_stops_no_other(serve: Serve, flats: Flats) -> None:
    flat = await serve()
    invoices = [an_invoice() for _ in range(3)]
    for invoice in invoices:
        await paid(flat, invoice)
    await flat.receive(*(a_credit(invoice, 10_000) for invoice in invoices))
    await flat.facts()
    async with flat.tx() as tx:
        broken, *others = list(await tx.scalars(sa.text("SELECT id FROM refund ORDER BY id")))
    forbid(flats, flat, "refund", "id <> %s OR state IN ('due', 'sent')", broken)
    await fails_for(jobs.send_refunds, flat, broken, turns=1)
    assert {fact.refund for fact in await told(flat, RefundCompleted)} == set(others)


async def ask_and_be_told_of_other_money(flat: Flat) -> None:
    """All that is due is asked, and VNPay signs answers about another amount than was to be paid."""

    async def other_money(settings: Settings, body: dict[str, str]) -> dict[str, Any]:
        said = await gateways.over_http(settings, body)
        more = {**said, "vnp_Amount": str(int(said["vnp_Amount"]) + 100)}
        return vnpay.with_pipe_hash(KNOWN["KHNEWS01"].secret, more, vnpay.QUERY_ANSWER)

    token = gateways.wire.set(other_money)
    await jobs.ask_outcomes(flat.kit)
    gateways.wire.reset(token)


async def alarmed(flat: Flat) -> float:
    await jobs.alarm_unanswered(flat.kit)
    return UNANSWERED.labels("attempts")._value.get()


@pytest.mark.promise("P2")
async def test_an_attempt_whose_answers_never_fit_alarms_and_stands_on_the_desk_until_one_does(
    serve: Serve, flats: Flats
) -> None:
    flat = await serve()
    await misbehave(flat, silent=True)
    invoice = an_invoice()
    await flat.receive(invoice)
    await at_bank(flat, invoice)
    for minutes in (18, 10, 50):
        await later(flat, minutes=minutes)
        await ask_and_be_told_of_other_money(flat)
        assert await alarmed(flat) == 0, "an answer may still come"
    await later(flat, minutes=5)
    assert await alarmed(flat) == 1
    reference = (await one(flat, "SELECT id FROM attempt")).hex
    sign_in(flats, flat, bkh=["finance"])
    shown = (await flat.client.get(f"{DESK}/held")).text
    for words in ("Lần trả chưa rõ kết quả", "có thể đã bị trừ tiền", reference, invoice.number):
        assert words in shown
    english = (await flat.client.get(f"{DESK}/held?lang=en")).text
    for words in ("Payments of unknown outcome", "the buyer may have been charged", reference):
        assert words in english
    sign_in(flats, flat, bkhds=["finance"])
    assert reference not in (await flat.client.get(f"{DESK}/held")).text, "of another agency"
    await later(flat, days=2)
    await jobs.ask_outcomes(flat.kit)
    assert await alarmed(flat) == 0
    assert [fact.invoice for fact in await told(flat, PaymentCaptured)] == [invoice.invoice]
