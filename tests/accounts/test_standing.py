"""What somebody gave counts while they may still give it, and who buys does so where their organisation is known."""

import re
from typing import Any
from uuid import uuid4

import pytest
import sqlalchemy as sa

from services.accounts import rules
from shared.auth import is_registered
from tests.accounts.builders import Browser, some_agencies
from tests.accounts.test_rights import an_administrator


@pytest.fixture
async def flat(flats: Any) -> Any:
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


@pytest.mark.promise("F6")
async def test_an_invitation_lets_nobody_in_once_who_sent_it_is_no_administrator(flat):
    first, first_id = await an_administrator(flat, "mot@bkh.example", "bkh", "tcnt")
    second, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    links = {}
    for agency in ("bkh", "tcnt"):
        shown = await first.post("/desk/people", email="moi@bkh.example", agency=agency, roles=["finance"])
        links[agency] = re.search(r"join\?token=(\w+)", shown.text)[1]
    assert "moi@bkh.example" in (await second.get("/desk/people")).text
    await second.post(f"/desk/people/{first_id}/roles", agency="bkh", roles=["auditor"], why="Đổi việc")
    assert "moi@bkh.example" not in (await second.get("/desk/people")).text, "it waits for nobody any more"
    newcomer = Browser(flat)
    assert (await newcomer.get(f"/account/join?token={links['bkh']}")).status_code == 410
    late = {"name": "Mới", "password": "xK9#mQ2p-Lw7"}
    assert (await newcomer.post("/account/join", token=links["bkh"], **late)).status_code == 410
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM person WHERE email = 'moi@bkh.example'")) == 0
    joined = await newcomer.post("/account/join", token=links["tcnt"], **late)
    assert joined.headers["location"] == "/account/enrol", (
        "where the right still stands, so does the invitation"
    )


@pytest.mark.promise("F6")
async def test_a_server_key_whose_maker_is_no_administrator_any_more_says_so_to_those_who_are(flat):
    first, first_id = await an_administrator(flat, "mot@bkh.example", "bkh")
    second, _ = await an_administrator(flat, "hai@bkh.example", "bkh")
    warning = "Người tạo không còn là quản trị"
    key = {"agency": "bkh", "scopes": "ads:serve"}
    for admin, name in ((first, "CMS cũ"), (second, "CMS mới")):
        await admin.post("/desk/keys", name=name, _idempotency_key=uuid4().hex, **key)
    assert warning not in (await second.get("/desk/keys")).text
    await second.post(f"/desk/people/{first_id}/roles", agency="bkh", roles=["auditor"], why="Đổi việc")
    shown = (await second.get("/desk/keys")).text
    assert shown.count(warning) == 1
    assert shown.index("CMS cũ") < shown.index(warning) < shown.index("CMS mới")


@pytest.mark.promise("F6")
async def test_who_acts_for_one_organisation_buys_where_that_one_is_registered_and_not_where_others_are(flat):
    buyer = Browser(flat)
    await buyer.sign_in_by_code("lan@example.vn")
    made = {}
    for agency, tax_code in (("bkh", "4200123454"), ("tcnt", "4200456781")):
        form = {
            "kind": "advertiser",
            "agency": agency,
            "name": agency,
            "contact_name": "Lan",
            "tax_code": tax_code,
        }
        await buyer.post("/account/organisation", **form, _idempotency_key=uuid4().hex)
        await buyer.get("/account/renew?next=/account")
        made[agency] = buyer.principal().organisation
    assert len(set(made.values())) == 2
    key = {"name": "Máy", "scopes": ["ads:book"]}
    for here, elsewhere in (("bkh", "tcnt"), ("tcnt", "bkh")):
        await buyer.post("/account/act", organisation=made[here])
        await buyer.get("/account/renew?next=/account")
        principal = buyer.principal()
        assert principal.organisation == made[here]
        assert is_registered.agencies(principal) == {here}
        for agency, status in ((here, 303), (elsewhere, 403)):
            answer = await buyer.post("/account/keys", agency=agency, **key, _idempotency_key=uuid4().hex)
            assert answer.status_code == status, (here, agency)


@pytest.mark.promise("T11")
async def test_an_organisation_makes_so_many_keys_a_day_however_slowly_and_its_sandbox_is_counted_apart(
    flat, monkeypatch
):
    monkeypatch.setattr(rules, "KEYS_A_DAY", 2)
    buyer = Browser(flat)
    await buyer.sign_in_by_code("lan@example.vn")
    form = {
        "kind": "advertiser",
        "agency": "bkh",
        "name": "Y",
        "contact_name": "Lan",
        "tax_code": "4200123454",
    }
    await buyer.post("/account/organisation", **form, _idempotency_key=uuid4().hex)
    await buyer.get("/account/renew?next=/account")
    for agency in ("bkh", "bkh-sandbox"):
        key = {"name": "Máy", "agency": agency, "scopes": ["ads:book"]}
        asked = [
            await buyer.post("/account/keys", **key, _idempotency_key=uuid4().hex)
            for _ in range(rules.KEYS_A_DAY + 1)
        ]
        assert [answer.status_code for answer in asked] == [303, 303, 429], agency
    assert "đã tạo đủ khóa" in asked[-1].text
