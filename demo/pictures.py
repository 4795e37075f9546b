"""Pictures of the sample newspaper: flat prints of the coast, drawn from a few words and always the same."""
# ruff: noqa: E501 - an outline reads best as one line

import random
from collections.abc import Callable
from functools import cache

WIDTH, HEIGHT, HORIZON = 1200, 675, 390
LIT = 0.55
"""Share of a city's windows with a light on."""

# sky above, sky below, sun, far hills, near hills, sea, foam, ink, warm
PALETTES = {
    "dawn": (
        "#f7d9b8",
        "#fbeedb",
        "#f08a5d",
        "#a9b9b4",
        "#6f8f8f",
        "#2f7f86",
        "#d5ece6",
        "#1d3a40",
        "#c2452d",
    ),
    "noon": (
        "#8fd0dc",
        "#dff2ee",
        "#fff6d8",
        "#8fb7a5",
        "#4f8f7a",
        "#127c8c",
        "#e6f7f2",
        "#14343b",
        "#e2703a",
    ),
    "dusk": (
        "#3f4a73",
        "#f2a27a",
        "#ffd9a0",
        "#5f5a80",
        "#3b4468",
        "#233a5c",
        "#f6c6a4",
        "#141c30",
        "#e8743b",
    ),
    "night": (
        "#0d1f2d",
        "#274b5c",
        "#f4ead0",
        "#1c3b49",
        "#132c38",
        "#0b2530",
        "#7fb8bd",
        "#071218",
        "#f0896f",
    ),
    "rain": (
        "#7f929a",
        "#c6d0d0",
        "#e7eceb",
        "#93a5a6",
        "#6a8083",
        "#4b6a71",
        "#dfe9e8",
        "#22353a",
        "#b3361c",
    ),
    "reef": (
        "#0b6b7d",
        "#12a0a6",
        "#e9fbf1",
        "#0d7f8c",
        "#0a5f6e",
        "#084a58",
        "#bdeee2",
        "#04262e",
        "#ff8a66",
    ),
    "field": (
        "#f4e3b5",
        "#fbf4dd",
        "#e98b3a",
        "#a3b48a",
        "#6f9360",
        "#8fae62",
        "#eef3d2",
        "#2b3a24",
        "#b5471f",
    ),
}
Palette = tuple[str, str, str, str, str, str, str, str, str]
Draw = Callable[[Palette, random.Random], str]


@cache
def draw(words: str, seed: str) -> str:
    """An SVG from a palette and the things in it, back to front: `dusk sun hills sea boats`."""
    name, *things = words.split()
    palette, chance = PALETTES[name], random.Random(seed)  # noqa: S311 - a drawing, not a secret
    parts = "".join(THINGS[thing](palette, chance) for thing in things)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'width="{WIDTH}" height="{HEIGHT}">'
        f'<defs><linearGradient id="s" x2="0" y2="1"><stop stop-color="{palette[0]}"/>'
        f'<stop offset=".75" stop-color="{palette[1]}"/></linearGradient></defs>'
        f'<path fill="url(#s)" d="M0 0h{WIDTH}v{HEIGHT}H0z"/>{parts}</svg>'
    )


def _sun(p: Palette, chance: random.Random) -> str:
    x = chance.randint(250, 950)
    return f'<circle cx="{x}" cy="{chance.randint(190, 300)}" r="{chance.randint(70, 115)}" fill="{p[2]}"/>'


def _stars(p: Palette, chance: random.Random) -> str:
    dots = (
        f'<circle cx="{chance.randint(0, WIDTH)}" cy="{chance.randint(10, 300)}" r="{chance.choice((2, 2, 3))}"/>'
        for _ in range(45)
    )
    return f'<g fill="{p[2]}" opacity=".8">{"".join(dots)}</g>'


def _hills(p: Palette, chance: random.Random) -> str:
    out = []
    for colour, low, high in ((p[3], 110, 190), (p[4], 50, 110)):
        points = [f"M0 {HORIZON + 10}"]
        x = -100
        while x < WIDTH + 100:
            step, rise = chance.randint(180, 340), chance.randint(low, high)
            points.append(f"L{x} {HORIZON}Q{x + step // 2} {HORIZON - 2 * rise} {x + step} {HORIZON}")
            x += int(step * 0.75)
        out.append(f'<path fill="{colour}" d="{"".join(points)}V{HORIZON + 12}H0z"/>')
    return "".join(out)


def _sea(p: Palette, chance: random.Random) -> str:
    out = [f'<path fill="{p[5]}" d="M0 {HORIZON}h{WIDTH}v{HEIGHT}H0z"/>']
    for row in range(9):
        y = HORIZON + 18 + row * 30 + row * row
        for _ in range(4):
            x, length = chance.randint(-50, WIDTH), chance.randint(60, 150 + row * 15)
            bump = 5 + row
            out.append(
                f'<path d="M{x} {y}q{length // 4} -{bump} {length // 2} 0t{length // 2} 0" fill="none" '
                f'stroke="{p[6]}" stroke-width="{2 + row // 3}" opacity=".55" stroke-linecap="round"/>'
            )
    return "".join(out)


def _boats(p: Palette, chance: random.Random) -> str:
    out = []
    for n in range(3):
        size = 1 + n * 0.55
        x, y = chance.randint(100 + n * 330, 280 + n * 330), HORIZON + 40 + n * 62
        out.append(
            f'<g transform="translate({x} {y}) scale({size:.2f})"><path fill="{p[7]}" '
            f'd="M-62 0q62 16 124 -8l-16 30q-46 10 -92 0z"/><path fill="{p[8]}" d="M-58 2q58 15 116 -7l-3 7q-55 17 -110 7z"/>'
            f'<path fill="{p[6]}" d="M-20 -26h30v26h-30z"/><path stroke="{p[7]}" stroke-width="3" '
            f'd="M22 -3V-62M22 -60L52 -9"/><path fill="{p[8]}" d="M24 -62l24 8l-24 8z"/></g>'
        )
    return "".join(out)


def _cages(p: Palette, chance: random.Random) -> str:
    out = []
    for row in range(4):
        y, size = HORIZON + 40 + row * 62, 46 + row * 22
        for col in range(9):
            x = col * (size * 2 + 18) - row * 40 + chance.randint(-6, 6)
            out.append(
                f'<ellipse cx="{x}" cy="{y}" rx="{size}" ry="{size // 3}" fill="none" '
                f'stroke="{p[6] if (col + row) % 3 else p[8]}" stroke-width="{4 + row}"/>'
            )
    return f'{"".join(out)}<g transform="translate(820 {HORIZON + 96})"><path fill="{p[7]}" d="M-70 -40L0 -86L70 -40z"/><path fill="{p[6]}" d="M-52 -40h104v40h-104z"/><path fill="{p[7]}" d="M-12 -28h24v28h-24zM-90 0h180v9h-180z"/></g>'


def _palms(p: Palette, chance: random.Random) -> str:
    out = []
    for x in (chance.randint(40, 150), chance.randint(1000, 1130)):
        lean, top = chance.randint(-60, 60), chance.randint(150, 230)
        leaves = "".join(
            f'<path d="M0 0Q{dx // 2} {dy - 46} {dx} {dy}Q{dx // 2} {dy - 12} 0 0z"/>'
            for dx, dy in ((-130, 40), (-110, -20), (-50, -70), (50, -70), (110, -20), (130, 40))
        )
        out.append(
            f'<path d="M{x} {HEIGHT}Q{x} 420 {x + lean} {top}" fill="none" stroke="{p[7]}" stroke-width="16"/>'
            f'<g fill="{p[7]}" transform="translate({x + lean} {top})">{leaves}</g>'
        )
    return "".join(out)


def _city(p: Palette, chance: random.Random) -> str:
    out, x = [], 0
    while x < WIDTH:
        width, height = chance.randint(46, 92), chance.randint(60, 260)
        out.append(f'<path fill="{p[7]}" d="M{x} {HORIZON + 6}v-{height}h{width}v{height}z"/>')
        panes = [
            f'<path d="M{wx} {wy}h8v11h-8z"/>'
            for wy in range(HORIZON - height + 16, HORIZON - 14, 24)
            for wx in range(x + 10, x + width - 12, 18)
            if chance.random() < LIT
        ]
        out.append(f'<g fill="{p[2]}" opacity=".85">{"".join(panes)}</g>')
        x += width + chance.choice((0, 6, 26))
    # The street shines, and the street lamps lie in it.
    glow = "".join(
        f'<path d="M{chance.randint(0, WIDTH)} {y}h{chance.randint(30, 130)}"/>'
        for y in range(HORIZON + 30, HEIGHT, 26)
        for _ in range(5)
    )
    return (
        f'{"".join(out)}<path fill="{p[4]}" d="M0 {HORIZON + 6}h{WIDTH}V{HEIGHT}H0z"/>'
        f'<g stroke="{p[2]}" stroke-width="5" stroke-linecap="round" opacity=".45">{glow}</g>'
    )


def _towers(p: Palette, _: random.Random) -> str:
    def tower(x: int, scale: float) -> str:
        tiers = "".join(
            f'<path d="M{-w} {y}h{2 * w}l-10 -{h}h-{2 * w - 20}z"/>'
            for w, y, h in ((90, 0, 170), (74, -178, 70), (54, -256, 54), (34, -318, 44))
        )
        door = f'<path fill="{p[7]}" d="M-26 0v-80q26 -46 52 0v80z"/>'
        return (
            f'<g fill="{p[8]}" transform="translate({x} 520) scale({scale})">{tiers}'
            f'<path d="M-14 -366h28l-14 -40z"/>{door}</g>'
        )

    ground = f'<path fill="{p[4]}" d="M0 520Q600 440 1200 520V675H0z"/>'
    return ground + tower(330, 0.62) + tower(620, 1.0) + tower(900, 0.55)


def _runners(p: Palette, chance: random.Random) -> str:
    out = [f'<path fill="{p[7]}" d="M0 520Q600 470 1200 520V675H0z"/>']
    out.append(
        f'<path d="M0 610Q600 560 1200 610" fill="none" stroke="{p[6]}" stroke-width="5" stroke-dasharray="60 40"/>'
    )
    for n in range(9):
        x, y, size = (
            70 + n * 132 + chance.randint(-20, 20),
            545 + chance.randint(-14, 30),
            chance.uniform(0.9, 1.25),
        )
        colour = chance.choice((p[8], p[2], p[6]))
        out.append(
            f'<g transform="translate({x} {y}) scale({size:.2f})" stroke="{colour}" stroke-width="13" fill="none" '
            f'stroke-linecap="round" stroke-linejoin="round"><path d="M0 -62L6 -22L30 0L22 34M6 -22L-14 4L-42 0'
            f'M0 -58L28 -40L44 -54M-2 -56L-26 -42L-20 -18"/><circle cx="6" cy="-88" r="10" fill="{colour}"/></g>'
        )
    return "".join(out)


def _coral(p: Palette, chance: random.Random) -> str:
    out = [f'<path fill="{p[5]}" d="M0 560Q300 480 620 560T1200 530V675H0z"/>']
    for n in range(11):
        x, height = 40 + n * 112 + chance.randint(-25, 25), chance.randint(70, 190)
        colour = chance.choice((p[8], p[6], p[2], p[3]))
        branches = "".join(
            f"M0 -{height * k // 4}q{dx} -10 {dx} -{height // 3}" for k, dx in ((1, 34), (2, -30), (3, 22))
        )
        out.append(
            f'<path transform="translate({x} 590)" d="M0 0V-{height}{branches}" fill="none" stroke="{colour}" '
            f'stroke-width="{chance.randint(12, 20)}" stroke-linecap="round"/>'
        )
    return "".join(out)


def _fish(p: Palette, chance: random.Random) -> str:
    out = []
    for _n in range(14):
        x, y, size = chance.randint(60, 1140), chance.randint(90, 430), chance.uniform(0.5, 1.5)
        colour = chance.choice((p[8], p[2], p[6]))
        out.append(
            f'<g transform="translate({x} {y}) scale({size:.2f})" fill="{colour}">'
            f'<path d="M-34 0Q0 -26 36 0Q0 26 -34 0L-58 -18V18z"/><circle cx="20" cy="-4" r="3.5" fill="{p[7]}"/></g>'
        )
    return "".join(out)


def _school(p: Palette, _: random.Random) -> str:
    windows = "".join(
        f'<path fill="{p[5]}" d="M{x} {y}h54v64h-54z"/>'
        for y in (330, 440)
        for x in range(280, 920, 92)
        if x != 556  # noqa: PLR2004
    )
    return (
        f'<path fill="{p[4]}" d="M0 560Q600 520 1200 560V675H0z"/><path fill="{p[6]}" d="M240 300h720v260h-720z"/>'
        f'<path fill="{p[8]}" d="M210 300L600 190L990 300z"/>{windows}<path fill="{p[7]}" d="M560 440h80v120h-80z"/>'
        f'<path stroke="{p[7]}" stroke-width="7" d="M150 570V170"/><path fill="{p[8]}" d="M154 174h110v70h-110z"/>'
        f'<path fill="{p[2]}" d="M209 186l6 16h17l-14 10l5 17l-14 -10l-14 10l5 -17l-14 -10h17z"/>'
    )


def _lanterns(p: Palette, chance: random.Random) -> str:
    out = [f'<path d="M0 60Q300 190 600 100T1200 70" fill="none" stroke="{p[7]}" stroke-width="4"/>']
    for n in range(9):
        x, y, colour = 60 + n * 132, 110 + chance.randint(0, 60), chance.choice((p[8], p[2]))
        out.append(
            f'<g transform="translate({x} {y})"><path stroke="{p[7]}" stroke-width="3" d="M0 -46V0"/>'
            f'<ellipse rx="36" ry="46" cy="44" fill="{colour}"/><path stroke="{p[7]}" opacity=".35" stroke-width="3" '
            f'd="M0 -2V90M-22 10Q-30 44 -22 80M22 10Q30 44 22 80"/><path fill="{p[7]}" d="M-14 -4h28v8h-28zM-14 86h28v8h-28z"/></g>'
        )
    return "".join(out)


def _salt(p: Palette, chance: random.Random) -> str:
    out = [f'<path fill="{p[6]}" d="M0 {HORIZON}h{WIDTH}V{HEIGHT}H0z"/>']
    for row in range(3):
        y, size = HORIZON + 60 + row * 88, 44 + row * 26
        out.append(f'<path stroke="{p[5]}" stroke-width="5" opacity=".5" d="M0 {y + 4}H{WIDTH}"/>')
        for col in range(8):
            x = col * (size * 3) + chance.randint(-14, 14) - row * 30
            out.append(
                f'<path fill="#fff" stroke="{p[5]}" stroke-opacity=".4" stroke-width="3" d="M{x - size} {y}L{x} {y - size}L{x + size} {y}z"/>'
            )
    return "".join(out)


def _rain(p: Palette, chance: random.Random) -> str:
    drops = "".join(f"M{chance.randint(0, WIDTH)} {chance.randint(0, HEIGHT)}l-14 44" for _ in range(120))
    return f'<path d="{drops}" stroke="{p[6]}" stroke-width="3" opacity=".6" stroke-linecap="round"/>'


def _drum(p: Palette, _: random.Random) -> str:
    rings = "".join(
        f'<circle cx="600" cy="350" r="{r}" fill="none" stroke="{p[7]}" stroke-width="{w}"{dash}/>'
        for r, w, dash in (
            (250, 8, ""),
            (222, 22, ' stroke-dasharray="14 12"'),
            (190, 4, ""),
            (160, 30, ' stroke-dasharray="6 16"'),
            (126, 4, ""),
        )
    )
    rays = "".join(
        f'<path transform="rotate({a * 30} 600 350)" d="M588 300L600 236L612 300z"/>' for a in range(12)
    )
    return f'<circle cx="600" cy="350" r="262" fill="{p[2]}"/>{rings}<g fill="{p[8]}">{rays}<circle cx="600" cy="350" r="52"/></g>'


THINGS: dict[str, Draw] = {
    "sun": _sun,
    "stars": _stars,
    "hills": _hills,
    "sea": _sea,
    "boats": _boats,
    "cages": _cages,
    "palms": _palms,
    "city": _city,
    "towers": _towers,
    "runners": _runners,
    "coral": _coral,
    "fish": _fish,
    "school": _school,
    "lanterns": _lanterns,
    "salt": _salt,
    "rain": _rain,
    "drum": _drum,
}
