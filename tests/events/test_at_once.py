"""Money for tickets, and their runner's wish to be forgotten, at the same moment."""

import asyncio

import sqlalchemy as sa

from services.events.tables import EntrantRow, RegistrationRow
from shared.contracts.accounts import PersonErased
from tests.conftest import Flats
from tests.events import a_capture, a_patron, an_event
from tests.events.test_selling import order
from tests.shared.at_once import until_waiting


async def test_money_that_comes_and_a_person_who_is_erased_do_not_wait_in_a_circle(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    patron = a_patron()
    sale = await order(flat, "10 km", patron=patron)
    async with flat.tx() as tx:
        await tx.execute(sa.select(RegistrationRow).with_for_update())
        erasing = asyncio.create_task(flat.receive(PersonErased(agency="bkh", person=patron.owner)))
        await until_waiting(flat)
        paying = asyncio.create_task(flat.receive(a_capture(sale.id, sale.lines)))
        await until_waiting(flat, 2)
    await erasing
    await paying
    assert await flat.held() == [], "nobody was turned away to try again"
    async with flat.tx() as tx:
        (runner,) = await tx.scalars(sa.select(EntrantRow))
    assert (runner.name, runner.bib) == ("", 1)
