"""A payer is found by what they can quote, and their card shows what was asked, what came and what goes back."""

import pytest

from shared import clock
from shared.contracts.base import Buyer
from tests.conftest import Flat, Flats
from tests.payments import a_line, an_invoice, at_bank, notify, paid, withdrawn
from tests.shared.desk import card, found

DESK = "/desk/payments"
FINANCE = {"bkh": ["finance"]}

pytestmark = pytest.mark.promise("W6", "P8")


async def reference_and_bank_number(flat: Flat) -> tuple[str, str]:
    import sqlalchemy as sa

    async with flat.tx() as tx:
        row = (await tx.execute(sa.text("SELECT reference, gateway_no FROM attempt"))).one()
    return row.reference, row.gateway_no


async def test_a_payment_is_found_by_number_memo_reference_bank_number_and_amount(flats: Flats) -> None:
    flat = await flats.start("payments")
    buyer = Buyer("person", clock.new_id())
    invoice = an_invoice(a_line(90_000, 9_000), number="TB261127-0A1B2C3D4E5F", buyer=buyer)
    await paid(flat, invoice)
    other = an_invoice(a_line(50_000, 0))
    await flat.receive(other)
    reference, bank_number = await reference_and_bank_number(flat)
    for quoted in (
        "TB261127-0A1B2C3D4E5F",
        "tb2611270a1b2c3d4e5f",
        "MBVCB.123.Thanh toan TB261127 0A1B2C3D4E5F",
        reference,
        bank_number,
        "99.000 ₫",
        "99000",
        str(buyer.id),
    ):
        seen = await found(flats, flat, DESK, quoted, **FINANCE)
        assert "TB261127-0A1B2C3D4E5F" in seen, quoted
        assert "Gói đọc báo một tháng" in seen or quoted == bank_number, quoted
        assert bank_number in seen, quoted
        assert other.number not in seen, quoted
    sign = await found(flats, flat, DESK, "TB261127-0A1B2C3D4E5E", **FINANCE)
    assert sign == "Không tìm thấy gì."


async def test_a_card_shows_what_was_asked_what_came_and_what_lies_in_suspense(flats: Flats) -> None:
    flat = await flats.start("payments")
    buyer = Buyer("person", clock.new_id())
    good, late = an_invoice(buyer=buyer), an_invoice(a_line(50_000, 0), buyer=buyer)
    await paid(flat, good)
    await flat.receive(late)
    query = await at_bank(flat, late)
    import sqlalchemy as sa

    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE attempt SET state = 'expired' WHERE state = 'open'"))
    await flat.receive(withdrawn(late))
    assert await notify(flat, query) == "00"
    seen = await card(flats, flat, DESK, buyer.id, **FINANCE)
    assert seen.count(good.number) == 2
    assert seen.count(late.number) == 2
    assert "Tiền đến sau khi phiếu đã đóng" in seen
    assert await card(flats, flat, DESK, clock.new_id(), **FINANCE) == "Không có gì của người mua này."


async def test_neither_agency_sees_the_other_ones_payments(flats: Flats) -> None:
    flat = await flats.start("payments")
    both = Buyer("person", clock.new_id())
    ours, theirs = an_invoice(buyer=both), an_invoice(agency="tcnt", buyer=both)
    await paid(flat, ours)
    await flat.receive(theirs)
    for agency, own, foreign in (("bkh", ours, theirs), ("tcnt", theirs, ours)):
        roles = {agency: ["finance", "administrator"]}
        assert own.number in await found(flats, flat, DESK, own.number, **roles)
        for quoted in (foreign.number, str(foreign.invoice), "99000", str(both.id)):
            assert foreign.number not in await found(flats, flat, DESK, quoted, **roles), quoted
        seen = await card(flats, flat, DESK, both.id, **roles)
        assert own.number in seen
        assert foreign.number not in seen
