"""The books: entries and legs that balance and never change, rollups, lines, and the archive of the facts."""

import csv
from pathlib import Path

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.contracts import sandbox
from shared.db import append_only_ddl, flat_ddl, secure_ddl

revision = "0001"
down_revision = None

READ_ONLY = ("entry", "leg", "part", "rollup", "line", "payment", "reached", "archive", "account_code")
"""Only the worker writes these; pages and the API read."""

BALANCE = """
CREATE FUNCTION check_legs() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong uuid;
BEGIN
    -- An entry's legs come in one statement: they are numbered from 0, as many as the entry says, and sum to zero.
    SELECT l.entry INTO wrong
    FROM (SELECT entry, sum(amount_vnd) AS total, count(*) AS legs, min(n) AS first, max(n) AS last,
                 min(agency) AS low, max(agency) AS high, min(effective_on) AS early, max(effective_on) AS late
          FROM added GROUP BY entry) AS l
    LEFT JOIN entry AS e ON e.id = l.entry
    WHERE e.id IS NULL OR l.total <> 0 OR l.legs <> e.legs OR l.first <> 0 OR l.last <> e.legs - 1
       OR l.low <> e.agency OR l.high <> e.agency OR l.early <> e.effective_on OR l.late <> e.effective_on
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'entry % does not balance or does not match its legs', wrong USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$
"""

PARTS = """
CREATE FUNCTION check_parts() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE wrong uuid;
BEGIN
    -- The parts of a stream add up to what the entry earned for it.
    SELECT p.entry INTO wrong FROM added AS p
    WHERE cardinality(p.lines) <> cardinality(p.amounts) OR (SELECT sum(a) FROM unnest(p.amounts) AS a) IS DISTINCT FROM
        (SELECT sum(l.amount_vnd) FROM leg AS l
         WHERE l.entry = p.entry AND l.stream = p.stream AND l.account = 'deferred_revenue')
    LIMIT 1;
    IF wrong IS NOT NULL THEN
        RAISE EXCEPTION 'the parts of entry % do not add up', wrong USING ERRCODE = '23514';
    END IF;
    RETURN NULL;
END $$
"""

REFUSE = """
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the books are append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '23001';
END $$
"""


def upgrade() -> None:
    for sql in flat_ddl("ledger"):
        op.execute(sql)
    _entry_tables()
    _state_tables()
    _kept_tables()
    op.execute(BALANCE)
    op.execute(
        "CREATE TRIGGER leg_balances AFTER INSERT ON leg REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION check_legs()"
    )
    op.execute(PARTS)
    op.execute(
        "CREATE TRIGGER part_adds_up AFTER INSERT ON part REFERENCING NEW TABLE AS added "
        "FOR EACH STATEMENT EXECUTE FUNCTION check_parts()"
    )
    op.execute(REFUSE)
    for table in ("entry", "leg", "part", "archive"):
        op.execute(
            f"CREATE TRIGGER {table}_stays BEFORE UPDATE OR DELETE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
        )
        for sql in append_only_ddl("ledger", table):
            op.execute(sql)
    for table in ("entry", "leg", "part", "rollup", "line", "payment", "regime"):
        for sql in secure_ddl("ledger", table):
            op.execute(sql)
    ours = "agencies && string_to_array(current_setting('app.agencies', true), ',')"
    for sql in secure_ddl("ledger", "archive", scope=ours):
        op.execute(sql)
    op.execute(f"REVOKE INSERT, UPDATE, DELETE ON {', '.join(READ_ONLY)} FROM ledger_web")
    _chart()


def _chart() -> None:
    """Codes of the three regimes; an agency's accountant may change them, they are data."""
    path = Path(__file__).parents[2] / "chart.csv"
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    table = sa.table("account_code", *(sa.column(name) for name in ("regime", "account", "code", "name")))
    op.bulk_insert(table, rows)


def _entry_tables() -> None:
    op.create_table(
        "entry",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("fact_id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reversal_of", sa.Uuid(), nullable=True),
        sa.Column("period", sa.Date(), nullable=False),
        sa.Column("legs", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="entry_real"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("fact_id", "agency", "kind", "effective_on", name="entry_once"),
    )
    op.create_index("entry_by_day", "entry", ["agency", "effective_on", "id"], unique=False)
    op.create_index("entry_by_recorded", "entry", ["recorded_at"], unique=False)
    op.create_table(
        "leg",
        sa.Column("entry", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("line", sa.Uuid(), nullable=True),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("amount_vnd <> 0", name="leg_not_zero"),
        sa.PrimaryKeyConstraint("entry", "n"),
    )
    op.create_index("leg_by_account", "leg", ["agency", "account", "effective_on", "entry"], unique=False)
    op.create_index(
        "leg_by_line", "leg", ["line"], unique=False, postgresql_where=sa.text("line IS NOT NULL")
    )
    op.create_table(
        "part",
        sa.Column("entry", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("lines", postgresql.ARRAY(sa.Uuid()), nullable=False),
        sa.Column("amounts", postgresql.ARRAY(sa.BigInteger()), nullable=False),
        sa.PrimaryKeyConstraint("entry", "stream"),
    )
    op.create_index("part_by_day", "part", ["agency", "effective_on"], unique=False)
    op.create_table(
        "rollup",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("effective_on", sa.Date(), nullable=False),
        sa.Column("recorded_on", sa.Date(), nullable=False),
        sa.Column("debit_vnd", sa.BigInteger(), nullable=False),
        sa.Column("credit_vnd", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "account", "stream", "effective_on", "recorded_on"),
    )


def _state_tables() -> None:
    op.create_table(
        "line",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("stream", sa.Text(), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=True),
        sa.Column("live_until", sa.Date(), nullable=True),
        sa.Column("state", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="line_real"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("line_by_invoice", "line", ["invoice"], unique=False)
    op.create_index(
        "line_live", "line", ["live_until"], unique=False, postgresql_where=sa.text("live_until IS NOT NULL")
    )
    op.create_table(
        "payment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="payment_real"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "reached",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.CheckConstraint("id = 1", name="reached_one"),
        sa.PrimaryKeyConstraint("id"),
    )


def _kept_tables() -> None:
    op.create_table(
        "archive",
        sa.Column("seq", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("fact_id", sa.Uuid(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("agencies", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=True),
        sa.Column("body", sa.LargeBinary(), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("outcome", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("seq"),
        sa.UniqueConstraint("fact_id"),
    )
    op.create_index("archive_by_invoice", "archive", ["invoice"], unique=False)
    op.create_table(
        "regime",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("regime", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "since"),
    )
    op.create_table(
        "account_code",
        sa.Column("regime", sa.Text(), nullable=False),
        sa.Column("account", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("regime", "account"),
    )
