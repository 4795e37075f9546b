"""People, organisations, keys, consents, the audit trail and messages."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from shared.contracts import sandbox
from shared.db import append_only_ddl, flat_ddl, secure_ddl, versions_ddl

revision = "0001"
down_revision = None

# A person is seen by staff of the agency of the account or of any agency that gave the person a role.
PERSON = (
    "(agency = ANY (string_to_array(current_setting('app.agencies', true), ',')) "
    "OR id IN (SELECT person FROM person_role))"
)
ORGANISATION = (
    "(agency = ANY (string_to_array(current_setting('app.agencies', true), ',')) "
    "OR id IN (SELECT organisation FROM member))"
)
# An organisation sees the keys of its own sandbox; in the sandbox, only those.
KEY = (
    "(agency = ANY (string_to_array(current_setting('app.agencies', true), ',')) OR organisation IN "
    "(SELECT sandbox FROM organisation WHERE id::text = ANY (string_to_array(current_setting('app.own', true), ','))))"
)
# Where a table hangs on a person, whoever sees the person sees it.
OF_PERSON = "person IN (SELECT id FROM person)"

AUDIT_APPEND = """
CREATE FUNCTION audit_append(p_agency text, p_body text) RETURNS void
LANGUAGE plpgsql SECURITY DEFINER SET search_path = public, pg_temp AS $$
DECLARE
    last_number bigint;
    last_hash bytea;
BEGIN
    PERFORM pg_advisory_xact_lock(7005, hashtext(p_agency));
    SELECT number, hash INTO last_number, last_hash
    FROM audit WHERE agency = p_agency ORDER BY number DESC LIMIT 1;
    INSERT INTO audit (agency, number, body, hash) VALUES (
        p_agency,
        coalesce(last_number, 0) + 1,
        p_body,
        sha256(coalesce(last_hash, ''::bytea) || convert_to(p_body, 'UTF8'))
    );
END
$$
"""


# Letters are counted over all agencies, of which whoever registers sees one.
STRANGERS_LETTERS = """
CREATE FUNCTION strangers_letters(p_mailbox text, p_since timestamptz) RETURNS bigint
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT count(*) FROM invitation
    WHERE mailbox = p_mailbox AND invited_by = 'nobody:' AND created_at > p_since
$$
"""
STAFF_AGENCIES = """
CREATE FUNCTION staff_agencies(p_person uuid) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER SET search_path = public, pg_temp AS $$
    SELECT DISTINCT agency FROM person_role
    WHERE person = p_person AND role NOT IN ('reader', 'advertiser', 'sponsor')
$$
"""
# Who works for several agencies is changed by those who act at all of them, and by the person.
WHOLE_PERSON = """
CREATE POLICY person_whole ON person AS RESTRICTIVE FOR UPDATE TO accounts_web USING (
    id::text = ANY (string_to_array(current_setting('app.own', true), ','))
    OR NOT EXISTS (SELECT FROM staff_agencies(id) AS at
                   WHERE at <> ALL (string_to_array(current_setting('app.agencies', true), ',')))
)
"""


def upgrade() -> None:
    for sql in flat_ddl("accounts"):
        op.execute(sql)
    _people()
    _sign_in()
    _second_step()
    _keys_and_consents()
    _messages()
    _secure()
    _audit()


def _people() -> None:
    op.create_table(
        "person",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=True),
        sa.Column("phone", sa.Text(), nullable=True),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("password_hash", sa.Text(), nullable=True),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("totp_step", sa.BigInteger(), nullable=False),
        sa.Column("bounced_at", sa.DateTime(timezone=True), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("email = lower(email)", name="person_email_lower"),
        sa.CheckConstraint("email IS NOT NULL OR phone IS NOT NULL", name="person_reachable"),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("email"),
        sa.UniqueConstraint("phone"),
    )
    op.create_table(
        "person_role",
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("role", sa.Text(), nullable=False),
        sa.Column("granted_at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="person_role_real"),
        sa.PrimaryKeyConstraint("person", "agency", "role"),
    )
    op.create_table(
        "organisation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("tax_code", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("contact_name", sa.Text(), nullable=False),
        sa.Column("sandbox", sa.Uuid(), nullable=True),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.CheckConstraint("kind IN ('advertiser', 'sponsor')", name="organisation_kind"),
        sa.CheckConstraint(f"({sandbox.in_sql('agency')}) = (sandbox IS NULL)", name="organisation_sandbox"),
        sa.ForeignKeyConstraint(
            ["sandbox"],
            ["organisation.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("sandbox"),
    )
    op.create_index(op.f("ix_organisation_agency"), "organisation", ["agency"], unique=False)
    op.create_table(
        "member",
        sa.Column("organisation", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["organisation"],
            ["organisation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="member_real"),
        sa.PrimaryKeyConstraint("organisation", "person"),
    )
    op.create_index(op.f("ix_member_person"), "member", ["person"], unique=False)


def _sign_in() -> None:
    op.create_table(
        "session",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("two_step", sa.Boolean(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("browser", sa.LargeBinary(), nullable=False),
        sa.Column("device", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("seen_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("ended_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_hash"),
    )
    op.create_index(op.f("ix_session_person"), "session", ["person"], unique=False)
    op.create_table(
        "device",
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("since", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("person", "secret_hash"),
    )
    op.create_table(
        "challenge",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("secret_hash", sa.LargeBinary(), nullable=False),
        sa.Column("kind", sa.Text(), nullable=False),
        sa.Column("identifier", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=True),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("totp_secret", sa.LargeBinary(), nullable=True),
        sa.Column("tries", sa.BigInteger(), nullable=False),
        sa.Column("known_device", sa.Boolean(), nullable=False),
        sa.Column("later", sa.Boolean(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("next", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("secret_hash"),
    )
    op.create_index("challenge_asked", "challenge", ["mailbox", "created_at"], unique=False)


def _second_step() -> None:
    op.create_table(
        "recovery_code",
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("code_hash", sa.Text(), nullable=False),
        sa.Column("used_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("person", "code_hash"),
    )
    op.create_table(
        "totp_reset",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("why", sa.Text(), nullable=False),
        sa.Column("asked_by", sa.Uuid(), nullable=False),
        sa.Column("asked_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("approved_by", sa.Uuid(), nullable=True),
        sa.Column("approved_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "approved_by <> asked_by AND approved_by <> person", name="totp_reset_two_persons"
        ),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "totp_reset_open",
        "totp_reset",
        ["person", "agency"],
        unique=True,
        postgresql_where=sa.text("approved_at IS NULL"),
    )
    op.create_table(
        "invitation",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("token_hash", sa.LargeBinary(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("email", sa.Text(), nullable=False),
        sa.Column("mailbox", sa.Text(), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("roles", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("invited_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("accepted_at", sa.DateTime(timezone=True), nullable=True),
        sa.ForeignKeyConstraint(
            ["organisation"],
            ["organisation.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
        sa.UniqueConstraint("token_hash"),
    )


def _keys_and_consents() -> None:
    op.create_table(
        "api_key",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("organisation", sa.Uuid(), nullable=True),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("scopes", postgresql.ARRAY(sa.Text()), nullable=False),
        sa.Column("member", sa.Uuid(), nullable=True),
        sa.Column("made_by", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("expires_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("revoked_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            f"organisation IS NULL OR (member IS NULL) = ({sandbox.in_sql('agency')})",
            name="api_key_of_a_member",
        ),
        sa.ForeignKeyConstraint(
            ["organisation"],
            ["organisation.id"],
        ),
        sa.ForeignKeyConstraint(
            ["organisation", "member"],
            ["member.organisation", "member.person"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(op.f("ix_api_key_agency"), "api_key", ["agency"], unique=False)
    op.create_index(op.f("ix_api_key_organisation"), "api_key", ["organisation"], unique=False)
    op.create_table(
        "consent",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("person", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("purpose", sa.Text(), nullable=False),
        sa.Column("granted", sa.Boolean(), nullable=False),
        sa.Column("text_version", sa.Text(), nullable=False),
        sa.Column("channel", sa.Text(), nullable=False),
        sa.Column("at", sa.DateTime(timezone=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["person"],
            ["person.id"],
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("consent_latest", "consent", ["person", "purpose", "at"], unique=False)
    op.create_table(
        "audit",
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("number", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("hash", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("agency", "number"),
    )
    op.create_table(
        "head",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("hash", sa.Text(), nullable=False),
        sa.Column("signed_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("key", sa.Text(), nullable=False),
        sa.Column("signature", sa.Text(), nullable=False),
        sa.Column("heard_at", sa.DateTime(timezone=True), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("head_newest", "head", ["seq", "signed_at"], unique=False)


def _messages() -> None:
    op.create_table(
        "message",
        sa.Column("id", sa.Uuid(), nullable=False),
        sa.Column("agency", sa.Text(), nullable=False),
        sa.Column("recipient", sa.Uuid(), nullable=True),
        sa.Column("address", sa.Text(), nullable=False),
        sa.Column("lang", sa.Text(), nullable=False),
        sa.Column("template", sa.Text(), nullable=False),
        sa.Column("params", postgresql.JSONB(astext_type=sa.Text()), nullable=False),
        sa.Column("state", sa.Text(), nullable=False),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("error", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", sa.DateTime(timezone=True), nullable=False),
        sa.Column("sent_at", sa.DateTime(timezone=True), nullable=True),
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'capped', 'bounced', 'unaddressed', 'failed')", name="message_state"
        ),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index(
        "message_due", "message", ["next_at"], unique=False, postgresql_where=sa.text("state = 'queued'")
    )
    op.create_index("message_of", "message", ["recipient", "created_at"], unique=False)
    op.create_index("message_to", "message", ["address", "template"], unique=False)


def _secure() -> None:
    """Who sees what: the web by agency or person, the worker all."""
    made = [
        *secure_ddl("accounts", "person_role", person="person"),
        *secure_ddl("accounts", "member", person="person"),
        *secure_ddl("accounts", "person", person="id", scope=PERSON),
        *secure_ddl("accounts", "organisation", person="id", scope=ORGANISATION),
        *secure_ddl("accounts", "session", scope=OF_PERSON),
        *secure_ddl("accounts", "device", scope=OF_PERSON),
        *secure_ddl("accounts", "recovery_code", scope=OF_PERSON),
        # Half a sign-in belongs to nobody yet: only the worker role sees it.
        *secure_ddl("accounts", "challenge", scope="false"),
        *secure_ddl("accounts", "totp_reset"),
        *secure_ddl("accounts", "invitation"),
        *secure_ddl("accounts", "api_key", person="organisation", scope=KEY),
        *secure_ddl("accounts", "consent", person="person"),
        *secure_ddl("accounts", "audit"),
        *secure_ddl("accounts", "message", person="recipient"),
        *append_only_ddl("accounts", "consent"),
        # Heads of the books are of all agencies and say nothing of any; what was heard stays as it was heard.
        *secure_ddl("accounts", "head", scope="false", public=True),
        *append_only_ddl("accounts", "head"),
        "REVOKE INSERT ON head FROM accounts_web",
        # Who signs out or takes a key back does it here first, and for the others by a fact.
        "GRANT INSERT ON revoked TO accounts_web",
        *versions_ddl("accounts"),
    ]
    for sql in (*made, STAFF_AGENCIES, WHOLE_PERSON):
        op.execute(sql)
    op.execute(STRANGERS_LETTERS)
    op.execute("REVOKE ALL ON FUNCTION strangers_letters FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION strangers_letters TO accounts_web, accounts_worker")


def _audit() -> None:
    """Nobody writes the trail but by the function, which keeps its chain."""
    op.execute("REVOKE INSERT, UPDATE, DELETE, TRUNCATE ON audit FROM accounts_web, accounts_worker")
    op.execute(AUDIT_APPEND)
    op.execute("REVOKE ALL ON FUNCTION audit_append FROM PUBLIC")
    op.execute("GRANT EXECUTE ON FUNCTION audit_append TO accounts_web, accounts_worker")
