"""Rows of ads: what is for sale, who booked it, what was shown to people, and how far each line has come."""

from datetime import date, datetime
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared import db
from shared.contracts import sandbox


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class PlacementRow(Base):
    """A slot of an agency's site, in one size."""

    __tablename__ = "placement"
    __table_args__ = (
        sa.UniqueConstraint("agency", "code"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="placement_real"),
        sa.CheckConstraint("width > 0 AND height > 0", name="placement_size"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    code: Mapped[str]
    site: Mapped[str]
    name: Mapped[str]
    width: Mapped[int] = mapped_column(sa.Integer)
    height: Mapped[int] = mapped_column(sa.Integer)
    sections: Mapped[list[str]]
    """Sections in whose pages the slot stands."""


class RateRow(Base):
    """The price of a placement from a day on."""

    __tablename__ = "rate"
    __table_args__ = (
        sa.UniqueConstraint("placement", "pricing", "valid_from"),
        sa.CheckConstraint("price_vnd > 0", name="rate_price"),
        sa.CheckConstraint("pricing IN ('cpm')", name="rate_pricing"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    placement: Mapped[UUID]
    pricing: Mapped[str]
    price_vnd: Mapped[int]
    valid_from: Mapped[date]


class OrderRow(Base):
    """What one organisation booked at one agency. Its status is derived from these moments, never stored."""

    __tablename__ = "ad_order"
    __table_args__ = (
        sa.Index("ad_order_agency", "agency", "id"),
        sa.Index("ad_order_organisation", "organisation", "id"),
        sa.UniqueConstraint("invoice"),
        # What stands in a sandbox, few among many: jobs look for it every other second.
        sa.Index("ad_order_sandbox", "id", postgresql_where=sa.text(sandbox.in_sql("agency"))),
        sa.CheckConstraint("kind IN ('sold', 'house')", name="ad_order_kind"),
        sa.CheckConstraint("(kind = 'house') = (organisation IS NULL)", name="ad_order_owner"),
        sa.CheckConstraint("paid_at IS NULL OR invoice IS NOT NULL", name="ad_order_paid"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    kind: Mapped[str]
    name: Mapped[str]
    booked_by: Mapped[str]
    booked_at: Mapped[datetime]
    submitted_at: Mapped[datetime | None]
    invoice: Mapped[UUID | None]
    """Its sale, once its creatives are approved."""
    paid_at: Mapped[datetime | None]
    """Since when it may run; how its invoice stands is in its sale."""
    cancelled_at: Mapped[datetime | None]


class LineRow(Base):
    """A line item: where, when and to whom an order is shown, how often, and for how much."""

    __tablename__ = "line_item"
    __table_args__ = (
        sa.Index("line_item_order", "ad_order"),
        sa.Index("line_item_flight", "ends_on", "starts_on"),
        sa.CheckConstraint("ends_on >= starts_on", name="line_item_flight_runs"),
        sa.CheckConstraint("goal > 0 OR tier = 4", name="line_item_goal"),
        sa.CheckConstraint("net_vnd >= 0 AND net_vnd <= budget_vnd", name="line_item_net"),
        sa.CheckConstraint("tier BETWEEN 1 AND 4", name="line_item_tier"),
        sa.CheckConstraint("cap_day >= 0", name="line_item_cap"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    ad_order: Mapped[UUID] = mapped_column(sa.ForeignKey("ad_order.id"))
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    name: Mapped[str]
    tier: Mapped[int] = mapped_column(sa.SmallInteger)
    """1 sponsorship, 2 guaranteed, 3 remnant, 4 house."""
    placements: Mapped[list[str]]
    sections: Mapped[list[str]]
    devices: Mapped[list[str]]
    languages: Mapped[list[str]]
    hours: Mapped[list[int]] = mapped_column(ARRAY(sa.SmallInteger))
    starts_on: Mapped[date]
    ends_on: Mapped[date]
    pricing: Mapped[str]
    price_vnd: Mapped[int]
    budget_vnd: Mapped[int]
    goal: Mapped[int]
    net_vnd: Mapped[int]
    vat_vnd: Mapped[int]
    """By the tax point: the day of booking, then that of the invoice, at last that of the money."""
    cap_day: Mapped[int] = mapped_column(sa.Integer)
    """Most often a visitor sees the line in a day; 0 is without limit."""
    closed_at: Mapped[datetime | None]
    """When the account of delivered against booked was drawn up."""


class CreativeRow(Base):
    """An image that an advertiser gave for an order, as we re-encoded it."""

    __tablename__ = "creative"
    __table_args__ = (
        sa.UniqueConstraint("ad_order", "file", "click_url"),
        sa.Index("creative_file", "file"),
        sa.CheckConstraint("length(file) = 64", name="creative_file_name"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    ad_order: Mapped[UUID] = mapped_column(sa.ForeignKey("ad_order.id"))
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    width: Mapped[int] = mapped_column(sa.Integer)
    height: Mapped[int] = mapped_column(sa.Integer)
    file: Mapped[str]
    media_type: Mapped[str]
    click_url: Mapped[str]
    uploaded_at: Mapped[datetime]


class ReviewRow(Base):
    """What ad operations said of a creative; the newest word holds, and none is ever changed."""

    __tablename__ = "review"
    __table_args__ = (
        sa.Index("review_creative", "creative", "reviewed_at"),
        sa.CheckConstraint("verdict IN ('approved', 'refused', 'stopped')", name="review_verdict"),
        sa.CheckConstraint("verdict = 'approved' OR reason <> ''", name="review_reason"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    creative: Mapped[UUID] = mapped_column(sa.ForeignKey("creative.id"))
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    verdict: Mapped[str]
    reason: Mapped[str]
    checks: Mapped[list[str]]
    reviewer: Mapped[UUID | None]
    reviewed_at: Mapped[datetime]


class ProgressRow(Base):
    """How many valid impressions of a line were counted; moves in the transaction of its rollup."""

    __tablename__ = "progress"
    __table_args__ = (sa.CheckConstraint("impressions >= 0", name="progress_counts"),)
    line: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    impressions: Mapped[int]


class LeaseRow(Base):
    """Impressions that workers may hand out in one bucket of time, and those of them that were counted."""

    __tablename__ = "lease"
    __table_args__ = (sa.CheckConstraint("granted >= counted", name="lease_counted"),)
    line: Mapped[UUID] = mapped_column(primary_key=True)
    bucket: Mapped[datetime] = mapped_column(primary_key=True)
    granted: Mapped[int] = mapped_column(sa.Integer)
    counted: Mapped[int] = mapped_column(sa.Integer)


class NonceRow(Base):
    """A beacon that was counted, so that it is not counted again; kept until its token has expired."""

    __tablename__ = "nonce"
    day: Mapped[date] = mapped_column(primary_key=True)
    nonce: Mapped[UUID] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text, primary_key=True)


class RollupRow(Base):
    """Counts of an hour by line, creative, placement and section."""

    __tablename__ = "rollup"
    __table_args__ = (sa.Index("rollup_hour", "hour"),)
    line: Mapped[UUID] = mapped_column(primary_key=True)
    creative: Mapped[UUID] = mapped_column(primary_key=True)
    placement: Mapped[str] = mapped_column(primary_key=True)
    section: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    impressions: Mapped[int] = mapped_column(sa.Integer)
    viewables: Mapped[int] = mapped_column(sa.Integer)
    clicks: Mapped[int] = mapped_column(sa.Integer)


class RejectionRow(Base):
    """Beacons that were not counted, by hour and reason."""

    __tablename__ = "rejection"
    agency: Mapped[str] = mapped_column(primary_key=True)
    hour: Mapped[datetime] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(sa.Text, primary_key=True)
    reason: Mapped[str] = mapped_column(primary_key=True)
    count: Mapped[int] = mapped_column(sa.Integer)


class SettledRow(Base):
    """What the ledger was told of a line's day; the difference to the rollups is still to be told."""

    __tablename__ = "settled"
    __table_args__ = (sa.CheckConstraint("quantity > 0", name="settled_quantity"),)
    line: Mapped[UUID] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    agency: Mapped[str]
    organisation: Mapped[UUID | None]
    quantity: Mapped[int]
