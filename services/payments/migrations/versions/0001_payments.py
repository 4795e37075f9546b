"""Payments begins: invoices, attempts, captures, refunds, notifications, settlements, and the simulator's books."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.contracts import sandbox
from shared.db import append_only_ddl, flat_ddl, secure_ddl

revision = "0001"
down_revision = None

TRIAL_RAIL = f"(rail = 'trial') = ({sandbox.in_sql('agency')})"

OF_AGENCY = "agency = ANY (string_to_array(current_setting('app.agencies', true), ','))"


def upgrade() -> None:
    for sql in flat_ddl("payments"):
        op.execute(sql)
    _books()
    _simulator()
    for sql in _rights():
        op.execute(sql)


def _rights() -> list[str]:
    """Who sees and who changes what."""
    tables = ("credit", "attempt", "capture", "refund", "settlement", "rail", "proposal")
    made = secure_ddl("payments", "invoice", person="buyer")
    for table in tables:
        made += secure_ddl("payments", table)
    # Notifications that could not be believed belong to nobody; whoever looks after money may see them.
    nobodys = f"({OF_AGENCY} OR (agency IS NULL AND current_setting('app.agencies', true) <> ''))"
    made += secure_ddl("payments", "notification", scope=nobodys)
    # The simulator stands for a stranger: requests of people never see its books.
    for table in ("sim_transaction", "sim_refund", "sim_behaviour"):
        made += secure_ddl("payments", table, scope="false")
    for table in ("credit", "notification", "settlement", "capture"):
        made += append_only_ddl("payments", table)
    # What strangers sent may be forgotten, and nothing else that is append-only.
    made.append("GRANT DELETE ON notification TO payments_worker")
    made.append(
        "CREATE POLICY notification_forgotten ON notification AS RESTRICTIVE FOR DELETE TO payments_worker "
        "USING (agency IS NULL)"
    )
    made.append("GRANT UPDATE (refunding_vnd, settlement) ON capture TO payments_web, payments_worker")
    # Only facts bring a seller's answer.
    made.append(
        "GRANT UPDATE (applied, answer, answered_at, answered_by, answer_reason) ON capture TO payments_worker"
    )
    return made


def _books() -> None:
    _agreements()
    _money()
    _going_back()
    _two_persons()
    _around()


def _agreements() -> None:
    op.create_table(
        "invoice",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("seller", sa.Text(), nullable=False),
        sa.Column("number", sa.Text(), nullable=False),
        sa.Column("buyer_kind", sa.Text(), nullable=False),
        sa.Column("buyer", sa.Uuid(), nullable=False),
        sa.Column("collect", sa.Text(), nullable=False),
        sa.Column("due_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("total_vnd", sa.BigInteger(), nullable=False),
        sa.Column("opened_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("withdrawn_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("outcome", sa.Text(), nullable=True),
        sa.Column("closed_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint("collect IN ('prepaid', 'on_terms')", name="invoice_collect"),
        sa.CheckConstraint("outcome IN ('paid', 'withdrawn', 'expired')", name="invoice_outcome"),
        sa.CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name="invoice_closed_with_outcome"),
        sa.CheckConstraint("total_vnd > 0", name="invoice_total"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("invoice_of_buyer", "invoice", ["buyer"], unique=False)
    op.create_index("invoice_number", "invoice", [sa.text("replace(number, '-', '')")], unique=False)
    op.create_index(
        "invoice_to_close",
        "invoice",
        ["expires_at"],
        unique=False,
        postgresql_where=sa.text("outcome IS NULL"),
    )
    op.create_table(
        "attempt",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("language", sa.Text(), nullable=False),
        sa.Column("started_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_ask_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("asks", sa.Integer(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("gateway_no", sa.Text(), nullable=False),
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("state IN ('open', 'held', 'paid', 'failed', 'expired')", name="attempt_state"),
        sa.CheckConstraint("amount_vnd > 0", name="attempt_amount"),
        sa.CheckConstraint(TRIAL_RAIL, name="attempt_trial_in_sandbox"),
        sa.ForeignKeyConstraint(
            ["invoice"],
            ["invoice.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("reference"),
    )
    op.create_index(
        "attempt_in_flight", "attempt", ["invoice"], unique=True, postgresql_where=sa.text("state = 'open'")
    )
    op.create_index("attempt_of_invoice", "attempt", ["invoice"], unique=False)
    op.create_index(
        "attempt_to_ask", "attempt", ["next_ask_at"], unique=False, postgresql_where=sa.text("state = 'open'")
    )
    op.create_table(
        "credit",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=False),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("lines", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("granted_by", sa.Uuid(), nullable=True),
        sa.CheckConstraint("amount_vnd >= 0", name="credit_amount"),
        sa.ForeignKeyConstraint(
            ["invoice"],
            ["invoice.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("credit_of_invoice", "credit", ["invoice"], unique=False)


def _around() -> None:
    op.create_table(
        "notification",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=True),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("raw", sa.Text(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("attempt", sa.Uuid(), nullable=True),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("notification_of_agency", "notification", ["agency", "id"], unique=False)
    op.create_table(
        "rail",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("switched_on", sa.Boolean(), nullable=False),
        sa.Column("changed_by", sa.Uuid(), nullable=True),
        sa.Column("changed_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("agency", "rail"),
    )


def _money() -> None:
    op.create_table(
        "settlement",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("gross_vnd", sa.BigInteger(), nullable=False),
        sa.Column("fee_vnd", sa.BigInteger(), nullable=False),
        sa.Column("net_vnd", sa.BigInteger(), nullable=False),
        sa.Column("received_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("gross_vnd = fee_vnd + net_vnd", name="settlement_adds_up"),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="settlement_real"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "capture",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("invoice", sa.Uuid(), nullable=True),
        sa.Column("attempt", sa.Uuid(), nullable=True),
        sa.Column("rail", sa.Text(), nullable=False),
        sa.Column("gateway_no", sa.Text(), nullable=False),
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("captured_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("recorded_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("applied", sa.Boolean(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("offered_to", sa.Text(), nullable=False),
        sa.Column("answer", sa.Text(), nullable=True),
        sa.Column("answered_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("answered_by", sa.Uuid(), nullable=True),
        sa.Column("answer_reason", sa.Text(), nullable=False),
        sa.Column("refunding_vnd", sa.BigInteger(), nullable=False),
        sa.Column("settlement", sa.Uuid(), nullable=True),
        sa.CheckConstraint("answer IN ('taken', 'declined', 'too-late')", name="capture_answer"),
        sa.CheckConstraint(
            "applied = (reason = '' OR coalesce(answer = 'taken', false))", name="capture_reason_of_suspense"
        ),
        sa.CheckConstraint("offered_to <> '' OR answer IS NULL", name="capture_answer_to_an_offer"),
        sa.CheckConstraint("(answer IS NULL) = (answered_at IS NULL)", name="capture_answered"),
        sa.CheckConstraint(
            "answered_by IS NULL OR coalesce(answer = 'declined', false)", name="capture_declined_by"
        ),
        sa.CheckConstraint("amount_vnd > 0", name="capture_amount"),
        sa.CheckConstraint(TRIAL_RAIL, name="capture_trial_in_sandbox"),
        sa.CheckConstraint("refunding_vnd BETWEEN 0 AND amount_vnd", name="capture_never_over_refunded"),
        sa.ForeignKeyConstraint(
            ["attempt"],
            ["attempt.id"],
        ),
        sa.ForeignKeyConstraint(
            ["invoice"],
            ["invoice.id"],
        ),
        sa.ForeignKeyConstraint(
            ["settlement"],
            ["settlement.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("rail", "gateway_no", name="capture_once"),
    )
    op.create_index("capture_of_agency", "capture", ["agency", "id"], unique=False)
    op.create_index("capture_of_invoice", "capture", ["invoice"], unique=False)
    op.create_index(
        "capture_in_suspense",
        "capture",
        ["agency", "id"],
        unique=False,
        postgresql_where=sa.text("NOT applied"),
    )
    op.create_index(
        "capture_to_settle",
        "capture",
        ["agency"],
        unique=False,
        postgresql_where=sa.text("settlement IS NULL"),
    )


def _going_back() -> None:
    op.create_table(
        "refund",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("capture", sa.Uuid(), nullable=False),
        sa.Column("cause", sa.Text(), nullable=False),
        sa.Column("credit", sa.Uuid(), nullable=True),
        sa.Column("renews", sa.Uuid(), nullable=True),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=True),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("next_try_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("gateway_no", sa.Text(), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("settlement", sa.Uuid(), nullable=True),
        sa.CheckConstraint(
            "state IN ('asked', 'approved', 'due', 'sent', 'unclear', 'completed', 'failed', 'rejected', 'refused', "
            "'dropped')",
            name="refund_state",
        ),
        sa.CheckConstraint("cause IN ('person', 'credit', 'declined')", name="refund_cause"),
        sa.CheckConstraint("cause <> 'credit' OR credit IS NOT NULL", name="refund_of_a_credit"),
        sa.CheckConstraint("amount_vnd > 0", name="refund_amount"),
        sa.CheckConstraint("approved_by <> asked_by", name="refund_two_persons"),
        sa.ForeignKeyConstraint(
            ["capture"],
            ["capture.id"],
        ),
        sa.ForeignKeyConstraint(
            ["credit"],
            ["credit.id"],
        ),
        sa.ForeignKeyConstraint(
            ["renews"],
            ["refund.id"],
        ),
        sa.ForeignKeyConstraint(
            ["settlement"],
            ["settlement.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("request"),
    )
    op.create_index("refund_of_capture", "refund", ["capture"], unique=False)
    op.create_index("refund_renewed_once", "refund", ["renews"], unique=True)
    op.create_index("refund_of_asker", "refund", ["asked_by", "asked_at"], unique=False)
    op.create_index(
        "refund_to_send",
        "refund",
        ["next_try_at"],
        unique=False,
        postgresql_where=sa.text("state IN ('due', 'sent')"),
    )


def _two_persons() -> None:
    op.create_table(
        "proposal",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("act", sa.Text(), nullable=False),
        sa.Column("about", sa.Text(), nullable=False),
        sa.Column("good", sa.Boolean(), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("decided_by", sa.Uuid(), nullable=True),
        sa.Column("decided_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("agreed", sa.Boolean(), nullable=True),
        sa.CheckConstraint("act IN ('held', 'finding', 'rail')", name="proposal_act"),
        sa.CheckConstraint("NOT agreed OR decided_by <> asked_by", name="proposal_two_persons"),
        sa.CheckConstraint("(agreed IS NULL) = (decided_at IS NULL)", name="proposal_decided"),
        sa.CheckConstraint("NOT agreed OR decided_by IS NOT NULL", name="proposal_agreed_by_somebody"),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "proposal_open",
        "proposal",
        ["agency", "act", "about"],
        unique=True,
        postgresql_where=sa.text("decided_at IS NULL"),
    )


def _simulator() -> None:
    op.create_table(
        "sim_behaviour",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("told", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_table(
        "sim_refund",
        sa.Column("request", sa.Text(), nullable=False),
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("handled_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("request"),
    )
    op.create_table(
        "sim_transaction",
        sa.Column("terminal", sa.Text(), nullable=False),
        sa.Column("reference", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), sa.Identity(always=True, start=14000000), nullable=False),
        sa.Column("amount_vnd", sa.BigInteger(), nullable=False),
        sa.Column("created", sa.Text(), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("order_info", sa.Text(), nullable=False),
        sa.Column("return_url", sa.Text(), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("response", sa.Text(), nullable=False),
        sa.Column("status", sa.Text(), nullable=False),
        sa.Column("bank", sa.Text(), nullable=False),
        sa.Column("paid_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("refunded_vnd", sa.BigInteger(), nullable=False),
        sa.Column("notify_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("notified", sa.Integer(), nullable=False),
        sa.Column("reply", sa.Text(), nullable=False),
        sa.CheckConstraint("state IN ('waiting', 'paid', 'suspect', 'failed')", name="sim_transaction_state"),
        sa.CheckConstraint("refunded_vnd BETWEEN 0 AND amount_vnd", name="sim_transaction_refunded"),
        sa.PrimaryKeyConstraint("terminal", "reference"),
    )
    op.create_index(
        "sim_transaction_to_notify",
        "sim_transaction",
        ["notify_at"],
        unique=False,
        postgresql_where=sa.text("notify_at IS NOT NULL"),
    )
