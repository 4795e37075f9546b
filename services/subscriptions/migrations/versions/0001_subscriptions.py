"""Packages, prices, subscriptions, invoices, paid periods, the wall and its meter."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.db import append_only_ddl, flat_ddl, secure_ddl, versions_ddl
from shared.sales import sale_ddl

revision = "0001"
down_revision = None

SERVICE = "subscriptions"


def upgrade() -> None:
    for sql in (*flat_ddl(SERVICE), *versions_ddl(SERVICE), *sale_ddl(SERVICE)):
        op.execute(sql)
    # Ends of periods as texts headed by person and package, see PeriodRow.
    op.execute('CREATE TYPE day_span AS RANGE (subtype = text, collation = "C")')
    op.create_table(
        "meter",
        sa.Column("month", sa.Date(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("reader", sa.Text(), nullable=False),
        sa.Column("article", sa.Text(), nullable=False),
        sa.Column("read_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("month", "agency", "reader", "article"),
    )
    op.create_table(
        "package",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("code", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("title_en", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("summary_en", sa.Text(), nullable=False),
        sa.Column("reader_group", sa.Text(), nullable=False),
        sa.Column("product_class", sa.Text(), nullable=False),
        sa.Column("grants", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("on_sale_from", sa.Date(), nullable=False),
        sa.Column("on_sale_until", sa.Date(), nullable=True),
        sa.CheckConstraint(
            "reader_group IN ('general','student','pensioner','teacher',"
            "'business','hotel','overseas','remote')",
            name="package_reader_group",
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("agency", "code"),
    )
    op.create_table(
        "policy",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("version", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("document", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "version"),
    )
    op.create_table(
        "vat_choice",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("product_class", sa.Text(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("vat_class", sa.Text(), nullable=False),
        sa.Column("chosen_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "product_class", "since"),
    )
    op.create_table(
        "price",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("package", sa.Uuid(), nullable=False),
        sa.Column("term_unit", sa.Text(), nullable=False),
        sa.Column("term_count", sa.Integer(), nullable=False),
        sa.Column("net_vnd", sa.BigInteger(), nullable=False),
        sa.Column("since", sa.Date(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("term_unit IN ('day','month') AND term_count > 0", name="price_term"),
        sa.CheckConstraint("net_vnd >= 0", name="price_not_negative"),
        sa.ForeignKeyConstraint(["package"], ["package.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("package", "term_unit", "term_count", "since"),
    )
    op.create_table(
        "subscription",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("package", sa.Uuid(), nullable=False),
        sa.Column("price", sa.Uuid(), nullable=False),
        sa.Column("renewal", sa.Boolean(), nullable=False),
        sa.Column("anchor", sa.Date(), nullable=True),
        sa.Column("anchored", sa.Integer(), nullable=False),
        sa.Column("next_path", sa.Text(), nullable=False),
        sa.Column("terms_version", sa.Text(), nullable=False),
        sa.Column("made_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(["package"], ["package.id"]),
        sa.ForeignKeyConstraint(["price"], ["price.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("subscription_agency", "subscription", ["agency", "id"], unique=False)
    op.create_index("subscription_person", "subscription", ["person"], unique=False)
    op.create_table(
        "invoice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("reminded_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("until > start", name="invoice_span"),
        # What costs nothing is delivered as its sale is opened: the invoice stands before its sale does.
        sa.ForeignKeyConstraint(["id"], ["sale.id"], deferrable=True, initially="DEFERRED"),
        sa.ForeignKeyConstraint(["subscription"], ["subscription.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("subscription", "n", name="invoice_one_a_period"),
    )
    op.create_index(
        "invoice_to_remind",
        "invoice",
        ["start"],
        unique=False,
        postgresql_where=sa.text("n > 0 AND reminded_at IS NULL"),
    )
    op.create_table(
        "dispute",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.ForeignKeyConstraint(["invoice"], ["invoice.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_dispute_invoice"), "dispute", ["invoice"], unique=False)
    op.create_table(
        "period",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("subscription", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("package", sa.Uuid(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("n", sa.Integer(), nullable=False),
        sa.Column("start", sa.Date(), nullable=False),
        sa.Column("until", sa.Date(), nullable=False),
        sa.Column("suspended", sa.Boolean(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("change", sa.BigInteger(), nullable=False),
        postgresql.ExcludeConstraint(
            (
                sa.text(
                    "day_span(person::text || package::text || (start - DATE '0001-01-01')::text, "
                    "person::text || package::text || (until - DATE '0001-01-01')::text)"
                ),
                "&&",
            ),
            using="gist",
            name="period_no_overlap",
        ),
        sa.CheckConstraint("until >= start", name="period_span"),
        sa.ForeignKeyConstraint(["invoice"], ["invoice.id"]),
        sa.ForeignKeyConstraint(["package"], ["package.id"]),
        sa.ForeignKeyConstraint(["subscription"], ["subscription.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("invoice"),
    )
    op.create_index("period_change", "period", ["change"], unique=False)
    op.create_index("period_subscription", "period", ["subscription", "until"], unique=False)
    op.create_index("period_until", "period", ["until"], unique=False)
    for table in ("package", "price", "vat_choice"):
        secure(table, public=True)
    for table in ("subscription", "invoice", "period"):
        secure(table, person="person")
    for table in ("dispute", "meter", "policy"):
        secure(table)
    for table in ("price", "vat_choice", "policy"):
        for sql in append_only_ddl(SERVICE, table):
            op.execute(sql)


def secure(table: str, *, person: str = "", public: bool = False) -> None:
    for sql in secure_ddl(SERVICE, table, person=person, public=public):
        op.execute(sql)
