"""A refund of what was sold begins with its seller, by two persons where the sum asks for it, and ends in the rail."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.payments import jobs
from services.payments.actions import refunds
from shared import clock
from shared.contracts import subscriptions
from shared.contracts.base import Buyer
from shared.contracts.payments import (
    InvoiceClosed,
    MessageRequested,
    PaymentCaptured,
    RefundAsked,
    RefundCompleted,
)
from shared.observe import UNANSWERED
from tests.conftest import Flat, Flats
from tests.payments import (
    a_credit,
    a_line,
    an_invoice,
    at_bank,
    link,
    notify,
    one,
    paid,
    press_pay,
    state_of,
    told,
    withdrawn,
)
from tests.payments.test_api import ask, key, person
from tests.payments.test_pages import ALL, DESK, agree, post, sign_in


async def wanted(flat: Flat, capture: UUID, amount_vnd: int, by: UUID | None = None) -> UUID:
    async with flat.tx() as tx:
        row = await refunds.ask_refund(tx, capture, amount_vnd, "Bạn đọc đổi ý", by or clock.new_id())
        return row.id


async def books(flat: Flat) -> list[tuple[Any, ...]]:
    async with flat.tx() as tx:
        rows = await tx.execute(sa.text("SELECT state, amount_vnd FROM refund ORDER BY id"))
        return [tuple(row) for row in rows]


@pytest.mark.promise("P7")
async def test_a_refund_of_what_was_sold_waits_for_its_sellers_credit_and_then_goes(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 8_000))
    capture = await paid(flat, invoice)
    await flat.facts()
    by = clock.new_id()
    refund = await wanted(flat, capture, 54_000, by)
    (asked,) = await told(flat, RefundAsked)
    assert (asked.refund, asked.payment, asked.invoice, asked.amount_vnd, asked.by) == (
        refund,
        capture,
        invoice.invoice,
        54_000,
        by,
    )
    assert await books(flat) == [("approved", 54_000)]
    await flat.tick()
    assert await told(flat, RefundCompleted) == []
    credit = a_credit(invoice, 50_000, 4_000, refund=refund, by=by)
    await flat.receive(credit, credit)
    assert await books(flat) == [("due", 54_000)]
    assert await one(flat, "SELECT credit, refunding_vnd FROM refund JOIN capture ON true") == (
        credit.credit,
        54_000,
    )


@pytest.mark.promise("P7")
async def test_a_seller_that_refuses_says_why_and_the_money_is_free_again(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    capture = await paid(flat, invoice)
    refund = await wanted(flat, capture, 100_000)
    refused = subscriptions.RefundRefused(
        agency="bkh", refund=refund, invoice=invoice.invoice, reason="overcredited"
    )
    await flat.receive(refused, a_credit(invoice, 1_000, refund=refund))
    assert await books(flat) == [("refused", 100_000), ("due", 1_000)], (
        "the later credit is one like any other"
    )
    sign_in(flats, flat, bkh=["finance"])
    shown = (await flat.client.get(f"{DESK}/captures/{capture}")).text
    assert "Bên bán từ chối" in shown
    assert "Số trả lại lớn hơn số đã bán" in shown


@pytest.mark.parametrize(
    ("credited", "expected"),
    [
        (60_000, [("due", 60_000)]),
        (25_000, [("due", 25_000)]),
        (90_000, [("due", 60_000), ("due", 30_000)]),
        (0, [("refused", 60_000)]),
    ],
    ids=["as asked", "less", "more", "nothing"],
)
async def test_what_the_seller_credits_goes_back_to_the_dong_and_the_rest_is_asked_for_nothing(
    flats: Flats, credited: int, expected: list[tuple[str, int]]
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await wanted(flat, await paid(flat, invoice), 60_000)
    await flat.receive(a_credit(invoice, credited, refund=refund))
    assert await books(flat) == expected
    assert await one(flat, "SELECT refunding_vnd FROM capture") == credited


async def test_a_credit_of_its_own_beside_what_was_asked_gives_back_all_it_owes_in_either_order(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    refund = await wanted(flat, await paid(flat, invoice), 60_000)
    await flat.receive(a_credit(invoice, 100_000))
    assert await books(flat) == [("approved", 60_000), ("due", 40_000)]
    refused = subscriptions.RefundRefused(
        agency="bkh", refund=refund, invoice=invoice.invoice, reason="overcredited"
    )
    await flat.receive(refused)
    assert await books(flat) == [("refused", 60_000), ("due", 40_000), ("due", 60_000)]
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 100_000


@pytest.mark.promise("P7", "T12")
@pytest.mark.parametrize("over", ["capture", "payer", "asker"])
async def test_slices_count_as_their_sum_over_the_payment_its_payer_and_the_askers_day(
    flats: Flats, over: str
) -> None:
    flat = await flats.start("payments")
    buyer, asker = Buyer("organisation", clock.new_id()), clock.new_id()
    captures = []
    for _ in range(1 if over == "capture" else 3):
        whose = Buyer("organisation", clock.new_id()) if over == "asker" else buyer
        captures.append(await paid(flat, an_invoice(a_line(60_000_000, 0), buyer=whose)))
    for n in range(3):
        by = asker if over == "asker" else clock.new_id()
        await wanted(flat, captures[n % len(captures)], 9_000_000, by)
    assert [state for state, _ in await books(flat)] == ["approved", "approved", "asked"]


@pytest.mark.promise("T12")
async def test_slices_asked_for_at_the_same_moment_do_not_slip_past_each_other(flats: Flats) -> None:
    flat = await flats.start("payments")
    buyer, asker = Buyer("person", clock.new_id()), clock.new_id()
    captures = [await paid(flat, an_invoice(a_line(15_000_000, 0), buyer=buyer)) for _ in range(4)]
    await asyncio.gather(*(wanted(flat, capture, 15_000_000, asker) for capture in captures))
    assert sorted(state for state, _ in await books(flat)) == ["approved", "asked", "asked", "asked"]


async def test_another_day_and_another_month_begin_their_sums_anew(flats: Flats) -> None:
    flat = await flats.start("payments")
    asker = clock.new_id()
    first, second, third = [
        await paid(flat, an_invoice(a_line(15_000_000, 0), buyer=Buyer("person", clock.new_id())))
        for _ in range(3)
    ]
    await wanted(flat, first, 15_000_000, asker)
    await wanted(flat, second, 15_000_000, asker)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(days=1), 7)):
        await wanted(flat, third, 15_000_000, asker)
    assert [state for state, _ in await books(flat)] == ["approved", "asked", "approved"]


@pytest.mark.promise("T12")
async def test_whose_deed_led_to_a_credit_does_not_approve_its_money_whoever_asks_anew(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice, by = an_invoice(a_line(40_000_000, 0)), clock.new_id()
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 40_000_000, by=by))
    for choice in ("no", "yes"):
        refund = await one(flat, "SELECT id FROM refund WHERE state = 'asked'")
        flat.client.cookies.set("nt_token", flats.token(id=by, roles={"bkh": ALL}))
        assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 409
        sign_in(flats, flat, bkh=["finance_approver"])
        assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice=choice) == 303
        if choice == "no":
            sign_in(flats, flat, bkh=["finance"])
            assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 303
    assert await books(flat) == [("rejected", 40_000_000), ("due", 40_000_000)]


@pytest.mark.promise("T12")
async def test_who_made_a_key_does_not_approve_what_it_asked_for(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = str(await paid(flat, an_invoice(a_line(60_000_000, 0))))
    maker = clock.new_id()
    body = {"capture": capture, "amount_vnd": 30_000_000, "reason": "Hủy hợp đồng"}
    asked = (await ask(flat, key(flats, made_by=maker), body)).json()
    assert (asked["state"], asked["asked_by"]) == ("asked", str(maker))
    own = {"authorization": f"Bearer {flats.token(id=maker, roles={'bkh': ['finance_approver']})}"}
    decision = f"/api/payments/v1/refunds/{asked['id']}/decision"
    for headers, status in ((own, 409), (person(flats, bkh=["finance_approver"]), 201)):
        answer = await flat.client.post(
            decision, json={"approve": True}, headers={**headers, "idempotency-key": clock.new_secret()}
        )
        assert answer.status_code == status


@pytest.mark.promise("T12")
async def test_what_a_key_that_no_person_made_asks_for_always_waits_for_a_person(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = str(await paid(flat, an_invoice()))
    asked = await ask(flat, key(flats), {"capture": capture, "amount_vnd": 1_000, "reason": "Thử"})
    assert (asked.json()["state"], asked.json()["asked_by"]) == ("asked", None)


async def test_a_rejected_refund_that_is_owed_is_shown_and_can_be_asked_for_anew_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(40_000_000, 0))
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 30_000_000))
    refund = await one(flat, "SELECT id FROM refund")
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="no") == 303
    assert "Khoản này vẫn phải trả lại" in (await flat.client.get(f"{DESK}/refunds")).text
    # Another credit owes its own part, and no đồng twice.
    await flat.receive(a_credit(invoice, 10_000_000))
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 303
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 409
    assert await books(flat) == [("rejected", 30_000_000), ("due", 10_000_000), ("asked", 30_000_000)]
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 40_000_000


async def test_what_a_person_wished_and_another_rejected_is_over(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = await paid(flat, an_invoice(a_line(40_000_000, 0)))
    refund = await wanted(flat, capture, 30_000_000)
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="no") == 303
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 409
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 0


async def test_a_seller_that_does_not_answer_for_an_hour_is_told_of(flats: Flats) -> None:
    flat = await flats.start("payments")
    await wanted(flat, await paid(flat, an_invoice()), 1_000)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(minutes=61), 7)):
        await jobs.alarm_unanswered(flat.kit)
        assert UNANSWERED.labels("refunds")._value.get() == 1
        sign_in(flats, flat, bkh=["finance"])
        assert "1 yêu cầu hoàn tiền chờ hơn một giờ" in (await flat.client.get(f"{DESK}/refunds")).text


@pytest.mark.promise("T12")
async def test_whether_an_unclear_refund_went_is_said_by_one_person_and_agreed_by_another(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 40_000))
    refund = await one(flat, "UPDATE refund SET state = 'unclear' RETURNING id")
    await flat.facts()
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, f"{DESK}/refunds/{refund}/finding", choice="yes") == 303
    assert await post(flat, f"{DESK}/refunds/{refund}/finding", choice="no") == 409
    proposal = await one(flat, "SELECT id FROM proposal")
    assert await post(flat, f"{DESK}/proposals/{proposal}", choice="yes") == 409
    assert "cần người khác quyết định" in (await flat.client.get(f"{DESK}/refunds")).text
    assert await books(flat) == [("unclear", 40_000)]
    await agree(flats, flat, "finding")
    facts = await flat.facts()
    assert len([fact for fact in facts if isinstance(fact, RefundCompleted)]) == 1
    assert [fact.template for fact in facts if isinstance(fact, MessageRequested)] == [
        "payments.money-returned"
    ]
    assert await post(flat, f"{DESK}/proposals/{proposal}", choice="no") == 409


AGAIN = (
    "INSERT INTO proposal (id, agency, act, about, good, asked_by, asked_at) "
    "SELECT gen_random_uuid(), agency, act, about, NOT good, asked_by, asked_at FROM proposal"
)


@pytest.mark.promise("T12")
async def test_the_database_lets_nobody_agree_with_themselves_nor_propose_twice(flats: Flats) -> None:
    flat = await flats.start("payments")
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/rails/bkh", choice="no") == 303
    assert await post(flat, f"{DESK}/rails/bkh", choice="yes") == 409
    for broken, sql in (
        (
            "proposal_two_persons",
            "UPDATE proposal SET decided_by = asked_by, decided_at = now(), agreed = true",
        ),
        ("proposal_agreed_by_somebody", "UPDATE proposal SET decided_at = now(), agreed = true"),
        (
            "proposal_open",
            AGAIN,
        ),
    ):
        with pytest.raises(sa.exc.IntegrityError, match=broken):
            async with flat.tx() as tx:
                await tx.execute(sa.text(sql))
    await agree(flats, flat, "rail", choice="no")
    assert await one(flat, "SELECT count(*) FROM rail") == 0


async def test_what_the_bank_tells_meanwhile_nobody_has_to_decide_any_more(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    attempt = await one(flat, "SELECT id FROM attempt")
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/held/{attempt}", choice="no") == 303
    async with flat.tx() as tx:
        from services.payments.actions import attempts

        await attempts.decide_held(tx, attempt, clock.new_id(), good=True)
    assert await one(flat, "SELECT agreed, decided_by FROM proposal") == (False, None)


# A credit meets an attempt.


@pytest.mark.promise("P7")
async def test_a_credit_during_an_attempt_at_less_than_the_whole_is_paid_out_and_the_bank_is_answered(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0), a_line(50_000, 0))
    await flat.receive(invoice, a_credit(invoice, 10_000))
    query = await at_bank(flat, invoice)  # 140.000 are asked for
    await flat.receive(a_credit(invoice, 60_000))
    assert await notify(flat, query) == "00"
    (captured,) = await told(flat, PaymentCaptured)
    assert [part.amount_vnd for part in captured.lines] == [90_000, 50_000]
    assert await books(flat) == [("due", 60_000)]


@pytest.mark.promise("P7")
async def test_an_invoice_credited_whole_before_it_is_paid_closes_and_cannot_be_paid(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    await flat.receive(invoice)
    await flat.receive(a_credit(invoice, 100_000))
    (closed,) = await told(flat, InvoiceClosed)
    assert closed.outcome == "withdrawn"
    address = link(flat.kit.settings, invoice)
    assert "Phiếu đã được rút lại" in (await flat.client.get(address)).text
    pressed = await flat.client.post(address, headers={"x-csrftoken": flat.client.cookies["nt_csrf"]})
    assert pressed.headers["location"] == address
    assert await state_of(flat, invoice) == ("withdrawn", [])


@pytest.mark.promise("P7")
async def test_an_invoice_credited_whole_during_an_attempt_ends_well_whatever_the_bank_says(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    comes, fails = an_invoice(a_line(100_000, 0)), an_invoice(a_line(70_000, 0))
    await flat.receive(comes, fails)
    came, failed = await at_bank(flat, comes), await at_bank(flat, fails, "funds")
    await flat.receive(a_credit(comes, 100_000), a_credit(fails, 70_000))
    assert await told(flat, InvoiceClosed) == []
    assert [await notify(flat, query) for query in (came, failed)] == ["00", "00"]
    closed = {fact.invoice: fact.outcome for fact in await told(flat, InvoiceClosed)}
    assert closed == {comes.invoice: "paid", fails.invoice: "withdrawn"}
    assert await books(flat) == [("due", 100_000)]


async def test_an_outage_of_the_bank_is_made_up_in_one_turn(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    flat = await flats.start("payments")
    invoices = [an_invoice(a_line(10_000 + n, 0)) for n in range(45)]
    await flat.receive(*invoices)
    for invoice in invoices:
        await press_pay(flat, invoice)
    asked: list[str] = []

    async def away(_settings: Any, request: dict[str, str]) -> dict[str, Any]:
        from services.payments.gateways import Unanswered

        asked.append(request["vnp_TxnRef"])
        raise Unanswered("planted")

    monkeypatch.setattr("services.payments.gateways.call", away)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=1), 7)):
        await jobs.ask_outcomes(flat.kit)
    assert len(set(asked)) == len(asked) == 45
    assert await flat.held() == []
    await flat.receive(withdrawn(invoices[0]))
