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
    await messages.send_due(flat.house)
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
    assert Verifier(flat.house.settings).principal(key).agency == "bkh-sandbox"
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
    principal = Verifier(flat.house.settings).principal(key)
    assert (principal.agency, principal.organisation) == ("bkh", browser.principal().organisation)
    assert {"ads:book", "ads:read"} <= set(principal.scopes)
    assert str(principal.organisation) != trial["organisation"]
    assert shown_key((await browser.get("/account/keys")).text) == ""


async def test_who_has_an_account_already_sees_the_first_key_after_signing_in(flat):
    await a_person(flat, ADDRESS)
    await registered(flat)
    browser = Browser(flat)
    token = await letter_to(flat, ADDRESS)
    answer = await browser.post("/account/join", token=token, name="", password="")
    asked = await browser.get(answer.headers["location"])
    target = re.search(r'name="next" value="([^"]+)"', asked.text)
    assert target
    signed_in = await browser.post("/account/password", identifier=ADDRESS, password=PASSWORD, next=target[1])
    key = shown_key((await browser.get(signed_in.headers["location"])).text)
    assert Verifier(flat.house.settings).principal(key).agency == "bkh"


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
    principal = Verifier(flat.house.settings).principal(shown_key(shown.text))
    assert (principal.agency, str(principal.organisation)) == ("bkh-sandbox", trial["organisation"])
    assert "Báo Khánh Hòa · thử nghiệm" in shown.text


async def test_a_key_of_the_sandbox_neither_sees_nor_revokes_the_others(flat):
    trial = await registered(flat)
    _, key = await accepted(flat)
    real = Verifier(flat.house.settings).principal(key).id
    listed = await flat.client.get(f"{BASE}/keys", headers=bearer(trial["key"]))
    assert [item["id"] for item in listed.json()["items"]] == [trial["key_id"]]
    gone = await flat.client.delete(f"{BASE}/keys/{real}", headers=bearer(trial["key"]))
    assert gone.status_code == 404
    both = await flat.client.get(f"{BASE}/keys", headers=bearer(key))
    assert {item["agency"] for item in both.json()["items"]} == {"bkh", "bkh-sandbox"}
    await flat.facts()
    assert (
        await flat.client.delete(f"{BASE}/keys/{trial['key_id']}", headers=bearer(key))
    ).status_code == 204
    assert [str(f.key) for f in await flat.facts() if isinstance(f, KeyRevoked)] == [trial["key_id"]]


async def test_a_key_of_the_sandbox_lives_for_three_months(flat):
    made = Verifier(flat.house.settings).principal((await registered(flat))["key"])
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
async def test_messages_of_the_sandbox_go_to_the_organisations_own_address(flat):
    trial = await registered(flat)
    fact = ads.MessageRequested(
        agency="bkh-sandbox", person=UUID(trial["organisation"]), template="notice", params={}
    )
    async with flat.tx() as tx:
        await messages.queue_requested(tx, [fact])
    async with flat.tx() as tx:
        sent = [m for m in await queries.messages(tx, ["bkh-sandbox"]) if m.template == "notice"]
        assert await queries.messages(tx, ["bkh"]) == [
            m for m in await queries.messages(tx, ["bkh"]) if m.template == "invitation"
        ]
    assert [m.address for m in sent] == [ADDRESS]
