"""What events' actions do under load and against the database's last line of defence."""

import asyncio
from uuid import UUID, uuid4

import pytest
import sqlalchemy as sa

from services.events.actions import registrations, sponsorships, stock
from services.events.actions.catalogue import NewTicket
from services.events.rules import industries
from services.events.rules.registrations import Entry
from services.events.rules.stock import IndustryTaken, SoldOut
from services.events.tables import EventRow
from shared import clock
from shared.contracts.events import InvoiceOpened
from shared.db import locked
from shared.errors import Refused
from shared.jobs import Batch
from tests.conftest import Flat, Flats
from tests.events import BANK, DIGITAL_BANK, a_capture, a_package, a_patron, an_application, an_event, counts
from tests.events import stock as stocks

LEAVES = [code for code in industries.INDUSTRIES if code % 10_000 and not code % 100]


async def attempt(flat: Flat, package: UUID, industry: int) -> str:
    try:
        async with flat.tx() as tx:
            await sponsorships.take_package(
                tx, a_patron(), package, an_application(industry=industry), clock.now()
            )
    except Refused as refusal:
        return refusal.code
    except sa.exc.TimeoutError:
        # Every connection is taken: the door answers 503 with Retry-After, and the buyer comes again.
        return await attempt(flat, package, industry)
    return "taken"


async def test_of_200_concurrent_buyers_exactly_the_capacity_is_taken(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, packages=[a_package(capacity=3, exclusive=False)])
    package = (await stocks(flat))["Vàng"]["id"]
    answers = await asyncio.gather(*(attempt(flat, package, LEAVES[n % len(LEAVES)]) for n in range(200)))
    assert sorted(set(answers)) == ["sold-out", "taken"]
    assert answers.count("taken") == 3
    assert counts((await stocks(flat))["Vàng"]) == (3, 0)
    assert len(await flat.facts()) == 3


async def test_of_200_concurrent_rivals_of_one_industry_one_gets_in(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, packages=[a_package(capacity=10)])
    package = (await stocks(flat))["Vàng"]["id"]
    rivals = (BANK, DIGITAL_BANK, 100000)
    answers = await asyncio.gather(*(attempt(flat, package, rivals[n % 3]) for n in range(200)))
    assert answers.count("taken") == 1
    assert answers.count("industry-taken") == 199
    assert counts((await stocks(flat))["Vàng"]) == (1, 0)


async def test_two_plain_packages_may_share_an_industry_but_not_with_an_exclusive_one(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(
        flat, packages=[a_package(), a_package(title="Đồng", tier="bronze", exclusive=False, capacity=9)]
    )
    found = await stocks(flat)
    bronze, gold = found["Đồng"]["id"], found["Vàng"]["id"]
    assert await attempt(flat, bronze, BANK) == "taken"
    assert await attempt(flat, bronze, DIGITAL_BANK) == "taken"
    assert await attempt(flat, gold, BANK) == "industry-taken"
    assert await attempt(flat, gold, 120500) == "taken"
    assert await attempt(flat, bronze, 120500) == "industry-taken"


async def test_an_industry_taken_at_one_event_is_free_at_another(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    await an_event(flat, slug="song-night", packages=[a_package(title="Vàng 2")])
    found = await stocks(flat)
    assert await attempt(flat, found["Vàng"]["id"], BANK) == "taken"
    assert await attempt(flat, found["Vàng 2"]["id"], BANK) == "taken"


async def test_the_database_itself_refuses_overselling_and_a_second_claim(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    package = (await stocks(flat))["Vàng"]["id"]
    with pytest.raises(sa.exc.IntegrityError, match="sellable_stock"):
        async with flat.tx() as tx:
            await tx.execute(sa.text("UPDATE sellable SET held = capacity + 1 WHERE kind = 'package'"))
    assert await attempt(flat, package, BANK) == "taken"
    assert await attempt(flat, package, 120500) == "taken"
    with pytest.raises(sa.exc.IntegrityError, match="claim_apart"):
        async with flat.tx() as tx:
            await tx.execute(
                sa.text(
                    "UPDATE claim SET first = (SELECT min(first) FROM claim), last = (SELECT max(last) FROM claim)"
                )
            )


async def test_an_order_of_two_kinds_holds_both_or_none(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    found = await stocks(flat)
    five, ten = found["5 km"]["id"], found["10 km"]["id"]

    async def order(fives: int, tens: int) -> str:
        entries = [Entry(five, f"Năm {n}") for n in range(fives)] + [
            Entry(ten, f"Mười {n}") for n in range(tens)
        ]
        try:
            async with flat.tx() as tx:
                await registrations.register(tx, a_patron(), "night-run", entries, clock.now())
        except SoldOut:
            return "sold-out"
        return "held"

    assert await order(2, 8) == "held"
    assert await order(1, 3) == "sold-out"
    assert counts((await stocks(flat))["5 km"]) == (2, 0)


async def test_whoever_is_given_a_bib_keeps_nobody_from_ordering_tickets_of_the_same_event(
    flats: Flats,
) -> None:
    flat = await flats.start("events")
    event = await an_event(flat)
    entries = [Entry((await stocks(flat))["5 km"]["id"], "Lan")]
    async with flat.tx() as giving, flat.tx() as ordering:
        await locked(giving, EventRow, event.id)
        order = registrations.register(ordering, a_patron(), "night-run", entries, clock.now())
        assert await asyncio.wait_for(order, 5)


async def test_orders_that_name_the_same_kinds_in_opposite_order_do_not_lock_each_other(flats: Flats) -> None:
    flat = await flats.start("events")
    tickets = [NewTicket(title=title, price_vnd=100_000, capacity=90) for title in ("5 km", "10 km")]
    await an_event(flat, tickets=tickets)
    found = await stocks(flat)
    kinds = [found["5 km"]["id"], found["10 km"]["id"]]

    async def order(n: int) -> None:
        entries = [Entry(kind, "Người chạy") for kind in (kinds if n % 2 else kinds[::-1])]
        async with flat.tx() as tx:
            await registrations.register(tx, a_patron(), "night-run", entries, clock.now())

    await asyncio.gather(*(order(n) for n in range(80)))
    after = await stocks(flat)
    assert [after[title]["held"] for title in ("5 km", "10 km")] == [80, 80]


async def test_200_runners_for_20_places_fill_them_exactly(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    five = (await stocks(flat))["5 km"]["id"]

    async def order(n: int) -> bool:
        try:
            async with flat.tx() as tx:
                entries = [Entry(five, f"Người {n}")]
                await registrations.register(tx, a_patron(), "night-run", entries, clock.now())
        except SoldOut:
            return False
        return True

    assert sum(await asyncio.gather(*(order(n) for n in range(200)))) == 20
    facts = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
    await flat.receive(*[a_capture(fact.invoice, fact.lines) for fact in facts])
    async with flat.tx() as tx:
        bibs = list(await tx.scalars(sa.text("SELECT bib FROM entrant ORDER BY bib")))
    assert bibs == list(range(1, 21))


async def test_the_recount_alarms_when_a_count_has_no_cause(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    package = (await stocks(flat))["Vàng"]["id"]
    assert await attempt(flat, package, BANK) == "taken"
    async with flat.tx() as tx:
        await stock.recount(tx, first := Batch())
        await stock.recount(tx, again := Batch())
        assert (first.keys, again.keys) == (["bkh"], []), "once a day"
        assert await tx.scalar(sa.text("DELETE FROM recount RETURNING differences")) == []
        await tx.execute(sa.text("UPDATE sellable SET sold = 1 WHERE title = 'Vàng'"))
        await stock.recount(tx, Batch())
        row = (await tx.execute(sa.text("SELECT * FROM recount"))).one()
    assert row.checked == 3
    (found,) = row.differences
    assert (found["title"], found["sold"], found["sold_by_cause"]) == ("Vàng", 1, 0)


async def test_nobody_enters_twice_even_when_two_phones_scan_at_once(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    five = (await stocks(flat))["5 km"]["id"]
    async with flat.tx() as tx:
        await registrations.register(tx, a_patron(), "night-run", [Entry(five, "An")], clock.now())
    (fact,) = [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)]
    async with flat.tx() as tx:
        entrant = (await tx.scalars(sa.text("SELECT id FROM entrant"))).one()

    async def scan() -> str:
        try:
            async with flat.tx() as tx:
                await registrations.check_in(tx, entrant, uuid4(), clock.now())
        except Refused as refusal:
            return refusal.code
        return "in"

    assert await scan() == "not-paid"
    await flat.receive(a_capture(fact.invoice, fact.lines))
    answers = await asyncio.gather(*(scan() for _ in range(6)))
    assert sorted(answers) == ["already-in"] * 5 + ["in"]


async def test_a_taken_industry_is_refused_by_name(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    package = (await stocks(flat))["Vàng"]["id"]
    await attempt(flat, package, BANK)
    with pytest.raises(IndustryTaken, match="Ngân hàng số"):
        async with flat.tx() as tx:
            await sponsorships.take_package(
                tx, a_patron(), package, an_application(industry=DIGITAL_BANK), clock.now()
            )
