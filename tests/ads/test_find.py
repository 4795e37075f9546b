"""An advertiser's orders are found by number, name and amount, and stand on the advertiser's card."""

from uuid import uuid4

import pytest

from tests.ads.builders import Advertiser, a_line, a_rate_card, an_order
from tests.shared.desk import ask, card, found, sign_in

DESK = "/desk/ads"
OPS = {"bkh": ["ad_ops"]}

pytestmark = pytest.mark.promise("W6")


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    await a_rate_card(made, "tcnt")
    return made


async def booked(advertiser, **changes):
    answer = await advertiser.post("/orders", an_order(**changes))
    assert answer.status_code == 201, answer.text
    return answer.json()


async def test_an_order_is_found_by_number_name_amount_and_id(flats, flat):
    order = await booked(Advertiser(flats, flat), name="Hè Nha Trang")
    other = await booked(Advertiser(flats, flat), name="Tết sum vầy", line_items=[a_line(budget_vnd=900_000)])
    for quoted in (
        order["number"],
        order["number"].replace("-", " ").lower(),
        order["number"][3:],
        "he nha",
        "NHA TRANG",
        str(order["total_vnd"]),
        order["id"],
    ):
        seen = await found(flats, flat, DESK, quoted, **OPS)
        assert order["number"] in seen, quoted
        assert "Hè Nha Trang" in seen, quoted
        assert other["number"] not in seen, quoted
    assert await found(flats, flat, DESK, "rang", **OPS) == "Không tìm thấy gì.", (
        "a word is found by its beginning"
    )


async def test_a_card_lists_the_orders_and_only_ad_operations_are_led_to_their_desk(flats, flat):
    advertiser = Advertiser(flats, flat)
    order = await booked(advertiser)
    await booked(Advertiser(flats, flat), name="Của người khác")
    path = f"{DESK}/card/{advertiser.organisation}"
    for roles, led in ((OPS, True), ({"bkh": ["finance"]}, False)):
        sign_in(flats, flat, **roles)
        seen = (await ask(flat, path)).text
        assert order["number"] in seen
        assert "Của người khác" not in seen
        assert (f'href="{DESK}/orders/{order["id"]}"' in seen) == led


async def test_neither_agency_sees_the_other_ones_orders(flats, flat):
    ours, theirs = Advertiser(flats, flat), Advertiser(flats, flat, "tcnt")
    orders = {
        "bkh": await booked(ours, name="Quảng cáo chung"),
        "tcnt": await booked(theirs, name="Quảng cáo chung", agency="tcnt"),
    }
    for agency, foreign in (("bkh", "tcnt"), ("tcnt", "bkh")):
        roles = {agency: ["ad_ops", "administrator"]}
        seen = await found(flats, flat, DESK, "quang cao chung", **roles)
        assert orders[agency]["number"] in seen
        assert orders[foreign]["number"] not in seen
        other = ours if foreign == "bkh" else theirs
        assert await card(flats, flat, DESK, other.organisation, **roles) == "Không có gì của người mua này."


async def test_of_more_orders_than_are_shown_the_search_and_the_card_say_so(flats, flat, monkeypatch):
    from services.ads.pages import find
    from shared.web import found as shared_found

    advertiser = Advertiser(flats, flat)
    for _ in range(3):
        await booked(advertiser, name="Hè Nha Trang")
    monkeypatch.setattr(shared_found, "SHOWN", 2)
    monkeypatch.setattr(find, "MOST", 3)
    seen = await found(flats, flat, DESK, "nha trang", **OPS)
    assert seen.count("Hè Nha Trang") == 2
    assert "Chỉ hiện 2 dòng; còn nữa. Hãy gõ thêm để thu hẹp." in seen
    assert "Chỉ hiện 2 dòng mới nhất" in await card(flats, flat, DESK, advertiser.organisation, **OPS)


async def test_a_program_is_no_staff_and_finds_nothing(flats, flat):
    key = flats.key(id=uuid4(), agency="bkh", scopes=["ads:read"])
    answer = await flat.client.get(
        f"{DESK}/find?q=nha+trang", headers={"accept": "text/html", "authorization": f"Bearer {key}"}
    )
    assert answer.status_code == 403
