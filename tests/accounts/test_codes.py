"""What a code that is asked for tells, and whom: by phone, from a known browser, on the page that waits for it."""

import re
from typing import Any

import pytest

from services.accounts import rules
from services.accounts.tables import PersonRow
from tests.accounts.builders import LAN, PASSWORD, Browser, a_person, a_stranger, letters, some_agencies


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def test_a_phone_number_is_never_told_whether_it_has_an_account(flat):
    await a_person(flat)
    browser = Browser(flat)
    await browser.post("/account/password", identifier=LAN, password=PASSWORD)
    await browser.post("/account/profile", name="Lan", lang="vi", phone="0905123456")
    told = []
    for number in ("0905123456", "0905999999"):
        asking = a_stranger(flat, 7)
        for _ in range(12):
            asked = await asking.post("/account/sign-in", identifier=number)
            shown = await asking.get(asked.headers["location"])
            main = re.search(r"<main.*</main>", shown.text, re.DOTALL)[0]
            told.append((asked.headers["location"], re.sub(r'value="[^"]*"', "", main)))
    assert len(set(told)) == 1
    assert (told[0][0], 'inputmode="text"' in told[0][1]) == ("/account/code", True)


@pytest.mark.promise("T10")
async def test_what_a_phone_is_asked_says_nothing_of_an_e_mail_nor_the_other_way_round(flat):
    """Codes that are asked for by the one way are counted apart from those of the other."""
    person, _ = await a_person(flat)
    async with flat.tx() as tx:
        (await tx.get_one(PersonRow, person)).phone = "+84905123456"
    for n in range(rules.CODES_A_DAY + 4):
        await a_stranger(flat, n // 4).post("/account/sign-in", identifier="0905123456")
    newcomer = a_stranger(flat, 0)
    await newcomer.post("/account/sign-in", identifier=LAN)
    assert "Mã 6 số đã được gửi" in (await newcomer.get("/account/code")).text
    for _ in range(10):
        asked = await newcomer.post("/account/sign-in", identifier=LAN)
    assert asked.status_code == 303
    assert (await newcomer.post("/account/sign-in", identifier="0905123456")).status_code == 303


@pytest.mark.promise("T10")
async def test_a_code_asked_for_by_phone_is_a_long_one_and_at_once(flat):
    person, _ = await a_person(flat)
    async with flat.tx() as tx:
        (await tx.get_one(PersonRow, person)).phone = "+84905123456"
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier="0905123456")
    (letter,) = await letters(flat)
    code = re.search(r"\b[a-z0-9]{5}-[a-z0-9]{5}\b", letter["subject"])[0]
    assert (await browser.post("/account/code", code=code)).headers["location"] == "/account"


async def test_the_address_of_the_code_page_says_nothing_of_the_code(flat):
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier=LAN)
    shown = (await browser.get("/account/code?later=yes&by=phone")).text
    assert ("Mã 6 số đã được gửi" in shown, 'inputmode="numeric"' in shown) == (True, True)


@pytest.mark.promise("T10")
async def test_from_a_known_browser_too_six_digits_are_asked_for_so_often_in_a_day(flat, monkeypatch):
    monkeypatch.setattr(rules, "CODES_A_DAY", 3)
    await a_person(flat)
    mine = Browser(flat)
    await mine.post("/account/password", identifier=LAN, password=PASSWORD)
    for _ in range(3):
        await mine.sign_in_by_code(LAN)
    await mine.post("/account/sign-in", identifier=LAN)
    assert [m["template"] for m in await letters(flat)] == ["code"] * 3 + ["codes"]
