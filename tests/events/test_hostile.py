"""What events does with facts that payments never sends: captures of what was never offered, twice, or too late."""

import pytest

from shared.contracts.events import CreditGranted
from tests.conftest import Flats
from tests.events import BEER, a_capture, a_closing, a_package, an_event, counts, stock
from tests.events.test_consumers import run, state, take


@pytest.mark.parametrize("first", ["capture", "closing"])
async def test_capture_and_closing_commute(flats: Flats, first: str) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    fact = await take(flat)
    both = [a_capture(fact.invoice, fact.lines), a_closing(fact.invoice, "withdrawn")]
    for each in both if first == "capture" else reversed(both):
        await flat.receive(each)
    assert await flat.held() == []
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    assert await state(flat, fact.invoice) == (True, False)


async def test_a_second_payment_of_one_invoice_changes_nothing(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    fact = await take(flat)
    await flat.receive(a_capture(fact.invoice, fact.lines))
    await flat.receive(a_capture(fact.invoice, fact.lines))
    assert await flat.held() == []
    assert counts((await stock(flat))["Vàng"]) == (0, 1)


@pytest.mark.parametrize("rival", ["same-package", "same-industry"])
async def test_late_money_for_what_others_have_by_now_is_credited_in_full(flats: Flats, rival: str) -> None:
    flat = await flats.start("events")
    capacity = 1 if rival == "same-package" else 2
    await an_event(flat, packages=[a_package(capacity=capacity)])
    late = await take(flat)
    await flat.receive(a_closing(late.invoice, "expired"))
    winner = await take(flat, **({"industry": BEER} if rival == "same-package" else {}))
    await flat.receive(a_capture(winner.invoice, winner.lines))
    await flat.facts()
    await flat.receive(a_capture(late.invoice, late.lines))
    assert await flat.held() == []
    said = await flat.facts()
    (credit,) = [fact for fact in said if isinstance(fact, CreditGranted)]
    assert credit.invoice == late.invoice
    assert sum(line.net_vnd + line.vat_vnd for line in credit.lines) == late.total_vnd
    assert credit.reason == ("sold-out" if rival == "same-package" else "industry-taken")
    assert counts((await stock(flat))["Vàng"]) == (0, 1)
    assert await state(flat, late.invoice) == (False, True)


async def test_late_money_for_tickets_is_taken_again_or_credited(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    late = await run(flat, *[f"Người {n}" for n in range(10)])
    later = await run(flat, *[f"Người {n}" for n in range(10)])
    for fact in (late, later):
        await flat.receive(a_closing(fact.invoice, "withdrawn"))
    between = await run(flat, "Một người")
    await flat.receive(a_capture(between.invoice, between.lines), a_capture(late.invoice, late.lines))
    assert counts((await stock(flat))["5 km"]) == (0, 11)
    await flat.facts()
    await flat.receive(a_capture(later.invoice, later.lines))
    (credit,) = [fact for fact in await flat.facts() if isinstance(fact, CreditGranted)]
    assert sum(line.net_vnd + line.vat_vnd for line in credit.lines) == later.total_vnd
    assert counts((await stock(flat))["5 km"]) == (0, 11)
