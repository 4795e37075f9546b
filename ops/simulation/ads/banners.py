"""Banners of the demo's advertisers, drawn by us: `python -m ops.simulation.ads.banners` draws them anew.

The pictures lie beside this file, so that a machine's fonts change neither their look nor their hashes.
"""

from html import escape
from io import BytesIO
from pathlib import Path

import msgspec
from PIL import Image

SIZES = ((970, 250), (728, 90), (300, 250))
FONT = "DejaVu Sans, Verdana, sans-serif"
FOLDER = Path(__file__).parent / "pictures"
BOLD_EM, PLAIN_EM = 0.68, 0.58
"""Mean width of a letter, in sizes."""

LOW = 100


class Design(msgspec.Struct, frozen=True):
    """One advertiser's look: who, what it says, where it leads, and its colours from the top of the sky down."""

    key: str
    name: str
    headline: str
    line: str
    button: str
    click_url: str
    sky: str
    glow: str
    hill: str
    accent: str
    motif: str


DESIGNS = (
    Design(
        "yen-sao",
        "Yến sào Hòn Nội",
        "Tinh hoa đảo yến",
        "Quà biếu trọn nghĩa, giao trong ngày",
        "Đặt quà",
        "https://yensao.example/qua-bieu",
        "#5b0f1b",
        "#c8452f",
        "#2e070e",
        "#f3c667",
        "islands",
    ),
    Design(
        "bai-dai",
        "Resort Bãi Dài",
        "Ngủ trong tiếng sóng",
        "Hai đêm bốn ngày từ 3.900.000 ₫",
        "Giữ phòng",
        "https://baidai.example/he",
        "#0a4a63",
        "#f5b881",
        "#0d6f7c",
        "#ffffff",
        "sun",
    ),
    Design(
        "hon-mun",
        "Lặn biển Hòn Mun",
        "Xuống thăm rạn san hô",
        "Khởi hành 7 giờ mỗi sáng từ cảng Cầu Đá",
        "Chọn ngày",
        "https://honmun.example/lan-bien",
        "#03213d",
        "#1aa0a8",
        "#04365c",
        "#ffd166",
        "bubbles",
    ),
    Design(
        "hon-ba",
        "Cà phê Hòn Bà",
        "Rang mộc trên núi",
        "Mát lạnh, thơm lâu, không pha trộn",
        "Mua thử",
        "https://caphehonba.example/rang-moc",
        "#1f2d20",
        "#7d8f54",
        "#142015",
        "#f0d9a8",
        "mountains",
    ),
    Design(
        "vinh-luong",
        "Hải sản Vĩnh Lương",
        "Tôm hùm về tới bếp",
        "Sống khỏe khi nhận, không thì đổi",
        "Xem giá hôm nay",
        "https://vinhluong.example/tom-hum",
        "#8c2f12",
        "#f4a259",
        "#5f1d0a",
        "#fff3d6",
        "waves",
    ),
    Design(
        "vinh-bien",
        "Ngân hàng Vịnh Biển",
        "Vay mua nhà 6,2 %",
        "Cố định hai năm, duyệt trong ba ngày",
        "Tính khoản vay",
        "https://vinhbien.example/vay-nha",
        "#101c4d",
        "#4f6fd8",
        "#0a1235",
        "#7fe3c4",
        "city",
    ),
)

HOUSE = Design(
    "house",
    "Phòng quảng cáo", "Chỗ này dành cho bạn", "Đặt quảng cáo trực tuyến, giá công khai", "Xem bảng giá",
    "", "#f3eee3", "#fffdf9", "#d9e9e8", "#0b5563", "waves",
)  # fmt: skip


def picture(design: Design, size: tuple[int, int]) -> bytes:
    """The banner as its advertiser would upload it."""
    return _path(design, size).read_bytes()


def _path(design: Design, size: tuple[int, int]) -> Path:
    return FOLDER / f"{design.key}-{size[0]}x{size[1]}.jpg"


def draw(design: Design, width: int, height: int) -> bytes:
    """A banner as JPEG."""
    import vl_convert

    ink = "#ffffff" if design is not HOUSE else "#15232a"
    svg = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}">'
        '<defs><linearGradient id="s" x1="0" y1="0" x2="0.25" y2="1">'
        f'<stop offset="0" stop-color="{design.sky}"/><stop offset="1" stop-color="{design.glow}"/>'
        f'</linearGradient></defs><rect width="{width}" height="{height}" fill="url(#s)"/>'
        f"{_motif(design, width, height)}{_words(design, width, height, ink)}"
        f'<rect x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" fill="none" stroke="{ink}" '
        'stroke-opacity="0.18"/></svg>'
    )
    out = BytesIO()
    Image.open(BytesIO(vl_convert.svg_to_png(svg))).convert("RGB").save(
        out, "JPEG", quality=92, optimize=True
    )
    return out.getvalue()


def _words(design: Design, width: int, height: int, ink: str) -> str:
    """Name, headline, line and button, set for the shape of the banner."""
    headline = [design.headline]
    if height < LOW:  # the leaderboard has one row
        x, room, at, sizes, button = (
            22,
            width - 200,
            [26, 54, 76],
            [12, 24, 13],
            (width - 168, 26, 146, 38, 14),
        )
    elif width > 2 * height:
        x, room, at, sizes, button = 44, 600, [58, 120, 162], [19, 50, 21], (44, 186, 200, 44, 17)
    else:
        x, room, at, sizes, button = 20, 264, [34, 70, 128], [13, 25, 12], (20, 198, 150, 36, 13)
        headline = _two_lines(design.headline)
    rows = [(at[0], design.name, sizes[0], 600, 0.88), (at[2], design.line, sizes[2], 400, 0.94)]
    rows += [(at[1] + n * 30, part, sizes[1], 700, 1.0) for n, part in enumerate(headline)]
    texts = "".join(
        f'<text x="{x}" y="{y}" font-family="{FONT}" font-size="{_fit(text, size, room, weight)}" '
        f'font-weight="{weight}" fill="{ink}" fill-opacity="{opacity}">{escape(text)}</text>'
        for y, text, size, weight, opacity in rows
    )
    left, top, wide, high, size = button
    label_ink = design.sky if design is not HOUSE else "#ffffff"
    return (
        f'{texts}<rect x="{left}" y="{top}" width="{wide}" height="{high}" rx="{high / 2}" fill="{design.accent}"/>'
        f'<text x="{left + wide / 2}" y="{top + high / 2 + size * 0.36}" font-family="{FONT}" font-size="{size}" '
        f'font-weight="700" text-anchor="middle" fill="{label_ink}">{escape(design.button)}</text>'
    )


def _fit(text: str, size: int, room: int, weight: int) -> float:
    em = BOLD_EM if weight > 500 else PLAIN_EM  # noqa: PLR2004
    return min(size, round(room / (len(text) * em), 1))


def _two_lines(text: str) -> list[str]:
    words = text.split()
    return [" ".join(words[: (len(words) + 1) // 2]), " ".join(words[(len(words) + 1) // 2 :])]


def _motif(design: Design, width: int, height: int) -> str:
    """A landscape at the right and the bottom, in the design's colours."""
    right, unit = width * 0.78, min(height, 250)
    glow = f'fill="{design.accent}" fill-opacity="0.28"'
    hill = f'fill="{design.hill}" fill-opacity="0.72"'
    base = height * 0.8
    shapes = {
        "sun": f'<circle cx="{right}" cy="{base}" r="{unit * 0.34}" {glow}/>'
        f'<circle cx="{right}" cy="{base}" r="{unit * 0.22}" {glow}/>',
        "islands": f'<ellipse cx="{right}" cy="{base}" rx="{unit * 0.5}" ry="{unit * 0.42}" {hill}/>'
        f'<ellipse cx="{right + unit * 0.62}" cy="{base}" rx="{unit * 0.3}" ry="{unit * 0.24}" {hill}/>'
        f'<circle cx="{right + unit * 0.3}" cy="{height * 0.22}" r="{unit * 0.1}" {glow}/>',
        "bubbles": "".join(
            f'<circle cx="{right - unit * 0.5 + unit * 0.23 * n}" cy="{height * (0.22 + 0.19 * (n * 7 % 4))}" '
            f'r="{unit * (0.04 + 0.025 * (n % 3))}" {glow}/>'
            for n in range(6)
        ),
        "mountains": f'<path d="M{right - unit} {height} L{right - unit * 0.25} {height * 0.28} L{right + unit * 0.2} '
        f'{height * 0.7} L{right + unit * 0.55} {height * 0.4} L{right + unit * 1.3} {height} Z" {hill}/>',
        "city": "".join(
            f'<rect x="{right - unit * 0.55 + unit * 0.21 * n}" y="{height * (0.3 + 0.13 * (n * 5 % 4))}" '
            f'width="{unit * 0.16}" height="{height}" {hill}/>'
            for n in range(6)
        ),
        "waves": f'<circle cx="{right}" cy="{height * 0.36}" r="{unit * 0.2}" {glow}/>',
    }
    return shapes[design.motif] + (
        "" if design.motif in ("city", "mountains") else _waves(width, height, hill)
    )


def _waves(width: int, height: int, fill: str) -> str:
    made = []
    for n, level in enumerate((0.78, 0.88)):
        y, step = height * level, width / 6
        path = f"M{-step * n / 2} {y} " + "".join(
            f"q{step / 4} {-height * 0.06} {step / 2} 0 t{step / 2} 0 " for _ in range(8)
        )
        made.append(f'<path d="{path} V{height} H0 Z" {fill}/>')
    return "".join(made)


def redraw() -> None:
    FOLDER.mkdir(exist_ok=True)
    for design in (*DESIGNS, HOUSE):
        for size in SIZES:
            _path(design, size).write_bytes(draw(design, *size))


if __name__ == "__main__":
    redraw()
