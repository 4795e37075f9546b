"""Runners and sponsors are found by name, bib, contact, number and amount, and stand on their buyer's card."""

from uuid import UUID, uuid4

import pytest

from shared.contracts.events import InvoiceOpened
from tests.conftest import Flat, Flats
from tests.events import a_capture, an_event, stock
from tests.events.test_pages import SPONSOR_FORM, Browser, chosen
from tests.shared.desk import ask, card, found, sign_in

DESK = "/desk/events"
STAFF = {"bkh": ["events"]}

pytestmark = pytest.mark.promise("W6")


async def taken(flats: Flats, flat: Flat, path: str, form: dict) -> tuple[UUID, InvoiceOpened]:
    """A person who fills in a form of the event; returns their id and the invoice."""
    who = uuid4()
    person = Browser(flat, flats.token(id=who))
    await person.get(path)
    answer = await person.post(path, form)
    assert answer.status_code == 303, answer.text
    return who, next(fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened))


async def a_runner(flats: Flats, flat: Flat, slug: str = "night-run", name: str = "Đặng Thị Ánh") -> tuple:
    tickets = await stock(flat)
    form = {"name": [name], **chosen(tickets, "5 km")}
    return await taken(flats, flat, f"/events/{slug}/register?n=1", form)


async def a_sponsor(flats: Flats, flat: Flat) -> tuple:
    gold = (await stock(flat))["Vàng"]["id"]
    form = {**SPONSOR_FORM, "tax_code": "0100109106"}
    return await taken(flats, flat, f"/events/night-run/sponsor/{gold}", form)


async def test_a_runner_is_found_by_name_bib_number_and_amount(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    person, invoice = await a_runner(flats, flat)
    await a_runner(flats, flat, name="Lê Văn Bình")
    await flat.receive(a_capture(invoice.invoice, invoice.lines))
    for quoted in ("dang thi anh", "Ánh", "ĐẶNG", invoice.number, f"thanh toan {invoice.number}", "0001"):
        seen = await found(flats, flat, DESK, quoted, **STAFF)
        assert invoice.number in seen, quoted
        assert "Đặng Thị Ánh 0001" in seen, quoted
        assert "Bình" not in seen, quoted
    assert "Bình" in await found(flats, flat, DESK, str(invoice.total_vnd), **STAFF)
    seen = await card(flats, flat, DESK, person, **STAFF)
    assert invoice.number in seen
    assert "Bình" not in seen


async def test_a_sponsor_is_found_by_contact_tax_code_and_the_number_of_a_part(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    person, invoice = await a_sponsor(flats, flat)
    await a_runner(flats, flat)
    for quoted in (
        "ngan hang bien xanh",
        "tran thi hoa",
        "HOA@bienxanh.example",
        "+84 905 000 111",
        "0100109106",
        invoice.number,
        str(invoice.total_vnd),
    ):
        seen = await found(flats, flat, DESK, quoted, **STAFF)
        assert "Ngân hàng Biển Xanh" in seen, quoted
        assert "Đặng" not in seen, quoted
    assert "Vàng" in await card(flats, flat, DESK, person, **STAFF)


@pytest.mark.parametrize(("own", "other"), [("bkh", "tcnt"), ("tcnt", "bkh")])
async def test_neither_agency_sees_the_other_ones_runners_and_sponsors(
    flats: Flats, own: str, other: str
) -> None:
    flat = await flats.start("events")
    await an_event(flat, agency=own)
    runner, invoice = await a_runner(flats, flat)
    sponsor, _ = await a_sponsor(flats, flat)
    ours, theirs = ({agency: ["events", "administrator"]} for agency in (own, other))
    for quoted in (
        "Đặng Thị Ánh",
        "Ngân hàng Biển Xanh",
        invoice.number,
        "hoa@bienxanh.example",
        str(runner),
    ):
        assert await found(flats, flat, DESK, quoted, **theirs) == "Không tìm thấy gì."
    for buyer in (runner, sponsor):
        assert await card(flats, flat, DESK, buyer, **theirs) == "Không có gì của người mua này."
        assert "Night Run" in await card(flats, flat, DESK, buyer, **ours)


async def test_rows_lead_to_the_card_of_whose_they_are_and_there_to_their_own_page(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    sponsor, _ = await a_sponsor(flats, flat)
    sign_in(flats, flat, **STAFF)
    seen = (await ask(flat, f"{DESK}/find", q="Biển Xanh")).text
    assert f'href="/desk/card/{sponsor}"' in seen
    seen = (await ask(flat, f"{DESK}/card/{sponsor}")).text
    assert f'href="{DESK}/night-run/sponsorships/' in seen
