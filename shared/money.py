"""Exact money: integer đồng, split only by the largest remainder, VAT rounded half up per line."""

from collections.abc import Sequence
from datetime import date
from typing import Annotated

import msgspec

from shared.errors import PriceChanged

Vnd = Annotated[int, msgspec.Meta(ge=-(10**15), le=10**15)]
"""Đồng, as a whole number; a quadrillion is far beyond any budget of a province."""


def allocate(amount_vnd: int, weights: Sequence[int]) -> list[int]:
    """Split an amount by weights so that the parts sum to the whole (largest remainder, ties to the first).

    Raises ValueError when no weight is positive or one is negative.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("Weights must be zero or more, and one of them positive.")
    sign = -1 if amount_vnd < 0 else 1
    whole = abs(amount_vnd)
    parts = [whole * weight // total for weight in weights]
    by_remainder = sorted(range(len(weights)), key=lambda i: (-(whole * weights[i] % total), i))
    for i in by_remainder[: whole - sum(parts)]:
        parts[i] += 1
    return [sign * part for part in parts]


def share(amount_vnd: int, done: int, whole: int) -> int:
    """What `done` parts of `whole` come to, rounded toward zero; what remains is the amount less this, never rounded.

    So all parts together are exactly the amount, in whatever steps they are done. The whole is positive.
    """
    part = abs(amount_vnd) * min(done, whole) // whole
    return -part if amount_vnd < 0 else part


def half_up(numerator: int, denominator: int) -> int:
    """Divide and round half away from zero. The denominator is positive."""
    sign = -1 if numerator < 0 else 1
    return sign * ((2 * abs(numerator) + denominator) // (2 * denominator))


def show(amount_vnd: int) -> str:
    """Write an amount as readers know it: `1.234.567 ₫`."""
    return f"{amount_vnd:,}".replace(",", ".") + " ₫"


VAT_PERCENT: dict[str, tuple[tuple[date, int], ...]] = {
    # Publishing and distributing newspapers and magazines: not subject to VAT (Law on VAT 48/2024, art. 5).
    "exempt": ((date.min, 0),),
    # Most services, advertising among them: 8 % until 31 Dec 2026 (Resolution 204/2025), 10 % after that.
    "standard": ((date.min, 8), (date(2027, 1, 1), 10)),
    # Telecoms were left out of the reduction; whether SMS services count is for the tax office.
    "telecom": ((date.min, 10),),
}
"""Percent by VAT class, each from the date beside it; a change of law is a new pair here."""


def vat_percent(vat_class: str, tax_point: date) -> int:
    """The rate in force on the tax point. Raises KeyError for an unknown class."""
    return [percent for since, percent in VAT_PERCENT[vat_class] if since <= tax_point][-1]


class Amount(msgspec.Struct, frozen=True):
    """What a line costs: net and VAT in đồng, which together are what the buyer pays."""

    net_vnd: int
    vat_vnd: int

    @property
    def gross_vnd(self) -> int:
        return self.net_vnd + self.vat_vnd


def priced(net_vnd: int, vat_class: str, tax_point: date) -> Amount:
    """A net price with the VAT of its tax point, rounded half up; what is shown and what is charged both ask here."""
    return Amount(net_vnd, half_up(net_vnd * vat_percent(vat_class, tax_point), 100))


def split(gross_vnd: int, vat_class: str, tax_point: date) -> Amount:
    """An agreed gross as net and VAT by the rate of its tax point: the net is rounded half up, VAT is the rest.

    So the gross stays to the đồng what was agreed, whatever the rate has become.
    """
    net_vnd = half_up(100 * gross_vnd, 100 + vat_percent(vat_class, tax_point))
    return Amount(net_vnd, gross_vnd - net_vnd)


def split_after(before_vnd: int, part_vnd: int, vat_class: str, tax_point: date) -> Amount:
    """A part of an agreed gross as net and VAT: what it comes to with all parts before it, less what those come to.

    So the parts of a whole are its net and its VAT to the đồng; each split by itself would be rounded by itself.
    """
    upto = split(before_vnd + part_vnd, vat_class, tax_point)
    before = split(before_vnd, vat_class, tax_point)
    return Amount(upto.net_vnd - before.net_vnd, upto.vat_vnd - before.vat_vnd)


def check_seen(seen_vnd: int | None, now_vnd: int) -> None:
    """Raises PriceChanged where a buyer was shown another gross price than would be charged; None was shown none."""
    if seen_vnd is not None and seen_vnd != now_vnd:
        raise PriceChanged(
            f"The price is now {now_vnd:,} đồng, no longer {seen_vnd:,}: look at it and agree again. "
            "Nothing was charged.",
            now_vnd=now_vnd,
        )
