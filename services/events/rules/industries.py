"""The tree of industries by which sponsors keep rivals away: six digits, two for each level.

`100000` finance holds `100100` banks, which hold `100101` digital banks. What a code spans is itself and all
below it, so two sponsors are rivals exactly when their spans overlap.
"""

from shared.errors import Unprocessable

INDUSTRIES: dict[int, tuple[str, str]] = {
    100000: ("Tài chính", "Finance"),
    100100: ("Ngân hàng", "Banking"),
    100101: ("Ngân hàng số", "Digital banking"),
    100200: ("Bảo hiểm", "Insurance"),
    100300: ("Chứng khoán", "Securities"),
    100400: ("Ví điện tử", "E-wallets"),
    110000: ("Viễn thông và công nghệ", "Telecoms and technology"),
    110100: ("Viễn thông", "Telecoms"),
    110200: ("Phần mềm", "Software"),
    110300: ("Điện tử, thiết bị", "Electronics and devices"),
    120000: ("Thực phẩm và đồ uống", "Food and drink"),
    120100: ("Nước uống đóng chai", "Bottled water"),
    120200: ("Yến sào", "Bird's nest"),
    120300: ("Sữa", "Dairy"),
    120400: ("Cà phê", "Coffee"),
    120500: ("Bia", "Beer"),
    120600: ("Thủy sản", "Seafood"),
    130000: ("Du lịch", "Tourism"),
    130100: ("Khách sạn, khu nghỉ dưỡng", "Hotels and resorts"),
    130200: ("Hàng không", "Airlines"),
    130300: ("Lữ hành", "Tour operators"),
    130400: ("Vui chơi giải trí", "Attractions"),
    140000: ("Bất động sản và xây dựng", "Property and construction"),
    140100: ("Bất động sản", "Property"),
    140200: ("Vật liệu xây dựng", "Building materials"),
    150000: ("Giao thông và năng lượng", "Transport and energy"),
    150100: ("Ô tô, xe máy", "Cars and motorbikes"),
    150200: ("Điện lực", "Electricity"),
    150300: ("Xăng dầu", "Fuel"),
    150400: ("Cảng và vận tải", "Ports and haulage"),
    160000: ("Y tế và chăm sóc sức khỏe", "Health"),
    160100: ("Bệnh viện, phòng khám", "Hospitals and clinics"),
    160200: ("Dược phẩm", "Medicines"),
    170000: ("Bán lẻ và thể thao", "Retail and sport"),
    170100: ("Siêu thị", "Supermarkets"),
    170200: ("Đồ thể thao", "Sportswear"),
    170300: ("Trang sức", "Jewellery"),
    180000: ("Giáo dục", "Education"),
    180100: ("Đại học, cao đẳng", "Universities and colleges"),
    180200: ("Trung tâm ngoại ngữ", "Language schools"),
}
"""Each industry's name in Vietnamese and English. Codes are stored: they may be added, never changed."""

STEP = 1_000_000
"""Industries of one event lie this far from those of the next."""

ALL_LANES = 2**40


def span(code: int) -> tuple[int, int]:
    """The first and the last code below an industry, itself included. Raises Unprocessable for an unknown one."""
    if code not in INDUSTRIES:
        raise Unprocessable(f"There is no industry {code}.")
    width = 10_000 if code % 10_000 == 0 else 100 if code % 100 == 0 else 1
    return code, code + width - 1


def claim(code: int, event_number: int, lane: int, *, exclusive: bool) -> tuple[int, int, int, int]:
    """(first, last, lowest, highest): the box that a sponsor claims."""
    first, last = span(code)
    shift = event_number * STEP
    lowest, highest = (0, ALL_LANES) if exclusive else (lane, lane)
    return shift + first, shift + last, lowest, highest


def name(code: int, lang: str = "vi") -> str:
    """An industry's name; its code where the tree no longer has it."""
    both = INDUSTRIES.get(code)
    return both[lang == "en"] if both else str(code)


def full_name(code: int, lang: str = "vi") -> str:
    """An industry's name behind those above it: `Tài chính › Ngân hàng`."""
    trail = dict.fromkeys((code // 10_000 * 10_000, code // 100 * 100, code))
    return " › ".join(name(each, lang) for each in trail)


def is_sector(code: int) -> bool:
    """Whether a code is a whole sector, the top of the tree."""
    return code % 10_000 == 0
