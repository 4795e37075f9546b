"""Events and payments speak to each other over the turn of the year: asked for ahead, owed, and paid on either side."""

from datetime import date, timedelta

import pytest

from services.events import jobs
from shared import clock
from shared.calendar import start_of
from shared.contracts.base import Fact
from shared.contracts.events import InvoiceOpened
from shared.contracts.payments import PaymentCaptured
from tests.conftest import Flat, Flats
from tests.events.test_tax_point import DUE, EVENT, GROSS_VND, asked, sale_of, signed
from tests.payments import at_bank, notify, one
from tests.subscriptions.test_with_payments import talk

pytestmark = pytest.mark.promise("L4")

OLD_VAT_VND, NEW_VAT_VND = 8_000_000, 9_818_182
NEW_YEAR = date(2027, 1, 1)


class Both:
    """A sponsor under contract, whose second half is asked for in December, for an event in January."""

    def __init__(self, events: Flat, payments: Flat, driven: clock.DrivenClock) -> None:
        self.events, self.payments, self.clock = events, payments, driven

    async def ask(self) -> InvoiceOpened:
        await signed(self.events)
        await self.events.facts()
        (ahead,) = await asked(self.events, self.clock, DUE)
        await self.payments.receive(ahead)
        return ahead

    async def work_at(self, on: date, hour: int = 9) -> None:
        """Go to a day, on which events does what is due."""
        self.clock.move_to(start_of(on) + timedelta(hours=hour))
        await jobs.bill_instalments(self.events.kit)

    async def pay(self, invoice: InvoiceOpened) -> None:
        assert await notify(self.payments, await at_bank(self.payments, invoice)) == "00"

    async def speak(self) -> list[Fact]:
        return await talk(self.events, self.payments)

    async def agree(self, invoice: InvoiceOpened, collect: str, vat_vnd: int) -> None:
        """Both know it as paid, and how, and with how much VAT in the agreed sum."""
        sale = await sale_of(self.events, invoice)
        assert sale.paid_at is not None
        assert (sale.collect, sale.captured_vnd, sale.vat_vnd) == (collect, GROSS_VND, vat_vnd)
        theirs, lines = await one(
            self.payments, "SELECT collect, lines FROM invoice WHERE id = :id", id=invoice.invoice
        )
        assert (theirs, sum(line["vat_vnd"] for line in lines)) == (collect, vat_vnd)


@pytest.fixture
async def both(flats: Flats) -> Both:
    driven = clock.DrivenClock(start_of(date(2026, 11, 20)) + timedelta(hours=9), 1)
    return Both(await flats.start("events"), await flats.start("payments"), driven)


@pytest.mark.parametrize(("on", "vat_vnd"), [(DUE, OLD_VAT_VND), (NEW_YEAR, NEW_VAT_VND)])
async def test_what_is_paid_ahead_bears_the_rate_of_its_money_and_is_never_owed(
    both: Both, on: date, vat_vnd: int
) -> None:
    with clock.driven(both.clock):
        ahead = await both.ask()
        await both.work_at(on, hour=10)
        await both.pay(ahead)
        await both.speak()
        await both.work_at(EVENT, hour=18)
        assert [fact for fact in await both.speak() if isinstance(fact, InvoiceOpened)] == []
        await both.agree(ahead, "prepaid", vat_vnd)


async def test_what_is_unpaid_when_its_event_begins_is_owed_and_paid_on_terms(both: Both) -> None:
    with clock.driven(both.clock):
        ahead = await both.ask()
        await both.work_at(EVENT, hour=18)
        await both.speak()
        await both.work_at(EVENT + timedelta(days=30))
        await both.pay(ahead)
        (captured,) = [fact for fact in await both.speak() if isinstance(fact, PaymentCaptured)]
        assert [(part.amount_vnd, part.vat_vnd) for part in captured.lines] == [(GROSS_VND, NEW_VAT_VND)]
        await both.agree(ahead, "on_terms", NEW_VAT_VND)


async def test_money_that_comes_while_payments_has_not_heard_that_it_is_owed_is_counted_once_and_as_paid_ahead(
    both: Both,
) -> None:
    with clock.driven(both.clock):
        ahead = await both.ask()
        await both.work_at(EVENT, hour=18)
        owed = await both.events.facts()
        assert [type(fact) for fact in owed] == [InvoiceOpened]
        await both.pay(ahead)
        await both.payments.receive(*owed)
        said = await both.speak()
        assert len([fact for fact in said if isinstance(fact, PaymentCaptured)]) == 1
        await both.agree(ahead, "prepaid", NEW_VAT_VND)
