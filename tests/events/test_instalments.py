"""What a sponsor is shown, is asked for in instalments, and finds on its invoices is one sum, split once."""

from datetime import date
from typing import Any

import pytest
import sqlalchemy as sa

from services.events.rules.sponsorships import InstalmentTerms
from shared import clock, money
from shared.calendar import local_day
from shared.contracts.events import InvoiceOpened, OrderSigned
from shared.web import formats
from tests.conftest import Flat, Flats
from tests.events import a_capture, a_package, an_event
from tests.events.test_consumers import take

THIRDS = [InstalmentTerms(f"Đợt {n}", share, n) for n, share in enumerate((33, 33, 34), 1)]
ODD_VND = 100_000_019

pytestmark = pytest.mark.promise("E7")


@pytest.fixture
async def flat(flats: Flats) -> Flat:
    """A package whose price no number of instalments divides."""
    made = await flats.start("events")
    await an_event(made, packages=[a_package(price_vnd=ODD_VND, instalments=THIRDS)])
    return made


async def shown(flat: Flat) -> Any:
    sold = (await flat.client.get("/api/events/v1/events/night-run")).json()["sellables"]
    return next(each for each in sold if each["kind"] == "package")


async def under_contract(flat: Flat) -> tuple[InvoiceOpened, OrderSigned]:
    first = await take(flat)
    # Payments splits the money once more, by the rate of its day.
    (line,) = first.lines
    agreed = money.split(line.gross_vnd, line.vat_class, local_day(clock.now()))
    assert (line.net_vnd, line.vat_vnd) == (agreed.net_vnd, agreed.vat_vnd)
    await flat.receive(a_capture(first.invoice, first.lines))
    (signed,) = [fact for fact in await flat.facts() if isinstance(fact, OrderSigned)]
    return first, signed


async def later(flat: Flat) -> list[InvoiceOpened]:
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = current_date WHERE position > 1"))
    await flat.tick()
    return [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]


async def test_the_invoices_of_a_package_come_to_its_shown_price_net_and_vat_to_the_dong(flat: Flat) -> None:
    seen = await shown(flat)
    first, _ = await under_contract(flat)
    lines = [line for invoice in (first, *await later(flat)) for line in invoice.lines]
    assert len(lines) == len(THIRDS)
    assert sum(line.net_vnd for line in lines) == seen["price_vnd"] == ODD_VND
    assert sum(line.vat_vnd for line in lines) == seen["vat_vnd"]
    assert sum(line.gross_vnd for line in lines) == seen["total_vnd"]


async def test_a_new_rate_of_vat_changes_no_instalment_but_how_much_of_it_is_vat(
    flat: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = await shown(flat)
    first, signed = await under_contract(flat)
    promised = {line.id: line.gross_vnd for line in signed.lines}
    monkeypatch.setitem(money.VAT_PERCENT, "standard", ((date.min, 10),))
    lines = [line for invoice in await later(flat) for line in invoice.lines]
    assert {line.id: line.gross_vnd for line in lines} == promised
    assert sum(promised.values()) + first.total_vnd == seen["total_vnd"]
    for line in lines:
        assert abs(line.vat_vnd - line.gross_vnd * 10 / 110) <= 1


async def test_the_page_names_the_sums_that_are_asked_for(flats: Flats, flat: Flat) -> None:
    token = flats.token(id=clock.new_id(), roles={})
    flat.client.cookies.set("nt_token", token)
    package = await shown(flat)
    page = (await flat.client.get(f"/events/night-run/sponsor/{package['id']}")).text
    first = await take(flat)
    assert formats.money(first.total_vnd) in page
    await flat.receive(a_capture(first.invoice, first.lines))
    await flat.facts()
    for invoice in await later(flat):
        assert formats.money(invoice.total_vnd) in page
