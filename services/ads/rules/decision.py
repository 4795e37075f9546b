"""Which line fills a slot: one bitset per targeting value, AND, and a draw in the strongest tier that fits.

A line's bit is its place in `Snapshot.lines`. Python's integers are the bitsets: an AND over ten thousand
lines takes less than a microsecond.
"""

from collections.abc import Callable, Mapping, Sequence
from uuid import UUID

import msgspec

DIMENSIONS = ("section", "device", "language", "hour")
"""What a line may target beside its placements; a line that names no value of one takes all of them."""

FEW = 32
"""Up to so many candidates are drawn from exactly; among more, from a random place onwards."""

HOUSE_TIER = 4
Draw = Callable[[], float]
"""Returns a random number in [0, 1)."""


class Creative(msgspec.Struct, frozen=True):
    id: UUID
    file: str
    click_url: str
    width: int
    height: int


class Line(msgspec.Struct, frozen=True, kw_only=True):
    """What the decision knows of a line item in flight."""

    id: UUID
    agency: str
    name: str = ""
    tier: int
    placements: tuple[str, ...]
    sections: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    languages: tuple[str, ...] = ()
    hours: tuple[int, ...] = ()
    cap_day: int = 0
    creatives: tuple[Creative, ...]

    def targets(self) -> tuple[tuple[str, ...] | tuple[int, ...], ...]:
        """Values by dimension, in the order of DIMENSIONS."""
        return (self.sections, self.devices, self.languages, self.hours)


class Placement(msgspec.Struct, frozen=True):
    agency: str
    code: str
    width: int
    height: int


class Page(msgspec.Struct, frozen=True, kw_only=True):
    """One page that wants ads."""

    agency: str
    placements: Sequence[str]
    section: str = ""
    device: str = "desktop"
    language: str = "vi"
    hour: int = 12
    seen: Mapping[bytes, int] | None = None
    """How often the visitor saw each capped line today, by `cap_key`; none where the visitor is not known."""


def cap_key(line: UUID) -> bytes:
    """A line's name among a visitor's counters: the random half of its id, to keep the hash small."""
    return line.bytes[8:]


class Choice(msgspec.Struct, frozen=True):
    line: Line
    creative: Creative
    placement: Placement


class Snapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The lines in flight, indexed once: what a worker reads with each decision and never writes."""

    version: int
    lines: tuple[Line, ...]
    position: Mapping[UUID, int]
    places: Mapping[tuple[str, str], tuple[Placement, int]]
    """Each placement, with the lines that are booked there in its size."""
    tiers: tuple[int, ...]
    """The lines of each tier, the strongest first."""
    any: tuple[int, ...]
    """By dimension, the lines that take any value of it."""
    values: tuple[Mapping[str | int, int], ...]
    """By dimension, the lines that take each value; those that take any are among them."""
    capped: bool
    """Whether a line shows itself to a visitor only so often a day."""
    files: frozenset[str]

    def bits(self, wanted: Callable[[Line], bool]) -> int:
        """The lines of which something is true."""
        return _bits(self.lines, wanted)


def indexed(lines: Sequence[Line], placements: Sequence[Placement], version: int = 0) -> Snapshot:
    """Index lines by all that a page may ask for."""
    lines = tuple(lines)
    by_dimension = [_index(lines, n) for n in range(len(DIMENSIONS))]
    return Snapshot(
        version=version,
        lines=lines,
        position={line.id: n for n, line in enumerate(lines)},
        places={(p.agency, p.code): (p, _fitting(lines, p)) for p in placements},
        tiers=tuple(_of_tier(lines, tier) for tier in sorted({line.tier for line in lines})),
        any=tuple(free for free, _ in by_dimension),
        values=tuple(by_value for _, by_value in by_dimension),
        capped=any(line.cap_day for line in lines),
        files=frozenset(c.file for line in lines for c in line.creatives),
    )


def _bits(lines: Sequence[Line], wanted: Callable[[Line], bool]) -> int:
    text = "".join("1" if wanted(line) else "0" for line in reversed(lines))
    return int(text or "0", 2)


def _of_tier(lines: Sequence[Line], tier: int) -> int:
    return _bits(lines, lambda line: line.tier == tier)


def _fitting(lines: Sequence[Line], place: Placement) -> int:
    return _bits(
        lines,
        lambda line: (
            line.agency == place.agency
            and place.code in line.placements
            and any(c.width == place.width and c.height == place.height for c in line.creatives)
        ),
    )


def _index(lines: Sequence[Line], dimension: int) -> tuple[int, dict[str | int, int]]:
    """Bits of the lines that take any value, and by value the bits of all that take it."""
    free = _bits(lines, lambda line: not line.targets()[dimension])
    wanted: dict[str | int, list[int]] = {}
    for n, line in enumerate(lines):
        for value in line.targets()[dimension]:
            wanted.setdefault(value, []).append(n)
    by_value = {}
    for value, places in wanted.items():
        row = bytearray(len(lines) // 8 + 1)
        for n in places:
            row[n >> 3] |= 1 << (n & 7)
        by_value[value] = free | int.from_bytes(row, "little")
    return free, by_value


def decide(snapshot: Snapshot, lent: int, page: Page, draw: Draw) -> list[Choice | None]:
    """Fill each placement with a line or with nothing; no line twice on a page while another fits.

    `lent` are the lines that may be handed out at this moment.
    """
    any_, values = snapshot.any, snapshot.values
    fits = (
        lent
        & values[0].get(page.section, any_[0])
        & values[1].get(page.device, any_[1])
        & values[2].get(page.language, any_[2])
        & values[3].get(page.hour, any_[3])
    )
    chosen: list[Choice | None] = []
    used = 0
    for code in page.placements:
        place, here = snapshot.places.get((page.agency, code), (None, 0))
        bit = _draw(snapshot, fits & here, used, page.seen, draw) if place is not None else -1
        if place is None or bit < 0:
            chosen.append(None)
            continue
        used |= 1 << bit
        line = snapshot.lines[bit]
        chosen.append(Choice(line, _creative(line, place, draw), place))
    return chosen


def _draw(
    snapshot: Snapshot, candidates: int, used: int, seen: Mapping[bytes, int] | None, draw: Draw
) -> int:
    """The bit of the line drawn, or -1. Caps are looked up for the drawn line alone."""
    for tier in snapshot.tiers:
        for part in (candidates & tier & ~used, candidates & tier & used):
            left = part
            while left:
                bit = _pick(left, draw())
                line = snapshot.lines[bit]
                if not line.cap_day or seen is None or seen.get(cap_key(line.id), 0) < line.cap_day:
                    return bit
                left ^= 1 << bit
    return -1


def _pick(bits: int, at: float) -> int:
    """One set bit of a number that is not zero."""
    count = bits.bit_count()
    if count <= FEW:
        for _ in range(int(at * count)):
            bits &= bits - 1
        return (bits & -bits).bit_length() - 1
    start = int(at * bits.bit_length())
    after = bits >> start
    if after:
        return start + (after & -after).bit_length() - 1
    return (bits & -bits).bit_length() - 1


def _creative(line: Line, place: Placement, draw: Draw) -> Creative:
    fitting = [c for c in line.creatives if c.width == place.width and c.height == place.height]
    return fitting[0] if len(fitting) == 1 else fitting[int(draw() * len(fitting))]


def explain(snapshot: Snapshot, lent: int, page: Page, code: str) -> list[tuple[Line, str]]:
    """Why each line of the agency may fill the placement (`""`) or may not, in the order of the tests."""
    _, here = snapshot.places.get((page.agency, code), (None, 0))
    asked = (page.section, page.device, page.language, page.hour)
    told = []
    for bit, line in enumerate(snapshot.lines):
        if line.agency != page.agency:
            continue
        reason = ""
        if not here >> bit & 1:
            reason = "placement: not booked there, or no approved creative of its size"
        elif not lent >> bit & 1:
            reason = "pacing: has had its share for now"
        elif line.cap_day and page.seen and page.seen.get(cap_key(line.id), 0) >= line.cap_day:
            reason = f"cap: seen {line.cap_day} times today"
        for name, value, targets in zip(DIMENSIONS, asked, line.targets(), strict=True):
            if not reason and targets and value not in targets:
                reason = f"{name}: {value!r} is not among {', '.join(map(str, targets))}"
        told.append((line, reason))
    winning = min((line.tier for line, reason in told if not reason), default=0)
    return [
        (line, f"tier {line.tier}: tier {winning} is stronger" if not why and line.tier > winning else why)
        for line, why in told
    ]
