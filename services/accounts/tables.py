"""Rows of accounts. Names, e-mails and phones live in this database and nowhere else in the house."""

from datetime import datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from shared import db
from shared.contracts import sandbox


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class PersonRow(Base):
    """Someone who signs in; `agency` is where the account was made."""

    __tablename__ = "person"
    __table_args__ = (
        sa.CheckConstraint("email IS NOT NULL OR phone IS NOT NULL", name="person_reachable"),
        sa.CheckConstraint("email = lower(email)", name="person_email_lower"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    name: Mapped[str]
    email: Mapped[str | None] = mapped_column(unique=True)
    phone: Mapped[str | None] = mapped_column(unique=True)
    lang: Mapped[str]
    password_hash: Mapped[str | None]
    totp_secret: Mapped[bytes | None]
    """Sealed with a key from the house's secret."""
    totp_step: Mapped[int]
    """The last 30-second step whose code was used: a code counts once."""
    bounced_at: Mapped[datetime | None]
    created_at: Mapped[datetime]


class PersonRoleRow(Base):
    __tablename__ = "person_role"
    __table_args__ = (sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="person_role_real"),)
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    agency: Mapped[str] = mapped_column(primary_key=True)
    role: Mapped[str] = mapped_column(primary_key=True)
    granted_at: Mapped[datetime]


class OrganisationRow(Base):
    """An advertiser or sponsor: who signs orders and whose tax code is on invoices.

    In the sandbox it goes by another id, so that no flat shows it one world's rows in the other.
    """

    __tablename__ = "organisation"
    __table_args__ = (
        sa.CheckConstraint("kind IN ('advertiser', 'sponsor')", name="organisation_kind"),
        sa.CheckConstraint(f"({sandbox.in_sql('agency')}) = (sandbox IS NULL)", name="organisation_sandbox"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str] = mapped_column(index=True)
    kind: Mapped[str]
    name: Mapped[str]
    tax_code: Mapped[str]
    email: Mapped[str]
    contact_name: Mapped[str]
    sandbox: Mapped[UUID | None] = mapped_column(sa.ForeignKey("organisation.id"), unique=True)
    """The same organisation in the sandbox; none for that one itself."""
    created_at: Mapped[datetime]


class MemberRow(Base):
    """A person who acts for an organisation: nobody does in the sandbox, where only keys act."""

    __tablename__ = "member"
    __table_args__ = (sa.CheckConstraint(f"NOT {sandbox.in_sql('agency')}", name="member_real"),)
    organisation: Mapped[UUID] = mapped_column(sa.ForeignKey("organisation.id"), primary_key=True)
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), primary_key=True, index=True)
    agency: Mapped[str]
    since: Mapped[datetime]


class SessionRow(Base):
    """A sign-in that lasts; the browser holds the secret, we hold its hash."""

    __tablename__ = "session"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), index=True)
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    two_step: Mapped[bool]
    """Whether TOTP or a recovery code was shown; staff roles count only then."""
    organisation: Mapped[UUID | None]
    """For whom the person acts in this session."""
    browser: Mapped[bytes]
    """The hash of the device's secret, under which the browser is known while it is one of the person's."""
    device: Mapped[str]
    created_at: Mapped[datetime]
    seen_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    ended_at: Mapped[datetime | None]


class DeviceRow(Base):
    """A browser from which the person has signed in before, and was not signed out of from another since.

    Strangers' failures do not lock it out.
    """

    __tablename__ = "device"
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    secret_hash: Mapped[bytes] = mapped_column(primary_key=True)
    since: Mapped[datetime]


class ChallengeRow(Base):
    """A sign-in half done: a code was sent, or the second step is due."""

    __tablename__ = "challenge"
    __table_args__ = (sa.Index("challenge_asked", "mailbox", "created_at"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    secret_hash: Mapped[bytes] = mapped_column(unique=True)
    kind: Mapped[str]
    identifier: Mapped[str]
    mailbox: Mapped[str]
    """Under which name codes are counted."""
    person: Mapped[UUID | None]
    code_hash: Mapped[str]
    totp_secret: Mapped[bytes | None]
    tries: Mapped[int]
    known_device: Mapped[bool]
    later: Mapped[bool]
    """Whether the code is a long one, that comes in a later letter and cannot be guessed."""
    agency: Mapped[str]
    next: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    used_at: Mapped[datetime | None]


class RecoveryCodeRow(Base):
    __tablename__ = "recovery_code"
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(primary_key=True)
    used_at: Mapped[datetime | None]


class TotpResetRow(Base):
    """The lost-number procedure: one administrator asks, another approves."""

    __tablename__ = "totp_reset"
    __table_args__ = (
        sa.CheckConstraint(
            "approved_by <> asked_by AND approved_by <> person", name="totp_reset_two_persons"
        ),
        # By agency: none sees what another asked for, and so none may be stopped by it.
        sa.Index(
            "totp_reset_open",
            "person",
            "agency",
            unique=True,
            postgresql_where=sa.text("approved_at IS NULL"),
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"))
    agency: Mapped[str]
    why: Mapped[str]
    asked_by: Mapped[UUID]
    asked_at: Mapped[datetime]
    approved_by: Mapped[UUID | None]
    approved_at: Mapped[datetime | None]


class InvitationRow(Base):
    """An open door for one e-mail: to staff roles, or to an organisation."""

    __tablename__ = "invitation"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    token_hash: Mapped[bytes] = mapped_column(unique=True)
    agency: Mapped[str]
    email: Mapped[str]
    mailbox: Mapped[str]
    """Under which name its letter is counted."""
    name: Mapped[str]
    roles: Mapped[list[str]]
    organisation: Mapped[UUID | None] = mapped_column(sa.ForeignKey("organisation.id"))
    invited_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    accepted_at: Mapped[datetime | None]


class ApiKeyRow(Base):
    """What an API key may do; the key itself is signed, shown once and kept nowhere."""

    __tablename__ = "api_key"
    __table_args__ = (
        sa.ForeignKeyConstraint(["organisation", "member"], ["member.organisation", "member.person"]),
        sa.CheckConstraint(
            f"organisation IS NULL OR (member IS NULL) = ({sandbox.in_sql('agency')})",
            name="api_key_of_a_member",
        ),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str] = mapped_column(index=True)
    organisation: Mapped[UUID | None] = mapped_column(sa.ForeignKey("organisation.id"), index=True)
    name: Mapped[str]
    scopes: Mapped[list[str]]
    member: Mapped[UUID | None]
    """The person who answers for it: an organisation has no key outside the sandbox before somebody joined it."""
    made_by: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    revoked_at: Mapped[datetime | None]


class ConsentRow(Base):
    """One change of one consent, with what proves it; the newest row of a purpose counts."""

    __tablename__ = "consent"
    __table_args__ = (sa.Index("consent_latest", "person", "purpose", "at"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    person: Mapped[UUID] = mapped_column(sa.ForeignKey("person.id"))
    agency: Mapped[str]
    purpose: Mapped[str]
    granted: Mapped[bool]
    text_version: Mapped[str]
    channel: Mapped[str]
    at: Mapped[datetime]


class AuditRow(Base):
    """Who did what, before, after and why; each entry's hash covers the one before it, by agency."""

    __tablename__ = "audit"
    agency: Mapped[str] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    body: Mapped[str]
    hash: Mapped[bytes]


class HeadRow(Base):
    """A head of the books as the ledger signed it: kept here, where who owns the ledger's database changes nothing."""

    __tablename__ = "head"
    __table_args__ = (sa.Index("head_newest", "seq", "signed_at"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    """The fact's: two heads of one number are kept both, of which one proves the other false."""
    seq: Mapped[int]
    hash: Mapped[str]
    signed_at: Mapped[datetime]
    key: Mapped[str]
    signature: Mapped[str]
    heard_at: Mapped[datetime]


class MessageRow(Base):
    """A message to a person: queued, then sent, or why not."""

    __tablename__ = "message"
    __table_args__ = (
        sa.CheckConstraint(
            "state IN ('queued', 'sent', 'capped', 'bounced', 'unaddressed', 'failed')", name="message_state"
        ),
        sa.Index("message_due", "next_at", postgresql_where=sa.text("state = 'queued'")),
        sa.Index("message_of", "recipient", "created_at"),
        sa.Index("message_to", "address", "template"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    recipient: Mapped[UUID | None]
    """The person or organisation; none for a code to an address that nobody has yet."""
    address: Mapped[str]
    lang: Mapped[str]
    template: Mapped[str]
    params: Mapped[dict[str, Any]]
    """Emptied once the message is sent, since it may hold a code."""
    state: Mapped[str]
    attempts: Mapped[int]
    next_at: Mapped[datetime]
    error: Mapped[str]
    subject: Mapped[str]
    body: Mapped[str]
    """What was sent; kept only where the embedded inbox shows it."""
    created_at: Mapped[datetime]
    sent_at: Mapped[datetime | None]
