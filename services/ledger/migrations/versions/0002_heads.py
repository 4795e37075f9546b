"""Heads of the books as they were signed, which every reader of the finance pages may see."""

import sqlalchemy as sa
from alembic import op

from shared.db import append_only_ddl, secure_ddl

revision = "0002"
down_revision = "0001"

REFUSE = """
CREATE FUNCTION refuse_head_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'signed heads are append-only: % on % is refused', TG_OP, TG_TABLE_NAME USING ERRCODE = '23001';
END $$
"""


def upgrade() -> None:
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
    # Of its own: a rebuild makes the function that guards the books anew.
    op.execute(REFUSE)
    op.execute(
        "CREATE TRIGGER head_stays BEFORE UPDATE OR DELETE ON head "
        "FOR EACH STATEMENT EXECUTE FUNCTION refuse_head_change()"
    )
    for sql in (
        *secure_ddl("ledger", "head", scope="false", public=True),
        *append_only_ddl("ledger", "head"),
        "REVOKE INSERT ON head FROM ledger_web",
    ):
        op.execute(sql)
