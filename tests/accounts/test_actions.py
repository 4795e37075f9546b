"""What is written stays true: audit chain, roles, two persons for a lost phone, consents, and whose rows are whose."""

import re
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest
import sqlalchemy as sa

from services.accounts import queries
from services.accounts.actions import audit, consents, people
from services.accounts.queries import audit as reading
from services.accounts.rules import PURPOSES
from services.accounts.tables import Base
from shared.contracts.accounts import ConsentChanged
from shared.db import enter
from shared.lists import encode_cursor
from tests.accounts.builders import PASSWORD, Browser, a_person, an_advertiser, some_agencies


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def an_administrator(flat: Any, email: str, agency: str = "bkh") -> tuple[Browser, UUID]:
    person, secret = await a_person(flat, email, agency=agency, roles=["administrator"], totp=True)
    browser = Browser(flat)
    assert (await browser.sign_in_as_staff(email, secret)).status_code == 303
    return browser, person


async def roles_of(flat: Any, person: UUID) -> dict[str, list[str]]:
    async with flat.tx() as tx:
        return await queries.roles_of(tx, person)


@pytest.mark.promise("F6")
async def test_a_changed_or_deleted_audit_entry_shows(flat, superuser):
    async with flat.tx() as tx:
        for n in range(5):
            await audit.note(tx, agency="bkh", actor="test", action="role.set", subject=n, why="vì sao")
        assert await reading.broken_entries(tx, ["bkh", "tcnt"]) == 0
    name = superuser.info.dsn.replace("dbname=postgres", "dbname=test_accounts")
    with psycopg.connect(name, password=superuser.info.password, autocommit=True) as behind:
        behind.execute(
            "UPDATE audit SET body = replace(body, 'vì sao', 'khác') WHERE agency = 'bkh' AND number = 3"
        )
        async with flat.tx() as tx:
            assert await reading.broken_entries(tx, ["bkh"]) == 1
        behind.execute(
            "UPDATE audit SET body = replace(body, 'khác', 'vì sao') WHERE agency = 'bkh' AND number = 3"
        )
        behind.execute("DELETE FROM audit WHERE agency = 'bkh' AND number = 4")
        async with flat.tx() as tx:
            assert await reading.broken_entries(tx, ["bkh"]) >= 1


@pytest.mark.parametrize("statement", ["UPDATE audit SET body = ''", "DELETE FROM audit", "TRUNCATE audit"])
async def test_no_role_of_the_service_may_rewrite_the_trail(flat, statement):
    for door in (flat.kit.database.worker_tx(), flat.kit.database.web_tx(["bkh"])):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            async with door as tx:
                await tx.execute(sa.text(statement))


async def test_roles_change_with_a_reason_end_sessions_and_are_written_down(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    person, secret = await a_person(flat, "hoa@bkh.example", roles=["finance", "events"], totp=True)
    theirs = Browser(flat)
    await theirs.sign_in_as_staff("hoa@bkh.example", secret)
    path = f"/desk/people/{person}/roles"
    assert (await admin.post(path, agency="bkh", roles=["finance"], why="x")).status_code == 422
    answer = await admin.post(path, agency="bkh", roles=["finance", "auditor"], why="Chuyển việc")
    assert answer.status_code == 303, answer.text
    assert await roles_of(flat, person) == {"bkh": ["auditor", "finance"]}
    assert (await theirs.get("/account/renew?next=/finance")).status_code == 303
    async with flat.tx() as tx:
        newest = (await reading.entries(tx, "bkh"))[0]
    assert (newest.action, newest.before, newest.after, newest.why) == (
        "role.set",
        ["events", "finance"],
        ["auditor", "finance"],
        "Chuyển việc",
    )


async def test_an_administrator_reaches_neither_the_own_roles_nor_another_agency(flat):
    admin, me = await an_administrator(flat, "quantri@bkh.example")
    other, _ = await a_person(flat, "hoa@tcnt.example", agency="tcnt", roles=["finance"])
    assert (await admin.get(f"/desk/people/{other}")).status_code == 404
    for person, agency, status in ((other, "tcnt", 403), (other, "bkh", 404), (me, "bkh", 403)):
        answer = await admin.post(
            f"/desk/people/{person}/roles", agency=agency, roles=["auditor"], why="thử xem"
        )
        assert answer.status_code == status
    answer = await admin.post("/desk/people", email="x@y.vn", name="X", agency="tcnt", roles=["finance"])
    assert answer.status_code == 403
    assert await roles_of(flat, other) == {"tcnt": ["finance"]}


@pytest.mark.promise("F6")
async def test_an_invitation_makes_a_colleague_who_must_enrol_totp(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    shown = await admin.post(
        "/desk/people", email="moi@bkh.example", name="Mới", agency="bkh", roles=["finance"]
    )
    link = re.search(r"<code>(http[^<]*/account/join\?token=\w+)</code>", shown.text)[1]
    newcomer = Browser(flat)
    path = link.removeprefix(flat.kit.settings.base_url)
    token = path.split("token=")[1]
    assert (await newcomer.get(path)).status_code == 200
    assert (await newcomer.post("/account/join", token=token, name="Mới", password="ngắn")).status_code == 422
    joined = await newcomer.post("/account/join", token=token, name="Mới", password="xK9#mQ2p")
    assert joined.headers["location"] == "/account/enrol"
    used = await Browser(flat).get(path)
    assert used.status_code == 410
    assert "Hãy nhờ người đã mời bạn gửi lời mời mới" in used.text
    letters = (await Browser(flat).get("/dev/mail?to=moi@bkh.example")).text
    assert "Lời mời tham gia" in letters


async def test_an_invitation_alone_opens_no_account_that_exists(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    person, _ = await a_person(flat, "hoa@bkh.example")
    shown = await admin.post(
        "/desk/people", email="hoa@bkh.example", name="", agency="bkh", roles=["finance"]
    )
    token = re.search(r"join\?token=(\w+)", shown.text)[1]
    thief = Browser(flat)
    answer = await thief.post("/account/join", token=token, name="Trộm", password="mat-khau-cua-trom")
    assert answer.headers["location"] == "/account/password?next=%2Faccount"
    assert "nt_session" not in thief.client.cookies
    again = Browser(flat)
    signed_in = await again.post("/account/password", identifier="hoa@bkh.example", password=PASSWORD)
    assert signed_in.headers["location"] == "/account/enrol"
    assert await roles_of(flat, person) == {"bkh": ["finance"]}


@pytest.mark.promise("F6")
async def test_a_lost_phone_needs_two_administrators(flat):
    first, first_id = await an_administrator(flat, "mot@bkh.example")
    second, _ = await an_administrator(flat, "hai@bkh.example")
    stranger, _ = await an_administrator(flat, "ba@tcnt.example", "tcnt")
    person, secret = await a_person(flat, "hoa@bkh.example", roles=["finance"], totp=True)
    theirs = Browser(flat)
    await theirs.sign_in_as_staff("hoa@bkh.example", secret)
    asked = await first.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy, đã gặp mặt")
    assert asked.status_code == 303
    async with flat.tx() as tx:
        reset = (await queries.resets(tx, ["bkh"]))[0]
    assert reset.asked_by == first_id
    assert (await first.post(f"/desk/people/resets/{reset.id}")).status_code == 403
    assert (await stranger.post(f"/desk/people/resets/{reset.id}")).status_code == 404
    assert (await theirs.get("/account/renew?next=/finance")).status_code == 307
    assert (await second.post(f"/desk/people/resets/{reset.id}")).status_code == 303
    assert (await theirs.get("/account/renew?next=/finance")).status_code == 303
    anew = await Browser(flat).post("/account/password", identifier="hoa@bkh.example", password=PASSWORD)
    assert anew.headers["location"] == "/account/enrol"


async def test_the_database_too_refuses_one_person_for_both_halves(flat):
    person, _ = await a_person(flat)
    with pytest.raises(sa.exc.IntegrityError, match="two_persons"):
        async with flat.tx() as tx:
            await tx.execute(
                sa.text(
                    "INSERT INTO totp_reset VALUES (:id, :person, 'bkh', 'vì', :who, now(), :who, now())"
                ),
                {"id": uuid4(), "person": person, "who": uuid4()},
            )


@pytest.mark.promise("F6")
async def test_each_consent_is_asked_by_itself_kept_and_told(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    person = browser.principal().id
    await flat.facts()
    for purpose, granted in (
        ("newsletter", "yes"),
        ("newsletter", "yes"),
        ("sms", "no"),
        ("newsletter", "no"),
    ):
        answer = await browser.post("/account/consents", purpose=purpose, granted=granted)
        assert answer.status_code == 303
    told = [(f.purpose, f.granted) for f in await flat.facts() if isinstance(f, ConsentChanged)]
    assert told == [("newsletter", True), ("newsletter", False)]
    async with flat.tx() as tx:
        history = await queries.consent_history(tx, person)
        assert [(c.granted, c.channel, c.text_version) for c in history] == [
            (False, "web", "2026-01"),
            (True, "web", "2026-01"),
        ]
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            await tx.execute(sa.text("UPDATE consent SET granted = true"))
    assert (await browser.post("/account/consents", purpose="bán dữ liệu", granted="yes")).status_code == 422


async def test_nothing_is_consented_to_by_making_an_account(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    async with flat.tx() as tx:
        assert await queries.consents(tx, browser.principal().id) == {}
        await consents.change_consent(tx, browser.principal().id, PURPOSES[0], granted=False, channel="web")
        assert await queries.consents(tx, browser.principal().id) == {}


async def test_a_person_registers_an_organisation_and_acts_for_it(flat):
    browser = Browser(flat)
    await browser.sign_in_by_code("lan@example.vn")
    form = {"kind": "sponsor", "agency": "tcnt", "name": "Công ty Yến sào", "contact_name": "Lan"}
    key = uuid4().hex
    for missing in ("name", "tax_code", "contact_name"):
        left_out = {**form, "tax_code": "4200123454", missing: ""}
        answer = await browser.post("/account/organisation", **left_out, _idempotency_key=key)
        assert answer.status_code == 422, missing
        assert "Ô này còn trống." in answer.text.split(f'id="{missing}-error"')[1].split("</span>")[0]
    wrong = await browser.post("/account/organisation", **form, tax_code="4200123455", _idempotency_key=key)
    assert 'value="4200123455"' in wrong.text
    assert 'id="tax_code-error"' in wrong.text
    assert wrong.status_code == 422
    made = await browser.post("/account/organisation", **form, tax_code="4200123454", _idempotency_key=key)
    assert made.headers["location"] == "/account/renew?next=%2Fevents"
    await browser.get("/account/renew?next=/events")
    principal = browser.principal()
    assert principal.organisation is not None
    assert principal.roles["tcnt"] == ["sponsor"]
    shown = await browser.post(
        "/account/keys", name="Máy", agency="tcnt", scopes=["events:sponsor"], _idempotency_key=uuid4().hex
    )
    fresh = await browser.get(shown.headers["location"])
    assert fresh.headers["cache-control"] == "no-store"
    assert "nt_eyJ" in fresh.text
    assert "nt_eyJ" not in (await browser.get("/account/keys")).text
    stranger = Browser(flat)
    await stranger.sign_in_by_code("khac@example.vn")
    assert (await stranger.get(shown.headers["location"])).status_code == 303


@pytest.mark.promise("T10")
async def test_changing_the_password_signs_the_other_devices_out_and_keeps_this_one(flat):
    await a_person(flat)
    here, there = Browser(flat), Browser(flat)
    for browser in (here, there):
        await browser.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    before = here.client.cookies["nt_session"]
    refused = await here.post("/account/security/password", old="sai", new="mat-khau-moi-rat-dai")
    assert refused.status_code == 422
    done = await here.post("/account/security/password", old=PASSWORD, new="mat-khau-moi-rat-dai")
    assert done.status_code == 303
    assert here.client.cookies["nt_session"] != before
    assert (await here.get("/account/renew?next=/account")).status_code == 307
    assert (await there.get("/account/renew?next=/account")).status_code == 303
    assert (await there.get("/account")).status_code == 307
    new = {"identifier": "lan@baokh.example", "password": "mat-khau-moi-rat-dai"}
    assert (await Browser(flat).post("/account/password", **new)).status_code == 303


@pytest.mark.promise("F6")
async def test_one_device_or_all_others_can_be_signed_out(flat):
    await a_person(flat)
    browsers = [Browser(flat) for _ in range(3)]
    for browser in browsers:
        await browser.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    second = browsers[1].principal().session
    await browsers[0].post("/account/security/device", session=second)
    seen = [(await b.get("/account/renew?next=/account")).status_code for b in browsers]
    assert seen == [307, 303, 307]
    await browsers[0].post("/account/security/others")
    seen = [(await b.get("/account/renew?next=/account")).status_code for b in browsers]
    assert seen == [307, 303, 303]


async def test_nobody_signs_a_stranger_out(flat):
    await a_person(flat)
    mine, stranger = Browser(flat), Browser(flat)
    await mine.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    await stranger.sign_in_by_code("khac@example.vn")
    await stranger.post("/account/security/device", session=mine.principal().session)
    assert (await mine.get("/account/renew?next=/account")).status_code == 307


async def test_row_level_security_hides_every_table_from_a_stranger_even_where_a_query_forgets(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    await admin.post("/desk/people", email="x@bkh.example", name="X", agency="bkh", roles=["finance"])
    reader, organisation = Browser(flat), uuid4()
    await reader.sign_in_by_code("lan@example.vn")
    form = {"tax_code": "4200123454", "kind": "advertiser", "name": "Y", "contact_name": "Y", "agency": "bkh"}
    await reader.post("/account/organisation", **form, _idempotency_key=uuid4().hex)
    await reader.post("/account/consents", purpose="newsletter", granted="yes")
    async with flat.tx() as tx:
        full = {name: await count(tx, name) for name in Base.metadata.tables}
    assert {n for n, c in full.items() if not c} <= {"recovery_code", "totp_reset", "api_key", "head"}
    for agencies, person in (([], None), (["tcnt"], None), ([], organisation), (["tcnt"], organisation)):
        async with flat.kit.database.web_tx(agencies, person) as tx:
            for name in Base.metadata.tables:
                seen = await tx.scalar(
                    sa.text(f"SELECT count(*) FROM {name} t WHERE t::text NOT LIKE '%tcnt%'")
                )
                assert seen == 0, (name, agencies)


async def count(tx: Any, name: str) -> int:
    return int(await tx.scalar(sa.text(f"SELECT count(*) FROM {name}")))


async def test_a_person_sees_the_own_rows_and_no_others(flat):
    mine, _ = await a_person(flat, "lan@example.vn")
    await a_person(flat, "hoa@example.vn")
    async with flat.kit.database.web_tx([], mine) as tx:
        assert list(await tx.scalars(sa.text("SELECT id FROM person"))) == [mine]


async def test_nobody_writes_rows_of_another_agency(flat):
    with pytest.raises(sa.exc.ProgrammingError, match="row-level security"):
        async with flat.kit.database.web_tx(["tcnt"]) as tx:
            await enter(tx, ["tcnt"])
            await people.register_organisation(
                tx, kind="advertiser", actor="test", **an_advertiser(agency="bkh")
            )


async def test_the_log_of_messages_goes_on_to_the_last_one(flat, monkeypatch):
    from services.accounts.pages import messages

    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    for n in range(4):
        await Browser(flat).post("/account/sign-in", identifier=f"doc.gia.{n}@example.vn")
    monkeypatch.setattr(messages, "PAGE", 2)
    path, rows = "/desk/messages", 0
    while path:
        shown = (await admin.get(path)).text
        rows += shown.count('<td data-label="Tới"')
        found = re.search(r'href="([^"]+)" rel="next"', shown)
        path = found[1].replace("&amp;", "&") if found else ""
    async with flat.tx() as tx:
        assert rows == await tx.scalar(
            sa.text("SELECT count(*) FROM message WHERE agency IN ('bkh', 'baokh')")
        )
    assert rows > 2


async def test_the_audit_trail_goes_on_to_its_first_entry_and_takes_no_place_that_we_did_not_give(
    flat, monkeypatch
):
    from services.accounts.pages import audit as pages

    admin, _ = await an_administrator(flat, "quantri@bkh.example")
    monkeypatch.setattr(pages, "PAGE", 1)
    path, numbers = "/desk/audit?agency=bkh", []
    while path:
        shown = (await admin.get(path)).text
        numbers += [int(n) for n in re.findall(r'<p class="hint">#(\d+)', shown)]
        found = re.search(r'href="([^"]+)" rel="next"', shown)
        path = found[1].replace("&amp;", "&") if found else ""
    assert len(numbers) > 1
    assert numbers == list(range(len(numbers), 0, -1))
    for place in (encode_cursor(2**63), encode_cursor(0), encode_cursor("x"), "???"):
        for page in ("/desk/audit", "/desk/messages", "/dev/mail"):
            assert (await admin.get(f"{page}?cursor={place}")).status_code == 400, (page, place)
