"""Creatives: taken in, re-encoded, reviewed by a person, and stopped at once when they must be."""

from datetime import date
from typing import Annotated, Literal, Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ads.actions.images import Picture
from services.ads.actions.orders import lock_order, open_invoice_when_approved
from services.ads.actions.version import bump
from services.ads.queries import catalogue, orders
from services.ads.rules.orders import AlreadyReviewed, checked_click_url
from services.ads.tables import CreativeRow, OrderRow, ReviewRow
from shared import auth, clock
from shared.db import Tx
from shared.errors import NotAllowed, NotFound, Refused, Unprocessable
from shared.settings import Settings

CHECKS = ("truthful", "allowed-goods", "no-imitation", "readable", "target-works")
"""What a reviewer looks at before approving; the names are kept with the decision."""

MAX_CREATIVES = 50


class WrongSize(Refused, status=422):
    """No placement of the order has the size of the image."""


class OrderClosed(Refused):
    """The order takes no creatives any more."""


class Review(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A decision on a creative; a refusal and a stop need their reason."""

    verdict: Literal["approved", "refused", "stopped"]
    reason: Annotated[str, msgspec.Meta(max_length=500, pattern=r"^[^\x00]*$")] = ""
    checks: Annotated[tuple[str, ...], msgspec.Meta(max_length=20)] = ()

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(verdict="approved", checks=CHECKS)


async def add_creative(
    tx: Tx, settings: Settings, order_id: UUID, image: Picture, click_url: str
) -> orders.CreativeView:
    """Add an image to an order; the same image with the same target is the creative that is there already.

    Raises NotFound, WrongSize, BadClickUrl, OrderClosed.
    """
    row = await lock_order(tx, order_id)
    checked_click_url(click_url)
    view = await orders.order(tx, settings, order_id)
    if view.status in ("cancelled", "expired", "finished"):
        raise OrderClosed(f"The order is {view.status}.")
    sizes = await catalogue.sizes(tx, row.agency)
    wanted = {sizes[code] for line in view.line_items for code in line.placements if code in sizes}
    if (image.width, image.height) not in wanted:
        told = ", ".join(f"{width}x{height}" for width, height in sorted(wanted))
        raise WrongSize(
            f"The image is {image.width}x{image.height}; the order's placements are {told}.", field="file"
        )
    made = await keep_creative(tx, row, image, click_url)
    verdicts = await orders.verdicts_of(tx, [made.id])
    return orders.creative_view(settings, made, verdicts)


async def keep_creative(tx: Tx, row: OrderRow, image: Picture, click_url: str) -> CreativeRow:
    kept = (await tx.scalars(sa.select(CreativeRow).where(CreativeRow.ad_order == row.id))).all()
    for same in kept:
        if (same.file, same.click_url) == (image.file, click_url):
            return same
    if len(kept) >= MAX_CREATIVES:
        raise Unprocessable(f"An order has at most {MAX_CREATIVES} creatives.")
    made = CreativeRow(
        id=clock.new_id(),
        ad_order=row.id,
        agency=row.agency,
        organisation=row.organisation,
        width=image.width,
        height=image.height,
        file=image.file,
        media_type=image.media_type,
        click_url=click_url,
        uploaded_at=clock.now(),
    )
    tx.add(made)
    await tx.flush()
    return made


async def review_creative(
    tx: Tx, settings: Settings, principal: auth.Principal, creative_id: UUID, review: Review
) -> orders.CreativeView:
    """Approve, refuse or stop a creative. The last approval that an order needs opens its invoice.

    Raises NotFound, AlreadyReviewed, NotAllowed for an advertiser, Unprocessable without a reason or checks.
    """
    if principal.organisation is not None:
        raise NotAllowed("An advertiser does not review.")
    creative = await tx.get(CreativeRow, creative_id)
    if creative is None:
        raise NotFound("There is no such creative.")
    row = await lock_order(tx, creative.ad_order)
    if row.submitted_at is None and review.verdict != "stopped":
        raise NotFound("There is no such creative in review: its order was not submitted.")
    if review.verdict == "approved" and set(review.checks) != set(CHECKS):
        raise Unprocessable(f"Approving says that each of these was checked: {', '.join(CHECKS)}.")
    if review.verdict != "approved" and not review.reason.strip():
        raise Unprocessable("Say why, so that the advertiser can mend it.", field="reason")
    before = (await orders.verdicts_of(tx, [creative_id])).get(creative_id, ("waiting", ""))[0]
    if (before, review.verdict) not in _STEPS:
        raise AlreadyReviewed(f"The creative is {before}.")
    await keep_review(tx, creative, review, principal.id)
    await open_invoice_when_approved(tx, row)
    await bump(tx)
    verdicts = await orders.verdicts_of(tx, [creative_id])
    return orders.creative_view(settings, creative, verdicts)


_STEPS = {
    ("waiting", "approved"),
    ("waiting", "refused"),
    ("waiting", "stopped"),
    ("approved", "stopped"),
    ("stopped", "approved"),
}


async def keep_review(tx: Tx, creative: CreativeRow, review: Review, reviewer: UUID | None) -> None:
    tx.add(
        ReviewRow(
            id=clock.new_id(),
            creative=creative.id,
            agency=creative.agency,
            organisation=creative.organisation,
            verdict=review.verdict,
            reason=review.reason.strip(),
            checks=list(review.checks),
            reviewer=reviewer,
            reviewed_at=clock.now(),
        )
    )
    await tx.flush()
