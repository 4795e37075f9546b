"""Rows of the events service: what is sold, what is held and sold of it, who sponsors, who runs."""

from datetime import date, datetime
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ExcludeConstraint
from sqlalchemy.orm import Mapped, mapped_column

from shared import db


class Base(db.Base):
    __abstract__ = True
    metadata = sa.MetaData()


class EventRow(Base):
    """One event; everybody may read it."""

    __tablename__ = "event"
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(sa.Identity(always=True), unique=True)
    """Counts events, so that a claim on an industry can be a box on a plane (see ClaimRow)."""
    agency: Mapped[str]
    slug: Mapped[str] = mapped_column(unique=True)
    title: Mapped[str]
    summary: Mapped[str]
    place: Mapped[str]
    starts_at: Mapped[datetime]
    sales_end_at: Mapped[datetime]
    charity: Mapped[str]
    next_bib: Mapped[int] = mapped_column(sa.Integer)
    version: Mapped[int] = mapped_column(sa.Integer)
    created_at: Mapped[datetime]


class SellableRow(Base):
    """One sellable thing with its stock. Never oversold: the last line of defence is the CHECK."""

    __tablename__ = "sellable"
    __table_args__ = (
        sa.CheckConstraint("held >= 0 AND sold >= 0 AND held + sold <= capacity", name="sellable_stock"),
        sa.CheckConstraint("price_vnd >= 0", name="sellable_price"),
        sa.CheckConstraint("kind IN ('package', 'ticket')", name="sellable_kind"),
        sa.Index("sellable_event", "event", "position"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    event: Mapped[UUID] = mapped_column(sa.ForeignKey("event.id"))
    kind: Mapped[str]
    title: Mapped[str]
    position: Mapped[int] = mapped_column(sa.Integer)
    price_vnd: Mapped[int]
    """Net of VAT."""
    capacity: Mapped[int] = mapped_column(sa.Integer)
    held: Mapped[int] = mapped_column(sa.Integer)
    sold: Mapped[int] = mapped_column(sa.Integer)


class PackageRow(Base):
    """What makes a sellable thing a sponsorship package."""

    __tablename__ = "package"
    id: Mapped[UUID] = mapped_column(sa.ForeignKey("sellable.id"), primary_key=True)
    agency: Mapped[str]
    tier: Mapped[str]
    exclusive: Mapped[bool]
    """Whether its sponsor is the only one of its industry at the event."""
    benefits: Mapped[list[Any]]
    instalments: Mapped[list[Any]]
    """[{title, share, days_before}]: percent, due so many days before the event; the first is due at once."""
    deliverables: Mapped[list[Any]]
    """[{title, days_before}]: what the agency owes the sponsor, and by when."""


class HoldRow(Base):
    """The cause of a `held` or `sold` count: so many of one thing, for one invoice."""

    __tablename__ = "hold"
    __table_args__ = (
        sa.UniqueConstraint("invoice", "sellable", name="hold_once"),
        sa.CheckConstraint("quantity > 0", name="hold_quantity"),
        sa.CheckConstraint("freed_at IS NULL OR sold_at IS NULL", name="hold_one_end"),
        sa.CheckConstraint("returned_at IS NULL OR sold_at IS NOT NULL", name="hold_returned_when_sold"),
        sa.Index("hold_sellable", "sellable"),
        sa.Index("hold_owner", "owner"),
        sa.Index("hold_person", "person"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    sellable: Mapped[UUID] = mapped_column(sa.ForeignKey("sellable.id"))
    invoice: Mapped[UUID]
    owner: Mapped[UUID]
    """Whose order it is, and who placed it: unpaid holds are counted by both, since organisations cost nothing."""
    person: Mapped[UUID | None]
    crowd: Mapped[str] = mapped_column(server_default="")
    """By which network a newcomer's hold is counted too, as a pseudonym; empty for who counts alone."""
    quantity: Mapped[int] = mapped_column(sa.Integer)
    created_at: Mapped[datetime]
    freed_at: Mapped[datetime | None]
    """When it was let go unpaid; empty again once late money was taken for it."""
    sold_at: Mapped[datetime | None]
    returned_at: Mapped[datetime | None]
    """When what was sold was cancelled and its money went back: it can be sold again."""


class SponsorshipRow(Base):
    """One organisation's package; its state is derived from these instants, its instalments and deliverables."""

    __tablename__ = "sponsorship"
    __table_args__ = (
        sa.Index("sponsorship_event", "event"),
        sa.Index("sponsorship_owner", "owner"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(sa.Identity(always=True), unique=True)
    agency: Mapped[str]
    event: Mapped[UUID] = mapped_column(sa.ForeignKey("event.id"))
    package: Mapped[UUID] = mapped_column(sa.ForeignKey("package.id"))
    owner: Mapped[UUID]
    """Who may see it: the person, or the organisation of the API key."""
    person: Mapped[UUID | None]
    """Whom to write to; none when a program bought."""
    buyer_kind: Mapped[str]
    buyer: Mapped[UUID]
    organisation: Mapped[str]
    tax_code: Mapped[str]
    industry: Mapped[int] = mapped_column(sa.Integer)
    contact_name: Mapped[str]
    contact_email: Mapped[str]
    contact_phone: Mapped[str]
    terms: Mapped[dict[str, Any]]
    """The package as it was when the sponsor accepted: later edits do not reach it."""
    created_at: Mapped[datetime]
    proposed_at: Mapped[datetime | None]
    accepted_at: Mapped[datetime | None]
    contracted_at: Mapped[datetime | None]
    given_back_at: Mapped[datetime | None]
    """When its sponsor no longer wanted it, unpaid: money that comes after that goes back."""
    cancelled_at: Mapped[datetime | None]
    cancel_reason: Mapped[str]


class ClaimRow(Base):
    """A sponsor's place in the tree of industries: no other may overlap it where one of the two is exclusive.

    A claim is a box. Across lies the industry with all below it, shifted by the event; up lies a lane, all lanes
    for an exclusive claim and one of its own otherwise. PostgreSQL keeps the boxes apart, at any load.
    """

    __tablename__ = "claim"
    __table_args__ = (
        ExcludeConstraint(
            (sa.text("box(point(first, lowest), point(last, highest))"), "&&"),
            using="gist",
            name="claim_apart",
        ),
    )
    sponsorship: Mapped[UUID] = mapped_column(sa.ForeignKey("sponsorship.id"), primary_key=True)
    agency: Mapped[str]
    first: Mapped[int]
    last: Mapped[int]
    lowest: Mapped[int]
    highest: Mapped[int]


class InstalmentRow(Base):
    """One part of a sponsorship's price, an invoice of its own once it is opened."""

    __tablename__ = "instalment"
    __table_args__ = (
        sa.UniqueConstraint("sponsorship", "position", name="instalment_position"),
        sa.UniqueConstraint("invoice", name="instalment_invoice"),
        sa.CheckConstraint(
            "gross_vnd >= 0 AND before_vnd >= 0 AND (position > 1 OR before_vnd = 0)",
            name="instalment_of_a_whole",
        ),
        sa.Index("instalment_unopened", "due_on", postgresql_where=sa.text("invoice IS NULL")),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    sponsorship: Mapped[UUID] = mapped_column(sa.ForeignKey("sponsorship.id"))
    owner: Mapped[UUID]
    position: Mapped[int] = mapped_column(sa.Integer)
    title: Mapped[str]
    due_on: Mapped[date]
    before_vnd: Mapped[int]
    """What the instalments before it come to."""
    gross_vnd: Mapped[int]
    """As agreed, VAT included; how much of it is VAT says the day on which it becomes an invoice."""
    invoice: Mapped[UUID | None]
    reminders: Mapped[int] = mapped_column(sa.Integer)


class DeliverableRow(Base):
    """What the agency owes a sponsor: due by a day, delivered with a note of proof."""

    __tablename__ = "deliverable"
    __table_args__ = (sa.Index("deliverable_sponsorship", "sponsorship"),)
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    sponsorship: Mapped[UUID] = mapped_column(sa.ForeignKey("sponsorship.id"))
    owner: Mapped[UUID]
    title: Mapped[str]
    due_on: Mapped[date]
    delivered_at: Mapped[datetime | None]
    proof: Mapped[str]


class RegistrationRow(Base):
    """One order of tickets; how it stands follows from its sale, and its tickets' rows say what they are good for."""

    __tablename__ = "registration"
    __table_args__ = (
        sa.Index("registration_event", "event"),
        sa.Index("registration_owner", "owner"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    event: Mapped[UUID] = mapped_column(sa.ForeignKey("event.id"))
    owner: Mapped[UUID]
    person: Mapped[UUID | None]
    created_at: Mapped[datetime]


class EntrantRow(Base):
    """One ticket: a name, and once paid a bib number; let in once."""

    __tablename__ = "entrant"
    __table_args__ = (
        sa.UniqueConstraint("event", "bib", name="entrant_bib"),
        sa.CheckConstraint("voided_at IS NULL OR checked_in_at IS NULL", name="entrant_void_never_in"),
        sa.Index("entrant_registration", "registration"),
    )
    id: Mapped[UUID] = mapped_column(primary_key=True)
    agency: Mapped[str]
    registration: Mapped[UUID] = mapped_column(sa.ForeignKey("registration.id"))
    event: Mapped[UUID] = mapped_column(sa.ForeignKey("event.id"))
    sellable: Mapped[UUID] = mapped_column(sa.ForeignKey("sellable.id"))
    owner: Mapped[UUID]
    position: Mapped[int] = mapped_column(sa.Integer)
    name: Mapped[str]
    bib: Mapped[int | None] = mapped_column(sa.Integer)
    """Nobody else ever gets it, also where its ticket is void."""
    voided_at: Mapped[datetime | None]
    checked_in_at: Mapped[datetime | None]
    checked_in_by: Mapped[UUID | None]


class RecountRow(Base):
    """What the nightly recount of one agency found; an empty list is a good night."""

    __tablename__ = "recount"
    agency: Mapped[str] = mapped_column(primary_key=True)
    day: Mapped[date] = mapped_column(primary_key=True)
    counted_at: Mapped[datetime]
    checked: Mapped[int] = mapped_column(sa.Integer)
    differences: Mapped[list[Any]]
