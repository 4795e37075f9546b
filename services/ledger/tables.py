"""Rows of the ledger: what a rebuild makes anew (entries, legs, rollups, lines), and what it never drops."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY
from sqlalchemy.orm import Mapped, mapped_column

from shared import db
from shared.contracts import sandbox


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class EntryRow(Base):
    """A posted entry; the database refuses to change or delete it."""

    __tablename__ = "entry"
    __table_args__ = (
        sa.UniqueConstraint("fact_id", "agency", "kind", "effective_on", name="entry_once"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="entry_real"),
        sa.Index("entry_by_day", "agency", "effective_on", "id"),
        sa.Index("entry_by_recorded", "recorded_at"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    fact_id: Mapped[UUID]
    agency: Mapped[str]
    effective_on: Mapped[date]
    recorded_at: Mapped[datetime]
    kind: Mapped[str]
    reversal_of: Mapped[UUID | None]
    period: Mapped[date]
    legs: Mapped[int]
    hash: Mapped[bytes]


class LegRow(Base):
    """One side of an entry: debit positive, credit negative. Agency and day repeat the entry's."""

    __tablename__ = "leg"
    __table_args__ = (
        sa.CheckConstraint("amount_vnd <> 0", name="leg_not_zero"),
        sa.Index("leg_by_account", "agency", "account", "effective_on", "entry"),
        sa.Index("leg_by_line", "line", postgresql_where=sa.text("line IS NOT NULL")),
    )
    entry: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    agency: Mapped[str]
    effective_on: Mapped[date]
    account: Mapped[str]
    stream: Mapped[str]
    line: Mapped[UUID | None]
    amount_vnd: Mapped[int]


class PartRow(Base):
    """How much each line earned of a day's entry, by stream; append-only as the legs are."""

    __tablename__ = "part"
    __table_args__ = (sa.Index("part_by_day", "agency", "effective_on"),)
    entry: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    agency: Mapped[str]
    effective_on: Mapped[date]
    lines: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid))
    amounts: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))


class RollupRow(Base):
    """Turnover by account, stream, effective day and recorded day: any trial balance is a sum of these."""

    __tablename__ = "rollup"
    agency: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    effective_on: Mapped[date] = mapped_column(primary_key=True)
    recorded_on: Mapped[date] = mapped_column(primary_key=True)
    debit_vnd: Mapped[int]
    credit_vnd: Mapped[int]


class LineRow(Base):
    """What the ledger was told of an invoice line; everything else about it follows by rule."""

    __tablename__ = "line"
    __table_args__ = (
        sa.Index("line_live", "live_until", postgresql_where=sa.text("live_until IS NOT NULL")),
        sa.Index("line_by_invoice", "invoice"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="line_real"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    invoice: Mapped[UUID]
    stream: Mapped[str]
    starts_on: Mapped[date | None]
    live_until: Mapped[date | None]
    state: Mapped[dict[str, Any]]
    """The rules' LineState."""


class PaymentRow(Base):
    """By which rail a payment came."""

    __tablename__ = "payment"
    __table_args__ = (sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="payment_real"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    rail: Mapped[str]
    invoice: Mapped[UUID]


class ReachedRow(Base):
    """The last local day that recognition has reached: one row, for all agencies."""

    __tablename__ = "reached"
    __table_args__ = (sa.CheckConstraint("id = 1", name="reached_one"),)
    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    day: Mapped[date]


class ArchiveRow(Base):
    """The bytes of each fact that was consumed, with the decision taken on it; a rebuild reads this and keeps it."""

    __tablename__ = "archive"
    __table_args__ = (sa.Index("archive_by_invoice", "invoice"),)
    seq: Mapped[int] = mapped_column(sa.Identity(always=True), primary_key=True)
    fact_id: Mapped[UUID] = mapped_column(unique=True)
    subject: Mapped[str]
    agencies: Mapped[list[str]]
    """The fact's agency and those whose lines it names."""
    invoice: Mapped[UUID | None]
    body: Mapped[bytes]
    recorded_at: Mapped[datetime]
    outcome: Mapped[bytes]
    """One hash over the hashes of the entries that it led to; empty where it led to none."""


class RegimeRow(Base):
    """Which chart of accounts an agency keeps from a day on; none means Circular 24/2024."""

    __tablename__ = "regime"
    agency: Mapped[str] = mapped_column(primary_key=True)
    since: Mapped[date] = mapped_column(primary_key=True)
    regime: Mapped[str]


class AccountCodeRow(Base):
    """Code and name of a semantic account in a regime."""

    __tablename__ = "account_code"
    regime: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    code: Mapped[str]
    name: Mapped[str]
