"""A reader's invoices are found by number and amount; their card says whether they may read today."""

import pytest

from shared import clock
from tests.conftest import Flats
from tests.shared.desk import card, found
from tests.subscriptions.builders import a_package, a_reader_with_access, opened_fact, subscribed, taxed

DESK = "/desk/subscriptions"
STAFF = {"bkh": ["subscriptions"]}

pytestmark = pytest.mark.promise("W6")


async def test_an_invoice_is_found_by_number_and_amount_and_leads_to_its_reader(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await taxed(flat)
    person = clock.new_id()
    opened = await subscribed(flat, person, *await a_package(flat, net_vnd=50_000))
    number = (await opened_fact(flat)).number
    for quoted in (
        number,
        number.lower().replace("-", ""),
        f"Thanh toan {number}",
        "54.000",
        str(opened.invoice),
    ):
        seen = await found(flats, flat, DESK, quoted, **STAFF)
        assert number in seen, quoted
        assert "Đọc báo trọn gói" in seen, quoted
        assert "Chờ thanh toán" in seen, quoted
    assert await found(flats, flat, DESK, "50.000", **STAFF) == "Không tìm thấy gì."


async def test_a_card_says_what_a_person_may_read_today_and_until_when(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await taxed(flat)
    reader, waiting = clock.new_id(), clock.new_id()
    await a_reader_with_access(flat, reader)
    seen = await card(flats, flat, DESK, reader, **STAFF)
    for expected in ("Quyền đọc hôm nay", "Đang đọc", "đọc đến hết", "Phiếu thu thuê bao", "Đã trả"):
        assert expected in seen
    await subscribed(flat, waiting, *await a_package(flat, code="cuoi-tuan"))
    seen = await card(flats, flat, DESK, waiting, **STAFF)
    assert "Chờ thanh toán" in seen
    assert "Đang đọc" not in seen


async def test_neither_agency_sees_the_other_ones_readers(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person, numbers = clock.new_id(), {}
    for agency in ("bkh", "tcnt"):
        await taxed(flat, agency=agency)
        await subscribed(flat, person, *await a_package(flat, agency=agency))
        numbers[agency] = (await opened_fact(flat)).number
    for agency, foreign in (("bkh", "tcnt"), ("tcnt", "bkh")):
        roles = {agency: ["subscriptions", "administrator"]}
        for seen in (
            await found(flats, flat, DESK, numbers[foreign], **roles),
            await found(flats, flat, DESK, f"{numbers[agency]} {numbers[foreign]}", **roles),
            await card(flats, flat, DESK, person, **roles),
        ):
            assert numbers[foreign] not in seen
        assert numbers[agency] in await card(flats, flat, DESK, person, **roles)
