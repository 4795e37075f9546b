"""What the simulated agencies put on: four series of events, year by year, with their packages and prices."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta

import msgspec

from services.events.actions.catalogue import NewEvent, NewPackage, NewTicket
from services.events.rules.sponsorships import DeliverableTerms, InstalmentTerms
from shared.calendar import TET, ZONE

MERGER = date(2025, 4, 24)
FIRST_YEAR = 2024

HALVES = [
    InstalmentTerms("Đợt 1, khi ký kết", 50),
    InstalmentTerms("Đợt 2, trước sự kiện 14 ngày", 50, 14),
]
WHOLE = [InstalmentTerms("Trả một lần", 100)]


class Edition(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a series: when it opens, how many orders and sponsors it will draw at full scale."""

    new: NewEvent
    opens_on: date
    day: date
    orders: int
    sponsors: dict[str, int]
    """How many of each tier come."""
    keeps_gold: bool = False
    """Whether its Gold packages stay unsold while it is still ahead when the history ends."""


def editions(last: date) -> Iterator[Edition]:
    """Every edition that opens until a day, in a fixed order."""
    for year in range(FIRST_YEAR, last.year + 2):
        for edition in (_spring(year), _books(year), _song(year), _night_run(year)):
            if edition is not None and edition.opens_on <= last:
                yield edition


def second_saturday(year: int, month: int) -> date:
    first = date(year, month, 1)
    return first + timedelta(days=(5 - first.weekday()) % 7 + 7)


def _news(opens_on: date) -> str:
    return "bkh" if opens_on >= MERGER else "baokh"


def _opening(opens_on: date, day: date) -> date:
    """An event held by the merged agency is opened by it, too."""
    return max(opens_on, MERGER) if day >= MERGER else opens_on


def _at(day: date, hour: int) -> datetime:
    return datetime.combine(day, time(hour), ZONE)


def _grown(base_vnd: int, year: int) -> int:
    """Prices rise by a sixth a year from the first, in whole millions."""
    return round(base_vnd * 1.16 ** (year - FIRST_YEAR) / 1_000_000) * 1_000_000


def _drawn(base: int, year: int) -> int:
    """How many orders an edition draws: a sixth more each year."""
    return round(base * 1.17 ** (year - FIRST_YEAR))


def _night_run_packages(price: int) -> list[NewPackage]:
    return [
        NewPackage(
            title="Vàng",
            tier="gold",
            price_vnd=price,
            capacity=3,
            exclusive=True,
            benefits=[
                "Logo lớn trên áo, cổng xuất phát và bục trao giải",
                "Độc quyền ngành hàng tại sự kiện",
                "Gian hàng 36 m² ở quảng trường 2 Tháng 4",
                "6 bài và 20 bản tin trên báo in, báo điện tử, truyền hình",
                "40 suất chạy cho nhân viên",
            ],
            instalments=HALVES,
            deliverables=[
                DeliverableTerms("Họp báo công bố nhà tài trợ Vàng", 21),
                DeliverableTerms("Logo trên áo và số áo", 10),
                DeliverableTerms("Giao 40 suất chạy", 7),
                DeliverableTerms("Gian hàng 36 m²", 0),
                DeliverableTerms("Báo cáo truyền thông sau sự kiện", -14),
            ],
        ),
        NewPackage(
            title="Bạc",
            tier="silver",
            price_vnd=price // 2,
            capacity=6,
            benefits=[
                "Logo trên áo và phông chụp ảnh",
                "Gian hàng 18 m²",
                "3 bài và 8 bản tin",
                "15 suất chạy",
            ],
            instalments=HALVES,
            deliverables=[
                DeliverableTerms("Logo trên áo", 10),
                DeliverableTerms("Gian hàng 18 m²", 0),
                DeliverableTerms("Báo cáo truyền thông sau sự kiện", -14),
            ],
        ),
        NewPackage(
            title="Đồng",
            tier="bronze",
            price_vnd=price // 5,
            capacity=10,
            benefits=["Logo trên phông chụp ảnh", "1 bài và 2 bản tin", "5 suất chạy"],
            instalments=WHOLE,
            deliverables=[DeliverableTerms("Logo trên phông chụp ảnh", 0)],
        ),
    ]


def _night_run(year: int) -> Edition:
    day = second_saturday(year, 12)
    opens_on = _opening(date(year - 1, 12, 20), day)
    price = {2024: 150_000_000, 2025: 175_000_000}.get(year, 200_000_000)
    new = NewEvent(
        agency=_news(opens_on),
        slug=f"nha-trang-night-run-{year}",
        title="Nha Trang Night Run",
        summary=(
            "Chạy đêm dọc đường Trần Phú, biển một bên, thành phố một bên. "
            "Hai cự ly 5 km và 10 km, 3.000 số áo."
        ),
        place="Quảng trường 2 Tháng 4, Nha Trang",
        charity="Mỗi số áo góp một phần vào quỹ học bổng cho học sinh vùng biển, công bố sau sự kiện.",
        starts_at=_at(day, 19),
        sales_end_at=_at(day, 12),
        packages=_night_run_packages(price),
        tickets=[
            NewTicket(title="5 km", price_vnd=300_000, capacity=1_800),
            NewTicket(title="10 km", price_vnd=450_000, capacity=1_200),
        ],
    )
    orders = _drawn(220, year)
    comers = {"gold": 3, "silver": 4, "bronze": 6}
    return Edition(new=new, opens_on=opens_on, day=day, orders=orders, sponsors=comers, keeps_gold=True)


def _small(
    *,
    agency: str,
    slug: str,
    title: str,
    summary: str,
    place: str,
    at: datetime,
    gold_vnd: int,
    ticket: tuple[str, int, int],
    children: int = 0,
) -> NewEvent:
    """A smaller event with one kind of ticket, and so many for children, who come for nothing."""
    tiers = (("Vàng", "gold", 1, 1), ("Bạc", "silver", 2, 2), ("Đồng", "bronze", 4, 4))
    return NewEvent(
        agency=agency,
        slug=slug,
        title=title,
        summary=summary,
        place=place,
        starts_at=at,
        sales_end_at=at - timedelta(hours=3),
        packages=[
            NewPackage(
                title=name,
                tier=tier,
                price_vnd=gold_vnd // part,
                capacity=count,
                exclusive=tier == "gold",
                benefits=["Logo tại sân khấu và trên ấn phẩm", "Lời cảm ơn trong chương trình"],
                instalments=HALVES if tier == "gold" else WHOLE,
                deliverables=[DeliverableTerms("Logo tại sân khấu và trên ấn phẩm", 0)],
            )
            for name, tier, count, part in tiers
        ],
        tickets=[
            NewTicket(title=title, price_vnd=price_vnd, capacity=capacity)
            for title, price_vnd, capacity in (ticket, ("Vé thiếu nhi", 0, children))
            if capacity
        ],
    )


def _spring(year: int) -> Edition | None:
    if year not in TET:
        return None
    day = TET[year] - timedelta(days=9)
    opens_on = _opening(day - timedelta(days=70), day)
    new = _small(
        agency="ktv" if opens_on < MERGER else "bkh",
        slug=f"dem-nhac-don-xuan-{year}",
        title=f"Đêm nhạc Đón xuân {year}",
        summary="Chương trình ca nhạc chào năm mới, truyền hình trực tiếp từ Nha Trang.",
        place="Nhà hát truyền thống Khánh Hòa",
        at=_at(day, 20),
        gold_vnd=_grown(80_000_000, year),
        ticket=("Vé vào cửa", 180_000, 600),
    )
    return Edition(
        new=new,
        opens_on=opens_on,
        day=day,
        orders=_drawn(38, year),
        sponsors={"gold": 1, "silver": 1, "bronze": 2},
    )


def _books(year: int) -> Edition:
    day = second_saturday(year, 4)
    new = _small(
        agency="tcnt",
        slug=f"ngay-hoi-sach-bien-{year}",
        title=f"Ngày hội sách bên biển {year}",
        summary="Gặp gỡ tác giả, đọc thơ, chợ sách cũ và góc vẽ cho thiếu nhi.",
        place="Công viên Phù Đổng, Nha Trang",
        at=_at(day, 8),
        gold_vnd=_grown(36_000_000, year),
        ticket=("Vé trọn ngày", 60_000, 500),
        children=300,
    )
    opens_on = day - timedelta(days=60)
    return Edition(
        new=new,
        opens_on=opens_on,
        day=day,
        orders=_drawn(30, year),
        sponsors={"gold": 1, "silver": 1, "bronze": 1},
    )


def _song(year: int) -> Edition:
    day = second_saturday(year, 7)
    opens_on = _opening(date(year, 5, 2), day)
    new = _small(
        agency="ktv" if opens_on < MERGER else "bkh",
        slug=f"tieng-hat-khanh-hoa-{year}",
        title=f"Chung kết Tiếng hát Khánh Hòa {year}",
        summary="Mười giọng ca vào chung kết, khán giả bình chọn ngay tại khán phòng.",
        place="Trung tâm Hội nghị 46 Trần Phú",
        at=_at(day, 20),
        gold_vnd=_grown(90_000_000, year),
        ticket=("Vé khán phòng", 220_000, 700),
    )
    return Edition(
        new=new,
        opens_on=opens_on,
        day=day,
        orders=_drawn(44, year),
        sponsors={"gold": 1, "silver": 2, "bronze": 2},
    )
