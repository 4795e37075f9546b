"""The JSON door of accounts: registration, keys, lineage, public keys."""

from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.accounts.actions import advertisers, keys
from shared import clock
from shared.auth import Principal, Verifier
from shared.contracts.accounts import KeyRevoked
from shared.errors import NotSignedIn
from tests.accounts.builders import a_person, an_advertiser, some_agencies

BASE = "/api/accounts/v1"


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


def once() -> dict[str, str]:
    return {"Idempotency-Key": uuid4().hex}


def bearer(key: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {key}", **once()}


async def registered(flat: Any, **changes: Any) -> dict[str, Any]:
    answer = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(**changes), headers=once())
    assert answer.status_code == 201, answer.text
    body: dict[str, Any] = answer.json()
    return body


@pytest.mark.promise("F6")
async def test_an_advertiser_registers_and_its_key_is_believed_offline(flat):
    body = await registered(flat)
    principal = Verifier(flat.kit.settings).principal(body["key"])
    assert (principal.kind, str(principal.organisation)) == ("key", body["organisation"])
    assert {"ads:book", "ads:read"} <= set(principal.scopes)
    assert principal.agency == "bkh-sandbox"


async def test_every_answer_shows_a_name_as_it_is_kept(flat):
    typed, kept = "  Công ty\t Yến   sào ", "Công ty Yến sào"
    body = await registered(flat, name=typed)
    again = await registered(flat, name="Tên khác")
    assert (body["name"], again["name"]) == (kept, kept), "also where a letter is all that a repeat gets"
    asked = {"agency": "bkh-sandbox", "name": typed, "scopes": ["ads:read"]}
    made = await flat.client.post("/api/accounts/v1/keys", json=asked, headers=bearer(body["key"]))
    assert made.json()["name"] == kept
    async with flat.tx() as tx:
        assert set(await tx.scalars(sa.text("SELECT name FROM organisation"))) == {kept}
        assert kept in set(await tx.scalars(sa.text("SELECT name FROM api_key")))


async def test_the_key_itself_is_kept_nowhere(flat):
    key = (await registered(flat))["key"]
    signature = key.rsplit(".", 1)[1].encode()
    async with flat.tx() as tx:
        tables = await tx.scalars(
            sa.text(
                "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
            )
        )
        for table in tables:
            found = (await tx.execute(sa.text(f'SELECT t::text FROM "{table}" t'))).scalars()
            for row in found:
                assert signature.decode() not in row, table
                assert signature.hex() not in row, table


@pytest.mark.promise("F5")
async def test_a_repeated_registration_registers_once_and_its_key_is_not_shown_to_who_repeats_it(flat):
    """Who registers is nobody yet: a neighbour behind the same address may send the same key and body."""
    headers = once()
    first = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(), headers=headers)
    neighbour = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(), headers=headers)
    other = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(name="Khác"), headers=headers)
    assert Verifier(flat.kit.settings).principal(first.json()["key"])
    assert neighbour.status_code == first.status_code == 201
    assert first.json()["note"] == "", "there is nothing to say where the key is"
    assert neighbour.json() == {**first.json(), "key": "", "note": advertisers.SHOWN_ONCE}
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM organisation WHERE agency = 'bkh'")) == 1


async def test_who_is_signed_in_sees_a_new_key_again_when_its_answer_was_lost(flat):
    mine = await registered(flat)
    asked = {"agency": "bkh-sandbox", "name": "Báo cáo", "scopes": ["ads:read"]}
    headers = bearer(mine["key"])
    answers = [await flat.client.post(f"{BASE}/keys", json=asked, headers=headers) for _ in range(2)]
    found = [Verifier(flat.kit.settings).principal(answer.json()["key"]).id for answer in answers]
    assert found[0] == found[1]


async def test_a_wrong_address_is_refused_at_its_field(flat):
    answer = await flat.client.post(
        f"{BASE}/advertisers", json=an_advertiser(email="yensao.example"), headers=once()
    )
    assert (answer.status_code, answer.json()["field"]) == (422, "email")


async def test_an_old_repeat_shows_no_key(flat):
    made = (await registered(flat))["key_id"]
    async with flat.tx() as tx:
        row = await tx.get(keys.ApiKeyRow, made)
        old = keys.Made(
            id=row.id,
            agency=row.agency,
            organisation=row.organisation,
            name=row.name,
            scopes=row.scopes,
            created_at=clock.now() - keys.rules.KEY_SHOWN * 2,
            expires_at=row.expires_at,
        )
    assert keys.with_signature(flat.kit.settings, old).key == ""


@pytest.mark.parametrize(
    ("change", "status", "code"),
    [
        ({"tax_code": "4200123455"}, 422, "unprocessable"),
        ({"email": "không phải thư"}, 422, "unprocessable"),
        ({"agency": "nowhere"}, 404, "not-found"),
        ({"agency": "baokh"}, 409, "agency-closed"),
        ({"name": 5}, 400, "bad-input"),
        ({"name": "   "}, 400, "bad-input"),
        ({"name": "x" * 201}, 400, "bad-input"),
        ({"role": "administrator"}, 400, "bad-input"),
    ],
)
async def test_a_wrong_registration_is_refused_and_changes_nothing(flat, change, status, code):
    answer = await flat.client.post(f"{BASE}/advertisers", json=an_advertiser(**change), headers=once())
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM organisation")) == 0
        assert await tx.scalar(sa.text("SELECT count(*) FROM api_key")) == 0


async def test_a_hundred_thousand_brackets_are_refused(flat):
    headers = {**once(), "content-type": "application/json"}
    answer = await flat.client.post(f"{BASE}/advertisers", content=b"[" * 100_000, headers=headers)
    assert answer.status_code == 400


@pytest.mark.promise("F6")
async def test_a_revoked_key_is_refused_here_and_told_to_everyone(flat):
    mine = await registered(flat)
    made = await flat.client.post(
        f"{BASE}/keys",
        json={"agency": "bkh-sandbox", "name": "Báo cáo", "scopes": ["ads:read"]},
        headers=bearer(mine["key"]),
    )
    assert made.status_code == 201, made.text
    gone = await flat.client.delete(f"{BASE}/keys/{made.json()['id']}", headers=bearer(mine["key"]))
    assert gone.status_code == 204
    facts = [fact for fact in await flat.facts() if isinstance(fact, KeyRevoked)]
    assert [str(fact.key) for fact in facts] == [made.json()["id"]]
    verifier = Verifier(flat.kit.settings)
    assert verifier.principal(made.json()["key"])
    async with flat.tx() as tx:
        await verifier.refresh(tx)
    with pytest.raises(NotSignedIn):
        verifier.principal(made.json()["key"])
    again = await flat.client.delete(f"{BASE}/keys/{made.json()['id']}", headers=bearer(mine["key"]))
    assert again.status_code == 204
    assert not [fact for fact in await flat.facts() if isinstance(fact, KeyRevoked)]


async def test_a_stranger_neither_sees_nor_revokes_a_key(flat):
    mine = await registered(flat)
    stranger = await registered(flat, name="Công ty khác", email="khac@khac.example")
    listed = await flat.client.get(f"{BASE}/keys", headers=bearer(stranger["key"]))
    assert [key["id"] for key in listed.json()["items"]] == [stranger["key_id"]]
    answer = await flat.client.delete(f"{BASE}/keys/{mine['key_id']}", headers=bearer(stranger["key"]))
    assert (answer.status_code, answer.json()["code"]) == (404, "not-found")
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM revoked")) == 0


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"scopes": ["keys:manage"]}, 403),
        ({"scopes": ["events:edit"]}, 403),
        ({"scopes": ["ads:serve"]}, 403),
        ({"scopes": ["ads:read"], "agency": "tcnt"}, 403),
        ({"scopes": ["ads:read"], "agency": "tcnt-sandbox"}, 403),
        ({"scopes": ["ads:read"], "agency": "bkh"}, 403),
        ({"scopes": ["events:register"]}, 403),
        ({"scopes": ["ads:read"], "for_agency": True}, 403),
        ({"scopes": ["root"]}, 400),
        ({"scopes": []}, 400),
    ],
)
async def test_a_key_gives_no_more_than_it_has(flat, body, status):
    mine = await registered(flat)
    answer = await flat.client.post(
        f"{BASE}/keys", json={"agency": "bkh-sandbox", "name": "Khóa", **body}, headers=bearer(mine["key"])
    )
    assert answer.status_code == status, answer.text


async def test_a_key_without_the_scope_manages_no_keys(flats, flat):
    key = flats.key(id=uuid4(), agency="bkh", scopes=["ads:book"], organisation=uuid4())
    assert (await flat.client.get(f"{BASE}/keys", headers=bearer(key))).status_code == 403
    assert (await flat.client.get(f"{BASE}/keys")).status_code == 401


async def test_an_administrator_makes_server_keys_for_the_own_agency_only(flats, flat):
    person, _ = await a_person(flat, roles=["administrator"])
    token = flats.token(id=person, roles={"bkh": ["administrator"]})
    body = {
        "agency": "bkh",
        "name": "Máy chủ",
        "scopes": ["subscriptions:access", "ads:serve"],
        "for_agency": True,
    }
    made = await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(token))
    assert made.status_code == 201, made.text
    principal = Verifier(flat.kit.settings).principal(made.json()["key"])
    assert (principal.organisation, principal.agency) == (None, "bkh")
    for wrong in ({"agency": "tcnt"}, {"scopes": ["keys:manage"]}, {"scopes": ["payments:refund"]}):
        other = await flat.client.post(f"{BASE}/keys", json={**body, **wrong}, headers=bearer(token))
        assert other.status_code == 403, wrong


async def test_keys_are_listed_by_pages(flat):
    mine = await registered(flat)
    for n in range(3):
        body = {"agency": "bkh-sandbox", "name": f"Khóa {n}", "scopes": ["ads:read"]}
        await flat.client.post(f"{BASE}/keys", json=body, headers=bearer(mine["key"]))
    first = (await flat.client.get(f"{BASE}/keys?limit=3", headers=bearer(mine["key"]))).json()
    rest = (
        await flat.client.get(f"{BASE}/keys?limit=3&cursor={first['next']}", headers=bearer(mine["key"]))
    ).json()
    assert (len(first["items"]), len(rest["items"]), rest["next"]) == (3, 1, None)
    for wrong in ("?limit=0", "?limit=9999", "?cursor=%FF", "?cursor=abc"):
        assert (await flat.client.get(f"{BASE}/keys{wrong}", headers=bearer(mine["key"]))).status_code == 400


async def test_anyone_may_read_the_lineage_and_the_public_keys(flat):
    agencies = {a["code"]: a for a in (await flat.client.get(f"{BASE}/agencies")).json()}
    assert agencies["baokh"]["successor"] == "bkh"
    jwks = (await flat.client.get(f"{BASE}/jwks")).json()
    assert jwks["keys"]
    assert all("d" not in key for key in jwks["keys"])


async def test_me_says_what_a_key_is_and_a_cookie_counts_for_nothing(flats, flat):
    mine = await registered(flat)
    me = (await flat.client.get(f"{BASE}/me", headers=bearer(mine["key"]))).json()
    assert (me["kind"], me["organisation"], me["agency"]) == ("key", mine["organisation"], "bkh-sandbox")
    cookie = {"cookie": f"nt_token={flats.token(id=uuid4(), roles={'bkh': ['administrator']})}"}
    assert (await flat.client.get(f"{BASE}/me", headers=cookie)).status_code == 401
    assert (await flat.client.get(f"{BASE}/me", headers=bearer("nt_" + "x" * 40))).status_code == 401


@pytest.mark.promise("T12")
async def test_a_key_says_who_answers_for_it_so_that_they_approve_nothing_with_its_help(flats, flat):
    person, _ = await a_person(flat, roles=["administrator"])
    async with flat.tx() as tx:
        by_person = await keys.make_key(
            tx,
            agency="bkh",
            organisation=None,
            name="Máy chủ",
            scopes=["payments:refund"],
            actor=Principal(kind="person", id=person),
        )
        by_nobody = await keys.make_key(
            tx, agency="bkh", organisation=None, name="Máy chủ", scopes=["payments:refund"], actor="operator:"
        )
    verifier = Verifier(flats.settings("payments"))
    answers = [
        verifier.principal(keys.with_signature(flat.kit.settings, made).key).answers
        for made in (by_person, by_nobody)
    ]
    assert answers == [person, None]
