"""What waits for a second person: who asked may take it back, and only who may decide is shown how."""

import pytest
import sqlalchemy as sa

from shared import clock
from tests.conftest import Flats
from tests.payments import a_credit, a_line, an_invoice, at_bank, declined, notify, one, paid, paid_late
from tests.payments.test_pages import ALL, DESK, post, sign_in


@pytest.mark.promise("T12")
async def test_who_proposed_or_asked_may_take_it_back_and_nobody_else_so_that_nothing_is_stuck(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    sign_in(flats, flat, bkh=ALL)
    me = flat.client.cookies["nt_token"]
    assert await post(flat, f"{DESK}/rails/bkh", choice="no") == 303
    proposal = await one(flat, "SELECT id FROM proposal")
    assert "Rút lại" in (await flat.client.get(f"{DESK}/rails")).text
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, f"{DESK}/proposals/{proposal}/withdrawal") == 403
    assert "Rút lại" not in (await flat.client.get(f"{DESK}/rails")).text
    flat.client.cookies.set("nt_token", me)
    assert await post(flat, f"{DESK}/proposals/{proposal}", choice="yes") == 409
    assert await post(flat, f"{DESK}/proposals/{proposal}/withdrawal") == 303
    assert await one(flat, "SELECT count(*) FROM rail") == 0
    assert await post(flat, f"{DESK}/rails/bkh", choice="no") == 303


@pytest.mark.promise("T12")
async def test_a_refund_that_waits_for_its_second_person_is_taken_back_by_who_asked(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(30_000_000, 0, vat_class="exempt"))
    capture = await paid(flat, invoice)
    sign_in(flats, flat, bkh=["finance"])
    me = flat.client.cookies["nt_token"]
    form = {"amount_vnd": "30000000", "reason": "Khách đổi ý"}
    assert await post(flat, f"{DESK}/captures/{capture}/refunds", **form) == 303
    refund = await one(flat, "SELECT id FROM refund")
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/refunds/{refund}/withdrawal") == 403
    flat.client.cookies.set("nt_token", me)
    assert await post(flat, f"{DESK}/refunds/{refund}/withdrawal") == 303
    assert await one(flat, "SELECT state FROM refund") == "rejected"
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 0


@pytest.mark.parametrize(
    ("roles", "seen"),
    [(["finance"], False), (["administrator"], False), (["finance_approver"], True)],
)
async def test_only_who_may_approve_is_shown_the_buttons_for_it(
    flats: Flats, *, roles: list[str], seen: bool
) -> None:
    flat = await flats.start("payments")
    sign_in(flats, flat, bkh=["finance"])
    assert await post(flat, f"{DESK}/rails/bkh", choice="no") == 303
    capture = await paid(flat, an_invoice(a_line(30_000_000, 0, vat_class="exempt")))
    form = {"amount_vnd": "30000000", "reason": "Khách đổi ý"}
    assert await post(flat, f"{DESK}/captures/{capture}/refunds", **form) == 303
    sign_in(flats, flat, bkh=roles)
    assert ("Đồng ý" in (await flat.client.get(f"{DESK}/rails")).text) is seen
    assert ("Không duyệt" in (await flat.client.get(f"{DESK}/refunds")).text) is seen


@pytest.mark.promise("T12")
async def test_by_whose_deed_late_money_was_declined_does_not_approve_it_whoever_asks_anew(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice, by = an_invoice(a_line(40_000_000, 0, vat_class="exempt")), clock.new_id()
    payment = await paid_late(flat, invoice)
    await flat.receive(declined(invoice, payment, by))
    assert await one(flat, "SELECT asked_by, state FROM refund") == (by, "asked")
    for choice in ("no", "yes"):
        refund = await one(flat, "SELECT id FROM refund WHERE state = 'asked'")
        flat.client.cookies.set("nt_token", flats.token(id=by, roles={"bkh": ALL}))
        assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 409
        sign_in(flats, flat, bkh=["finance_approver"])
        assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice=choice) == 303
        if choice == "no":
            sign_in(flats, flat, bkh=["finance"])
            assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 303
    assert await one(flat, "SELECT state FROM refund WHERE renews IS NOT NULL") == "due"


async def test_only_money_that_was_declined_was_declined_by_somebody_says_the_database(flats: Flats) -> None:
    flat = await flats.start("payments")
    await paid(flat, an_invoice())
    with pytest.raises(sa.exc.IntegrityError, match="capture_declined_by"):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE capture SET answered_by = gen_random_uuid()"))


@pytest.mark.promise("T12")
async def test_by_whose_deed_money_is_owed_is_not_shown_the_button_that_would_be_refused(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice, by = an_invoice(a_line(40_000_000, 0, vat_class="exempt")), clock.new_id()
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 40_000_000, by=by))
    refund = await one(flat, "SELECT id FROM refund")
    sign_in(flats, flat, bkh=ALL)
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="no") == 303
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 303
    sign_in(flats, flat, bkh=["finance_approver"])
    assert "Không duyệt" in (await flat.client.get(f"{DESK}/refunds")).text
    flat.client.cookies.set("nt_token", flats.token(id=by, roles={"bkh": ALL}))
    shown = (await flat.client.get(f"{DESK}/refunds")).text
    assert "Không duyệt" not in shown
    assert "Khoản này đi theo việc bạn đã làm" in shown


@pytest.mark.promise("T12")
async def test_held_money_says_for_whom_what_was_sold_and_who_proposed_and_asks_with_its_amount(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(30_000_000, 0, vat_class="exempt", title="Gói Vàng"))
    await flat.receive(invoice)
    assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
    attempt = await one(flat, "SELECT id FROM attempt")
    sign_in(flats, flat, bkh=["finance"])
    shown = (await flat.client.get(f"{DESK}/held")).text
    assert "Đề nghị nhận 30.000.000" in shown
    assert await post(flat, f"{DESK}/held/{attempt}", choice="yes") == 303
    asker = await one(flat, "SELECT asked_by FROM proposal")
    sign_in(flats, flat, bkh=["finance_approver"])
    shown = (await flat.client.get(f"{DESK}/held")).text
    for who in (asker, invoice.buyer.id):
        assert f'data-part="/desk/accounts/name/{who}"' in shown
        assert f'href="/desk/card/{who}"' in shown
    assert "Gói Vàng" in shown
    assert "đồng ý: nhận 30.000.000" in shown


async def test_a_refund_that_went_shows_no_code_of_the_gateway(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0, vat_class="exempt"))
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 100_000))
    async with flat.tx() as tx:
        await tx.execute(
            sa.text("UPDATE refund SET state = 'completed', response = '00', ended_at = asked_at")
        )
    sign_in(flats, flat, bkh=["finance"])
    shown = (await flat.client.get(f"{DESK}/refunds")).text
    assert "Đã hoàn" in shown
    assert ">00<" not in shown
