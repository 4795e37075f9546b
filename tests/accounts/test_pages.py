"""The doors for people, as a browser uses them."""

import asyncio
import re
from datetime import timedelta
from typing import Any
from urllib.parse import quote
from uuid import uuid4

import pyotp
import pytest
import sqlalchemy as sa

from shared import clock
from shared.contracts import SERVICES
from shared.web.problems import problems
from tests.accounts.builders import PASSWORD, TAX_CODE, Browser, a_person, some_agencies


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def test_a_reader_signs_in_by_a_code_and_the_account_is_made(flat):
    browser = Browser(flat)
    answer = await browser.sign_in_by_code("Docgia@Example.vn", "/subscribe/checkout?plan=month")
    assert (answer.status_code, answer.headers["location"]) == (303, "/subscribe/checkout?plan=month")
    principal = browser.principal()
    assert principal.roles == {"bkh": ["reader"]}
    assert principal.organisation is None
    again = Browser(flat)
    await again.sign_in_by_code("docgia@example.vn")
    assert again.principal().id == principal.id


async def test_cookies_are_out_of_reach_of_scripts_and_host_bound_behind_https(flats, flat):
    browser = Browser(flat)
    answer = await browser.sign_in_by_code("lan@example.vn")
    made = {c.split("=")[0]: c for c in answer.headers.get_list("set-cookie")}
    assert "Path=/account;" in made["nt_session"] + ";"
    assert all(
        "HttpOnly" in made[name] and "SameSite=lax" in made[name] for name in ("nt_session", "nt_token")
    )
    assert re.search(r"Path=/(;|$)", made["nt_token"])


async def test_a_session_renews_the_page_token_and_sends_a_posted_form_back_whole(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    before = browser.client.cookies["nt_token"]
    answer = await browser.post(
        "/account/renew?next=" + quote("/advertise/orders?step=2", safe=""), budget="5"
    )
    assert (answer.status_code, answer.headers["location"]) == (307, "/advertise/orders?step=2")
    assert browser.client.cookies["nt_token"]
    assert browser.principal().id is not None
    assert before


@pytest.mark.parametrize(
    "target",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nX: y", ""],
)
async def test_renewal_never_leads_out_of_the_house(flat, target):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    answer = await browser.get("/account/renew", params={"next": target})
    assert (answer.status_code, answer.headers["location"]) == (307, "/account")


async def test_without_a_session_renewal_leads_to_the_sign_in_and_remembers_where_to(flat):
    answer = await Browser(flat).get("/account/renew?next=%2Ffinance")
    assert answer.status_code == 303
    assert answer.headers["location"] == "/account/sign-in?next=%2Ffinance"


@pytest.mark.promise("T10")
async def test_staff_enrol_totp_before_any_role_counts_and_get_recovery_codes(flat):
    await a_person(flat, roles=["finance"])
    browser = Browser(flat)
    answer = await browser.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    assert answer.headers["location"] == "/account/enrol"
    assert "nt_token" not in browser.client.cookies
    shown = await browser.get("/account/enrol")
    secret = re.search(r"<code>([A-Z2-7 ]{32,})</code>", shown.text)[1].replace(" ", "")
    wrong = await browser.post("/account/enrol", code="000000")
    assert wrong.status_code == 422
    done = await browser.post("/account/enrol", code=pyotp.TOTP(secret).now())
    codes = re.findall(r"<code>(\w{5}-\w{5})</code>", done.text)
    assert done.status_code == 200
    assert len(codes) == 10
    assert browser.principal().roles == {"bkh": ["finance"]}
    other = Browser(flat)
    await other.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    assert (await other.post("/account/totp", code=codes[0])).headers["location"] == "/desk"
    third = Browser(flat)
    await third.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    assert (await third.post("/account/totp", code=codes[0])).status_code == 422


@pytest.mark.promise("T10")
async def test_a_code_by_e_mail_does_not_spare_staff_the_second_step(flat):
    await a_person(flat, roles=["administrator"], totp=True)
    browser = Browser(flat)
    answer = await browser.sign_in_by_code("lan@baokh.example")
    assert answer.headers["location"] == "/account/totp"
    assert "nt_token" not in browser.client.cookies


@pytest.mark.promise("T10")
async def test_a_totp_code_counts_once(flat):
    _, secret = await a_person(flat, roles=["finance"], totp=True)
    first, second = Browser(flat), Browser(flat)
    assert (await first.sign_in_as_staff("lan@baokh.example", secret)).status_code == 303
    assert (await second.sign_in_as_staff("lan@baokh.example", secret)).status_code == 422


async def test_five_wrong_codes_end_a_code(flat):
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier="lan@example.vn")
    code = await browser.code()
    wrong = f"{(int(code) + 1) % 1_000_000:06d}"
    for _ in range(5):
        assert (await browser.post("/account/code", code=wrong)).status_code == 422
    assert "nt_session" not in browser.client.cookies
    assert (await browser.post("/account/code", code=code)).status_code == 422
    assert "nt_session" not in browser.client.cookies


async def test_a_new_code_leads_where_the_first_one_would_have(flat):
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier="lan@example.vn", next="/subscribe/mine")
    waiting = (await browser.get("/account/code")).text
    assert 'href="/account/sign-in?next=/subscribe/mine"' in waiting
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE challenge SET expires_at = :now"), {"now": clock.now()})
    over = await browser.post("/account/code", code="123456")
    assert '<input type="hidden" name="next" value="/subscribe/mine">' in over.text


async def test_a_refused_phone_number_comes_back_in_its_field_with_the_name_that_was_typed(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    refused = await browser.post("/account/profile", name="Lan Anh", phone="không có", lang="vi")
    assert refused.status_code == 422
    assert 'value="Lan Anh"' in refused.text
    assert "Đây không phải là số điện thoại." in refused.text.split('id="phone-error"')[1]


async def test_what_was_saved_and_a_changed_password_are_said_once(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    await browser.post("/account/profile", name="Lan Anh", phone="", lang="vi")
    home = [(await browser.get("/account")).text for _ in range(2)]
    assert ["Đã lưu thông tin của bạn" in page for page in home] == [True, False]
    await browser.post("/account/security/password", new="gio nom qua cau Xom Bong 9")
    shown = [(await browser.get("/account/security")).text for _ in range(2)]
    assert ["Đã đổi mật khẩu" in page for page in shown] == [True, False]


async def test_whoever_registers_on_the_way_to_a_booking_goes_on_to_it(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("chu.quan@example.vn")
    form = (await browser.get("/account/organisation?kind=advertiser&next=/advertise/new")).text
    assert '<input type="hidden" name="next" value="/advertise/new">' in form
    made = await browser.post(
        "/account/organisation", kind="advertiser", agency="bkh", name="Quán Lan", tax_code=TAX_CODE,
        contact_name="Lan", next="/advertise/new", _idempotency_key="abcdefgh",
    )  # fmt: skip
    assert made.headers["location"] == "/account/renew?next=%2Fadvertise%2Fnew", made.text


async def test_a_code_serves_only_the_browser_that_asked(flat):
    asked, stranger = Browser(flat), Browser(flat)
    await asked.post("/account/sign-in", identifier="lan@example.vn")
    code = await asked.code()
    assert (await stranger.post("/account/code", code=code)).status_code == 422
    assert (await asked.post("/account/code", code=code)).status_code == 303


async def test_a_code_older_than_ten_minutes_is_refused(flat):
    browser = Browser(flat)
    await browser.post("/account/sign-in", identifier="lan@example.vn")
    code = await browser.code()
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE challenge SET expires_at = :now"), {"now": clock.now()})
    assert (await browser.post("/account/code", code=code)).status_code == 422


@pytest.mark.promise("T10")
async def test_an_unknown_account_is_answered_like_a_wrong_password(flat):
    await a_person(flat)
    known = await Browser(flat).post("/account/password", identifier="lan@baokh.example", password="sai")
    unknown = await Browser(flat).post("/account/password", identifier="ai@baokh.example", password="sai")
    assert known.status_code == unknown.status_code == 422
    plain = [re.sub(r'value="[^"]*"', "", answer.text) for answer in (known, unknown)]
    assert plain[0] == plain[1]


async def test_codes_asked_for_at_once_are_counted_one_by_one(flat):
    asked = (Browser(flat).post("/account/sign-in", identifier="lan@example.vn") for _ in range(14))
    assert {a.headers["location"] for a in await asyncio.gather(*asked)} == {"/account/code"}
    async with flat.tx() as tx:
        later = list(await tx.scalars(sa.text("SELECT later FROM challenge ORDER BY later")))
        [shared] = await tx.scalars(sa.text("SELECT params FROM message WHERE template = 'codes'"))
    assert later == [False] * 5 + [True] * 9
    assert len(shared["codes"]) == 5, "the last four share a code"


async def test_staff_who_rest_too_long_sign_in_again(flat):
    _, secret = await a_person(flat, roles=["finance"], totp=True)
    browser = Browser(flat)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    async with flat.tx() as tx:
        await tx.execute(
            sa.text("UPDATE session SET seen_at = :then"), {"then": clock.now() - timedelta(minutes=21)}
        )
    assert (await browser.get("/account/renew?next=/finance")).status_code == 303


async def test_the_inbox_shows_every_letter_page_by_page(flat, monkeypatch):
    monkeypatch.setattr("services.accounts.pages.messages.PAGE", 2)
    browser = Browser(flat)
    for name in ("lan", "hoa", "mai"):
        await browser.post("/account/sign-in", identifier=f"{name}@example.vn")
        await flat.tick()
    first = (await browser.get("/dev/mail")).text
    (more,) = re.findall(r'href="(/dev/mail\?cursor=[^"]+)" rel="next"', first)
    second = (await browser.get(more)).text
    letters = [re.findall(r'href="/dev/mail/([0-9a-f-]{36})"', text) for text in (first, second)]
    assert [len(page) for page in letters] == [2, 1]
    assert not set(letters[0]) & set(letters[1])


async def test_signing_out_ends_the_session_on_the_server(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    session = browser.client.cookies["nt_session"]
    await browser.post("/account/sign-out")
    thief = Browser(flat)
    thief.client.cookies.set("nt_session", session)
    assert (await thief.get("/account/renew?next=/account")).status_code == 303


@pytest.mark.promise("T10")
async def test_each_sign_in_has_a_session_of_its_own(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    first = browser.client.cookies["nt_session"]
    await browser.sign_in_by_code("lan@example.vn")
    assert browser.client.cookies["nt_session"] != first


PAGES_OF_A_PERSON = ("/account", "/account/security", "/account/consents", "/account/organisation")
PAGES_OF_STAFF = ("/desk", "/desk/people", "/desk/keys", "/desk/audit", "/desk/messages")


@pytest.mark.parametrize("lang", ["vi", "en"])
async def test_every_page_shows_itself_in_both_languages(flat, lang):
    _, secret = await a_person(flat, roles=["administrator", "auditor"], totp=True)
    browser = Browser(flat)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    colleague, _ = await a_person(flat, "hoa@baokh.example", roles=["finance"])
    for path in (
        *PAGES_OF_A_PERSON,
        *PAGES_OF_STAFF,
        f"/desk/people/{colleague}",
        "/dev/mail",
        "/desk/components",
    ):
        answer = await browser.get(f"{path}?lang={lang}")
        assert answer.status_code == 200, (path, answer.text)
        assert f'lang="{lang}"' in answer.text


async def test_one_person_registers_three_organisations_a_day_and_no_more(flat):
    await a_person(flat, "lan@example.vn")
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")

    async def register(name: str) -> int:
        form = {"kind": "sponsor", "agency": "bkh", "name": name, "tax_code": TAX_CODE, "contact_name": "Lan"}
        answer = await browser.post("/account/organisation", **form, _idempotency_key=uuid4().hex)
        return answer.status_code

    assert [await register(f"Công ty {n}") for n in range(4)] == [303, 303, 303, 429]
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE organisation SET created_at = created_at - interval '1 day'"))
    assert await register("Công ty mới") == 303


async def test_a_reader_gets_no_staff_page_and_a_stranger_no_page_of_a_person(flat):
    reader = Browser(flat)
    await reader.sign_in_by_code("docgia@example.vn")
    for path in PAGES_OF_STAFF:
        assert (await reader.get(path)).status_code == 403, path
    for path in (*PAGES_OF_A_PERSON, *PAGES_OF_STAFF):
        answer = await Browser(flat).get(path)
        assert (answer.status_code, answer.headers["location"].split("?")[0]) == (307, "/account/renew"), path


@pytest.mark.promise("T10")
async def test_behind_https_every_cookie_is_bound_to_the_host(flats):
    flat = await flats.start("accounts", base_url="https://baokhanhhoa.example")
    await some_agencies(flat)
    browser = Browser(flat, "https://baokhanhhoa.example")
    answer = await browser.sign_in_by_code("lan@example.vn")
    made = [c for c in answer.headers.get_list("set-cookie") if "nt_" in c]
    assert len(made) == 4
    for cookie in made:
        assert cookie.startswith("__Host-")
        parts = {part.strip().lower() for part in cookie.split(";")[1:]}
        assert {"path=/", "secure", "httponly", "samesite=lax"} <= parts
        assert not any(part.startswith("domain") for part in parts)
    assert (await browser.get("/account")).status_code == 200


@pytest.mark.promise("T10")
@pytest.mark.parametrize(
    "path", ["/account/sign-in", "/account/password", "/account/totp", "/account/sign-out"]
)
async def test_a_form_of_another_site_is_refused(flat, path):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    answer = await browser.client.post(path, data={"identifier": "lan@example.vn"})
    assert answer.status_code == 403
    assert (await browser.get("/account/renew?next=/account")).status_code == 307


async def test_a_phone_signs_in_with_the_password_once_it_is_the_persons(flat):
    await a_person(flat)
    browser = Browser(flat)
    await browser.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    saved = await browser.post("/account/profile", name="Lan", lang="vi", phone="090 512 3456")
    assert saved.status_code == 303
    answer = await Browser(flat).post("/account/password", identifier="+84905123456", password=PASSWORD)
    assert answer.status_code == 303
    other = Browser(flat)
    await other.sign_in_by_code("khac@example.vn")
    assert (await other.post("/account/profile", name="K", lang="vi", phone="0905123456")).status_code == 409
    assert (await other.post("/account/profile", name="K", lang="vi", phone="12")).status_code == 422


async def test_the_exported_trail_can_be_checked_without_us(flat):
    import hashlib
    import json

    _, secret = await a_person(flat, roles=["auditor"], totp=True)
    browser = Browser(flat)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    answer = await browser.get("/desk/audit/export?agency=bkh")
    lines = [json.loads(line) for line in answer.text.splitlines()]
    assert [line["number"] for line in lines] == list(range(1, len(lines) + 1))
    last = b""
    for line in lines:
        last = hashlib.sha256(last + line["body"].encode()).digest()
        assert last.hex() == line["hash"]
    assert json.loads(lines[-1]["body"])["action"] == "session.open"
    assert (await browser.get("/desk/audit/export?agency=tcnt")).status_code == 404


async def test_an_auditor_reads_and_changes_nothing(flat):
    _, secret = await a_person(flat, roles=["auditor"], totp=True)
    browser = Browser(flat)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    assert (await browser.get("/desk/audit")).status_code == 200
    assert (await browser.get("/desk/people")).status_code == 403
    answer = await browser.post("/desk/people", email="x@y.vn", name="X", agency="bkh", roles=["finance"])
    assert answer.status_code == 403


async def test_the_page_for_programmers_leads_to_each_api_and_speaks_the_readers_language(flat):
    shown = (await flat.client.get("/docs")).text
    for service in SERVICES:
        assert f'href="/api/{service}/v1/docs"' in shown
        assert f'href="/api/{service}/v1/openapi.json"' in shown
    assert "Dành cho lập trình viên" in shown
    assert 'href="/docs/problems"' in shown
    english = (await flat.client.get("/docs?lang=en")).text
    assert "For programmers" in english
    assert "Mở tài liệu" not in english


async def test_the_type_of_every_problem_leads_to_its_line(flat):
    shown = (await flat.client.get("/docs/problems")).text
    for problem in problems():
        assert f'id="{problem.code}"' in shown, problem.code
    refused = (await flat.client.get("/api/accounts/v1/nothing")).json()
    assert refused["type"] == f"/docs/problems#{refused['code']}"
    assert f'id="{refused["code"]}"' in shown
