"""Years of events from the seed: editions open, sponsors sign, runners register, the gate lets them in."""

import bisect
from datetime import date, timedelta
from math import exp
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation.events.editions import Edition, editions
from services.events.actions import catalogue, deliverables, registrations, sponsorships
from services.events.actions.access import Patron
from services.events.actions.sponsorships import Application
from services.events.rules.holding import HeldUnpaid, LetGo
from services.events.rules.registrations import Entry
from services.events.tables import DeliverableRow, EntrantRow, EventRow, SellableRow, SponsorshipRow
from shared import clock
from shared.contracts.base import Buyer
from shared.db import Tx

SPONSORS_FROM, SPONSORS_UNTIL = 100, 25
"""Days before an event between which sponsors sign."""

ORDERS_FROM = 110
"""Days before an event from which tickets are bought in any number."""

COMES = 0.93
"""Share of those with a bib who come."""

# Finance and telecoms are left to whoever tries the house out: the open edition must still have room for them.
COMPANIES = (
    (120200, "Yến sào Hòn Nội"),
    (120100, "Nước khoáng Suối Ngọc"),
    (130100, "Khách sạn Biển Gọi"),
    (140100, "Bất động sản Vịnh Xanh"),
    (160100, "Bệnh viện Tâm Biển"),
    (170200, "Thể thao Sóng Mới"),
    (150100, "Ô tô Nam Trung Bộ"),
    (120400, "Cà phê Đèo Cả"),
    (130400, "Vui chơi Hòn Tre"),
    (170100, "Siêu thị Phố Biển"),
    (120300, "Sữa Cao Nguyên Xanh"),
    (150400, "Cảng Cam Ranh Bay"),
    (180200, "Ngoại ngữ Hải Âu"),
    (120600, "Thủy sản Bắc Vịnh"),
    (140200, "Xi măng Hòn Khói"),
    (130300, "Lữ hành Đảo Ngọc"),
    (150200, "Điện mặt trời Ninh Hải"),
    (170300, "Trang sức Ngọc Trai Nha Trang"),
)
FAMILY = ("Nguyễn", "Trần", "Lê", "Phạm", "Huỳnh", "Võ", "Phan", "Bùi", "Đỗ", "Ngô")
MIDDLE = ("Minh", "Thị", "Văn", "Ngọc", "Quốc", "Thu", "Hoàng", "Thanh")
GIVEN = ("Anh", "Bảo", "Chi", "Duy", "Hạnh", "Khôi", "Linh", "Nhi", "Phúc", "Quân", "Trang", "Vy")


class Open:
    """An edition on sale: its ids, its sponsors still to come, its tickets."""

    def __init__(self, edition: Edition, event: EventRow, rows: list[SellableRow]) -> None:
        tiers = {package.title: package.tier for package in edition.new.packages}
        tickets = [row for row in rows if row.kind == "ticket"]
        self.edition = edition
        self.event = event.id
        self.packages = {tiers[row.title]: row.id for row in rows if row.kind == "package"}
        self.tickets = [row.id for row in tickets]
        self.first = [row.id for row in tickets if row.price_vnd == 0] or self.tickets
        """What the next order is of: where something is to be had for nothing, the first who come take that alone."""
        self.coming: list[tuple[date, str, int]] = []
        self.owed = 0.0
        """Orders that are due and have not come yet."""


async def begin(world: World) -> None:
    """Nothing exists before its day; only the programme is known."""
    world.memory["programme"] = list(editions(world.end if world.end < date.max else date(2030, 12, 31)))
    world.memory["open"] = []


async def live_day(world: World, day: date) -> None:
    """One day: open what opens, sign sponsors, sell tickets, keep promises, open the gate."""
    programme: list[Edition] = world.memory["programme"]
    due = [edition for edition in programme if edition.opens_on <= day]
    world.memory["programme"] = [edition for edition in programme if edition.opens_on > day]
    current: list[Open] = world.memory["open"]
    if not due and not current:
        return
    async with world.kit.database.worker_tx() as tx:
        current += [await _put_on_sale(world, tx, edition, day) for edition in due if edition.day > day]
        for one in current:
            if one.edition.day > day:
                await _sign(world, tx, one, day)
                await _sell(world, tx, one, day)
        await _keep_promises(tx, day)
        for one in [one for one in current if one.edition.day == day]:
            await _let_in(world, tx, one)
    world.memory["open"] = [one for one in current if one.edition.day > day]


async def _put_on_sale(world: World, tx: Tx, edition: Edition, day: date) -> Open:
    event = await catalogue.create_event(tx, edition.new, clock.now())
    rows = await tx.scalars(
        sa.select(SellableRow).where(SellableRow.event == event.id).order_by(SellableRow.position)
    )
    one = Open(edition, event, list(rows))
    companies = list(range(len(COMPANIES)))
    world.random.shuffle(companies)
    for tier, count in edition.sponsors.items():
        # Whoever tries the house out finds the packages of the open edition that the guide speaks of.
        kept = edition.keeps_gold and tier == "gold" and edition.day >= world.end
        for _ in range(0 if kept else count):
            before = world.random.randint(SPONSORS_UNTIL, SPONSORS_FROM)
            one.coming.append((edition.day - timedelta(days=before), tier, companies.pop()))
    one.coming.sort()
    # Who would have bought earlier buys at once, also where a history begins in the middle of a sale.
    missed = range((edition.day - day).days + 1, ORDERS_FROM + 1)
    one.owed = edition.orders * world.scale * sum(map(_share, missed))
    if edition.keeps_gold:
        world.demo["night_run"] = f"/events/{edition.new.slug}"
    return one


async def _sign(world: World, tx: Tx, one: Open, day: date) -> None:
    sponsors: list[UUID] = world.actors["sponsors"]
    while one.coming and one.coming[0][0] <= day:
        _, tier, number = one.coming.pop(0)
        industry, name = COMPANIES[number]
        organisation = sponsors[number % len(sponsors)]
        application = Application(
            organisation=f"Công ty {name}",
            industry=industry,
            contact_name=_name(world),
            contact_email=f"taitro@congty{number}.example",
        )
        patron = Patron(organisation, organisation, Buyer("organisation", organisation))
        try:
            await sponsorships.take_package(tx, patron, one.packages[tier], application, clock.now())
        except (HeldUnpaid, LetGo):
            # Comes again once the package that it holds is paid.
            bisect.insort(one.coming, (day + timedelta(days=1), tier, number))


async def _sell(world: World, tx: Tx, one: Open, day: date) -> None:
    """More tickets the nearer the event; one to four runners an order."""
    left = (one.edition.day - day).days
    if left > ORDERS_FROM:
        return
    one.owed += one.edition.orders * world.scale * _share(left)
    count = max(0, int(one.owed + world.random.random() - 0.5))
    one.owed -= count
    readers: list[UUID] = world.actors["readers"]
    for _ in range(count if readers else 0):
        person = world.random.choice(readers)
        runners = world.random.choices((1, 2, 3, 4), (55, 28, 11, 6))[0]
        entries = [Entry(world.random.choice(one.first), _name(world)) for _ in range(runners)]
        patron = Patron(person, person, Buyer("person", person))
        try:
            await registrations.register(tx, patron, one.edition.new.slug, entries, clock.now())
            one.first = one.tickets
        except (HeldUnpaid, LetGo):
            one.owed += 1


def _share(left: int) -> float:
    """Which part of all orders comes so many days before the event."""
    return exp(-left / 28) / sum(exp(-n / 28) for n in range(1, ORDERS_FROM + 1))


async def _keep_promises(tx: Tx, day: date) -> None:
    rows = await tx.scalars(
        sa.select(DeliverableRow)
        .join(SponsorshipRow, SponsorshipRow.id == DeliverableRow.sponsorship)
        .where(
            DeliverableRow.due_on <= day,
            DeliverableRow.delivered_at.is_(None),
            SponsorshipRow.contracted_at.is_not(None),
            SponsorshipRow.cancelled_at.is_(None),
        )
        .order_by(DeliverableRow.id)
    )
    for row in rows.all():
        await deliverables.deliver(tx, row, f"Biên bản nghiệm thu ngày {day:%d/%m/%Y}", clock.now())


async def _let_in(world: World, tx: Tx, one: Open) -> None:
    runners = await tx.scalars(
        sa.select(EntrantRow.id)
        .where(EntrantRow.event == one.event, EntrantRow.bib.is_not(None), EntrantRow.voided_at.is_(None))
        .order_by(EntrantRow.bib)
    )
    for runner in runners.all():
        if world.random.random() < COMES:
            await registrations.check_in(tx, runner, None, clock.now())


def _name(world: World) -> str:
    random = world.random
    return f"{random.choice(FAMILY)} {random.choice(MIDDLE)} {random.choice(GIVEN)}"
