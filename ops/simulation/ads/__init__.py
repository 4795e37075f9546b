"""Ads' part of a simulated history: the rate cards, orders by season, their review, and delivery in hourly totals."""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from ops.simulation.ads import banners
from services.ads.actions import creatives, delivery, orders
from services.ads.actions.images import redrawn
from services.ads.actions.version import bump
from services.ads.rules.decision import HOUSE_TIER
from services.ads.rules.pacing import planned
from services.ads.tables import CreativeRow, LineRow, OrderRow, PlacementRow, RateRow
from shared import clock, money
from shared.calendar import TET, local_day, start_of
from shared.db import Tx

MERGER = date(2025, 4, 24)
HOUSE_ENDS = date(2040, 12, 31)
SECTIONS = ("thoi-su", "kinh-te", "du-lich", "the-thao", "van-hoa")
PLACEMENTS = (
    ("home-top", "Đầu trang chủ", 970, 250, (), 80_000),
    ("article-mid", "Giữa bài viết", 300, 250, SECTIONS, 45_000),
    ("section-top", "Đầu chuyên mục", 728, 90, SECTIONS, 36_000),
    ("article-bottom", "Cuối bài viết", 728, 90, SECTIONS, 30_000),
)
SITES = {
    "baokh": ("baokhanhhoa.example", 1.0),
    "bkh": ("baokhanhhoa.example", 1.1),
    "ktv": ("ktv.example", 0.8),
    "tcnt": ("tapchinhatrang.example", 0.7),
}
"""Site and price level by agency."""

PRICE_GROWTH = 1.07
DEMAND_GROWTH = 1.1
BUDGET_GROWTH = 1.06
"""A year brings a tenth more orders, each a little larger: the demo's agencies grow, but not by their target."""

ORDERS_A_DAY = 1.3
BUDGETS = (2, 3, 3, 4, 5, 5, 6, 7, 8, 10, 13, 19)
"""Millions of đồng. Orders are dealt from this deck, so that no year is made by a few lucky draws."""

PARTNER_BUDGETS = (14, 16, 18, 20, 22)
TET_SILENCE, TET_RUSH = range(-7, 2), range(2, 29)
DECEMBER, SATURDAY = 12, 5
PARTNER_EVERY_DAYS = 28
PARTNER_FLIGHT_DAYS = 60
HOURS = ((9, 30), (14, 30), (20, 40))
"""Local hours at which a day's delivery is booked, with their weights."""

SHORTFALL = 0.06
"""Share of lines that end a little short and are credited."""


async def begin(world: World) -> None:
    """Draw the banners, open the rate cards, and let the house fill what is not sold."""
    files = {}
    for design in (*banners.DESIGNS, banners.HOUSE):
        for size in banners.SIZES:
            files[design.name, size] = image = await redrawn(banners.picture(design, size))
            await world.kit.files.put(image.content)
    world.memory.update(files=files, waiting=[], number=0, owed={}, decks={})
    today = local_day(clock.now())
    async with world.kit.database.worker_tx() as tx:
        for agency in ("bkh", "tcnt") if today >= MERGER else ("baokh", "ktv", "tcnt"):
            await _open_shop(world, tx, agency, today)


async def live_day(world: World, day: date) -> None:
    """One day of business: bookings, yesterday's reviews, and what readers saw."""
    async with world.kit.database.worker_tx() as tx:
        if day == MERGER:
            await _open_shop(world, tx, "bkh", day)
        await _review(world, tx, day)
        for agency, share in _agencies(day):
            for _ in range(_many(world, agency, ORDERS_A_DAY * share * _season(day) * world.scale)):
                await _book(world, tx, agency, day)
        first = world.memory.setdefault("first_day", day)
        for agency, _ in _agencies(day):
            # No site opens empty: not at the beginning, and not on the day of the merger.
            opens = day == (max(first, MERGER) if agency == "bkh" else first)
            if opens or day.toordinal() % PARTNER_EVERY_DAYS == 0:
                await _book(world, tx, agency, day, partner=True)
        await _deliver(world, tx, day)


def _agencies(day: date) -> tuple[tuple[str, float], ...]:
    if day < MERGER:
        return ("baokh", 0.55), ("ktv", 0.2), ("tcnt", 0.25)
    return ("bkh", 0.77), ("tcnt", 0.23)


def _season(day: date) -> float:
    """Demand of a day against an ordinary day of 2024: growth, December, the weeks before Tết and its silence."""
    growth = _grown(DEMAND_GROWTH, day)
    to_tet = min(((TET[year] - day).days for year in (day.year, day.year + 1) if year in TET), key=abs)
    if to_tet in TET_SILENCE:
        return growth * 0.25
    if to_tet in TET_RUSH:
        return growth * 1.7
    weekend = 0.5 if day.weekday() >= SATURDAY else 1.15
    return growth * weekend * (1.55 if day.month == DECEMBER else 0.92)


def _grown(a_year: float, day: date) -> float:
    """How much something that grows steadily has grown since the first day of 2024."""
    return float(a_year ** ((day - date(2024, 1, 1)).days / 365))


def _many(world: World, agency: str, mean: float) -> int:
    """How many orders come today: the mean in the long run, a little early or late by chance."""
    owed = world.memory["owed"]
    due = owed.get(agency, 0.0) + mean
    came = max(0, int(due + world.random.random() - 0.5))
    owed[agency] = due - came
    return came


def _dealt(world: World, cards: tuple[int, ...]) -> int:
    """A card of the deck, which is shuffled anew when it is empty."""
    deck = world.memory["decks"].setdefault(cards, [])
    if not deck:
        deck += world.random.sample(cards, len(cards))
    return int(deck.pop())


async def _open_shop(world: World, tx: Tx, agency: str, day: date) -> None:
    """Placements, rates that rise each January, and a house line below all that is sold."""
    site, level = SITES[agency]
    for code, name, width, height, sections, price in PLACEMENTS:
        key = clock.new_id()
        tx.add(
            PlacementRow(
                id=key,
                agency=agency,
                code=code,
                site=site,
                name=name,
                width=width,
                height=height,
                sections=list(sections),
            )
        )
        for year in range(2024, 2028):
            vnd = round(price * level * PRICE_GROWTH ** (year - 2024) / 1000) * 1000
            tx.add(
                RateRow(
                    id=clock.new_id(),
                    agency=agency,
                    placement=key,
                    pricing="cpm",
                    price_vnd=vnd,
                    valid_from=date(year, 1, 1),
                )
            )
    await _house_line(world, tx, agency, day)
    await bump(tx)


async def _house_line(world: World, tx: Tx, agency: str, day: date) -> None:
    row = OrderRow(
        id=clock.new_id(),
        agency=agency,
        organisation=None,
        kind="house",
        name=banners.HOUSE.name,
        booked_by="house:",
        booked_at=clock.now(),
    )
    tx.add(row)
    await tx.flush()
    tx.add(
        LineRow(
            id=clock.new_id(),
            ad_order=row.id,
            agency=agency,
            organisation=None,
            name=banners.HOUSE.headline,
            tier=HOUSE_TIER,
            placements=[code for code, *_ in PLACEMENTS],
            sections=[],
            devices=[],
            languages=[],
            hours=[],
            starts_on=day,
            ends_on=HOUSE_ENDS,
            pricing="cpm",
            price_vnd=0,
            budget_vnd=0,
            goal=0,
            net_vnd=0,
            vat_vnd=0,
            cap_day=0,
        )
    )
    await _add_creatives(world, tx, row, banners.HOUSE, f"{world.settings.base_url}/advertise", banners.SIZES)
    await approve(tx, row.id)


async def _add_creatives(
    world: World,
    tx: Tx,
    row: OrderRow,
    design: banners.Design,
    click_url: str,
    sizes: Sequence[tuple[int, int]],
) -> None:
    for size in sizes:
        await creatives.keep_creative(tx, row, world.memory["files"][design.name, size], click_url)


async def approve(tx: Tx, order: UUID) -> None:
    """Approve each creative of an order."""
    review = creatives.Review(verdict="approved", checks=creatives.CHECKS)
    for creative in await tx.scalars(sa.select(CreativeRow).where(CreativeRow.ad_order == order)):
        await creatives.keep_review(tx, creative, review, None)


async def _book(world: World, tx: Tx, agency: str, day: date, *, partner: bool = False) -> None:
    """One order, submitted at once; a partner's runs long and everywhere."""
    random = world.random
    number = world.memory["number"] = world.memory["number"] + 1
    design = banners.DESIGNS[number % len(banners.DESIGNS)]
    starts_on = day + timedelta(days=random.randint(3, 6))
    ends_on = starts_on + timedelta(days=PARTNER_FLIGHT_DAYS if partner else random.randint(5, 13))
    if partner:
        codes = [("home-top",), ("article-mid",), ("section-top", "article-bottom")]
    else:
        codes = random.sample([(code,) for code, *_ in PLACEMENTS], _dealt(world, (1, 1, 1, 2)))
    lines = tuple(
        orders.NewLine(
            placements=code,
            starts_on=starts_on,
            ends_on=ends_on,
            budget_vnd=_budget(world, agency, day, partner=partner),
            name=f"{design.headline} · {code[0]}",
            sections=() if partner or code == ("home-top",) else tuple(random.sample(SECTIONS, 2)),
            cap_day=0 if partner else random.choice((0, 0, 6)),
        )
        for code in codes
    )
    new = orders.NewOrder(agency=agency, name=f"{design.name} {day:%m/%Y}", line_items=lines)
    row = await orders.keep_order(tx, random.choice(world.actors["advertisers"]), "simulation:", new)
    placed = {code for group in codes for code in group}
    sizes = sorted({(width, height) for code, _, width, height, *_ in PLACEMENTS if code in placed})
    await _add_creatives(world, tx, row, design, design.click_url, sizes)
    row.submitted_at = clock.now()
    await tx.flush()
    world.memory["waiting"].append((day + timedelta(days=1 if partner else random.randint(1, 2)), row.id))


def _budget(world: World, agency: str, day: date, *, partner: bool) -> int:
    if partner:
        # The heir's partners buy what they bought of both its predecessors; on its first day, half of that.
        weight = (1.0 if day == MERGER else 2.0) if agency == "bkh" else 1.0
        million = _dealt(world, PARTNER_BUDGETS) * weight * _grown(DEMAND_GROWTH, day)
    else:
        million = float(_dealt(world, BUDGETS))
    return round(million * _grown(BUDGET_GROWTH, day) * 10) * 100_000


async def _review(world: World, tx: Tx, day: date) -> None:
    """Ad operations look at what was submitted a day or two ago."""
    due = [order for when, order in world.memory["waiting"] if when <= day]
    world.memory["waiting"] = [pair for pair in world.memory["waiting"] if pair[0] > day]
    for order in due:
        row = await orders.lock_order(tx, order)
        await approve(tx, order)
        await orders.open_invoice_when_approved(tx, row)
    if due:
        await bump(tx)


_RUNNING = sa.text(
    """
    SELECT l.id, l.ad_order, l.agency, l.organisation, l.placements, l.sections, l.goal, l.starts_on, l.ends_on,
           coalesce(p.impressions, 0) AS counted
    FROM line_item l JOIN ad_order o ON o.id = l.ad_order LEFT JOIN progress p ON p.line = l.id
    WHERE l.starts_on <= :day AND l.ends_on >= :day AND o.paid_at IS NOT NULL AND o.cancelled_at IS NULL
    ORDER BY l.id
    """
)
_IMAGES = sa.text("SELECT ad_order, width, height, id FROM creative WHERE ad_order = ANY(:orders)")


async def _deliver(world: World, tx: Tx, day: date) -> None:
    """What readers saw on the day, as hourly totals: near the plan, caught up by the end of the flight."""
    rows = (await tx.execute(_RUNNING, {"day": day})).all()
    found = await tx.execute(_IMAGES, {"orders": list({row.ad_order for row in rows})})
    images: dict[UUID, dict[tuple[int, int], UUID]] = {}
    for image in found:
        images.setdefault(image.ad_order, {})[image.width, image.height] = image.id
    totals: list[delivery.Total] = []
    for row in rows:
        n = _shown(world.random, row, day)
        if n > 0:
            totals += _spread(world, row, images[row.ad_order], n, day)
    await delivery.add_totals(tx, totals)


def _shown(random: Random, row: Any, day: date) -> int:
    # Half a day behind the plan, so that the day on which the history ends still has ads to show.
    plan = planned(row.goal, row.starts_on, row.ends_on, start_of(day)) - row.counted
    if day == row.ends_on:
        plan = row.goal - row.counted
        short = random.random() < SHORTFALL
        return int(plan * random.uniform(0.4, 0.9)) if short else int(plan)
    return int(min(plan * random.uniform(0.88, 1.04), row.goal - row.counted))


def _spread(
    world: World, row: Any, images: dict[tuple[int, int], UUID], n: int, day: date
) -> list[delivery.Total]:
    random = world.random
    sizes = {code: (width, height) for code, _, width, height, *_ in PLACEMENTS}
    slots = [(code, hour, weight) for code in row.placements for hour, weight in HOURS]
    made = []
    for (code, hour, _), part in zip(slots, money.allocate(n, [w for *_, w in slots]), strict=True):
        if part and _at(day, hour) < world.until:
            sections = row.sections or ([""] if code == "home-top" else SECTIONS)
            made.append(
                delivery.Total(
                    line=row.id,
                    creative=images[sizes[code]],
                    placement=code,
                    section=random.choice(sections),
                    hour=_at(day, hour),
                    agency=row.agency,
                    organisation=row.organisation,
                    impressions=part,
                    viewables=int(part * random.uniform(0.55, 0.72)),
                    clicks=int(part * random.uniform(0.001, 0.004)),
                )
            )
    return made


def _at(day: date, hour: int) -> datetime:
    return start_of(day) + timedelta(hours=hour)
