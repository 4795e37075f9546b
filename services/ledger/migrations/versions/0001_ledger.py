"""The books (`books.sql`), and the chart of accounts that they are read by."""

import sqlalchemy as sa
from alembic import op

from services.ledger.migrations.codes import shipped_codes
from services.ledger.tables.books import books_ddl, functions_ddl
from shared.db import append_only_ddl, flat_ddl, secure_ddl

revision = "0001"
down_revision = None


def upgrade() -> None:
    for sql in (*flat_ddl("ledger"), *functions_ddl(), *books_ddl()):
        op.execute(sql)
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
    for sql in secure_ddl("ledger", "regime"):
        op.execute(sql)
    op.execute("REVOKE INSERT, UPDATE, DELETE ON account_code FROM ledger_web")
    _chart()
    _heads()


def _chart() -> None:
    """Codes of the three regimes; an agency's accountant may change them, they are data."""
    table = sa.table("account_code", *(sa.column(name) for name in ("regime", "account", "code", "name")))
    op.bulk_insert(table, shipped_codes())


def _heads() -> None:
    """Heads of the books that were signed: for everybody who reads them, and for nobody to change."""
    op.create_table(
        "head",
        sa.Column("seq", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.CheckConstraint("hash ~ '^[0-9a-f]{64}$' AND signature ~ '^[0-9a-f]{128}$'", name="head_signed"),
        sa.PrimaryKeyConstraint("seq"),
    )
    op.execute(
        "CREATE TRIGGER head_stays BEFORE UPDATE OR DELETE ON head "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
    for sql in (
        *secure_ddl("ledger", "head", scope="false", public=True),
        *append_only_ddl("ledger", "head"),
        "REVOKE INSERT ON head FROM ledger_web",
    ):
        op.execute(sql)
