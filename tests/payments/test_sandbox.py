"""An invoice of a sandbox is paid by word alone, whatever the settings say; a real one never is."""

import json
from typing import Any
from uuid import uuid4

import httpx
import pytest
import sqlalchemy as sa

from ops.simulation.payments import _unsettled
from services.payments.actions import attempts, captures, trial
from services.payments.actions.attempts import RailOff
from services.payments.tables import AttemptRow, CaptureRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.payments import InvoiceClosed, PaymentCaptured, RefundCompleted
from tests.conftest import Flat, Flats
from tests.payments import (
    KNOWN,
    a_credit,
    a_line,
    an_invoice,
    link,
    paid,
    state_of,
    withdrawn,
)

TRIAL = "bkh-sandbox"


async def a_trial(flat: Flat, *lines: Any) -> Any:
    invoice = an_invoice(*lines, agency=TRIAL)
    await flat.receive(invoice)
    return invoice


async def program_pays(flat: Flat, invoice: Any) -> httpx.Response:
    """What a program does with the order's `pay_url`: one POST, no cookie, no form."""
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app=flat.app), base_url=str(flat.client.base_url)
    ) as program:
        headers = {"accept": "application/json"}
        return await program.post(link(flat.kit.settings, invoice), headers=headers)


@pytest.mark.promise("A2")
@pytest.mark.parametrize("vnpay_url", ["", "https://vnpay.example"], ids=["simulator", "true gateway"])
async def test_a_program_pays_in_the_sandbox_by_one_post_to_the_link_also_beside_a_true_gateway(
    flats: Flats, vnpay_url: str
) -> None:
    flat = await flats.start("payments", vnpay_url=vnpay_url)
    invoice = await a_trial(flat)
    answer = await program_pays(flat, invoice)
    assert (answer.status_code, answer.headers["location"]) == (303, link_path(flat, invoice, answer))
    assert await state_of(flat, invoice) == ("paid", ["paid"])
    taken, closed = await flat.facts()
    assert isinstance(taken, PaymentCaptured)
    assert (taken.agency, taken.rail, taken.amount_vnd) == (TRIAL, "trial", invoice.total_vnd)
    assert isinstance(closed, InvoiceClosed)
    shown = await flat.client.get(answer.headers["location"])
    assert "Đã nhận tiền" in shown.text


def link_path(flat: Flat, invoice: Any, answer: httpx.Response) -> str:
    """The page of the invoice itself, by the link that was sent."""
    path = f"/pay/{invoice.invoice}?"
    assert answer.headers["location"].startswith(path)
    return answer.headers["location"]


async def test_the_page_of_a_sandbox_offers_its_own_rail_alone_and_says_that_it_is_a_trial(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = await a_trial(flat)
    shown = (await flat.client.get(link(flat.kit.settings, invoice))).text
    assert "Trả thử" in shown
    assert "Đây là khu thử nghiệm" in shown
    assert "bkh · thử nghiệm" in shown
    assert "VNPAY" not in shown
    english = (await flat.client.get(link(flat.kit.settings, invoice) + "&lang=en")).text
    assert "bkh · sandbox" in english
    assert "thử nghiệm" not in english


async def test_two_payments_of_one_trial_take_it_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = await a_trial(flat)
    for _ in range(2):
        assert (await program_pays(flat, invoice)).status_code == 303
    assert await state_of(flat, invoice) == ("paid", ["paid"])
    assert len([f for f in await flat.facts() if isinstance(f, PaymentCaptured)]) == 1


async def test_a_program_hears_why_a_trial_cannot_be_paid(flats: Flats) -> None:
    flat = await flats.start("payments")
    early = await program_pays(flat, an_invoice(agency=TRIAL))
    assert (early.status_code, early.json()["code"]) == (404, "not-found")
    invoice = await a_trial(flat)
    await flat.receive(withdrawn(invoice))
    late = await program_pays(flat, invoice)
    assert (late.status_code, late.json()["code"]) == (409, "withdrawn")
    assert await state_of(flat, invoice) == ("withdrawn", [])


async def test_what_a_seller_credits_of_a_trial_goes_back_at_once_however_much(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = await a_trial(flat, a_line(50_000_000, 5_000_000, agency=TRIAL))
    await program_pays(flat, invoice)
    await flat.facts()
    await flat.receive(a_credit(invoice, 50_000_000, 5_000_000))
    (done,) = await flat.facts()
    assert isinstance(done, RefundCompleted)
    assert (done.agency, done.rail, done.amount_vnd) == (TRIAL, "trial", 55_000_000)


@pytest.mark.promise("T11")
async def test_a_real_invoice_is_never_paid_by_word_alone(flats: Flats) -> None:
    flat = await flats.start("payments", vnpay_url="https://vnpay.example")
    invoice = an_invoice()
    await flat.receive(invoice)
    answer = await program_pays(flat, invoice)
    assert answer.headers["location"].startswith("https://vnpay.example/")
    assert await state_of(flat, invoice) == (None, ["open"])
    with pytest.raises(RailOff):
        async with flat.tx() as tx:
            await trial.pay(tx, invoice.invoice, "", "vi")


@pytest.mark.promise("T11")
async def test_the_database_keeps_the_trial_out_of_real_agencies_and_real_rails_out_of_the_sandbox(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await paid(flat, invoice)
    tried = await a_trial(flat)
    await program_pays(flat, tried)
    for table in ("attempt", "capture"):
        for rail, agency in (("trial", "bkh"), ("vnpay", TRIAL)):
            with pytest.raises(sa.exc.IntegrityError, match=f"{table}_trial_in_sandbox"):
                async with flat.tx() as tx:
                    await tx.execute(
                        sa.text(
                            f"INSERT INTO {table} SELECT (jsonb_populate_record(r, :new)).* FROM {table} r "
                            "WHERE agency = :agency"
                        ),
                        {"new": json.dumps({"rail": rail}), "agency": agency},
                    )


async def test_no_payout_holds_money_of_the_sandbox_and_the_database_refuses_one(flats: Flats) -> None:
    flat = await flats.start("payments")
    await program_pays(flat, await a_trial(flat))
    async with flat.tx() as tx:
        taken, _ = await _unsettled(tx, local_day(clock.now()).replace(year=2100))
        assert list(taken) == []
    with pytest.raises(sa.exc.IntegrityError, match="settlement_real"):
        async with flat.tx() as tx:
            rows = (await tx.scalars(sa.select(CaptureRow))).all()
            await captures.receive_settlement(tx, TRIAL, rows, [], 11)


async def test_a_terminal_for_a_sandbox_takes_no_money_there(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = await a_trial(flat)
    known = {**KNOWN, "SANDBOX1": attempts.Terminal(TRIAL, "SANDBOX1", "x" * 32)}
    with pytest.raises(sa.exc.IntegrityError, match="attempt_trial_in_sandbox"):
        async with flat.tx() as tx:
            await attempts.start_vnpay(tx, known, "http://localhost", invoice.invoice, "127.0.0.1", "vi")
    async with flat.tx() as tx:
        assert (await tx.scalars(sa.select(AttemptRow))).all() == []


@pytest.mark.promise("T9")
@pytest.mark.parametrize("role", ["finance", "finance_approver", "administrator", "auditor"])
async def test_no_desk_of_the_agency_sees_what_was_paid_on_trial(flats: Flats, role: str) -> None:
    flat = await flats.start("payments")
    invoice = await a_trial(flat)
    await program_pays(flat, invoice)
    token = flats.token(id=uuid4(), roles={"bkh": [role]})
    flat.client.cookies.set("nt_token", token)
    bearer = {"authorization": f"Bearer {token}"}
    assert invoice.number not in (await flat.client.get("/desk/payments")).text
    listed = await flat.client.get("/api/payments/v1/captures", headers=bearer)
    assert listed.json()["items"] == []
    one = await flat.client.get(f"/api/payments/v1/invoices/{invoice.invoice}", headers=bearer)
    assert one.status_code == 404
