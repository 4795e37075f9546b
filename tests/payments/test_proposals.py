"""What waits for a second person: who asked may take it back, and only who may decide is shown how."""

from datetime import date

import pytest
import sqlalchemy as sa

from shared import clock
from shared.contracts.accounts import AgencyRegistered
from tests.conftest import Flats
from tests.payments import a_credit, a_line, an_invoice, at_bank, declined, notify, one, paid, paid_late
from tests.payments.test_pages import ALL, DESK, agree, post, sign_in


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


@pytest.mark.promise("T12")
async def test_what_was_decided_about_held_money_stays_to_be_read_with_who_proposed_and_who_decided(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    kept, returned = an_invoice(), an_invoice(a_line(200_000, 0, vat_class="exempt"))
    await flat.receive(kept, returned)
    for invoice, choice in ((kept, "yes"), (returned, "no")):
        assert await notify(flat, await at_bank(flat, invoice, "suspect")) == "00"
        attempt = await one(flat, "SELECT id FROM attempt WHERE invoice = :of", of=invoice.invoice)
        sign_in(flats, flat, bkh=["finance"])
        shown = (await flat.client.get(f"{DESK}/held")).text
        assert "Đề nghị: VNPAY đã trả lại người mua" in shown
        assert await post(flat, f"{DESK}/held/{attempt}", choice=choice) == 303
        await agree(flats, flat, "held")
    shown = (await flat.client.get(f"{DESK}/held")).text
    decided = shown[shown.index("Đã quyết định") :]
    for words in (kept.number, "nhận 99.000", returned.number, "VNPAY đã trả lại người mua 200.000"):
        assert words in decided, words
    async with flat.tx() as tx:
        persons = (await tx.execute(sa.text("SELECT asked_by, decided_by FROM proposal"))).all()
    for who in (who for pair in persons for who in pair):
        assert f'data-part="/desk/accounts/name/{who}"' in decided
    capture = await one(flat, "SELECT id FROM capture")
    decider = await one(flat, "SELECT decided_by FROM attempt WHERE invoice = :of", of=kept.invoice)
    assert f"/desk/accounts/name/{decider}" in (await flat.client.get(f"{DESK}/captures/{capture}")).text


async def test_the_page_of_one_payment_says_what_was_sold_for_whom_and_which_agency_by_its_name(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    await flat.receive(
        AgencyRegistered(agency="bkh", name="Báo Khánh Hòa", kind="newspaper", active_from=date(2020, 1, 1))
    )
    invoice = an_invoice(a_line(title="Gói Vàng"))
    capture = await paid(flat, invoice)
    sign_in(flats, flat, bkh=["finance"])
    shown = (await flat.client.get(f"{DESK}/captures/{capture}")).text
    for words in ("Gói Vàng", f"/desk/accounts/name/{invoice.buyer.id}", "<dd>Báo Khánh Hòa</dd>"):
        assert words in shown, words
    assert "<code>bkh</code>" not in shown


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
