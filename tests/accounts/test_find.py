"""Who is found by name, e-mail, phone or tax code, by whom, and what their card says: never more than one's agency."""

from uuid import UUID

import pytest
import sqlalchemy as sa

from services.accounts.actions import people
from services.accounts.tables import MessageRow, PersonRoleRow
from shared import clock
from shared.db import enter
from tests.accounts.builders import TAX_CODE, a_person, some_agencies
from tests.shared.desk import ask, card, found, said, sign_in

DESK = "/desk/accounts"
STAFF = {"bkh": ["subscriptions"]}
NOTHING = "Không tìm thấy gì."

pytestmark = pytest.mark.promise("W6")


@pytest.fixture
async def flat(flats):
    made = await flats.start("accounts")
    await some_agencies(made)
    return made


async def a_reader(flat, name="Đặng Thị Ánh", email="anh@docgia.example", agency="bkh", phone=None) -> UUID:
    async with flat.tx() as tx:
        row = people.person_row(agency, email=email, name=name, phone=phone)
        tx.add(row)
        await tx.flush()
        tx.add(PersonRoleRow(person=row.id, agency=agency, role="reader", granted_at=clock.now()))
        return row.id


async def test_a_person_is_found_by_any_word_of_the_name_without_accents_and_by_whole_e_mail_or_phone(
    flats, flat
):
    person = await a_reader(flat, phone="+84905000111")
    for quoted in (
        "Đặng Thị Ánh",
        "dang thi anh",
        "ÁNH",
        "Anh@DocGia.example",
        "0905 000 111",
        str(person),
    ):
        assert "anh@docgia.example" in await found(flats, flat, DESK, quoted, **STAFF), quoted
    for quoted in (
        "anh@docgia.exampl",
        "0905 000 11",
        "docgia",
        "nh@docgia.example",
        "ang thi",
        "%%%",
        "a_h",
    ):
        assert "Ánh" not in (await answer_to(flats, flat, quoted)), quoted


async def answer_to(flats, flat, q):
    sign_in(flats, flat, **STAFF)
    return (await ask(flat, f"{DESK}/find", q=q)).text.partition('class="table-box"')[2]


@pytest.mark.parametrize(("own", "other"), [("bkh", "tcnt"), ("tcnt", "bkh")])
async def test_neither_agency_finds_or_reads_the_other_ones_people(flats, flat, own, other):
    person = await a_reader(flat, agency=own)
    ours, theirs = ({agency: ["administrator", "finance"]} for agency in (own, other))
    assert "Ánh" in await found(flats, flat, DESK, "Ánh", **ours)
    for quoted in ("dang thi anh", "anh@docgia.example", str(person)):
        assert await found(flats, flat, DESK, quoted, **theirs) == NOTHING, quoted
    assert await card(flats, flat, DESK, person, **theirs) == "Không có gì của người mua này."
    page = (await flat.client.get(f"/desk/card/{person}", headers={"accept": "text/html"})).text
    assert "không thuộc cơ quan bạn" in page
    assert "Ánh" not in page
    assert "Ánh" in await card(flats, flat, DESK, person, **ours)


async def test_whom_an_agency_absorbed_is_found_by_its_heir_alone(flats, flat):
    await a_reader(flat, agency="baokh")
    assert "Ánh" in await found(flats, flat, DESK, "Ánh", **STAFF)
    assert await found(flats, flat, DESK, "Ánh", tcnt=["administrator"]) == NOTHING


async def test_who_has_an_account_elsewhere_is_known_by_the_letters_of_one_s_own_agency_and_by_no_name(
    flats, flat
):
    person = await a_reader(flat, agency="bkh")
    async with flat.tx() as tx:
        given = {
            "lang": "vi",
            "template": "subscriptions.renewal",
            "params": {},
            "state": "sent",
            "attempts": 1,
        }
        given |= {"next_at": clock.now(), "error": "", "subject": "", "body": "", "created_at": clock.now()}
        tx.add(
            MessageRow(
                id=clock.new_id(),
                agency="tcnt",
                recipient=person,
                address="anh@docgia.example",
                sent_at=None,
                **given,
            )
        )
    theirs = {"tcnt": ["subscriptions"]}
    seen = await found(flats, flat, DESK, "anh@docgia.example", **theirs)
    assert "cơ quan bạn từng gửi thư tới địa chỉ này" in seen
    assert "Ánh" not in seen
    assert await found(flats, flat, DESK, "Ánh", **theirs) == NOTHING
    seen = await card(flats, flat, DESK, person, **theirs)
    assert "subscriptions.renewal" in seen
    assert "Ánh" not in seen
    assert "subscriptions.renewal" not in await card(flats, flat, DESK, person, **STAFF)


async def test_an_organisation_and_who_acts_for_it_lead_to_each_other_s_cards(flats, flat):
    member, _ = await a_person(flat, "lan@yensao.example", agency="bkh")
    async with flat.tx() as tx:
        await enter(tx, ["bkh", "bkh-sandbox"])
        organisation = await an_organisation(tx)
        await tx.execute(
            sa.text("INSERT INTO member (organisation, person, agency, since) VALUES (:o, :p, 'bkh', :now)"),
            {"o": organisation, "p": member, "now": clock.now()},
        )
    for quoted in ("cong ty yen sao", "Yến Sào", TAX_CODE, "ketoan@yensao.example", "Nguyễn Thị Lan"):
        seen = await found(flats, flat, DESK, quoted, bkh=["ad_ops"])
        assert seen.count("Công ty Yến sào") == 1, "once, and not again from the sandbox"
        assert await found(flats, flat, DESK, quoted, tcnt=["ad_ops"]) == NOTHING
    sign_in(flats, flat, bkh=["ad_ops"])
    assert f'href="/desk/card/{member}"' in (await ask(flat, f"{DESK}/card/{organisation}")).text
    assert f'href="/desk/card/{organisation}"' in (await ask(flat, f"{DESK}/card/{member}")).text


async def an_organisation(tx) -> UUID:
    from services.accounts.tables import OrganisationRow

    said = {"kind": "advertiser", "name": "Công ty Yến sào", "tax_code": TAX_CODE}
    said |= {"email": "ketoan@yensao.example", "contact_name": "Nguyễn Thị Lan", "created_at": clock.now()}
    twin = OrganisationRow(id=clock.new_id(), agency="bkh-sandbox", sandbox=None, **said)
    tx.add(twin)
    await tx.flush()
    row = OrganisationRow(id=clock.new_id(), agency="bkh", sandbox=twin.id, **said)
    tx.add(row)
    await tx.flush()
    return row.id


@pytest.mark.promise("T12")
@pytest.mark.parametrize(("agency", "known"), [("bkh", True), ("tcnt", False)])
async def test_a_name_is_a_part_for_who_may_see_it_and_the_end_of_the_id_for_others(
    flats, flat, *, agency: str, known: bool
):
    person = await a_reader(flat)
    sign_in(flats, flat, **{agency: ["finance_approver"]})
    answer = await ask(flat, f"{DESK}/name/{person}")
    assert said(answer) == ("Đặng Thị Ánh" if known else f"…{str(person)[-8:]}")
    assert f'href="/desk/card/{person}"' in answer.text
    assert "x-part" in answer.headers["vary"]
    alone = await ask(flat, f"{DESK}/name/{person}", part=False)
    assert (alone.status_code, alone.headers["location"]) == (303, f"/desk/card/{person}")
    sign_in(flats, flat, **{agency: ["reader"]})
    assert (await ask(flat, f"{DESK}/name/{person}")).status_code == 403
