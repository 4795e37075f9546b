"""Rows of the speed table, and how they are written."""

from dataclasses import dataclass, replace
from statistics import median

TOLERANCE = 1 / 3
"""A ratio may fall by so much below the one on record before CI fails; machines are noisy."""


@dataclass(frozen=True)
class Row:
    """One measured figure: runs of ours and of its yardstick, pair by pair, or a plain figure without one."""

    name: str
    what: str
    ours: list[float]
    against: list[float]
    unit: str
    bar: str
    met: bool

    @property
    def ratio(self) -> float | None:
        """The median of the pairs' ratios; none where there is no yardstick."""
        if not self.against:
            return None
        return median(a / b for a, b in zip(self.ours, self.against, strict=True))


def ratio(name: str, what: str, ours: list[float], against: list[float], unit: str, bar: float) -> Row:
    """A row whose bar is the least that its ratio may be."""
    row = Row(name, what, ours, against, unit, f"≥ {bar:.2f}", met=True)
    return replace(row, met=(row.ratio or 0) >= bar)


def figure(name: str, what: str, values: list[float], unit: str, bar: float | None) -> Row:
    """A row without a yardstick, whose bar, if there is one, is the most that its median may be."""
    if bar is None:
        return Row(name, what, values, [], unit, "", met=True)
    return Row(name, what, values, [], unit, f"≤ {bar:,.4g} {unit}".strip(), met=median(values) <= bar)


def spread(values: list[float], unit: str) -> str:
    if not values:
        return ""
    shown = [f"{v:,.0f}" if v >= 100 else f"{v:.2f}" for v in (median(values), min(values), max(values))]
    return f"{shown[0]} [{shown[1]}–{shown[2]}] {unit}"


def table(rows: list[Row]) -> str:
    lines = ["| # | path | measured | yardstick | ratio | bar | met |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            f"| {row.name} | {row.what} | {spread(row.ours, row.unit)} | {spread(row.against, row.unit)} "
            f"| {ratio} | {row.bar} | {('yes' if row.met else '**no**') if row.bar else ''} |"
        )
    return "\n".join(lines)


def compared(rows: list[Row], baseline: dict[str, float]) -> list[str]:
    """A sentence for each ratio that fell too far."""
    return [
        f"{row.name} fell from {baseline[row.name]:.2f} to {row.ratio:.2f}."
        for row in rows
        if row.ratio is not None and row.name in baseline and row.ratio < baseline[row.name] * (1 - TOLERANCE)
    ]
