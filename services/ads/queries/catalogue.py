"""The rate card: what an agency sells today, and for how much."""

from datetime import date
from typing import Any

import msgspec
import sqlalchemy as sa

from services.ads.rules.orders import Pricing, Rate
from shared.agencies import lineage
from shared.contracts import sandbox
from shared.db import Tx


class RateView(msgspec.Struct, frozen=True):
    """`cpm`: đồng for 1,000 impressions, before VAT."""

    pricing: Pricing
    price_vnd: int
    valid_from: date


class PlacementView(msgspec.Struct, frozen=True):
    code: str
    agency: str
    agency_name: str
    site: str
    name: str
    width: int
    height: int
    sections: list[str]
    rates: list[RateView]


_PLACEMENTS = sa.text(
    """
    SELECT p.code, p.agency, coalesce(nullif(a.name, ''), p.agency) AS agency_name, p.site, p.name, p.width,
           p.height, p.sections, r.pricing, r.price_vnd, r.valid_from
    FROM placement p
    JOIN LATERAL (
        SELECT DISTINCT ON (pricing) pricing, price_vnd, valid_from FROM rate
        WHERE placement = p.id AND valid_from <= :today ORDER BY pricing, valid_from DESC
    ) r ON true
    LEFT JOIN agency a ON a.code = p.agency
    WHERE (CAST(:agency AS text) = '' OR p.agency = :agency)
    ORDER BY p.agency, r.price_vnd DESC, p.code
    """
)


async def placements(tx: Tx, today: date, agency: str = "") -> list[PlacementView]:
    """Placements with a rate in force, of one agency or all, dearest first; a sandbox sells what its agency sells.

    A placement of an agency that another one has succeeded is no longer for sale.
    """
    rows = await tx.execute(
        _PLACEMENTS, {"today": today, "agency": (sandbox.real(agency) or agency).replace("\0", "?")}
    )
    known = await lineage(tx)
    found: dict[tuple[str, str], PlacementView] = {}
    for row in rows:
        if not known.open_on(row.agency, today):
            continue
        view = found.setdefault((row.agency, row.code), _view(row, agency))
        view.rates.append(RateView(row.pricing, row.price_vnd, row.valid_from))
    return list(found.values())


def _view(row: Any, asked: str) -> PlacementView:
    name = sandbox.called(asked, row.agency_name)
    return PlacementView(
        row.code, asked or row.agency, name, row.site, row.name, row.width, row.height, row.sections, []
    )


async def rates(tx: Tx, agency: str, today: date) -> dict[str, Rate]:
    """The CPM rates of an agency by placement."""
    return {
        view.code: Rate(view.code, view.width, view.height, tuple(view.sections), rate.price_vnd)
        for view in await placements(tx, today, agency)
        for rate in view.rates
        if rate.pricing == "cpm"
    }


async def sizes(tx: Tx, agency: str) -> dict[str, tuple[int, int]]:
    """Width and height by placement, of all that the agency has or had."""
    rows = await tx.execute(
        sa.text("SELECT code, width, height FROM placement WHERE agency = :agency"),
        {"agency": sandbox.real(agency)},
    )
    return {row.code: (row.width, row.height) for row in rows}
