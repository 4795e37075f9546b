"""Who may search where; what comes back when one asks too little, too often, by oneself or as a part of a page."""

from typing import get_args
from uuid import uuid4

import pytest

from shared.contracts.roles import STAFF, BuyerRole
from shared.web.doors import SEARCHED
from tests.shared.desk import ask, sign_in

pytestmark = pytest.mark.promise("W6")

ALL = {"finance", "finance_approver", "administrator", "auditor"}
MAY = {
    "accounts": set(STAFF),
    "payments": set(STAFF),
    "subscriptions": ALL | {"subscriptions"},
    "events": ALL | {"events"},
    "ads": ALL | {"ad_ops"},
}


def test_every_part_of_the_search_is_tried_here():
    assert {desk.removeprefix("/desk/") for desk in SEARCHED} == set(MAY)


@pytest.mark.parametrize("service", MAY)
async def test_sellers_search_what_they_sell_and_what_was_paid_overseers_all_and_buyers_nothing(
    flats, service
):
    flat = await flats.start(service)
    paths = [f"/desk/{service}/find", f"/desk/{service}/card/{uuid4()}"]
    for path in paths:
        stranger = await ask(flat, path, q="nguyen")
        assert stranger.status_code in (303, 307), "to sign in"
    for role in (*STAFF, *get_args(BuyerRole)):
        sign_in(flats, flat, bkh=[role])
        for path in paths:
            assert (await ask(flat, path, q="nguyen")).status_code == (
                200 if role in MAY[service] else 403
            ), role


@pytest.mark.parametrize("service", MAY)
async def test_too_little_is_answered_with_what_is_missing(flats, service):
    flat = await flats.start(service)
    sign_in(flats, flat, bkh=["administrator"])
    for q in ("ab", "%%%", "a" * 201):
        answer = await ask(flat, f"/desk/{service}/find", part=False, q=q)
        assert answer.status_code == 422
        assert 'id="q-error"' in answer.text
        assert "Hãy gõ" in answer.text
    assert (await ask(flat, f"/desk/{service}/find", q="%00abc")).status_code < 500
    answer = await ask(flat, f"/desk/{service}/find", part=False)
    assert answer.status_code == 200
    assert "q-error" not in answer.text
    for path in (f"/desk/{service}/card/not-an-id", f"/desk/{service}/card/"):
        assert (await ask(flat, path)).status_code == 404


@pytest.mark.parametrize("service", MAY)
async def test_a_part_is_a_whole_page_when_opened_by_itself(flats, service):
    flat = await flats.start(service)
    sign_in(flats, flat, bkh=["administrator"])
    whole, alone = [
        await ask(flat, f"/desk/{service}/find", part=part, q="nguyen van a") for part in (False, True)
    ]
    assert "<html" in whole.text
    assert 'role="search"' in whole.text
    assert 'value="nguyen van a"' in whole.text
    assert 'href="/desk/find?q=nguyen+van+a"' in whole.text
    assert "<html" not in alone.text
    assert "Không tìm thấy gì." in alone.text
    # A browser that keeps one must not show it for the other.
    assert "x-part" in alone.headers["vary"]
    card = f"/desk/{service}/card/{uuid4()}"
    assert f'href="{card.replace(service + "/", "")}"' in (await ask(flat, card, part=False)).text


async def test_who_asks_as_no_person_types_is_told_to_wait(flats):
    flat = await flats.start("ads")
    sign_in(flats, flat, bkh=["ad_ops"])
    codes = [(await ask(flat, "/desk/ads/find", q=f"nguyen {n}")).status_code for n in range(40)]
    assert codes[:30] == [200] * 30
    assert codes[-1] == 429


async def test_the_page_names_each_part_that_one_may_search_and_works_without_a_script(flats):
    flat = await flats.start("accounts")
    for roles, parts in (
        (["ad_ops"], ["accounts", "payments", "ads"]),
        (["subscriptions"], ["accounts", "payments", "subscriptions"]),
        (["finance"], ["accounts", "payments", "subscriptions", "events", "ads"]),
    ):
        sign_in(flats, flat, bkh=roles)
        page = (await ask(flat, "/desk/find", part=False, q="Ánh & Lan")).text
        asked = "/find?q=%C3%81nh+%26+Lan"
        assert [part for part in MAY if f'data-part="/desk/{part}{asked}"' in page] == parts
        assert [part for part in MAY if f'<a href="/desk/{part}{asked}"' in page] == parts
        card = f"/card/{uuid4()}"
        page = (await ask(flat, f"/desk{card}", part=False)).text
        assert [part for part in MAY if f'<a href="/desk/{part}{card}"' in page] == parts
    short = await ask(flat, "/desk/find", part=False, q="ab")
    assert short.status_code == 422
    assert "Hãy gõ ít nhất ba chữ cái hoặc chữ số." in short.text
    assert "data-part" not in short.text
    assert "data-part" not in (await ask(flat, "/desk/find", part=False)).text
    sign_in(flats, flat, bkh=["reader", "advertiser"])
    assert (await ask(flat, "/desk/find", part=False)).status_code == 403
