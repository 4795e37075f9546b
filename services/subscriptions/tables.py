"""Rows of the subscriptions database."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy import ForeignKey
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared import db
from shared.sales import SALE

READER_GROUPS = "'general','student','pensioner','teacher','business','hotel','overseas','remote'"


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class PackageRow(Base):
    __tablename__ = "package"
    __table_args__ = (
        sa.UniqueConstraint("agency", "code"),
        sa.CheckConstraint(f"reader_group IN ({READER_GROUPS})", name="package_reader_group"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    code: Mapped[str]
    title: Mapped[str]
    title_en: Mapped[str]
    summary: Mapped[str]
    summary_en: Mapped[str]
    reader_group: Mapped[str]
    product_class: Mapped[str]
    grants: Mapped[list[dict[str, Any]]]
    on_sale_from: Mapped[date]
    on_sale_until: Mapped[date | None]


class PriceRow(Base):
    """Append-only: a price that somebody bought at never changes."""

    __tablename__ = "price"
    __table_args__ = (
        sa.UniqueConstraint("package", "term_unit", "term_count", "since"),
        sa.CheckConstraint("net_vnd >= 0", name="price_not_negative"),
        sa.CheckConstraint("term_unit IN ('day','month') AND term_count > 0", name="price_term"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    package: Mapped[UUID] = mapped_column(ForeignKey("package.id"))
    term_unit: Mapped[str]
    term_count: Mapped[int] = mapped_column(sa.Integer())
    net_vnd: Mapped[int]
    since: Mapped[date]
    made_at: Mapped[datetime]


class VatChoiceRow(Base):
    """Append-only: the VAT class of a product class, from a day on."""

    __tablename__ = "vat_choice"
    agency: Mapped[str] = mapped_column(primary_key=True)
    product_class: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[date] = mapped_column(primary_key=True)
    vat_class: Mapped[str]
    chosen_at: Mapped[datetime]


class SubscriptionRow(Base):
    __tablename__ = "subscription"
    __table_args__ = (
        sa.Index("subscription_person", "person"),
        sa.Index("subscription_agency", "agency", "id"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    person: Mapped[UUID]
    package: Mapped[UUID] = mapped_column(ForeignKey("package.id"))
    price: Mapped[UUID] = mapped_column(ForeignKey("price.id"))
    renewal: Mapped[bool]
    anchor: Mapped[date | None]
    """The first paid day, from which all boundaries are reckoned."""
    anchored: Mapped[int] = mapped_column(sa.Integer())
    """The number of the period that begins on the anchor: 0, or that of a renewal which began anew on late money."""
    next_path: Mapped[str]
    terms_version: Mapped[str]
    made_at: Mapped[datetime]
    cancelled_at: Mapped[datetime | None]


class InvoiceRow(Base):
    """Which period an invoice is for, one invoice a period and no second; how it stands is its `sale`."""

    __tablename__ = "invoice"
    __table_args__ = (
        sa.UniqueConstraint("subscription", "n", name="invoice_one_a_period"),
        sa.Index("invoice_to_remind", "start", postgresql_where=sa.text("n > 0 AND reminded_at IS NULL")),
        sa.CheckConstraint("until > start", name="invoice_span"),
    )
    id: Mapped[UUID] = mapped_column(
        ForeignKey(SALE.c.id, deferrable=True, initially="DEFERRED"), primary_key=True
    )
    """The sale's own: the database holds, at the commit, that there is one."""
    agency: Mapped[str]
    subscription: Mapped[UUID] = mapped_column(ForeignKey("subscription.id"))
    person: Mapped[UUID]
    n: Mapped[int] = mapped_column(sa.Integer())
    start: Mapped[date]
    until: Mapped[date]
    """Both as they were asked for; from the payment on those of the period that it began."""
    reminded_at: Mapped[datetime | None]


class PeriodRow(Base):
    """A paid period: the only source of access."""

    __tablename__ = "period"
    __table_args__ = (
        sa.CheckConstraint("until >= start", name="period_span"),
        # A person has a package once on a day, by whatever subscription. Without btree_gist a range of texts does
        # it: person and package are the head of both ends, so that those of others never overlap.
        ExcludeConstraint(
            (
                sa.text(
                    "day_span(person::text || package::text || (start - DATE '0001-01-01')::text, "
                    "person::text || package::text || (until - DATE '0001-01-01')::text)"
                ),
                "&&",
            ),
            name="period_no_overlap",
            using="gist",
        ),
        sa.Index("period_change", "change"),
        sa.Index("period_subscription", "subscription", "until"),
        sa.Index("period_until", "until"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    subscription: Mapped[UUID] = mapped_column(ForeignKey("subscription.id"))
    person: Mapped[UUID]
    package: Mapped[UUID] = mapped_column(ForeignKey("package.id"))
    invoice: Mapped[UUID] = mapped_column(ForeignKey("invoice.id"), unique=True)
    n: Mapped[int] = mapped_column(sa.Integer())
    start: Mapped[date]
    until: Mapped[date]
    suspended: Mapped[bool]
    """A chargeback is open or lost."""
    started_at: Mapped[datetime]
    change: Mapped[int]
    """The number of the version row at the last change: snapshots read what is newer than they are."""


class DisputeRow(Base):
    """A chargeback; its two facts may come in either order."""

    __tablename__ = "dispute"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    invoice: Mapped[UUID] = mapped_column(ForeignKey("invoice.id"), index=True)
    outcome: Mapped[str | None]


class MeterRow(Base):
    """One article that a device or person read on the meter in a month: what Redis is refilled from."""

    __tablename__ = "meter"
    month: Mapped[date] = mapped_column(primary_key=True)
    agency: Mapped[str] = mapped_column(primary_key=True)
    reader: Mapped[str] = mapped_column(primary_key=True)
    article: Mapped[str] = mapped_column(primary_key=True)
    read_at: Mapped[datetime]


class PolicyRow(Base):
    """Append-only: each version of an agency's wall; the newest is in force."""

    __tablename__ = "policy"
    agency: Mapped[str] = mapped_column(primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    document: Mapped[dict[str, Any]]
    changed_by: Mapped[UUID | None]
    changed_at: Mapped[datetime]
