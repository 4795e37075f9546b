"""Roles, successions and sessions end and begin on their day, and administrators stay in their own agency."""

from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
import sqlalchemy as sa

from services.accounts import queries
from services.accounts.actions import agencies, people, second_step, sessions
from services.accounts.queries import audit
from services.accounts.rules import AgencyClosed
from services.accounts.tables import PersonRow
from shared import clock, revocations
from shared.auth import Principal
from shared.calendar import local_day
from shared.contracts.accounts import SessionEnded
from shared.errors import NotAllowed
from tests.accounts.builders import OPENING, PASSWORD, Browser, a_person, some_agencies


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def succeed(flat: Any, code: str, heir: str, in_days: int) -> None:
    async with flat.tx() as tx:
        day = local_day(clock.now()) + timedelta(days=in_days)
        await agencies.succeed_agency(tx, code, heir, day, "test")


async def roles_of(flat: Any, person: UUID) -> dict[str, list[str]]:
    async with flat.tx() as tx:
        return await queries.roles_of(tx, person)


async def an_administrator(flat: Any, email: str, *codes: str) -> tuple[Browser, UUID]:
    person, secret = await a_person(flat, email, agency=codes[0], roles=["administrator"], totp=True)
    async with flat.tx() as tx:
        for code in codes[1:]:
            await people.grant(tx, person, code, "administrator", actor="test")
    browser = Browser(flat)
    await browser.sign_in_as_staff(email, secret)
    return browser, person


@pytest.mark.promise("F6")
async def test_roles_at_an_absorbed_agency_are_held_at_its_heir_and_nowhere_else(flat):
    buyer, _ = await a_person(flat, "lan@example.vn", agency="baokh", roles=["reader"])
    staff, _ = await a_person(flat, "hoa@example.vn", agency="baokh", roles=["finance"])
    assert await roles_of(flat, buyer) == {"bkh": ["reader"]}
    assert await roles_of(flat, staff) == {"bkh": ["finance"]}


@pytest.mark.promise("F6")
async def test_a_merger_registered_for_tomorrow_opens_and_closes_nothing_today(flat):
    staff, _ = await a_person(flat, "hoa@example.vn", agency="tcnt", roles=["finance"])
    await succeed(flat, "tcnt", "bkh", in_days=1)
    assert await roles_of(flat, staff) == {"tcnt": ["finance"]}
    async with flat.tx() as tx:
        assert [a.code for a in await queries.open_agencies(tx)] == ["bkh", "tcnt"]
        await people.register_organisation(
            tx, kind="advertiser", agency="tcnt", name="Yến sào", tax_code="4200123454",
            email="a@yensao.example", contact_name="Lan", actor="test",
        )  # fmt: skip


async def test_who_merges_today_takes_the_place_today(flat):
    staff, _ = await a_person(flat, "hoa@example.vn", agency="tcnt", roles=["finance"])
    await succeed(flat, "tcnt", "bkh", in_days=0)
    assert await roles_of(flat, staff) == {"bkh": ["finance"]}
    async with flat.tx() as tx:
        assert [a.code for a in await queries.open_agencies(tx)] == ["bkh"]


async def test_no_agency_comes_to_stand_in_its_own_place(flat):
    async with flat.tx() as tx:
        await agencies.register_agency(tx, "moi", "Báo mới", **OPENING)
    await succeed(flat, "bkh", "moi", in_days=30)
    for code, heir in (("moi", "baokh"), ("moi", "bkh"), ("moi", "moi")):
        with pytest.raises(AgencyClosed):
            await succeed(flat, code, heir, in_days=1)


async def test_an_administrator_of_the_heir_takes_roles_away_that_were_given_before_the_merger(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example", "bkh")
    staff, _ = await a_person(flat, "hoa@example.vn", agency="baokh", roles=["finance", "auditor"])
    page = await admin.get(f"/desk/people/{staff}")
    assert page.status_code == 200
    await admin.post(f"/desk/people/{staff}/roles", agency="bkh", roles=["auditor"], why="Đổi việc")
    assert await roles_of(flat, staff) == {"bkh": ["auditor"]}


@pytest.mark.promise("T12")
async def test_a_reset_counts_only_while_whoever_asked_is_an_administrator_and_can_be_asked_anew(flat):
    first, first_id = await an_administrator(flat, "mot@bkh.example", "bkh")
    second, second_id = await an_administrator(flat, "hai@bkh.example", "bkh")
    third, _ = await an_administrator(flat, "ba@bkh.example", "bkh")
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    await first.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    async with flat.tx() as tx:
        stale = (await queries.resets(tx, ["bkh"]))[0].id
    await second.post(f"/desk/people/{first_id}/roles", agency="bkh", roles=["auditor"], why="Đổi việc")
    assert (await third.post(f"/desk/people/resets/{stale}")).status_code == 403
    await second.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    async with flat.tx() as tx:
        (anew,) = await queries.resets(tx, ["bkh"])
        assert anew.asked_by == second_id
    assert (await third.post(f"/desk/people/resets/{anew.id}")).status_code == 303


@pytest.mark.promise("T12")
async def test_a_reset_that_no_longer_counts_can_be_asked_anew_on_the_page(flat):
    first, first_id = await an_administrator(flat, "mot@bkh.example", "bkh")
    second, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    form = f'action="/desk/people/{person}/reset"'
    await first.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    assert form not in (await second.get(f"/desk/people/{person}")).text
    await second.post(f"/desk/people/{first_id}/roles", agency="bkh", roles=["auditor"], why="Đổi việc")
    assert form in (await second.get(f"/desk/people/{person}")).text
    assert "Mất điện thoại" not in (await second.get("/desk/people")).text


async def ask_and_age(flat: Any, browser: Browser, person: UUID, days: float) -> UUID:
    """Ask for a reset, and let so many days pass."""
    asked = await browser.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    assert asked.status_code == 303, asked.text
    async with flat.tx() as tx:
        aged = sa.text("UPDATE totp_reset SET asked_at = :at WHERE approved_at IS NULL RETURNING id")
        found: UUID = (await tx.execute(aged, {"at": clock.now() - timedelta(days=days)})).scalar_one()
        return found


@pytest.mark.promise("T12")
async def test_a_reset_waits_for_three_days_and_a_second_request_is_answered_meanwhile(flat):
    first, _ = await an_administrator(flat, "mot@bkh.example", "bkh")
    second, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    await ask_and_age(flat, first, person, 2.9)
    twice = await second.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    assert twice.status_code == 403
    assert "Việc này đã được đề nghị" in twice.text
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE totp_reset SET asked_at = asked_at - interval '3 hours'"))
        old = await tx.scalar(sa.text("SELECT id FROM totp_reset"))
    assert (await second.post(f"/desk/people/resets/{old}")).status_code == 403
    anew = await ask_and_age(flat, first, person, 0)
    assert (await second.post(f"/desk/people/resets/{anew}")).status_code == 303


@pytest.mark.promise("T12")
async def test_a_reset_ends_when_the_phone_is_found_and_not_by_a_recovery_code(flat):
    admin, _ = await an_administrator(flat, "mot@bkh.example", "bkh")
    other, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    person, secret = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    async with flat.tx() as tx:
        code = (await second_step.new_recovery_codes(tx, flat.kit.settings, person))[0]
    reset = await ask_and_age(flat, admin, person, 1)
    browser = Browser(flat)
    await browser.post("/account/password", identifier="hoa@bkh.example", password=PASSWORD)
    assert (await browser.post("/account/totp", code=code)).status_code == 303
    async with flat.tx() as tx:
        assert [asked.id for asked in await queries.resets(tx, ["bkh"])] == [reset]
    await Browser(flat).sign_in_as_staff("hoa@bkh.example", secret)
    assert (await other.post(f"/desk/people/resets/{reset}")).status_code == 404
    async with flat.tx() as tx:
        assert [entry.action for entry in await audit.entries(tx, "bkh", limit=9)].count(
            "totp.reset.end"
        ) == 1


@pytest.mark.promise("T9", "T12")
async def test_a_reset_at_a_former_employer_stops_nobody_where_the_person_works_now(flat):
    before, _ = await an_administrator(flat, "mot@bkh.example", "bkh")
    first, _ = await an_administrator(flat, "ba@tcnt.example", "tcnt")
    second, _ = await an_administrator(flat, "bon@tcnt.example", "tcnt")
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    await ask_and_age(flat, before, person, 0)
    async with flat.tx() as tx:
        await tx.execute(sa.text("DELETE FROM person_role WHERE person = :id"), {"id": person})
        await people.grant(tx, person, "tcnt", "finance", actor="test")
    async with flat.tx() as tx:
        assert await queries.resets(tx, ["bkh"]) == [], "whoever works there no more loses nothing there"
    asked = await first.post(f"/desk/people/{person}/reset", agency="tcnt", why="Mất máy")
    assert asked.status_code == 303, asked.text
    async with flat.tx() as tx:
        (reset,) = await queries.resets(tx, ["tcnt"])
    assert (await second.post(f"/desk/people/resets/{reset.id}")).status_code == 303


@pytest.mark.promise("F6")
async def test_an_agency_that_begins_next_month_takes_nobody_today(flat):
    async with flat.tx() as tx:
        today = local_day(clock.now())
        for code, days in (("moi", 31), ("nay", 0)):
            opening = {**OPENING, "active_from": today + timedelta(days=days)}
            await agencies.register_agency(tx, code, f"Báo {code}", **opening)
        assert await queries.reader_agency(tx) == "nay"
    reader = Browser(flat)
    await a_person(flat, "lan@example.vn")
    await reader.sign_in_by_code("lan@example.vn")
    page = (await reader.get("/account/organisation")).text
    assert 'value="nay"' in page
    assert 'value="moi"' not in page


@pytest.mark.promise("T9")
async def test_administrators_of_one_agency_cannot_take_the_second_factor_of_anothers_staff(flat):
    here, _ = await an_administrator(flat, "mot@bkh.example", "bkh")
    both, both_id = await an_administrator(flat, "hai@bkh.example", "bkh", "tcnt")
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    async with flat.tx() as tx:
        await people.grant(tx, person, "tcnt", "finance", actor="test")
    refused = await here.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    assert refused.status_code == 403
    assert "works-elsewhere" in refused.text
    assert (await both.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")).status_code == 303
    async with flat.tx() as tx:
        reset = (await queries.resets(tx, ["bkh"]))[0]
        assert reset.asked_by == both_id
    assert (await here.post(f"/desk/people/resets/{reset.id}")).status_code == 403
    other, _ = await an_administrator(flat, "ba@bkh.example", "tcnt", "bkh")
    assert (await other.post(f"/desk/people/resets/{reset.id}")).status_code == 303
    async with flat.tx() as tx:
        assert (await tx.get_one(PersonRow, person)).totp_secret is None


@pytest.mark.promise("T9")
async def test_the_database_too_lets_no_agency_alone_change_a_person_of_two(flat):
    person, _ = await a_person(flat, "hoa@bkh.example", agency="bkh", roles=["ad_ops"], totp=True)
    async with flat.tx() as tx:
        await people.grant(tx, person, "tcnt", "finance", actor="test")
    strip = sa.text("UPDATE person SET totp_secret = NULL WHERE id = :id RETURNING id")
    for codes, changed in ((["bkh"], 0), (["tcnt"], 0), (["bkh", "tcnt"], 1)):
        async with flat.kit.database.web_tx(codes) as tx:
            assert len((await tx.execute(strip, {"id": person})).all()) == changed


@pytest.mark.promise("T9")
async def test_a_role_is_given_where_one_is_administrator_and_nowhere_else(flat):
    person, _ = await a_person(flat, "hoa@bkh.example", roles=["ad_ops"])
    async with flat.kit.database.web_tx(["bkh"]) as tx:
        with pytest.raises(NotAllowed):
            await people.grant(tx, person, "tcnt", "finance", actor="test")
        with pytest.raises(NotAllowed):
            await second_step.ask_reset(tx, Principal(kind="person"), person, "tcnt", "vì")


@pytest.mark.promise("F6")
async def test_whoever_signs_out_is_told_to_every_service_and_refused_there_within_seconds(flat, flats):
    await a_person(flat)
    browser, other = Browser(flat), Browser(flat)
    for each in (browser, other):
        await each.post("/account/password", identifier="lan@baokh.example", password=PASSWORD)
    token, session = browser.client.cookies["nt_token"], browser.principal().session
    ledger = await flats.start("ledger")
    page = {"Cookie": f"nt_token={token}", "Accept": "text/html"}
    assert (await ledger.client.get("/finance/accounts", headers=page)).status_code == 403
    await browser.post("/account/sign-out")
    told = [fact for fact in await flat.facts() if isinstance(fact, SessionEnded)]
    assert [str(one) for fact in told for one in fact.sessions] == [session]
    await ledger.receive(*told)
    async with ledger.tx() as tx:
        await ledger.app.state.verifier.refresh(tx)
        assert await revocations.ids(tx) == {session}
    answer = await ledger.client.get("/finance/accounts", headers=page)
    assert answer.status_code == 307
    assert answer.headers["location"] == "/account/renew?next=%2Ffinance%2Faccounts"
    theirs = {**page, "Cookie": f"nt_token={other.client.cookies['nt_token']}"}
    assert (await ledger.client.get("/finance/accounts", headers=theirs)).status_code == 403


@pytest.mark.promise("F6")
async def test_roles_taken_away_a_new_password_and_a_lost_phone_end_sessions_by_a_fact(flat):
    admin, _ = await an_administrator(flat, "quantri@bkh.example", "bkh")
    second, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    person, secret = await a_person(flat, "hoa@bkh.example", roles=["finance", "auditor"], totp=True)

    async def ended(*, by: Any) -> set[str]:
        await flat.facts()
        await by
        return {str(one) for f in await flat.facts() if isinstance(f, SessionEnded) for one in f.sessions}

    here, there = Browser(flat), Browser(flat)
    await here.sign_in_as_staff("hoa@bkh.example", secret)
    first = here.principal().session
    form = {"agency": "bkh", "roles": ["auditor"], "why": "Đổi việc"}
    assert await ended(by=admin.post(f"/desk/people/{person}/roles", **form)) == {first}

    await a_person(flat, "lan@example.vn")
    for each in (here, there):
        each.client.cookies.clear()
        await each.post("/account/password", identifier="lan@example.vn", password=PASSWORD)
    gone = there.principal().session
    change = here.post("/account/security/password", old=PASSWORD, new="mat-khau-moi-rat-dai")
    assert await ended(by=change) == {gone}

    async with flat.tx() as tx:
        row = await tx.get_one(PersonRow, person)
        row.totp_step = 0
    there.client.cookies.clear()
    await there.sign_in_as_staff("hoa@bkh.example", secret)
    last = there.principal().session
    await admin.post(f"/desk/people/{person}/reset", agency="bkh", why="Mất máy")
    async with flat.tx() as tx:
        reset = (await queries.resets(tx, ["bkh"]))[0]
    assert await ended(by=second.post(f"/desk/people/resets/{reset.id}")) == {last}


@pytest.mark.promise("F6")
async def test_a_dismissed_colleague_whose_account_was_made_elsewhere_is_signed_out_too(flat):
    admin, _ = await an_administrator(flat, "quantri@tcnt.example", "tcnt")
    person, secret = await a_person(flat, "lan@bkh.example", agency="bkh", roles=["reader"], totp=True)
    async with flat.tx() as tx:
        await people.grant(tx, person, "tcnt", "finance", actor="test")
    colleague = Browser(flat)
    await colleague.sign_in_as_staff("lan@bkh.example", secret)
    gone = colleague.principal().session
    await flat.facts()
    await admin.post(f"/desk/people/{person}/roles", agency="tcnt", roles=[], why="Thôi việc")
    (ended,) = [f for f in await flat.facts() if isinstance(f, SessionEnded)]
    assert [str(one) for one in ended.sessions] == [gone]
    assert (await colleague.get("/account/renew?next=/account")).status_code == 303


async def test_sessions_of_somebody_who_is_not_seen_are_never_thought_ended(flat):
    person, _ = await a_person(flat, "lan@bkh.example", agency="bkh", roles=["reader"])
    with pytest.raises(sa.exc.NoResultFound):
        async with flat.kit.database.web_tx(["tcnt"]) as tx:
            await sessions.end_sessions(tx, person)


async def test_ended_sessions_are_forgotten_when_no_token_of_theirs_lives_and_keys_never(flat):
    session, key = clock.new_id(), clock.new_id()
    async with flat.tx() as tx:
        await revocations.keep_sessions(SessionEnded(agency="bkh", sessions=(session,)), tx)
        await tx.execute(sa.text("INSERT INTO revoked VALUES (:key, NULL)"), {"key": key})
        await revocations.forget(tx)
        assert await revocations.ids(tx) == {str(session), str(key)}
        await tx.execute(sa.text("UPDATE revoked SET until = until - interval '1 day 1 second'"))
        await revocations.forget(tx)
        assert await revocations.ids(tx) == {str(key)}
