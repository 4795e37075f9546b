"""What is sold at events, who holds how much of it, who sponsors and who runs."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.db import flat_ddl, secure_ddl
from shared.sales import sale_ddl

revision = "0001"
down_revision = None

# Everybody may read what is for sale; nobody but its agency what was bought, except who bought it.
PUBLIC = ("event", "sellable", "package")
OWNED = ("sponsorship", "instalment", "deliverable", "registration", "entrant")
STAFF = ("hold", "claim", "recount")

# A buyer's holds are counted over all agencies, of which whoever buys sees one. What was paid for and stands is sold;
# what was freed was let go, whether it ran out or was given back. What costs nothing is sold at once, and so counts as
# held for a while: nobody takes all of it by asking again and again.
HELD_BY = """
CREATE FUNCTION held_by(p_owner uuid, p_person uuid, p_kind text, p_since timestamptz)
RETURNS TABLE (paid boolean, held bigint, lapsed bigint, lapsed_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT
        coalesce(bool_or(sold_at IS NOT NULL AND returned_at IS NULL AND price_vnd > 0), false),
        coalesce(sum(quantity) FILTER (WHERE kind = p_kind AND freed_at IS NULL AND returned_at IS NULL
            AND (sold_at IS NULL OR (price_vnd = 0 AND sold_at > p_since))), 0),
        count(DISTINCT invoice) FILTER (WHERE kind = p_kind AND freed_at > p_since),
        max(freed_at) FILTER (WHERE kind = p_kind AND freed_at > p_since)
    FROM hold JOIN sellable ON sellable.id = hold.sellable
    WHERE (hold.owner = p_owner OR hold.person = p_person) AND kind IN ('package', p_kind)
$$
"""


def upgrade() -> None:
    for sql in flat_ddl("events"):
        op.execute(sql)
    _catalogue()
    _stock()
    _sponsors()
    _parts()
    _runners()
    for sql in sale_ddl("events"):
        op.execute(sql)
    for table in PUBLIC:
        _secure(secure_ddl("events", table, public=True))
    for table in OWNED:
        _secure(secure_ddl("events", table, person="owner"))
    for table in STAFF:
        _secure(secure_ddl("events", table))
    op.execute(HELD_BY)
    op.execute("REVOKE ALL ON FUNCTION held_by FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION held_by TO events_web, events_worker")


def _secure(statements: list[str]) -> None:
    for sql in statements:
        op.execute(sql)


def _catalogue() -> None:
    op.create_table(
        "event",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("slug", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("summary", sa.Text(), nullable=False),
        sa.Column("place", sa.Text(), nullable=False),
        sa.Column("starts_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sales_end_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("charity", sa.Text(), nullable=False),
        sa.Column("next_bib", sa.Integer(), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
        sa.UniqueConstraint("slug"),
    )
    op.create_table(
        "sellable",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("event", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("price_vnd", sa.BigInteger(), nullable=False),
        sa.Column("capacity", sa.Integer(), nullable=False),
        sa.Column("held", sa.Integer(), nullable=False),
        sa.Column("sold", sa.Integer(), nullable=False),
        sa.CheckConstraint("kind IN ('package', 'ticket')", name="sellable_kind"),
        sa.CheckConstraint("held >= 0 AND sold >= 0 AND held + sold <= capacity", name="sellable_stock"),
        sa.CheckConstraint("price_vnd >= 0", name="sellable_price"),
        sa.ForeignKeyConstraint(["event"], ["event.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("sellable_event", "sellable", ["event", "position"], unique=False)
    op.create_table(
        "package",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("tier", sa.Text(), nullable=False),
        sa.Column("exclusive", sa.Boolean(), nullable=False),
        sa.Column("benefits", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("instalments", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("deliverables", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.ForeignKeyConstraint(["id"], ["sellable.id"]),
        sa.PrimaryKeyConstraint("id"),
    )


def _stock() -> None:
    op.create_table(
        "hold",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("sellable", sa.Uuid(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=True),
        sa.Column("crowd", sa.Text(), server_default="", nullable=False),
        sa.Column("quantity", sa.Integer(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("freed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("sold_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("returned_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("freed_at IS NULL OR sold_at IS NULL", name="hold_one_end"),
        sa.CheckConstraint("returned_at IS NULL OR sold_at IS NOT NULL", name="hold_returned_when_sold"),
        sa.CheckConstraint("quantity > 0", name="hold_quantity"),
        sa.ForeignKeyConstraint(["sellable"], ["sellable.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("invoice", "sellable", name="hold_once"),
    )
    op.create_index("hold_sellable", "hold", ["sellable"], unique=False)
    op.create_index("hold_owner", "hold", ["owner"], unique=False)
    op.create_index("hold_person", "hold", ["person"], unique=False)
    op.create_table(
        "recount",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("counted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("checked", sa.Integer(), nullable=False),
        sa.Column("differences", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("agency", "day"),
    )


def _sponsors() -> None:
    op.create_table(
        "sponsorship",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("event", sa.Uuid(), nullable=False),
        sa.Column("package", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=True),
        sa.Column("buyer_kind", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Uuid(), nullable=False),
        sa.Column("organisation", sa.Text(), nullable=False),
        sa.Column("tax_code", sa.Text(), nullable=False),
        sa.Column("industry", sa.Integer(), nullable=False),
        sa.Column("contact_name", sa.Text(), nullable=False),
        sa.Column("contact_email", sa.Text(), nullable=False),
        sa.Column("contact_phone", sa.Text(), nullable=False),
        sa.Column("terms", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("proposed_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("contracted_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("given_back_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancelled_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("cancel_reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["event"], ["event.id"]),
        sa.ForeignKeyConstraint(["package"], ["package.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("number"),
    )
    op.create_index("sponsorship_event", "sponsorship", ["event"], unique=False)
    op.create_index("sponsorship_owner", "sponsorship", ["owner"], unique=False)
    op.create_table(
        "claim",
        sa.Column("sponsorship", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("first", sa.BigInteger(), nullable=False),
        sa.Column("last", sa.BigInteger(), nullable=False),
        sa.Column("lowest", sa.BigInteger(), nullable=False),
        sa.Column("highest", sa.BigInteger(), nullable=False),
        postgresql.ExcludeConstraint(
            (sa.text("box(point(first, lowest), point(last, highest))"), "&&"),
            using="gist",
            name="claim_apart",
        ),
        sa.ForeignKeyConstraint(["sponsorship"], ["sponsorship.id"]),
        sa.PrimaryKeyConstraint("sponsorship"),
    )


def _parts() -> None:
    op.create_table(
        "instalment",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("sponsorship", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("before_vnd", sa.BigInteger(), nullable=False),
        sa.Column("gross_vnd", sa.BigInteger(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=True),
        sa.Column("reminders", sa.Integer(), nullable=False),
        sa.CheckConstraint(
            "gross_vnd >= 0 AND before_vnd >= 0 AND (position > 1 OR before_vnd = 0)",
            name="instalment_of_a_whole",
        ),
        sa.ForeignKeyConstraint(["sponsorship"], ["sponsorship.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("invoice", name="instalment_invoice"),
        sa.UniqueConstraint("sponsorship", "position", name="instalment_position"),
    )
    op.create_index(
        "instalment_unopened",
        "instalment",
        ["due_on"],
        unique=False,
        postgresql_where=sa.text("invoice IS NULL"),
    )
    op.create_table(
        "deliverable",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("sponsorship", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("title", sa.Text(), nullable=False),
        sa.Column("due_on", sa.Date(), nullable=False),
        sa.Column("delivered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("proof", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["sponsorship"], ["sponsorship.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("deliverable_sponsorship", "deliverable", ["sponsorship"], unique=False)


def _runners() -> None:
    op.create_table(
        "registration",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("event", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(["event"], ["event.id"]),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("registration_event", "registration", ["event"], unique=False)
    op.create_index("registration_owner", "registration", ["owner"], unique=False)
    op.create_table(
        "entrant",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("registration", sa.Uuid(), nullable=False),
        sa.Column("event", sa.Uuid(), nullable=False),
        sa.Column("sellable", sa.Uuid(), nullable=False),
        sa.Column("owner", sa.Uuid(), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("bib", sa.Integer(), nullable=True),
        sa.Column("voided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_in_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("checked_in_by", sa.Uuid(), nullable=True),
        sa.ForeignKeyConstraint(["event"], ["event.id"]),
        sa.ForeignKeyConstraint(["registration"], ["registration.id"]),
        sa.ForeignKeyConstraint(["sellable"], ["sellable.id"]),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("event", "bib", name="entrant_bib"),
        sa.CheckConstraint("voided_at IS NULL OR checked_in_at IS NULL", name="entrant_void_never_in"),
    )
    op.create_index("entrant_registration", "entrant", ["registration"], unique=False)
