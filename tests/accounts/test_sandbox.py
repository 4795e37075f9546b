"""Who only registered works in the sandbox; who followed the letter leaves it."""

import re
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa
from sqlalchemy.exc import IntegrityError

from services.accounts import queries
from services.accounts.actions import agencies, keys, messages, people
from services.accounts.tables import MemberRow, OrganisationRow
from shared import clock
from shared.auth import Verifier
from shared.contracts import ads
from shared.contracts.accounts import KeyRevoked
from shared.db import Tx
from shared.errors import Unprocessable
from tests.accounts.builders import OPENING, PASSWORD, Browser, a_person, an_advertiser, some_agencies

BASE = "/api/accounts/v1"
ADDRESS = an_advertiser()["email"]


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", "Idempotency-Key": uuid4().hex}


async def registered(flat: Any) -> dict[str, Any]:
    headers = {"Idempotency-Key": uuid4().hex}
    answer = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(), headers=headers)
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


async def letter_to(flat: Any, address: str) -> str:
    """The secret of the link in the newest letter to an address."""
    await messages.send_due(flat.kit)
    async with flat.tx() as tx:
        newest = (await queries.inbox(tx, address, limit=1))[0]
    found = re.search(r"join\?token=(\w+)", newest.body)
    assert found
    return found[1]


async def accepted(flat: Any) -> tuple[Browser, str]:
    """The contact's browser after following the letter, and the key that the page shows."""
    browser = Browser(flat)
    token = await letter_to(flat, ADDRESS)
    answer = await browser.post("/account/join", token=token, name="Lan", password=PASSWORD)
    assert answer.status_code == 303, answer.text
    return browser, shown_key((await browser.get(answer.headers["location"])).text)


def shown_key(page: str) -> str:
    found = re.search(r"nt_[\w-]+\.[\w-]+\.[\w-]+", page)
    return found[0] if found else ""


@pytest.mark.promise("F6", "A2")
async def test_before_the_invitation_is_accepted_there_is_no_key_that_leaves_the_sandbox(flat):
    key = (await registered(flat))["key"]
    assert Verifier(flat.kit.settings).principal(key).agency == "bkh-sandbox"
    for agency in ("bkh", "tcnt", "tcnt-sandbox"):
        body = {"agency": agency, "name": "Khóa", "scopes": ["ads:book"]}
        assert (await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(key))).status_code == 403
    more = {"agency": "bkh-sandbox", "name": "Khóa", "scopes": ["ads:book"]}
    made = await flat.client.post(f"{BASE}/keys", json=more, headers=bearer(key))
    assert (made.status_code, made.json()["agency"]) == (201, "bkh-sandbox")
    async with flat.tx() as tx:
        assert await all_agencies_of_keys(tx) == {"bkh-sandbox"}


async def all_agencies_of_keys(tx: Tx) -> set[str]:
    return set(await tx.scalars(sa.text("SELECT agency FROM api_key")))


@pytest.mark.promise("F6", "A2")
async def test_who_follows_the_letter_is_shown_the_first_key_outside_the_sandbox(flat):
    trial = await registered(flat)
    browser, key = await accepted(flat)
    principal = Verifier(flat.kit.settings).principal(key)
    assert (principal.agency, principal.organisation) == ("bkh", browser.principal().organisation)
    assert {"ads:book", "ads:read"} <= set(principal.scopes)
    assert str(principal.organisation) != trial["organisation"]
    assert shown_key((await browser.get("/account/keys")).text) == ""


@pytest.mark.promise("F6", "A2")
@pytest.mark.parametrize("acts_for_another", [False, True])
async def test_who_has_an_account_already_makes_the_first_key_signed_in_and_none_lives_unseen_before(
    flat, acts_for_another
):
    person, _ = await a_person(flat, ADDRESS)
    if acts_for_another:
        await an_organisation_of(flat, person, "tcnt")
    await registered(flat)
    browser = Browser(flat)
    token = await letter_to(flat, ADDRESS)
    answer = await browser.post("/account/join", token=token, name="", password="")
    asked = await browser.get(answer.headers["location"])
    target = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert target
    signed_in = await browser.post("/account/password", identifier=ADDRESS, password=PASSWORD, next=target[1])
    home = await browser.get(signed_in.headers["location"])
    assert "Công ty Yến sào" in home.text
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM api_key WHERE agency = 'bkh'")) == 0
        own = (await of_agency(tx, "bkh")).id
    if acts_for_another:
        acted = await browser.post("/account/act", organisation=str(own))
        await browser.get(acted.headers["location"])
    assert browser.principal().organisation == own
    made = await browser.post(
        "/account/keys", agency="bkh", name="Tay", scopes="ads:book", _idempotency_key=uuid4().hex
    )
    key = Verifier(flat.kit.settings).principal(shown_key((await browser.get(made.headers["location"])).text))
    assert (key.agency, key.organisation) == ("bkh", own)


async def an_organisation_of(flat: Any, person: UUID, agency: str) -> UUID:
    """An organisation that a person registered and acts for."""
    async with flat.tx() as tx:
        row = await people.register_organisation(
            tx, kind="advertiser", actor=f"person:{person}", **{**an_advertiser(), "agency": agency}
        )
        await people.join(tx, person, row)
        return row.id


@pytest.mark.promise("F6")
async def test_a_key_is_made_only_where_the_organisation_that_it_acts_for_is_registered(flat):
    """Not where another organisation of the same person is."""
    person, _ = await a_person(flat, ADDRESS)
    await an_organisation_of(flat, person, "bkh")
    await an_organisation_of(flat, person, "tcnt")
    browser = Browser(flat)
    await browser.sign_in_by_code(ADDRESS)
    page = (await browser.get("/account/keys")).text
    offered = re.findall(r'<option value="([a-z-]+)"', page)
    assert offered == ["bkh", "bkh-sandbox"]
    for agency, status in (("tcnt", 403), ("tcnt-sandbox", 403), ("bkh", 303)):
        answer = await browser.post(
            "/account/keys", agency=agency, name="Tay", scopes="ads:book", _idempotency_key=uuid4().hex
        )
        assert answer.status_code == status, agency
    async with flat.tx() as tx:
        assert await all_agencies_of_keys(tx) == {"bkh"}


@pytest.mark.promise("F6")
async def test_a_stranger_who_registered_an_organisation_loses_its_sandbox_to_whoever_joins_it(flat):
    trial = await registered(flat)
    body = {"agency": "bkh-sandbox", "name": "Khóa của khóa", "scopes": ["ads:book"]}
    second = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(trial["key"]))
    await flat.facts()
    _, key = await accepted(flat)
    ended = {str(fact.key) for fact in await flat.facts() if isinstance(fact, KeyRevoked)}
    assert ended == {trial["key_id"], second.json()["id"]}, "whatever it made in between too"
    made = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(key))
    assert made.status_code == 201
    colleague, _ = await a_person(flat, "khac@yensao.example")
    async with flat.tx() as tx:
        await people.join(tx, colleague, await of_agency(tx, "bkh"))
    assert not [f for f in await flat.facts() if isinstance(f, KeyRevoked)], "a second one takes nothing over"


async def test_an_organisation_asks_for_keys_of_its_sandbox_whenever_it_likes(flat):
    trial = await registered(flat)
    browser, key = await accepted(flat)
    body = {"agency": "bkh-sandbox", "name": "Thử", "scopes": ["ads:book"]}
    made = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(key))
    assert made.status_code == 201, made.text
    assert made.json()["organisation"] == trial["organisation"]
    by_hand = await browser.post(
        "/account/keys",
        name="Thử tay",
        agency="bkh-sandbox",
        scopes=["ads:read"],
        _idempotency_key=uuid4().hex,
    )
    shown = await browser.get(by_hand.headers["location"])
    principal = Verifier(flat.kit.settings).principal(shown_key(shown.text))
    assert (principal.agency, str(principal.organisation)) == ("bkh-sandbox", trial["organisation"])
    assert "Báo Khánh Hòa · thử nghiệm" in shown.text
    english = await browser.get("/account/keys?lang=en")
    assert "Báo Khánh Hòa · sandbox" in english.text
    assert "thử nghiệm" not in english.text


async def test_a_key_of_the_sandbox_neither_sees_nor_revokes_the_others(flat):
    await registered(flat)
    _, key = await accepted(flat)
    real = Verifier(flat.kit.settings).principal(key).id
    body = {"agency": "bkh-sandbox", "name": "Thử", "scopes": ["ads:book", "keys:manage"]}
    by_key = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(key))
    assert by_key.status_code == 403, "no key makes keys that make keys"
    trial = await a_sandbox_key(flat)
    listed = await flat.client.get(f"{BASE}/keys", headers=bearer(trial["key"]))
    assert str(real) not in listed.text
    assert trial["id"] in {item["id"] for item in listed.json()["items"]}
    gone = await flat.client.delete(f"{BASE}/keys/{real}", headers=bearer(trial["key"]))
    assert gone.status_code == 404
    both = await flat.client.get(f"{BASE}/keys", headers=bearer(key))
    assert {item["agency"] for item in both.json()["items"]} == {"bkh", "bkh-sandbox"}
    await flat.facts()
    assert (await flat.client.delete(f"{BASE}/keys/{trial['id']}", headers=bearer(key))).status_code == 204
    assert [str(f.key) for f in await flat.facts() if isinstance(f, KeyRevoked)] == [trial["id"]]


async def a_sandbox_key(flat: Any) -> dict[str, str]:
    """A key of the sandbox that manages keys, as an organisation makes it by hand."""
    async with flat.tx() as tx:
        twin = await of_agency(tx, "bkh-sandbox")
        made = await keys.make_key(
            tx, agency=twin.agency, organisation=twin.id, name="Thử", scopes=["keys:manage"],
            actor="person:test",
        )  # fmt: skip
    return {"id": str(made.id), "key": keys.with_signature(flat.kit.settings, made).key}


async def test_a_key_of_the_sandbox_lives_for_three_months(flat):
    made = Verifier(flat.kit.settings).principal((await registered(flat))["key"])
    assert made.expires_at is not None
    assert 89 <= (made.expires_at - clock.now()).days <= 90


@pytest.mark.promise("F6")
async def test_the_database_keeps_an_organisation_without_members_in_the_sandbox(flat):
    await registered(flat)
    person, _ = await a_person(flat, "khac@khac.example")
    for member in (None, person):
        with pytest.raises(IntegrityError, match="api_key"):
            async with flat.tx() as tx:
                organisation = await of_agency(tx, "bkh")
                await keys.make_key(
                    tx, agency="bkh", organisation=organisation.id, name="x", scopes=["ads:book"],
                    actor="nobody:", member=member,
                )  # fmt: skip


async def of_agency(tx: Tx, code: str) -> OrganisationRow:
    return (await tx.scalars(sa.select(OrganisationRow).where(OrganisationRow.agency == code))).one()


async def test_nobody_holds_a_role_in_a_sandbox_and_the_database_refuses_one(flat):
    await registered(flat)
    person, _ = await a_person(flat, "khac@khac.example")
    with pytest.raises(IntegrityError, match="person_role_real"):
        async with flat.tx() as tx:
            await people.grant(tx, person, "bkh-sandbox", "ad_ops", actor="test")
    with pytest.raises(IntegrityError, match="member_real"):
        async with flat.tx() as tx:
            twin = await of_agency(tx, "bkh-sandbox")
            tx.add(MemberRow(organisation=twin.id, person=person, agency=twin.agency, since=clock.now()))
            await tx.flush()


async def test_a_sandbox_is_no_agency_that_anybody_lists_or_registers_with(flat):
    await registered(flat)
    listed = (await flat.client.get(f"{BASE}/agencies")).json()
    assert {agency["code"] for agency in listed} == {"baokh", "bkh", "tcnt"}
    headers = {"Idempotency-Key": uuid4().hex}
    wanted = an_advertiser(agency="bkh-sandbox")
    assert (await flat.client.post(f"{BASE}/advertisers", json=wanted, headers=headers)).status_code == 404


@pytest.mark.parametrize("code", ["bkh-sandbox", "BKH", "a b", "a--b", "-a", "", "x" * 49])
async def test_a_code_that_is_no_agencys_is_refused(flat, code):
    with pytest.raises(Unprocessable, match="code of an agency"):
        async with flat.tx() as tx:
            await agencies.register_agency(tx, code, "Tên", **OPENING)


@pytest.mark.promise("F10")
async def test_an_organisation_is_told_nothing_before_somebody_joined_it_and_then_at_a_members_own_address(
    flat,
):
    """Its e-mail, and the words in its messages, were typed by somebody who may be a stranger to that address."""
    trial = UUID((await registered(flat))["organisation"])
    async with flat.tx() as tx:
        own = (await of_agency(tx, "bkh")).id

    async def say() -> list[tuple[str, str]]:
        facts = [
            ads.MessageRequested(
                agency=agency, person=to, template="ads.notice", params={"campaign": "Mua ngay"}
            )
            for agency, to in (("bkh", own), ("bkh-sandbox", trial))
        ]
        async with flat.tx() as tx:
            await tx.execute(sa.text("DELETE FROM message WHERE template = 'ads.notice'"))
            await messages.queue_requested(tx, facts)
        async with flat.tx() as tx:
            rows = await tx.execute(
                sa.text("SELECT address, state FROM message WHERE template = 'ads.notice'")
            )
            return [(row.address, row.state) for row in rows]

    assert await say() == [("", "unaddressed")] * 2
    member, _ = await a_person(flat, "lan@xa.example")
    async with flat.tx() as tx:
        await people.join(tx, member, await of_agency(tx, "bkh"))
    assert await say() == [("lan@xa.example", "queued")] * 2, "not the address that was only typed"
    await accepted(flat)
    assert await say() == [(ADDRESS, "queued")] * 2


async def told(flat: Any) -> list[tuple[str, str]]:
    """To whom the letters about keys went, and what they say, oldest first."""
    await flat.tick()
    said = {"Một khóa API mới": "key", "Một khóa API của": "key-revoked"}
    async with flat.tx() as tx:
        rows = await tx.execute(
            sa.text("SELECT address, left(subject, 16) AS said FROM message ORDER BY created_at, id")
        )
        return [(row.address, said[row.said]) for row in rows if row.said in said]


@pytest.mark.promise("T10")
async def test_each_key_that_leaves_the_sandbox_is_told_to_whoever_answers_for_it(flat):
    await registered(flat)
    assert await told(flat) == [], "nobody answers in the sandbox"
    browser, key = await accepted(flat)
    assert await told(flat) == [(ADDRESS, "key")], "the first"
    body = {"agency": "bkh", "name": "Khóa của khóa", "scopes": ["ads:read"]}
    by_key = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(key))
    assert by_key.status_code == 201, by_key.text
    by_hand = await browser.post(
        "/account/keys", agency="bkh", name="Tay", scopes="ads:read", _idempotency_key=uuid4().hex
    )
    assert by_hand.status_code == 303, by_hand.text
    more = {**body, "agency": "bkh-sandbox"}
    assert (await flat.client.post(f"{BASE}/keys", json=more, headers=bearer(key))).status_code == 201
    assert await told(flat) == [(ADDRESS, "key")] * 3
    assert (
        await flat.client.delete(f"{BASE}/keys/{by_key.json()['id']}", headers=bearer(key))
    ).status_code < 300
    assert (await told(flat))[3:] == [(ADDRESS, "key-revoked")]


@pytest.mark.promise("T10")
async def test_a_key_that_a_colleague_revokes_is_told_and_ones_own_is_not(flat):
    await registered(flat)
    browser, _ = await accepted(flat)
    colleague, _ = await a_person(flat, "khac@yensao.example", agency="tcnt")
    async with flat.tx() as tx:
        keys_ = list(await tx.scalars(sa.text("SELECT id FROM api_key WHERE agency = 'bkh'")))
        await people.join(tx, colleague, await of_agency(tx, "bkh"))
    other = Browser(flat)
    await other.sign_in_by_code("khac@yensao.example")
    ended = await other.post("/account/keys/revoke", key=str(keys_[0]))
    assert ended.status_code == 303, ended.text
    assert (await told(flat))[1:] == [(ADDRESS, "key-revoked")], "who answers has an account elsewhere"
    made = await browser.post(
        "/account/keys", agency="bkh", name="Tay", scopes="ads:read", _idempotency_key=uuid4().hex
    )
    key = made.headers["location"].partition("made=")[2]
    await browser.post("/account/keys/revoke", key=key)
    assert (await told(flat))[2:] == [(ADDRESS, "key")]


@pytest.mark.promise("T10")
async def test_an_administrator_is_told_of_an_agencys_own_key_and_of_its_end_by_another(flat):
    boss, other = "sep@baokh.example", "khac@baokh.example"
    _, first = await a_person(flat, boss, roles=["administrator"], totp=True)
    _, second = await a_person(flat, other, roles=["administrator"], totp=True)
    maker, ender = Browser(flat), Browser(flat)
    await maker.sign_in_as_staff(boss, first)
    made = await maker.post(
        "/desk/keys", agency="bkh", name="CMS", scopes="ads:serve", _idempotency_key=uuid4().hex
    )
    assert await told(flat) == [(boss, "key")], made.text
    await ender.sign_in_as_staff(other, second)
    ended = await ender.post("/desk/keys/revoke", key=made.headers["location"].partition("made=")[2])
    assert ended.status_code == 303, ended.text
    assert (await told(flat))[1:] == [(boss, "key-revoked")]
