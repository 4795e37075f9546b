"""Rows of the ledger; the books among them are made by `books.sql`, anew and beside the running ones by a rebuild."""

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


class ArchiveRow(Base):
    """The bytes of each fact that was consumed, in the order of posting, with the decision that was taken on it.

    Each row's hash covers the one before, and the entries that it led to: one hash commits to all of the books.
    """

    __tablename__ = "archive"
    __table_args__ = (
        sa.UniqueConstraint("fact_id"),
        sa.CheckConstraint("seq > 0", name="archive_numbered"),
        sa.Index("archive_by_about", "about"),
    )
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    fact_id: Mapped[UUID]
    subject: Mapped[str]
    agencies: Mapped[list[str]]
    """The fact's agency and those in whose books it led to entries."""
    about: Mapped[UUID | None]
    """The invoice, or the order, that it speaks of."""
    body: Mapped[bytes]
    recorded_at: Mapped[datetime]
    rules: Mapped[int] = mapped_column(sa.Integer)
    """By which version of the rules it was booked."""
    outcome: Mapped[bytes]
    """One hash over the hashes of the entries that it led to; empty where it led to none."""
    lines: Mapped[bytes]
    """The lines that it changed: 16 bytes of each one's id, and 32 of its digest since."""
    before: Mapped[bytes]
    hash: Mapped[bytes]


class EntryRow(Base):
    """A posted entry; the database refuses to change or delete it. A partition holds a month of the books."""

    __tablename__ = "entry"
    __table_args__ = (
        sa.UniqueConstraint("agency", "posted_on", "number", name="entry_numbered"),
        sa.CheckConstraint("year = date_part('year', posted_on)", name="entry_in_its_year"),
        sa.CheckConstraint("posted_on >= belongs_on", name="entry_not_early"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="entry_real"),
        sa.Index("entry_by_seq", "seq"),
        sa.Index("entry_by_day", "agency", "posted_on", "id"),
        sa.Index("entry_by_recorded", "recorded_at"),
        {"postgresql_partition_by": "RANGE (posted_on)"},
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    fact_id: Mapped[UUID]
    seq: Mapped[int]
    agency: Mapped[str]
    year: Mapped[int] = mapped_column(sa.Integer)
    number: Mapped[int]
    """Without gaps in an agency's book of a year."""
    belongs_on: Mapped[date]
    posted_on: Mapped[date] = mapped_column(primary_key=True)
    recorded_at: Mapped[datetime]
    kind: Mapped[str]
    reversal_of: Mapped[UUID | None]
    rules: Mapped[int] = mapped_column(sa.Integer)
    legs: Mapped[int] = mapped_column(sa.Integer)
    before: Mapped[bytes]
    """The hash of the entry before it in its book."""
    hash: Mapped[bytes]


class LegRow(Base):
    """One side of an entry: debit positive, credit negative. Agency and days repeat the entry's."""

    __tablename__ = "leg"
    __table_args__ = (
        sa.CheckConstraint("amount_vnd <> 0", name="leg_not_zero"),
        sa.Index("leg_by_account", "agency", "account", "posted_on", "entry"),
        sa.Index("leg_by_line", "line", postgresql_where=sa.text("line IS NOT NULL")),
        sa.Index("leg_by_document", "document", postgresql_where=sa.text("document IS NOT NULL")),
        {"postgresql_partition_by": "RANGE (posted_on)"},
    )
    entry: Mapped[UUID] = mapped_column(primary_key=True)
    n: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    agency: Mapped[str]
    belongs_on: Mapped[date]
    posted_on: Mapped[date] = mapped_column(primary_key=True)
    account: Mapped[str]
    stream: Mapped[str]
    line: Mapped[UUID | None]
    amount_vnd: Mapped[int]
    party: Mapped[UUID | None]
    document: Mapped[UUID | None]
    due_on: Mapped[date | None]
    quantity: Mapped[int | None]
    reference: Mapped[str]


class PartRow(Base):
    """How much each line earned of a day's entry, by stream and counter-account; append-only as the legs are."""

    __tablename__ = "part"
    __table_args__ = (
        sa.CheckConstraint("cardinality(lines) = cardinality(amounts)", name="part_pairs"),
        sa.Index("part_by_day", "agency", "posted_on"),
        {"postgresql_partition_by": "RANGE (posted_on)"},
    )
    entry: Mapped[UUID] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    counter: Mapped[str] = mapped_column(primary_key=True)
    agency: Mapped[str]
    posted_on: Mapped[date] = mapped_column(primary_key=True)
    lines: Mapped[list[UUID]] = mapped_column(ARRAY(sa.Uuid))
    amounts: Mapped[list[int]] = mapped_column(ARRAY(sa.BigInteger))


class RollupRow(Base):
    """Turnover by account, stream and the three days of an entry: any trial balance is a sum of these."""

    __tablename__ = "rollup"
    agency: Mapped[str] = mapped_column(primary_key=True)
    account: Mapped[str] = mapped_column(primary_key=True)
    stream: Mapped[str] = mapped_column(primary_key=True)
    posted_on: Mapped[date] = mapped_column(primary_key=True)
    belongs_on: Mapped[date] = mapped_column(primary_key=True)
    recorded_on: Mapped[date] = mapped_column(primary_key=True)
    debit_vnd: Mapped[int]
    credit_vnd: Mapped[int]


class LineRow(Base):
    """What the ledger was told of an invoice line; everything else about it follows by rule.

    Of the columns that follow from `state`, those from `counter` to `through` are what a day's recognition reads.
    """

    __tablename__ = "line"
    __table_args__ = (
        sa.Index("line_live", "until", "since", postgresql_where=sa.text("amount_vnd <> 0")),
        sa.Index("line_by_invoice", "invoice"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="line_real"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    payee: Mapped[str]
    seller: Mapped[str]
    stream: Mapped[str]
    invoice: Mapped[UUID | None]
    party: Mapped[UUID | None]
    due_on: Mapped[date | None]
    counter: Mapped[str]
    since: Mapped[date | None]
    until: Mapped[date | None]
    amount_vnd: Mapped[int]
    through: Mapped[date]
    seq: Mapped[int]
    changes: Mapped[int] = mapped_column(sa.Integer)
    state: Mapped[str]
    """The rules' LineState, as JSON."""


class BookRow(Base):
    """How far the book of an agency's year has come."""

    __tablename__ = "book"
    agency: Mapped[str] = mapped_column(primary_key=True)
    year: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    number: Mapped[int]
    hash: Mapped[bytes]


class ReachedRow(Base):
    """The last local day that recognition has reached: one row, for all agencies."""

    __tablename__ = "reached"
    __table_args__ = (sa.CheckConstraint("id = 1", name="reached_one"),)
    id: Mapped[int] = mapped_column(sa.Integer, primary_key=True, autoincrement=False)
    day: Mapped[date]


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


class HeadRow(Base):
    """A head of the books as it was signed: append-only, said to a witness as it is kept, left alone by a rebuild."""

    __tablename__ = "head"
    __table_args__ = (
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$' AND signature ~ '^[0-9a-f]{128}$'", name="head_signed"),
    )
    seq: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    hash: Mapped[str]
    signed_at: Mapped[datetime]
    key: Mapped[str]
    signature: Mapped[str]
