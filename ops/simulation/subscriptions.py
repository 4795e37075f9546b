"""Years of readers from a seed: packages, walls, and each day's purchases and cancellations by the real actions."""

import math
import random
from datetime import date
from uuid import UUID

import msgspec
import sqlalchemy as sa

from ops.simulation import World
from services.subscriptions.actions.catalogue import (
    PackageOffer,
    PriceOffer,
    choose_vat_class,
    offer_package,
    set_price,
)
from services.subscriptions.actions.periods import AlreadySubscribed
from services.subscriptions.actions.subscriptions import Order, cancel, subscribe
from services.subscriptions.actions.walls import change_policy
from services.subscriptions.queries import catalogue
from services.subscriptions.rules.access import SectionPolicy, WallPolicy
from services.subscriptions.rules.catalogue import Grant, ReaderGroup, Term
from services.subscriptions.tables import PeriodRow, SubscriptionRow
from shared.calendar import TET
from shared.db import Tx

OPENING = date(2024, 1, 1)
MERGER = date(2025, 4, 24)
NEW_PRICES = date(2026, 1, 1)

MONTH, QUARTER, YEAR = Term("month", 1), Term("month", 3), Term("month", 12)

NEW_A_DAY = 0.65
"""Purchases a day at scale 1 when the story begins."""
GROWTH_A_YEAR = 1.15
LAUNCH_A_DAY, LAUNCH_DAYS = 3.5, 90
"""More a day while the launch is advertised, fading out: a paper does not begin without subscribers."""
RENEWAL_SHARE = 0.72
CANCEL_A_DAY = 0.0022
AT_ONCE_SHARE = 0.12

WALL = WallPolicy(
    default=SectionPolicy(),
    sections={
        "thoi-su": SectionPolicy(premium="free"),
        "kinh-te": SectionPolicy(limit=3),
        "du-lich": SectionPolicy(limit=3),
    },
)


class Plan(msgspec.Struct, frozen=True):
    """A package of the demo catalogue, with its prices and how many of a hundred buyers take it."""

    code: str
    title: str
    title_en: str
    summary: str
    summary_en: str
    group: ReaderGroup
    product_class: str
    prices: tuple[tuple[Term, int], ...]
    share: int


NEWSPAPER = (
    Plan(
        "doc-bao",
        "Đọc báo trọn gói",
        "All of the paper",
        "Mọi bài trên báo điện tử, cả kho bài cũ.",
        "Every article online, the archive too.",
        "general",
        "digital_news",
        ((MONTH, 49_000), (QUARTER, 139_000), (YEAR, 499_000)),
        66,
    ),
    Plan(
        "sinh-vien",
        "Đọc báo sinh viên",
        "The paper for students",
        "Như gói trọn, giá cho người đang học.",
        "The same, at a price for those who study.",
        "student",
        "digital_news",
        ((MONTH, 19_000), (YEAR, 190_000)),
        20,
    ),
    Plan(
        "doanh-nghiep",
        "Đọc báo doanh nghiệp",
        "The paper for businesses",
        "Mọi bài trên báo điện tử, dành cho cơ quan và doanh nghiệp.",
        "Every article online, for offices and businesses.",
        "business",
        "mixed",
        ((MONTH, 199_000), (YEAR, 1_990_000)),
        14,
    ),
)
MAGAZINE = (
    Plan(
        "tap-chi",
        "Đọc tạp chí Nha Trang",
        "Nha Trang magazine",
        "Văn học, nghệ thuật và biên khảo.",
        "Writing, arts and studies.",
        "general",
        "digital_news",
        ((MONTH, 25_000), (YEAR, 250_000)),
        100,
    ),
)


async def begin(world: World) -> None:
    """Put the catalogue and the walls in place: the newspaper until the merger, its heir from then, the magazine."""
    async with world.kit.database.worker_tx() as tx:
        await _open_shop(tx, "baokh", NEWSPAPER, OPENING, MERGER)
        await _open_shop(tx, "tcnt", MAGAZINE, OPENING, None)
        packages = await _open_shop(tx, "bkh", NEWSPAPER, MERGER, None)
        for plan, package in zip(NEWSPAPER, packages, strict=True):
            for term, net_vnd in plan.prices:
                await set_price(tx, package, PriceOffer(term, net_vnd, NEW_PRICES))
        for agency in ("baokh", "bkh"):
            await change_policy(tx, agency, WALL, 0, None)
    world.memory["offers"] = {}


async def live_day(world: World, day: date) -> None:
    """One day of readers: some buy, some stop; renewals are the jobs' and paying is payments'."""
    readers: list[UUID] = world.actors["readers"]
    async with world.kit.database.worker_tx() as tx:
        for _ in range(_poisson(world.random, _purchases(world, day))):
            newspaper = "bkh" if day >= MERGER else "baokh"
            agency = newspaper if world.random.random() < 0.86 else "tcnt"  # noqa: PLR2004
            await _buy(tx, world, agency, world.random.choice(readers), day)
        await _stop_some(tx, world, day)


async def _open_shop(
    tx: Tx, agency: str, plans: tuple[Plan, ...], since: date, until: date | None
) -> list[UUID]:
    # The tax office has not said whether reading online is publishing: the agencies chose, and the choice is data.
    await choose_vat_class(tx, agency, "digital_news", "exempt", OPENING)
    await choose_vat_class(tx, agency, "mixed", "standard", OPENING)
    made = []
    for plan in plans:
        offer = PackageOffer(
            agency=agency,
            code=plan.code,
            title=plan.title,
            title_en=plan.title_en,
            summary=plan.summary,
            summary_en=plan.summary_en,
            reader_group=plan.group,
            product_class=plan.product_class,
            grants=(Grant(agency, ("*",), ("article", "archive")),),
            on_sale_from=since,
            on_sale_until=until,
        )
        package = (await offer_package(tx, offer)).id
        for term, net_vnd in plan.prices:
            first_vnd = net_vnd if agency == "tcnt" else _before(net_vnd)
            await set_price(tx, package, PriceOffer(term, first_vnd, since))
        made.append(package)
    return made


def _before(net_vnd: int) -> int:
    """What the newspaper asked before its new prices: a tenth less, to the thousand."""
    return round(net_vnd / 1.1 / 1000) * 1000


def _purchases(world: World, day: date) -> float:
    """How many purchases to expect: growth over the years, a December peak, the quiet of Tết, slow weekends."""
    growth = math.pow(GROWTH_A_YEAR, (day - OPENING).days / 365)
    lived: int = (day - world.memory.setdefault("first_day", day)).days
    launch = LAUNCH_A_DAY * max(1 - lived / LAUNCH_DAYS, 0)
    expected = world.scale * (NEW_A_DAY * growth + launch)
    if day.month == 12:  # noqa: PLR2004
        expected *= 1.35
    if abs((day - TET[day.year]).days) <= 4:  # noqa: PLR2004
        expected *= 0.35
    if day.weekday() >= 5:  # noqa: PLR2004
        expected *= 0.8
    return expected


def _poisson(chance: random.Random, expected: float) -> int:
    """Knuth's way; the expectations here are small."""
    limit, product, n = math.exp(-expected), chance.random(), 0
    while product > limit:
        product *= chance.random()
        n += 1
    return n


async def _buy(tx: Tx, world: World, agency: str, reader: UUID, day: date) -> None:
    known: dict[tuple[str, bool], list[catalogue.Package]] = world.memory["offers"]
    shop = (agency, day >= NEW_PRICES)
    if shop not in known:
        known[shop] = await catalogue.packages(tx, agency)
    shares = {plan.code: plan.share for plan in (*NEWSPAPER, *MAGAZINE)}
    package = world.random.choices(known[shop], [shares[p.code] for p in known[shop]])[0]
    # Half take a month, a fifth a quarter where there is one, the rest a year.
    weights = [5 if o.term == MONTH else 2 if o.term == QUARTER else 3 for o in package.offers]
    offer = world.random.choices(package.offers, weights)[0]
    order = Order(
        package=package.id, price=offer.price, renewal=world.random.random() < RENEWAL_SHARE, next_path=""
    )
    try:
        await subscribe(tx, world.settings, reader, order)
    except AlreadySubscribed:
        return


async def _stop_some(tx: Tx, world: World, day: date) -> None:
    """Cancellations among those who would renew; a few end at once and get the unused days back."""
    renewing = sa.select(SubscriptionRow.id, SubscriptionRow.person).where(
        SubscriptionRow.renewal,
        SubscriptionRow.cancelled_at.is_(None),
        sa.exists().where(
            PeriodRow.subscription == SubscriptionRow.id, PeriodRow.start <= day, PeriodRow.until > day
        ),
    )
    held = (await tx.execute(renewing.order_by(SubscriptionRow.id))).all()
    gone = min(_poisson(world.random, len(held) * CANCEL_A_DAY), len(held))
    for subscription, person in world.random.sample(held, gone):
        await cancel(tx, subscription, person=person, at_once=world.random.random() < AT_ONCE_SHARE)
