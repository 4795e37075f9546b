"""What events does with facts: money early, late, twice; invoices that nobody pays; persons to forget."""

from datetime import timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.events.actions import sponsorships
from services.events.actions.registrations import register
from services.events.rules.registrations import Entry
from shared import clock
from shared.calendar import local_day
from shared.contracts.accounts import PersonErased
from shared.contracts.base import OnDate
from shared.contracts.events import InvoiceOpened, InvoiceWithdrawn, MessageRequested, OrderSigned
from shared.errors import Unprocessable
from tests.conftest import Flat, Flats
from tests.events import (
    BEER,
    a_capture,
    a_closing,
    a_patron,
    an_application,
    an_event,
    counts,
    stock,
)


async def take(flat: Flat, title: str = "Vàng", **changes: Any) -> InvoiceOpened:
    """A sponsor takes a package; returns the invoice that was opened."""
    package = (await stock(flat))[title]["id"]
    async with flat.tx() as tx:
        await sponsorships.take_package(
            tx, changes.pop("patron", a_patron()), package, an_application(**changes), clock.now()
        )
    return await opened(flat)


async def run(flat: Flat, *names: str) -> InvoiceOpened:
    tickets = await stock(flat)
    entries = [Entry(tickets["5 km"]["id"], name) for name in names]
    async with flat.tx() as tx:
        await register(tx, a_patron(), "night-run", entries, clock.now())
    return await opened(flat)


async def opened(flat: Flat) -> InvoiceOpened:
    (fact,) = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
    return fact


async def one(flat: Flat, query: str, **values: Any) -> Any:
    async with flat.tx() as tx:
        return (await tx.execute(sa.text(query), values)).one()


async def state(flat: Flat, invoice: UUID) -> tuple[bool, bool]:
    """(contracted, cancelled) of the sponsorship with this first invoice."""
    row = await one(
        flat,
        "SELECT contracted_at, cancelled_at FROM sponsorship s JOIN instalment i ON i.sponsorship = s.id "
        "WHERE invoice = :invoice",
        invoice=invoice,
    )
    return row.contracted_at is not None, row.cancelled_at is not None


async def past(flat: Flat) -> None:
    """Let every hold's time be over."""
    async with flat.tx() as tx:
        await tx.execute(
            sa.text("UPDATE sale SET expires_at = :then"), {"then": clock.now() - timedelta(seconds=1)}
        )


async def test_an_expired_hold_is_withdrawn_once_and_freed_only_when_payments_has_closed_it(
    flats: Flats,
) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    invoice = (await take(flat)).invoice
    await flat.tick()
    assert await flat.facts() == []
    await past(flat)
    await flat.tick()
    await flat.tick()
    (withdrawn,) = await flat.facts()
    assert isinstance(withdrawn, InvoiceWithdrawn)
    assert withdrawn.invoice == invoice
    assert counts((await stock(flat))["Vàng"]) == (1, 0)
    await flat.receive(a_closing(invoice, "withdrawn"))
    assert counts((await stock(flat))["Vàng"]) == (0, 0)
    assert await state(flat, invoice) == (False, True)
    # The industry is free again, too.
    await take(flat)


async def test_money_that_was_on_its_way_when_the_hold_was_withdrawn_still_contracts(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    fact = await take(flat)
    await past(flat)
    await flat.tick()
    await flat.receive(a_capture(fact.invoice, fact.lines), a_closing(fact.invoice, "paid"))
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    assert await state(flat, fact.invoice) == (True, False)


async def test_a_fact_that_comes_twice_is_booked_once(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    fact = await take(flat)
    capture = a_capture(fact.invoice, fact.lines)
    await flat.receive(capture, capture)
    await flat.receive(capture)
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    assert await flat.held() == []


async def test_the_line_is_earned_on_the_day_of_the_event(flats: Flats) -> None:
    flat = await flats.start("events")
    event = await an_event(flat)
    (line,) = (await take(flat)).lines
    assert line.earn == OnDate(local_day(event.starts_at))
    assert (line.stream, line.vat_class, line.net_vnd) == ("sponsorship.cash", "standard", 100_000_000)


async def test_the_second_instalment_is_asked_for_before_it_is_due_and_brought_to_mind(
    flats: Flats,
) -> None:
    flat = await flats.start("events")
    await an_event(flat, starts_at=clock.now() + timedelta(days=60))
    fact = await take(flat)
    await flat.tick()
    assert await flat.facts() == []  # nothing is billed before the contract
    await flat.receive(a_capture(fact.invoice, fact.lines))
    (signed,) = [each for each in await flat.facts() if isinstance(each, OrderSigned)]
    assert [each.gross_vnd for each in signed.lines] == [108_000_000], "promised, not yet invoiced"
    await flat.tick()
    assert await flat.facts() == []  # 46 days ahead: too early
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = due_on - 30 WHERE position = 2"))
    await flat.tick()
    await flat.tick()
    said = await flat.facts()
    (second,) = [each for each in said if isinstance(each, InvoiceOpened)]
    assert [each.id for each in second.lines] == [each.id for each in signed.lines], "what was promised"
    assert (second.collect, second.total_vnd) == ("prepaid", 108_000_000)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE instalment SET due_on = due_on - 16 WHERE position = 2"))
    await flat.tick()
    await flat.tick()
    reminders = [each for each in await flat.facts() if isinstance(each, MessageRequested)]
    assert [each.template for each in reminders] == ["events.instalment-reminder"]
    capture = a_capture(second.invoice, second.lines, amount_vnd=8_000_000)
    await flat.receive(capture)
    rest = a_capture(second.invoice, second.lines, amount_vnd=100_000_000)
    await flat.receive(rest)
    row = await one(flat, "SELECT captured_vnd, paid_at FROM sale WHERE kind = 'instalment'")
    assert row.captured_vnd == 108_000_000
    assert row.paid_at is not None


async def test_an_unpaid_second_instalment_never_frees_the_package(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, starts_at=clock.now() + timedelta(days=20))
    fact = await take(flat)
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.facts()
    await flat.tick()
    second = await opened(flat)
    await flat.receive(a_closing(second.invoice, "expired"))
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    assert await state(flat, fact.invoice) == (True, False)


async def test_bibs_are_given_in_the_order_in_which_money_comes_and_none_twice(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    first, second = await run(flat, "An", "Bình"), await run(flat, "Chi")
    await flat.receive(a_capture(second.invoice, second.lines), a_capture(first.invoice, first.lines))
    async with flat.tx() as tx:
        rows = (await tx.execute(sa.text("SELECT name, bib FROM entrant ORDER BY bib"))).all()
    assert [tuple(row) for row in rows] == [("Chi", 1), ("An", 2), ("Bình", 3)]
    assert counts((await stock(flat))["5 km"]) == (0, 3)


async def test_invoices_of_other_sellers_are_left_alone(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    fact = await take(flat)
    await flat.receive(a_capture(uuid4(), fact.lines), a_closing(uuid4(), "expired"))
    assert await flat.held() == []
    assert counts((await stock(flat))["Vàng"]) == (1, 0)


async def test_an_erased_person_is_overwritten_and_the_organisation_stays(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    patron = a_patron()
    await take(flat, patron=patron)
    await flat.receive(PersonErased(agency="bkh", person=patron.owner))
    row = await one(flat, "SELECT * FROM sponsorship")
    assert (row.contact_name, row.contact_email, row.contact_phone, row.person) == ("", "", "", None)
    assert row.organisation == "Ngân hàng Biển Xanh"


async def test_all_holds_that_an_outage_left_behind_are_withdrawn_in_one_turn(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.jobs.AT_ONCE", 1)
    flat = await flats.start("events")
    await an_event(flat)
    held = {(await run(flat, "An", "Bình")).invoice for _ in range(3)}
    await past(flat)
    await flat.tick()
    said = await flat.facts()
    assert sorted(fact.invoice for fact in said) == sorted(held), "each once, though it holds several things"


async def test_a_sponsor_is_kept_in_the_spelling_that_the_whole_house_keeps(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    await take(
        flat, tax_code="0100 109 106 001", contact_email=" Hoa@BienXanh.example", contact_phone="090 512 3456"
    )
    row = await one(flat, "SELECT tax_code, contact_email, contact_phone FROM sponsorship")
    assert tuple(row) == ("0100109106-001", "hoa@bienxanh.example", "+84905123456")
    with pytest.raises(Unprocessable) as refused:
        await take(flat, industry=BEER, contact_phone="12")
    assert refused.value.more["field"] == "contact_phone"
