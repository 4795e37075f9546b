"""A stranger stops neither the code nor the password of another, fills no mailbox, and guesses nothing."""

import asyncio
import re
from typing import Any
from uuid import UUID, uuid4

import httpx
import pyotp
import pytest
import sqlalchemy as sa

from services.accounts import rules
from services.accounts.actions import secrets
from shared.auth import Principal
from shared.settings import Budget, Settings
from tests.accounts.builders import (
    LAN,
    PASSWORD,
    Browser,
    a_person,
    a_stranger,
    an_advertiser,
    letters,
    some_agencies,
)

ORGANISATION = UUID("0199f3a0-7d2c-7c1e-9b64-3f2a5d8e1c70")


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def tries(browser: Browser, password: str, identifier: str = LAN) -> httpx.Response:
    return await browser.post("/account/password", identifier=identifier, password=password)


@pytest.mark.promise("T10")
def test_one_network_can_spend_neither_what_an_account_takes_from_strangers_nor_its_letters():
    settings = Settings()
    an_hour = 2 * settings.budget_tries.network * 3600 / settings.budget_tries.per_s
    assert an_hour * 2 < rules.PASSWORD_TRIES_AN_HOUR
    assert settings.budget_codes.network < rules.CODES_A_DAY


@pytest.mark.promise("T10")
def test_six_digits_and_five_tries_stay_out_of_reach_for_a_day_of_guessing_by_all_strangers_together():
    # Codes that are asked for by phone are long: six digits go to the e-mail only.
    guesses_a_day = rules.CODES_A_DAY * rules.CODE_TRIES
    assert guesses_a_day / 10**6 <= 1e-4
    long_code = len(secrets.ALPHABET) ** 10
    assert long_code > 2**49, (
        "whoever asks for more gets codes that a million tries a second miss for 17 years"
    )
    valid_at_once, a_year = 3, 366
    totp = 2 * rules.TOTP_TRIES_A_DAY * a_year * valid_at_once / 10**6
    assert totp < 0.05, "and that only for somebody who has the password already"


@pytest.mark.promise("T10")
def test_a_password_that_we_take_outlasts_years_of_guessing_by_all_strangers_together():
    full_bucket, identifiers = rules.PASSWORD_TRIES_AN_HOUR, 2
    guesses_a_year = identifiers * (rules.PASSWORD_TRIES_AN_HOUR * 24 * 366 + full_bucket)
    assert guesses_a_year / 10**secrets.LEAST_GUESSES_LOG10 < 0.02


@pytest.mark.promise("T10")
async def test_wrong_passwords_of_a_stranger_stop_nobody_in_another_network(flat):
    await a_person(flat)
    stranger = a_stranger(flat, 1)
    for _ in range(5):
        assert (await tries(stranger, "sai")).status_code == 422
    assert (await tries(stranger, PASSWORD)).status_code == 429
    assert (await tries(a_stranger(flat, 2), PASSWORD)).status_code == 303


@pytest.mark.promise("T10")
async def test_all_strangers_together_guess_so_often_and_the_owner_still_gets_in_by_the_own_browser_and_by_code(
    flat, monkeypatch
):
    monkeypatch.setattr(rules, "PASSWORD_TRIES_AN_HOUR", 12)
    await a_person(flat)
    mine = a_stranger(flat, 1000)
    assert (await tries(mine, PASSWORD)).status_code == 303
    wrong = [await tries(a_stranger(flat, n), "sai") for n in range(12)]
    assert {answer.status_code for answer in wrong} == {422}
    newcomer = a_stranger(flat, 2000)
    refused = await tries(newcomer, PASSWORD)
    assert (refused.status_code, "mã gửi tới e-mail" in refused.text) == (429, True)
    assert (await tries(mine, PASSWORD)).status_code == 303
    assert (await newcomer.sign_in_by_code(LAN)).status_code == 303
    assert (await tries(newcomer, PASSWORD)).status_code == 303, "known now"


async def test_the_right_password_costs_no_tries(flat):
    await a_person(flat)
    for _ in range(8):
        assert (await tries(Browser(flat), PASSWORD)).status_code == 303


async def test_the_owners_own_wrong_passwords_make_only_the_own_browser_wait(flat):
    await a_person(flat)
    mine = Browser(flat)
    await tries(mine, PASSWORD)
    for _ in range(5):
        assert (await tries(mine, "sai")).status_code == 422
    assert (await tries(mine, PASSWORD)).status_code == 429
    assert (await tries(Browser(flat), PASSWORD)).status_code == 303


async def test_a_device_of_another_account_is_a_stranger_to_this_one(flat):
    await a_person(flat)
    mine = Browser(flat)
    await mine.sign_in_by_code("khac@example.vn")
    for _ in range(5):
        await tries(mine, "sai")
    assert (await tries(Browser(flat), PASSWORD)).status_code == 429, "one network's strangers share"


@pytest.mark.promise("T10")
async def test_codes_that_strangers_ask_for_use_up_none_of_the_owners(flat):
    mine = Browser(flat)
    await mine.sign_in_by_code(LAN)
    for n in range(rules.CODES_A_DAY - 1):
        asked = await a_stranger(flat, n).post("/account/sign-in", identifier=LAN)
        assert asked.headers["location"] == "/account/code"
    newcomer = a_stranger(flat, 500)
    asked = await newcomer.post("/account/sign-in", identifier=LAN)
    assert asked.headers["location"] == "/account/code"
    shown = (await newcomer.get("/account/code")).text
    assert ("thư kế tiếp" in shown, 'inputmode="text"' in shown) == (True, True)
    assert (await mine.sign_in_by_code(LAN)).headers["location"] == "/account"
    await make_due(flat)
    newest = next(m for m in await letters(flat) if m["template"] == "codes")
    code = re.search(r"\b[a-z0-9]{5}-[a-z0-9]{5}\b", newest["body"])[0]
    wrong = (await newcomer.post("/account/code", code="sai")).text
    assert ("thư kế tiếp" in wrong, 'inputmode="text"' in wrong) == (True, True), "after a wrong one too"
    assert (await newcomer.post("/account/code", code=code.upper())).headers["location"] == "/account"


async def known_browsers(flat: Any) -> int:
    async with flat.tx() as tx:
        return int(await tx.scalar(sa.text("SELECT count(*) FROM device")))


@pytest.mark.promise("T10")
async def test_a_browser_that_its_person_was_signed_out_of_from_another_is_a_stranger_again(flat):
    await a_person(flat)
    mine, theirs, third = (Browser(flat) for _ in range(3))
    for browser in (mine, theirs, third):
        await tries(browser, PASSWORD)
    await theirs.post("/account/sign-out")
    assert await known_browsers(flat) == 3, "who signs out comes back as known"
    await mine.post("/account/security/device", session=third.principal().session)
    assert await known_browsers(flat) == 2
    await mine.post("/account/security/others")
    assert await known_browsers(flat) == 1, "also one whose session was over"
    await tries(third, PASSWORD)
    changed = await mine.post("/account/security/password", old=PASSWORD, new="mua-thu-vang-la-bang-lang")
    assert (changed.status_code, await known_browsers(flat)) == (303, 1)
    for _ in range(5):
        await tries(theirs, "sai")
    assert (await tries(third, PASSWORD)).status_code == 429, "strangers of one network share"
    assert (await tries(mine, "mua-thu-vang-la-bang-lang")).status_code == 303
    told = [m for m in await letters(flat) if m["template"] == "changed"]
    assert len(told) == 4, "two more browsers, the third once more, the password"


async def make_due(flat: Any) -> None:
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE message SET next_at = now() WHERE state = 'queued'"))
    await flat.tick()


@pytest.mark.promise("T10", "F10")
async def test_however_many_codes_strangers_ask_for_the_mailbox_gets_few_letters(flat):
    asked = [a_stranger(flat, n % 15) for n in range(60)]
    answers = [await browser.post("/account/sign-in", identifier=LAN) for browser in asked]
    assert {answer.status_code for answer in answers} == {303}, "each gets a code, the later ones later"
    kinds = [m["template"] for m in await letters(flat)]
    assert kinds == ["code"] * rules.CODES_A_DAY + ["codes"]
    waiting = (await letters(flat))[-1]
    assert len(waiting["params"]["codes"]) == 60 - rules.CODES_A_DAY
    await make_due(flat)
    await a_stranger(flat, 500).post("/account/sign-in", identifier=LAN)
    again = (await letters(flat))[-1]
    assert again["next_at"] - waiting["created_at"] >= rules.LATER_APART
    assert (await letters(flat))[-2]["id"] == waiting["id"], "one an hour"


async def asked_by_all(flat: Any, count: int) -> None:
    for n in range(count):
        await a_stranger(flat, n).post("/account/sign-in", identifier=LAN)


@pytest.mark.promise("T10")
async def test_of_codes_asked_for_at_once_no_more_are_short_than_a_day_has(flat):
    asked = [a_stranger(flat, n) for n in range(rules.CODES_A_DAY + 6)]
    await asyncio.gather(*(browser.post("/account/sign-in", identifier=LAN) for browser in asked))
    kinds = [m["template"] for m in await letters(flat)]
    assert sorted(kinds) == ["code"] * rules.CODES_A_DAY + ["codes"]


async def test_a_code_that_comes_later_is_good_for_ten_minutes_after_its_letter_left(flat):
    await asked_by_all(flat, rules.CODES_A_DAY + 1)
    await make_due(flat)
    await a_stranger(flat, 500).post("/account/sign-in", identifier=LAN)
    newest = sa.text("SELECT expires_at FROM challenge ORDER BY created_at DESC LIMIT 1")
    async with flat.tx() as tx:
        assert await tx.scalar(newest) == (await letters(flat))[-1]["next_at"] + rules.CODE_TTL


async def test_a_letter_under_way_takes_no_further_code_which_it_would_not_bring(flat):
    await asked_by_all(flat, rules.CODES_A_DAY + 1)
    handed_over = (
        "UPDATE message SET attempts = 1, next_at = now() + interval '2 minutes' WHERE template = 'codes'"
    )
    async with flat.tx() as tx:
        await tx.execute(sa.text(handed_over))
    await a_stranger(flat, 500).post("/account/sign-in", identifier=LAN)
    shared = [m["params"]["codes"] for m in await letters(flat) if m["template"] == "codes"]
    assert [len(codes) for codes in shared] == [1, 1]


@pytest.mark.promise("T10")
async def test_one_network_that_asks_without_end_fills_no_letter_and_keeps_no_neighbour_out(flat):
    stranger = a_stranger(flat, 1)
    answers = [await stranger.post("/account/sign-in", identifier=LAN) for _ in range(20)]
    assert {a.status_code for a in answers} == {303}
    assert len(await letters(flat)) == 6
    neighbour = a_stranger(flat, 1)
    assert (await neighbour.post("/account/sign-in", identifier=LAN)).status_code == 303
    waiting = (await letters(flat))[-1]["params"]["codes"]
    assert len(waiting) == 5, "what is asked for beyond it adds nothing"
    await make_due(flat)
    assert (await neighbour.post("/account/code", code=waiting[-1]["code"])).headers["location"] == "/account"


@pytest.mark.promise("T10")
async def test_addresses_that_are_one_mailbox_are_counted_as_one_and_each_still_gets_its_codes(flat):
    name, _, host = LAN.partition("@")
    for n in range(rules.CODES_A_DAY + 3):
        asked = await a_stranger(flat, n).post("/account/sign-in", identifier=f"{name}+{n}@{host}")
        assert asked.headers["location"] == "/account/code"
    async with flat.tx() as tx:
        kinds = list(await tx.scalars(sa.text("SELECT template FROM message ORDER BY created_at, id")))
    assert kinds == ["code"] * rules.CODES_A_DAY + ["codes"] * 3
    stranger = a_stranger(flat, 600)
    asked = [await stranger.post("/account/sign-in", identifier=f"{name}+more{n}@{host}") for n in range(6)]
    assert {a.status_code for a in asked} == {303}, "whether there is an account or not"
    async with flat.tx() as tx:
        sent = await tx.scalar(sa.text("SELECT count(*) FROM message"))
    assert sent == len(kinds) + 5, "one network's letters to it"
    assert (await stranger.post("/account/sign-in", identifier=f"khac@{host}")).status_code == 303


async def test_a_letter_of_codes_repeats_no_word_of_who_asked(flat):
    for n in range(rules.CODES_A_DAY + 1):
        stranger = a_stranger(flat, n)
        stranger.client.headers["user-agent"] = "Buy now at evil.example"
        await stranger.post("/account/sign-in", identifier=LAN)
    await make_due(flat)
    assert not [m for m in await letters(flat) if "evil" in m["body"] + m["subject"]]


@pytest.mark.promise("T10")
async def test_wrong_second_steps_of_a_thief_of_the_password_leave_the_owner_a_way_in(flat, monkeypatch):
    monkeypatch.setattr(rules, "TOTP_TRIES_A_DAY", 4)
    _, secret = await a_person(flat, roles=["finance"], totp=True)
    mine = a_stranger(flat, 1000)
    assert (await mine.sign_in_as_staff(LAN, secret)).status_code == 303
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE person SET totp_step = 0"))
    for n in range(rules.TOTP_TRIES_A_DAY):
        thief = a_stranger(flat, n)
        await tries(thief, PASSWORD)
        assert (await thief.post("/account/totp", code="000000")).status_code == 422
    thief = a_stranger(flat, 900)
    await tries(thief, PASSWORD)
    assert (await thief.post("/account/totp", code=pyotp.TOTP(secret).now())).status_code == 429
    assert (await mine.sign_in_as_staff(LAN, secret)).status_code == 303


async def test_the_settings_say_what_the_tests_reckon_with():
    settings = Settings()
    assert settings.budget_codes.known >= 5
    assert settings.budget_tries.known == 5, "level 3: five failures"


async def register(flat: Any, **changes: Any) -> httpx.Response:
    answer: httpx.Response = await flat.client.post(
        "/api/accounts/v1/advertisers",
        json=an_advertiser(**changes),
        headers={"Idempotency-Key": uuid4().hex},
    )
    return answer


@pytest.mark.promise("T10", "F10")
async def test_a_stranger_sends_an_address_few_invitations_and_no_word_of_their_own(flat):
    answers = [
        await register(
            flat, name="Mua ngay evil.example", contact_name=f"Bấm evil.example {n}", tax_code=code
        )
        for n, code in enumerate(("4200123454", "0100109106", "0300588569", "0101248141"))
    ]
    assert [a.status_code for a in answers] == [201] * rules.STRANGERS_LETTERS_A_DAY + [429]
    assert int(answers[-1].headers["retry-after"]) > 0
    elsewhere = await register(flat, agency="tcnt", tax_code="0101248141")
    assert elsewhere.status_code == 429, "over all agencies"
    same = await register(flat, email="ketoan+khac@yensao.example", tax_code="0101248141")
    assert same.status_code == 429, "it is the same mailbox"
    await flat.tick()
    sent = await letters(flat, "ketoan@yensao.example")
    assert [m["template"] for m in sent] == ["invitation"] * rules.STRANGERS_LETTERS_A_DAY
    assert not [m for m in sent if "evil" in m["subject"] + m["body"]]
    assert (await register(flat, email="khac@yensao.example")).status_code == 201, "nobody else pays for it"


@pytest.mark.promise("T10")
async def test_a_registration_repeated_is_mailed_once_more_and_makes_nothing_anew(flat):
    first, again = await register(flat), await register(flat, contact_name="Kẻ khác")
    assert first.json()["key"]
    assert (again.status_code, again.json()["key"], again.json()["organisation"]) == (201, "", None)
    assert "was mailed once more" in again.json()["note"], "an answer without a key says why"
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM organisation")) == 2, "itself and its sandbox"
        assert await tx.scalar(sa.text("SELECT count(*) FROM api_key")) == 1
    assert len(await letters(flat, "ketoan@yensao.example")) == 2


@pytest.mark.promise("T10")
async def test_a_key_of_the_sandbox_makes_nobody_known_and_more_of_them_buy_no_more_registrations(flats):
    flat = await flats.start("accounts", budget_registrations=Budget(known=10, network=2, per_s=3600))
    await some_agencies(flat)
    key = (await register(flat)).json()["key"]
    more = await flat.client.post(
        "/api/accounts/v1/keys",
        json={"agency": "bkh-sandbox", "name": "thêm", "scopes": ["ads:read"]},
        headers={"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex},
    )
    answers = []
    for n, each in enumerate((key, more.json()["key"], more.json()["key"])):
        flat.client.headers["Authorization"] = f"Bearer {each}"
        answers.append((await register(flat, email=f"nguoi{n}@yensao.example")).status_code)
    assert answers == [201, 429, 429]


def test_keys_that_keys_make_are_counted_as_the_one_organisation_that_has_them():
    one, other = (Principal(kind="key", id=uuid4(), organisation=ORGANISATION, agency="bkh") for _ in "ab")
    assert one.subject != other.subject
    assert one.spender == other.spender == f"organisation:{ORGANISATION}"
    server = Principal(kind="key", id=uuid4(), agency="bkh")
    assert server.spender == server.subject
