"""Facts arrive in any order and more than once; payments ends in the same place."""

import itertools
from typing import Any

import pytest
import sqlalchemy as sa

from shared.contracts.base import Buyer
from shared.contracts.payments import InvoiceClosed
from tests.conftest import Flat, Flats
from tests.payments import a_credit, a_line, an_invoice, one, paid, press_pay, state_of, withdrawn


async def settle(flat: Flat) -> None:
    """Let what waited be handled."""
    for _ in range(3):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE retry SET next_at = now() - interval '1 day'"))
        await flat.kit.consumer.again(flat.kit.database)


@pytest.mark.parametrize(
    "order", list(itertools.permutations(range(3))), ids=lambda order: "".join(map(str, order))
)
async def test_opened_credited_and_withdrawn_in_any_order_and_twice(
    flats: Flats, order: tuple[int, ...]
) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    facts: list[Any] = [invoice, a_credit(invoice, 5_000), withdrawn(invoice)]
    for n in (*order, *order):
        await flat.receive(facts[n])
    await settle(flat)
    assert await flat.held() == []
    assert [fact.outcome for fact in await flat.facts() if isinstance(fact, InvoiceClosed)] == ["withdrawn"]
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT count(*) FROM credit")) == 1


async def test_a_withdrawal_waits_for_its_invoice_and_goes_on_when_it_arrives(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(withdrawn(invoice))
    (waiting,) = await flat.held()
    assert (waiting.state, waiting.waits_for) == ("waiting", f"invoice:{invoice.invoice}")
    await flat.receive(invoice)
    await flat.kit.consumer.again(flat.kit.database)
    assert await state_of(flat, invoice) == ("withdrawn", [])


async def test_a_withdrawn_invoice_stays_open_while_an_attempt_may_bring_money(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    await press_pay(flat, invoice)
    await flat.receive(withdrawn(invoice))
    assert await flat.facts() == []
    assert await state_of(flat, invoice) == (None, ["open"])


async def test_a_withdrawal_after_the_money_changes_nothing(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await paid(flat, invoice)
    await flat.facts()
    await flat.receive(withdrawn(invoice))
    await flat.tick()
    assert await flat.facts() == []
    assert await state_of(flat, invoice) == ("paid", ["paid"])


async def test_an_invoice_over_nothing_is_none_and_its_fact_is_kept_aside(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(0, 0))
    await flat.receive(invoice)
    assert await flat.facts() == []
    (kept,) = await flat.held()
    assert (kept.state, "invoice_total" in kept.error) == ("retry", True)
    assert await one(flat, "SELECT count(*) FROM invoice") == 0


async def test_two_credits_send_back_both_amounts_but_never_more_than_came(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0), buyer=Buyer("person", a_line().id))
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 30_000), a_credit(invoice, 30_000), a_credit(invoice, 50_000))
    async with flat.tx() as tx:
        amounts = list(await tx.scalars(sa.text("SELECT amount_vnd FROM refund ORDER BY id")))
    assert amounts == [30_000, 30_000, 40_000]
