"""What payments says reaches people: acts about money stand in the audit trail, each letter has words of its own."""

from typing import get_args

import pytest

from services.accounts import queries
from services.payments.actions.telling import News, record_act, tell_payer
from services.payments.tables import InvoiceRow
from shared.contracts.base import Buyer
from shared.contracts.payments import ActRecorded, MessageRequested
from tests.accounts.builders import Browser, a_person, some_agencies
from tests.conftest import Flat, Flats
from tests.payments import a_line, an_invoice, at_bank, notify, one, paid, told
from tests.payments.test_pages import DESK, agree, post

ROLES = {"bkh": ["finance", "finance_approver"]}


async def accounts(flats: Flats) -> Flat:
    flat = await flats.start("accounts")
    await some_agencies(flat)
    return flat


@pytest.mark.promise("T12", "T16")
async def test_each_act_about_money_stands_in_the_audit_trail_with_who_did_it(flats: Flats) -> None:
    people, flat = await accounts(flats), await flats.start("payments")
    first, _ = await a_person(people, "thu@baokh.example", roles=["finance"])
    _, secret = await a_person(people, roles=["auditor"], totp=True)
    flat.client.cookies.set("nt_token", flats.token(id=first, roles=ROLES))
    invoice, suspect = an_invoice(a_line(40_000_000, 0)), an_invoice()
    capture = await paid(flat, invoice)
    await flat.receive(suspect)
    assert await notify(flat, await at_bank(flat, suspect, "suspect")) == "00"
    attempt = await one(flat, "SELECT id FROM attempt WHERE state = 'held'")
    asked = {"amount_vnd": "30.000.000", "reason": "Hủy hợp đồng"}
    assert await post(flat, f"{DESK}/captures/{capture}/refunds", **asked) == 303
    assert await post(flat, f"{DESK}/held/{attempt}", choice="yes") == 303
    assert await post(flat, f"{DESK}/rails/bkh", choice="no") == 303
    await agree(flats, flat, "held")
    await agree(flats, flat, "rail", choice="no")
    refund = await one(flat, "SELECT id FROM refund")
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="no") == 303
    acts = await told(flat, ActRecorded)
    assert [fact.act for fact in acts] == [
        "refund.ask",
        "held.propose",
        "rail.propose",
        "held.agree",
        "rail.reject",
        "refund.reject",
    ]
    await people.receive(*acts, *acts)
    browser = Browser(people)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    shown = (await browser.get("/desk/audit")).text
    for words in (
        "Yêu cầu hoàn tiền",
        "Hủy hợp đồng",
        "Đề nghị về khoản tiền bị nghi ngờ",
        "Đồng ý về khoản tiền bị nghi ngờ",
        "Đề nghị bật hoặc tắt một cách trả",
        "Không đồng ý bật hoặc tắt một cách trả",
        "Không duyệt hoàn tiền",
        "Chuỗi nguyên vẹn",
        str(refund),
    ):
        assert words in shown, words
    assert shown.split('class="rows trail"')[1].count("refund.") == 0
    assert await one(people, "SELECT count(*) FROM audit WHERE body LIKE '%refund.ask%'") == 1


async def test_what_no_person_did_is_no_act_of_theirs(flats: Flats) -> None:
    flat = await flats.start("payments")
    async with flat.tx() as tx:
        await record_act(tx, "bkh", None, "refund.ask", None)
    assert await flat.facts() == []


@pytest.mark.promise("P7")
@pytest.mark.parametrize("lang", ["vi", "en"])
async def test_whatever_becomes_of_money_its_payer_is_written_a_letter_of_its_own(
    flats: Flats, lang: str
) -> None:
    people, flat = await accounts(flats), await flats.start("payments")
    person, _ = await a_person(people)
    async with people.tx() as tx:
        from services.accounts.actions import people as profiles
        from services.accounts.tables import PersonRow

        await profiles.save_profile(tx, await tx.get_one(PersonRow, person), "Lan", lang, "")
    invoice = an_invoice(buyer=Buyer("person", person), return_url="/subscribe/thanks")
    await flat.receive(invoice)
    async with flat.tx() as tx:
        row = await tx.get_one(InvoiceRow, invoice.invoice)
        for news in get_args(News):
            await tell_payer(tx, row, news, 1_234_000)
    await people.receive(*await told(flat, MessageRequested))
    await people.tick()
    async with people.tx() as tx:
        letters = await queries.inbox(tx)
    assert len({letter.subject for letter in letters}) == len(get_args(News)) == len(letters)
    for letter in letters:
        assert invoice.number in letter.subject
        assert "1.234.000\xa0₫" in letter.body
        assert "/subscribe/thanks" in letter.body
        assert ("Chào bạn" in letter.body) == (lang == "vi")


async def test_the_sandbox_writes_nobody(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(agency="bkh-sandbox"), agency="bkh-sandbox")
    await flat.receive(invoice)
    async with flat.tx() as tx:
        await tell_payer(tx, await tx.get_one(InvoiceRow, invoice.invoice), "returned", 1)
    assert await flat.facts() == []
