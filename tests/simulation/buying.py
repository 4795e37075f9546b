"""What buyers and sellers do: a little of everything on sale, taken, cancelled, shown."""

from datetime import date, timedelta

import sqlalchemy as sa

from ops.simulation.accounts import FOUNDED, _readers, _tax_code
from ops.simulation.ads import approve
from ops.simulation.subscriptions import NEWSPAPER, _open_shop
from services.accounts.actions import agencies as registering
from services.accounts.actions import people
from services.ads.actions import orders
from services.ads.tables import CreativeRow, LineRow, OrderRow, PlacementRow, RateRow
from services.events.actions import catalogue, registrations, sponsorships
from services.events.actions.access import Patron
from services.events.rules.registrations import Entry
from services.events.rules.sponsorships import InstalmentTerms
from services.events.tables import EntrantRow, SellableRow, SponsorshipRow
from services.subscriptions.actions import subscriptions
from services.subscriptions.queries import catalogue as packages
from services.subscriptions.tables import SubscriptionRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import Buyer
from shared.db import Tx
from tests.simulation.town import AGENCY, Town, any_row

INDUSTRIES = (110_300, 551_000)


async def begin(town: Town) -> None:
    """An agency, its readers and buyers, and a little of everything on sale, so that it runs out."""
    world, day = town.world("accounts"), local_day(clock.now())
    world.memory["news"] = AGENCY
    async with town.flats["accounts"].tx() as tx:
        await registering.register_agency(tx, AGENCY, "Báo Khánh Hòa", "converged", FOUNDED, "town:")
        town.actors["readers"] = await _readers(world, tx, 3)
        for kind in ("advertiser", "sponsor"):
            town.actors[f"{kind}s"] = [
                (
                    await people.register_organisation(
                        tx,
                        kind=kind,
                        agency=AGENCY,
                        name=f"Công ty {kind} {n}",
                        tax_code=_tax_code(world),
                        email=f"{kind}{n}@doanhnghiep.example",
                        contact_name="Trần Thị Lan",
                        actor="town:",
                    )
                ).id
                for n in range(2)
            ]
    await town.collect()
    for flat in town.flats.values():
        await town.hear(flat)
    async with town.flats["subscriptions"].tx() as tx:
        await _open_shop(tx, AGENCY, (NEWSPAPER[0], NEWSPAPER[2]), day - timedelta(days=1), None)
        town.things["packages"] = await packages.packages(tx, AGENCY)
    async with town.flats["ads"].tx() as tx:
        await _placement(tx)
    async with town.flats["events"].tx() as tx:
        event = await catalogue.create_event(tx, _event(day), clock.now())
        rows = list(await tx.scalars(sa.select(SellableRow).order_by(SellableRow.position)))
        town.things["slug"] = event.slug
        town.things["package"] = next(row.id for row in rows if row.kind == "package")
        town.things["tickets"] = [row.id for row in rows if row.kind == "ticket"]


async def _placement(tx: Tx) -> None:
    key = clock.new_id()
    place = {"code": "home-top", "site": "web", "name": "home-top", "width": 970, "height": 250}
    tx.add(PlacementRow(id=key, agency=AGENCY, sections=[], **place))
    rate = {"pricing": "cpm", "price_vnd": 45_000, "valid_from": date(2024, 1, 1)}
    tx.add(RateRow(id=clock.new_id(), agency=AGENCY, placement=key, **rate))


def _event(day: date) -> catalogue.NewEvent:
    starts_at = catalogue.Details.example(day).starts_at
    instalments = [InstalmentTerms("Khi ký", 50), InstalmentTerms("Trước ngày chạy", 50, 75)]
    return catalogue.NewEvent(
        agency=AGENCY,
        slug="binh-minh",
        title="Bình minh",
        starts_at=starts_at,
        sales_end_at=starts_at - timedelta(days=7),
        packages=[
            catalogue.NewPackage(
                title="Vàng",
                tier="Vàng",
                price_vnd=30_000_001,
                capacity=1,
                exclusive=True,
                instalments=instalments,
            )
        ],
        tickets=[
            catalogue.NewTicket(title="21 km", price_vnd=550_003, capacity=3),
            catalogue.NewTicket(title="Thiếu nhi", price_vnd=0, capacity=3),
        ],
    )


async def buy_tickets(town: Town) -> None:
    """A reader takes one or two tickets, dear or free."""
    reader = town.random.choice(town.actors["readers"])
    chosen = town.random.choices(town.things["tickets"], k=town.random.randint(1, 2))
    patron = Patron(reader, reader, Buyer("person", reader))
    async with town.flats["events"].tx() as tx:
        entries = [Entry(ticket, "Nguyễn Văn An") for ticket in chosen]
        await registrations.register(tx, patron, town.things["slug"], entries, clock.now())


async def take_package(town: Town) -> None:
    """A sponsor takes the one package that there is."""
    sponsor = town.random.choice(town.actors["sponsors"])
    patron = Patron(sponsor, sponsor, Buyer("organisation", sponsor))
    application = sponsorships.Application(
        organisation="Công ty Sanvina",
        industry=town.random.choice(INDUSTRIES),
        contact_name="Trần Thị Lan",
        contact_email="taitro@sanvina.example",
    )
    async with town.flats["events"].tx() as tx:
        await sponsorships.take_package(tx, patron, town.things["package"], application, clock.now())


async def cancel_package(town: Town) -> None:
    async with town.flats["events"].tx() as tx:
        row = await any_row(tx, town, SponsorshipRow)
        await sponsorships.cancel(tx, row, clock.now())


async def let_in(town: Town) -> None:
    """A runner shows a ticket at the gate."""
    async with town.flats["events"].tx() as tx:
        row = await any_row(tx, town, EntrantRow)
        await registrations.check_in(tx, row.id, None, clock.now())


async def edit_ticket(town: Town) -> None:
    """Staff change the price and the number of a ticket."""
    async with town.flats["events"].tx() as tx:
        row = await tx.get_one(SellableRow, town.things["tickets"][0])
        event = await tx.get_one(catalogue.EventRow, row.event)
        edit = catalogue.SellableEdit(
            price_vnd=town.random.choice((550_003, 600_001)), capacity=town.random.randint(2, 4)
        )
        await catalogue.edit_sellable(tx, event, row.id, edit)


async def subscribe(town: Town) -> None:
    offers = [(found.id, offer.price) for found in town.things["packages"] for offer in found.offers]
    package, price = town.random.choice(offers)
    order = subscriptions.Order(package=package, price=price, renewal=town.random.random() < 0.5)
    flat = town.flats["subscriptions"]
    async with flat.tx() as tx:
        await subscriptions.subscribe(
            tx, flat.kit.settings, town.random.choice(town.actors["readers"]), order
        )


async def end_subscription(town: Town) -> None:
    async with town.flats["subscriptions"].tx() as tx:
        row = await any_row(tx, town, SubscriptionRow)
        at_once = town.random.random() < 0.5
        await subscriptions.cancel(tx, row.id, person=row.person, at_once=at_once)


async def book_ads(town: Town) -> None:
    """An order with its creative, approved at once, so that its money is asked for."""
    day = local_day(clock.now())
    starts_on = day + timedelta(days=town.random.randint(0, 3))
    line = orders.NewLine(
        placements=("home-top",),
        starts_on=starts_on,
        ends_on=starts_on + timedelta(days=town.random.randint(1, 9)),
        budget_vnd=town.random.choice((450_000, 3_333_333, 33_000_001)),
    )
    new = orders.NewOrder(agency=AGENCY, name="Yến sào", line_items=(line,))
    async with town.flats["ads"].tx() as tx:
        row = await orders.keep_order(tx, town.random.choice(town.actors["advertisers"]), "town:", new)
        size = {"width": 970, "height": 250, "file": row.id.hex * 2, "media_type": "image/png"}
        tx.add(
            CreativeRow(
                id=clock.new_id(),
                ad_order=row.id,
                agency=AGENCY,
                organisation=row.organisation,
                click_url="https://yensao.example/",
                uploaded_at=clock.now(),
                **size,
            )
        )
        row.submitted_at = clock.now()
        await tx.flush()
        await approve(tx, row.id)
        await orders.open_invoice_when_approved(tx, row)


async def cancel_ads(town: Town) -> None:
    flat = town.flats["ads"]
    async with flat.tx() as tx:
        row = await any_row(tx, town, OrderRow)
        await orders.cancel_order(tx, flat.kit.settings, row.id, row.organisation)


async def show_ads(town: Town) -> None:
    """Readers see some of what is paid and in flight."""
    today = local_day(clock.now())
    async with town.flats["ads"].tx() as tx:
        running = (
            sa.select(LineRow)
            .join(OrderRow, OrderRow.id == LineRow.ad_order)
            .where(
                OrderRow.paid_at.is_not(None),
                OrderRow.cancelled_at.is_(None),
                LineRow.closed_at.is_(None),
                LineRow.starts_on <= today,
                LineRow.ends_on >= today,
            )
        )
        for line in await tx.scalars(running):
            seen = min(town.random.randint(1, line.goal), line.goal)
            await tx.execute(
                sa.text(
                    "INSERT INTO rollup (line, creative, placement, section, hour, agency, organisation, impressions, "
                    "viewables, clicks) "
                    "VALUES (:line, :line, 'home-top', '', :hour, :agency, :organisation, :seen, 0, 0) "
                    "ON CONFLICT (line, creative, placement, section, hour) DO NOTHING"
                ),
                {
                    "line": line.id,
                    "hour": clock.now().replace(minute=0, second=0, microsecond=0),
                    "agency": AGENCY,
                    "organisation": line.organisation,
                    "seen": seen,
                },
            )
