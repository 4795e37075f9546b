"""The people of the simulated years: agencies and their merger, staff with demo sign-ins, readers, buyers."""

import base64
import hashlib
from datetime import UTC, date, datetime
from uuid import UUID

import sqlalchemy as sa

from ops.simulation import World
from services.accounts import rules
from services.accounts.actions import agencies, consents, keys, people
from services.accounts.actions.secrets import hash_password, seal
from services.accounts.tables import MemberRow, OrganisationRow
from shared import clock, identity
from shared.calendar import local_day
from shared.db import Tx

ACTOR = "simulation:"
FOUNDED = date(2020, 1, 1)
MERGER = date(2025, 4, 24)
KEYS_UNTIL = datetime(2036, 1, 1, tzinfo=UTC)
"""Demo keys outlive the driven years, whichever they are."""

PASSWORD = "bien-khanh-hoa-xanh"  # noqa: S105 - printed at the first start, for the demo only
EVERYWHERE = ("baokh", "ktv", "bkh", "tcnt")

READERS = 400
ADVERTISERS = 40
SPONSORS = 12
NEW_READERS_A_DAY = 0.4
NEW_ADVERTISERS_A_DAY = 0.04
NEW_SPONSORS_A_DAY = 0.012

STAFF = (
    ("Tài chính · finance", "ketoan", "Trần Thị Thu Hà", ("finance",), "/finance"),
    (
        "Duyệt tài chính · finance approver",
        "ketoantruong",
        "Lê Văn Phúc",
        ("finance", "finance_approver"),
        "/finance",
    ),
    ("Quảng cáo · ad ops", "quangcao", "Nguyễn Minh Khôi", ("ad_ops",), "/desk/ads"),
    ("Bạn đọc · subscriptions", "bandoc", "Phạm Ngọc Anh", ("subscriptions",), "/desk/subscriptions"),
    ("Sự kiện · events", "sukien", "Võ Hoàng Nam", ("events",), "/desk/events"),
    ("Quản trị · administrator", "quantri", "Đặng Quốc Huy", ("administrator",), "/desk/people"),
    ("Quản trị thứ hai · administrator", "quantri2", "Bùi Thanh Mai", ("administrator",), "/desk/people"),
    ("Kiểm toán, chỉ đọc · auditor", "kiemtoan", "Hồ Đức Thắng", ("auditor",), "/desk/audit"),
)

FAMILY = (
    "Nguyễn",
    "Trần",
    "Lê",
    "Phạm",
    "Hoàng",
    "Huỳnh",
    "Phan",
    "Vũ",
    "Võ",
    "Đặng",
    "Bùi",
    "Đỗ",
    "Hồ",
    "Ngô",
)
MIDDLE = ("Văn", "Thị", "Ngọc", "Minh", "Thanh", "Hoàng", "Quốc", "Thu", "Đức", "Khánh")
GIVEN = (
    "An",
    "Bình",
    "Châu",
    "Dung",
    "Giang",
    "Hà",
    "Hùng",
    "Khoa",
    "Lan",
    "Linh",
    "Long",
    "Mai",
    "Nam",
    "Nga",
)
TRADES = (
    "Yến sào",
    "Khách sạn",
    "Du lịch biển",
    "Hải sản",
    "Nước khoáng",
    "Xây dựng",
    "Bất động sản",
    "Vận tải",
    "Trường",
    "Siêu thị",
    "Nhà hàng",
    "Cà phê",
)
PLACES = ("Nha Trang", "Cam Ranh", "Ninh Hòa", "Vạn Ninh", "Diên Khánh", "Trầm Hương", "Hòn Mun", "Đại Lãnh")


async def begin(world: World) -> None:
    """Register agencies and staff, and bring in the first readers, advertisers and sponsors."""
    today = local_day(clock.now())
    world.memory["password_hash"] = await hash_password(PASSWORD)
    async with world.kit.database.worker_tx() as tx:
        await _agencies(tx, merged=today >= MERGER)
        world.memory["news"] = "bkh" if today >= MERGER else "baokh"
        world.demo["sign_ins"] = []
        await _staff(world, tx)
        world.actors["readers"] = await _readers(world, tx, round(READERS * world.scale))
        world.actors["advertisers"] = await _organisations(world, tx, "advertiser", ADVERTISERS)
        world.actors["sponsors"] = await _organisations(world, tx, "sponsor", SPONSORS)
        for person in world.actors["readers"][::5]:
            await consents.change_consent(tx, person, "newsletter", granted=True, channel="web")
        await _buyers(world, tx)
        await _keys(world, tx)


async def live_day(world: World, day: date) -> None:
    """The merger on its day, and now and then somebody new."""
    random = world.random
    merges = day >= MERGER and world.memory["news"] != "bkh"
    comes = {
        "readers": random.random() < NEW_READERS_A_DAY * world.scale,
        "advertisers": random.random() < NEW_ADVERTISERS_A_DAY * world.scale,
        "sponsors": random.random() < NEW_SPONSORS_A_DAY * world.scale,
    }
    if not merges and not any(comes.values()):
        return
    async with world.kit.database.worker_tx() as tx:
        if merges:
            await _merge(tx)
            world.memory["news"] = "bkh"
            await _keys(world, tx)
        if comes["readers"]:
            world.actors["readers"] += await _readers(world, tx, 1)
        for kind in ("advertiser", "sponsor"):
            if comes[f"{kind}s"]:
                world.actors[f"{kind}s"] += await _organisations(world, tx, kind, 1)


async def _agencies(tx: Tx, *, merged: bool) -> None:
    await agencies.register_agency(tx, "baokh", "Báo Khánh Hòa (trước 2025)", "newspaper", FOUNDED, ACTOR)
    await agencies.register_agency(
        tx, "ktv", "Đài Phát thanh và Truyền hình Khánh Hòa", "broadcaster", FOUNDED, ACTOR
    )
    await agencies.register_agency(tx, "tcnt", "Tạp chí Nha Trang", "magazine", FOUNDED, ACTOR)
    if merged:
        await _merge(tx)


async def _merge(tx: Tx) -> None:
    await agencies.register_agency(tx, "bkh", "Báo Khánh Hòa", "converged", MERGER, ACTOR)
    await agencies.succeed_agency(tx, "baokh", "bkh", MERGER, ACTOR)
    await agencies.succeed_agency(tx, "ktv", "bkh", MERGER, ACTOR)


async def _staff(world: World, tx: Tx) -> None:
    for who, name, full_name, roles, opens in STAFF:
        email = f"{name}@baokhanhhoa.example"
        secret = base64.b32encode(hashlib.sha256(email.encode()).digest()[:20]).decode()
        row = people.person_row("tcnt", email=email, name=full_name)
        row.password_hash = world.memory["password_hash"]
        row.totp_secret = seal(world.settings, secret)
        tx.add(row)
        await tx.flush()
        for agency in EVERYWHERE:
            for role in roles:
                await people.grant(tx, row.id, agency, role, actor=ACTOR)
        if "finance" in roles:
            # Who asks for a refund, then who approves one.
            world.actors.setdefault("finance", []).append(row.id)
        _tell(world, who, email, opens, secret)


def _tell(world: World, who: str, email: str, opens: str, secret: str = "") -> None:
    entry = {"who": who, "email": email, "password": PASSWORD, "totp_secret": secret, "opens": opens}
    world.demo["sign_ins"].append(entry)


async def _readers(world: World, tx: Tx, count: int) -> list[UUID]:
    random, agency = world.random, world.memory["news"]
    rows = []
    for _ in range(count):
        number = world.memory["number"] = world.memory.get("number", 0) + 1
        name = f"{random.choice(FAMILY)} {random.choice(MIDDLE)} {random.choice(GIVEN)}"
        rows.append((f"docgia{number}@bandoc.example", name))
    return await people.create_readers(tx, agency, rows)


async def _organisations(world: World, tx: Tx, kind: str, count: int) -> list[UUID]:
    """Advertisers book mostly with the newspaper, some with the others; each has a tax code that checks."""
    random = world.random
    news = world.memory["news"]
    houses = [news, news, news, "tcnt" if news == "bkh" else "ktv"]
    made = []
    for n in range(count):
        number = world.memory["number"] = world.memory.get("number", 0) + 1
        row = await people.register_organisation(
            tx,
            kind=kind,
            agency=houses[n % len(houses)],
            name=f"Công ty {random.choice(TRADES)} {random.choice(PLACES)} {number}",
            tax_code=_tax_code(world),
            email=f"lienhe@doanhnghiep{number}.example",
            contact_name=f"{random.choice(FAMILY)} {random.choice(MIDDLE)} {random.choice(GIVEN)}",
            actor=ACTOR,
        )
        made.append(row.id)
    return made


def _tax_code(world: World) -> str:
    while True:
        nine = f"4200{world.random.randrange(100_000):05d}"
        if (check := identity.tax_check_digit(nine)) < 10:  # noqa: PLR2004 - ten stands for "no such code"
            return f"{nine}{check}"


async def _buyers(world: World, tx: Tx) -> None:
    """A person for the first advertiser and the first sponsor, so that a newcomer can book and sponsor by hand."""
    for who, email, kind, opens in (
        ("Nhà quảng cáo · advertiser", "quangba@yensao.example", "advertisers", "/advertise"),
        ("Nhà tài trợ · sponsor", "taitro@sanvina.example", "sponsors", "/events"),
    ):
        organisation = await tx.get_one(OrganisationRow, world.actors[kind][0])
        row = people.person_row(organisation.agency, email=email, name=organisation.contact_name)
        row.password_hash = world.memory["password_hash"]
        tx.add(row)
        await tx.flush()
        await people.join(tx, row.id, organisation)
        _tell(world, who, email, opens)


async def _keys(world: World, tx: Tx) -> None:
    """Keys of the newsroom's servers, and of one advertiser; made anew for the merged agency."""
    codes = ["bkh", "tcnt"] if world.memory["news"] == "bkh" else ["baokh", "ktv", "tcnt"]
    scopes = ["subscriptions:access", "ads:serve"]
    servers = world.demo.setdefault("server_keys", {})
    for code in codes:
        if code not in servers:
            servers[code] = await _key(world, tx, code, "Máy chủ tòa soạn", scopes)
    advertiser = world.actors["advertisers"][0]
    world.demo["advertiser"] = str(advertiser)
    member = await tx.scalar(sa.select(MemberRow.person).where(MemberRow.organisation == advertiser))
    world.demo["advertiser_key"] = await _key(
        world, tx, codes[0], rules.FIRST_KEY, rules.FIRST_SCOPES, advertiser, member
    )


async def _key(
    world: World,
    tx: Tx,
    agency: str,
    name: str,
    scopes: list[str],
    organisation: UUID | None = None,
    member: UUID | None = None,
) -> str:
    made = await keys.make_key(
        tx,
        agency=agency,
        organisation=organisation,
        name=name,
        scopes=scopes,
        actor=ACTOR,
        member=member,
        expires_at=KEYS_UNTIL,
    )
    return keys.with_signature(world.settings, made).key
