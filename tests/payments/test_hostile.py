"""What payments does with what no honest sender says, and with hands that are quicker than each other."""

import asyncio
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest

from services.payments.actions import refunds
from shared import clock
from shared.contracts import ads, subscriptions
from shared.contracts.base import CreditedLine, Fact
from tests.conftest import Flat, Flats
from tests.payments import (
    a_credit,
    a_line,
    an_invoice,
    at_bank,
    declined,
    notify,
    one,
    paid,
    paid_late,
    state_of,
    taken,
    withdrawn,
)
from tests.payments.test_pages import ALL, DESK, post
from tests.payments.test_refunds import books, wanted


async def at_once(*deeds: Any) -> int:
    """Do all at the same moment; returns how many were not refused."""
    return sum(
        not isinstance(done, Exception) for done in await asyncio.gather(*deeds, return_exceptions=True)
    )


async def test_facts_about_what_is_not_theirs_or_never_was_change_nothing(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice, other = an_invoice(a_line(100_000, 0)), an_invoice(a_line(100_000, 0))
    money, others = await paid(flat, invoice), await paid(flat, other)
    await flat.facts()
    sold = CreditedLine(invoice.lines[0].id, 100_000, 0)
    foreign = CreditedLine(other.lines[0].id, 100_000, 0)
    named: dict[str, Any] = {"agency": "bkh", "invoice": invoice.invoice, "reason": "cancelled"}
    odd: list[Fact] = [
        ads.CreditGranted(**named, credit=clock.new_id(), lines=(sold,)),
        ads.InvoiceWithdrawn(**named),
        ads.RefundRefused(**named, refund=clock.new_id()),
        subscriptions.CreditGranted(**named, credit=clock.new_id(), lines=(sold, foreign)),
        a_credit(invoice, -5_000),
        a_credit(invoice, 5_000, refund=clock.new_id()),
        taken(invoice, clock.new_id()),
        taken(invoice, money),
        declined(invoice, money),
        declined(invoice, others),
    ]
    await flat.receive(*odd)
    assert len(await flat.held()) == len(odd), "a person sees each"
    assert await flat.facts() == []
    assert await one(flat, "SELECT (SELECT count(*) FROM credit) + (SELECT count(*) FROM refund)") == 0


async def test_a_credit_beyond_what_was_sold_gives_back_what_came_and_no_more(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    await paid(flat, invoice)
    await flat.receive(a_credit(invoice, 900_000), a_credit(invoice, 900_000))
    assert await books(flat) == [("due", 100_000)]


@pytest.mark.promise("T12")
async def test_who_credited_most_does_not_hide_behind_a_colleagues_later_small_credit(flats: Flats) -> None:
    flat = await flats.start("payments")
    by, colleague = clock.new_id(), clock.new_id()
    invoice = an_invoice(a_line(40_000_000, 0), collect="on_terms")
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    await flat.receive(a_credit(invoice, 30_000_000, by=by), a_credit(invoice, 1_000, by=colleague))
    assert await notify(flat, query) == "00"
    assert await books(flat) == [("asked", 30_001_000)]
    refund = await one(flat, "SELECT id FROM refund")
    for who, status in ((by, 409), (colleague, 409), (clock.new_id(), 303)):
        flat.client.cookies.set("nt_token", flats.token(id=who, roles={"bkh": ALL}))
        assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == status


async def test_money_and_its_withdrawal_at_once_pay_the_invoice_once(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice()
    await flat.receive(invoice)
    query = await at_bank(flat, invoice)
    await asyncio.gather(notify(flat, query), flat.receive(withdrawn(invoice)), notify(flat, query))
    assert await state_of(flat, invoice) == ("paid", ["paid"])
    assert await one(flat, "SELECT count(*) FROM capture") == 1


async def test_of_many_who_decide_ask_or_renew_at_once_one_does(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(40_000_000, 0))
    capture = await paid(flat, invoice)
    assert await at_once(*(wanted(flat, capture, 30_000_000) for _ in range(4))) == 1
    refund = await one(flat, "SELECT id FROM refund")
    assert await at_once(*(_decide(flat, refund, good=n % 2 == 0) for n in range(6))) == 1
    await flat.receive(a_credit(invoice, 40_000_000))
    owed = await one(flat, "SELECT id FROM refund WHERE credit IS NOT NULL")
    async with flat.tx() as tx:
        await refunds.settle(tx, *await refunds.with_capture(tx, owed), "failed")
    assert await at_once(*(_renew(flat, owed) for _ in range(4))) == 1
    assert await one(flat, "SELECT refunding_vnd FROM capture") == 40_000_000


async def _decide(flat: Flat, refund: UUID, *, good: bool) -> None:
    async with flat.tx() as tx:
        await refunds.decide_refund(tx, refund, clock.new_id(), good=good)


async def _renew(flat: Flat, refund: UUID) -> None:
    async with flat.tx() as tx:
        await refunds.renew_refund(tx, refund, clock.new_id())


async def test_late_money_that_is_taken_declined_and_returned_at_once_goes_one_way(flats: Flats) -> None:
    flat = await flats.start("payments")
    invoice = an_invoice(a_line(100_000, 0))
    money = await paid_late(flat, invoice)
    with clock.driven(clock.DrivenClock(clock.now() + timedelta(hours=73), 7)):
        await at_once(
            flat.receive(taken(invoice, money)),
            flat.receive(declined(invoice, money)),
            wanted(flat, money, 1_000),
            wanted(flat, money, 100_000),
        )
    applied, back_vnd = await one(flat, "SELECT applied, refunding_vnd FROM capture")
    on_its_way = [vnd for state, vnd in await books(flat) if state == "due"]
    assert (applied, sum(on_its_way)) == (applied, 0 if applied else back_vnd)
    assert not (applied and on_its_way)


async def test_nobody_sees_or_moves_the_money_of_another_agency(flats: Flats) -> None:
    flat = await flats.start("payments")
    capture = await paid(flat, an_invoice(a_line(30_000_000, 0)))
    refund, buyer = await wanted(flat, capture, 25_000_000), await one(flat, "SELECT buyer FROM invoice")
    flat.client.cookies.set("nt_token", flats.token(id=clock.new_id(), roles={"xyz": ALL}))
    asked = {"amount_vnd": "1000", "reason": "Của người khác"}
    assert await post(flat, f"{DESK}/captures/{capture}/refunds", **asked) == 404
    assert await post(flat, f"{DESK}/refunds/{refund}/decision", choice="yes") == 404
    assert await post(flat, f"{DESK}/refunds/{refund}/finding", choice="yes") == 404
    assert await post(flat, f"{DESK}/refunds/{refund}/renewal") == 404
    assert (await flat.client.get(f"{DESK}/captures/{capture}")).status_code == 404
    for path in ("find?q=30000000", f"find?q={capture}", f"card/{buyer}", "refunds", "suspense"):
        shown = await flat.client.get(f"{DESK}/{path}")
        assert shown.status_code == 200
        assert f"captures/{capture}" not in shown.text, path
    assert await books(flat) == [("asked", 25_000_000)]
