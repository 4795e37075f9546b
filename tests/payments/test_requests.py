"""A request for payment asks only for money that is still wanted, and asks in words that cannot be misread."""

from tests.conftest import Flats
from tests.payments import a_line, an_invoice, at_bank, link, notify, press_pay, withdrawn


async def test_a_request_that_was_withdrawn_asks_for_no_money_while_the_bank_still_waits(
    flats: Flats,
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    await press_pay(flat, invoice)
    address = link(flat.kit.settings, invoice)
    assert "Tiếp tục ở ngân hàng" in (await flat.client.get(address)).text
    await flat.receive(withdrawn(invoice))
    shown = (await flat.client.get(address)).text
    assert "Phiếu đã được rút lại" in shown
    assert "<button" not in shown


async def test_who_pays_once_more_reads_of_paying_and_not_of_getting_money_back(flats: Flats) -> None:
    """`Trả lại` is how one says that money is given back."""
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 8_000))
    await flat.receive(invoice)
    await notify(flat, await at_bank(flat, invoice, "cancel"))
    shown = (await flat.client.get(link(flat.kit.settings, invoice))).text
    assert "Trả lần nữa 108.000\xa0₫ qua VNPAY" in shown
    assert "Trả trước" in shown, "until when it can be paid is said again"
    assert "trả lại" not in shown.lower()
