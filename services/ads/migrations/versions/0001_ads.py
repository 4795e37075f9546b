"""What ads sells, who booked it, what was counted."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.contracts import sandbox
from shared.db import append_only_ddl, flat_ddl, secure_ddl, versions_ddl
from shared.sales import sale_ddl

revision = "0001"
down_revision = None


def upgrade() -> None:
    _run([*flat_ddl("ads"), *sale_ddl("ads")])
    _catalogue()
    _orders()
    _creatives()
    _counts()
    for table in ("placement", "rate"):
        _run(secure_ddl("ads", table, public=True))
    for table in ("ad_order", "line_item", "creative", "review", "progress", "rollup", "settled"):
        _run(secure_ddl("ads", table, person="organisation"))
    _run(secure_ddl("ads", "rejection"))
    # Only workers count: the web role never touches nonces and leases.
    for table in ("nonce", "lease"):
        _run(secure_ddl("ads", table, scope="false"))
    _run(append_only_ddl("ads", "review"))
    _run(versions_ddl("ads"))


def _run(statements: list[str]) -> None:
    for sql in statements:
        op.execute(sql)


def _catalogue() -> None:
    op.create_table(
        "placement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("site", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("sections", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.CheckConstraint("width > 0 AND height > 0", name="placement_size"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="placement_real"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("agency", "code"),
    )
    op.create_table(
        "rate",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("placement", sa.Uuid(), nullable=False),
        sa.Column("pricing", sa.Text(), nullable=False),
        sa.Column("price_vnd", sa.BigInteger(), nullable=False),
        sa.Column("valid_from", sa.Date(), nullable=False),
        sa.CheckConstraint("pricing IN ('cpm')", name="rate_pricing"),
        sa.CheckConstraint("price_vnd > 0", name="rate_price"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("placement", "pricing", "valid_from"),
    )


def _orders() -> None:
    op.create_table(
        "ad_order",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("booked_by", sa.Text(), nullable=False),
        sa.Column("booked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("submitted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("invoice", sa.Uuid(), nullable=True),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("(kind = 'house') = (organisation IS NULL)", name="ad_order_owner"),
        sa.CheckConstraint("kind IN ('sold', 'house')", name="ad_order_kind"),
        sa.CheckConstraint("paid_at IS NULL OR invoice IS NOT NULL", name="ad_order_paid"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("invoice"),
    )
    op.create_index("ad_order_agency", "ad_order", ["agency", "id"], unique=False)
    op.create_index(
        "ad_order_sandbox", "ad_order", ["id"], postgresql_where=sa.text(sandbox.in_sql("agency"))
    )
    op.create_index("ad_order_organisation", "ad_order", ["organisation", "id"], unique=False)
    op.create_table(
        "line_item",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ad_order", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tier", sa.SmallInteger(), nullable=False),
        sa.Column("placements", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("sections", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("devices", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("languages", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("hours", postgresql.ARRAY(sa.SmallInteger()), nullable=False),
        sa.Column("starts_on", sa.Date(), nullable=False),
        sa.Column("ends_on", sa.Date(), nullable=False),
        sa.Column("pricing", sa.Text(), nullable=False),
        sa.Column("price_vnd", sa.BigInteger(), nullable=False),
        sa.Column("budget_vnd", sa.BigInteger(), nullable=False),
        sa.Column("goal", sa.BigInteger(), nullable=False),
        sa.Column("net_vnd", sa.BigInteger(), nullable=False),
        sa.Column("vat_vnd", sa.BigInteger(), nullable=False),
        sa.Column("cap_day", sa.Integer(), nullable=False),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("cap_day >= 0", name="line_item_cap"),
        sa.CheckConstraint("ends_on >= starts_on", name="line_item_flight_runs"),
        sa.CheckConstraint("goal > 0 OR tier = 4", name="line_item_goal"),
        sa.CheckConstraint("net_vnd >= 0 AND net_vnd <= budget_vnd", name="line_item_net"),
        sa.CheckConstraint("tier BETWEEN 1 AND 4", name="line_item_tier"),
        sa.ForeignKeyConstraint(["ad_order"], ["ad_order.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("line_item_flight", "line_item", ["ends_on", "starts_on"], unique=False)
    op.create_index("line_item_order", "line_item", ["ad_order"], unique=False)


def _creatives() -> None:
    op.create_table(
        "creative",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("ad_order", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("file", sa.Text(), nullable=False),
        sa.Column("media_type", sa.Text(), nullable=False),
        sa.Column("click_url", sa.Text(), nullable=False),
        sa.Column("uploaded_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("length(file) = 64", name="creative_file_name"),
        sa.ForeignKeyConstraint(["ad_order"], ["ad_order.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("ad_order", "file", "click_url"),
    )
    op.create_index("creative_file", "creative", ["file"], unique=False)
    op.create_table(
        "review",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("creative", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("verdict", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("checks", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("reviewer", sa.Uuid(), nullable=True),
        sa.Column("reviewed_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("verdict = 'approved' OR reason <> ''", name="review_reason"),
        sa.CheckConstraint("verdict IN ('approved', 'refused', 'stopped')", name="review_verdict"),
        sa.ForeignKeyConstraint(["creative"], ["creative.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("review_creative", "review", ["creative", "reviewed_at"], unique=False)


def _counts() -> None:
    op.create_table(
        "lease",
        sa.Column("line", sa.Uuid(), nullable=False),
        sa.Column("bucket", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted", sa.Integer(), nullable=False),
        sa.Column("counted", sa.Integer(), nullable=False),
        sa.CheckConstraint("granted >= counted", name="lease_counted"),
        sa.PrimaryKeyConstraint("line", "bucket"),
    )
    op.create_table(
        "nonce",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("nonce", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("day", "nonce", "kind"),
    )
    op.create_table(
        "progress",
        sa.Column("line", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("impressions", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("impressions >= 0", name="progress_counts"),
        sa.PrimaryKeyConstraint("line"),
    )
    op.create_table(
        "rejection",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("count", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "hour", "kind", "reason"),
    )
    op.create_table(
        "rollup",
        sa.Column("line", sa.Uuid(), nullable=False),
        sa.Column("creative", sa.Uuid(), nullable=False),
        sa.Column("placement", sa.Text(), nullable=False),
        sa.Column("section", sa.Text(), nullable=False),
        sa.Column("hour", sa.DateTime(timezone=True), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("impressions", sa.Integer(), nullable=False),
        sa.Column("viewables", sa.Integer(), nullable=False),
        sa.Column("clicks", sa.Integer(), nullable=False),
        sa.PrimaryKeyConstraint("line", "creative", "placement", "section", "hour"),
    )
    op.create_index("rollup_hour", "rollup", ["hour"], unique=False)
    op.create_table(
        "settled",
        sa.Column("line", sa.Uuid(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("quantity", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("quantity > 0", name="settled_quantity"),
        sa.PrimaryKeyConstraint("line", "day"),
    )
