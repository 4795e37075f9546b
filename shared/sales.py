"""A seller's invoices as it sees them: one table and one Struct for all sellers."""

import re
from collections.abc import Iterable
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.schema import CreateIndex, CreateTable

from shared import clock, links
from shared.calendar import local_day
from shared.contracts.base import Buyer, Collect, Line
from shared.db import Tx, secure_ddl
from shared.settings import Settings

LEAST_LINK_S = 60

TAIL = 12
"""So many of its last digits tell an id from all others of a day: of 100,000, two meet once in 150 years."""


class Credited(msgspec.Struct, frozen=True, array_like=True):
    """What was taken back of a line so far."""

    net_vnd: int = 0
    vat_vnd: int = 0


class Sale(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as its seller sees it."""

    id: UUID
    agency: str
    kind: str
    of: UUID
    """What it pays for: an order, an instalment, a period."""
    owner: UUID
    """Whose own it is: the person, or the organisation."""
    number: str
    buyer: Buyer
    collect: Collect
    lines: tuple[Line, ...]
    """As they were opened; once money came, as payments split them by the rate of its day."""
    total_vnd: int
    opened_at: datetime
    expires_at: datetime
    captured_vnd: int = 0
    credits: dict[UUID, Credited] = {}
    """By line."""
    credited_vnd: int = 0
    paid_at: datetime | None = None
    """When all of it had come."""
    withdrawn_at: datetime | None = None
    """When payments was asked to stop; what is held is freed only when it says that it has."""
    withdrawn_by: UUID | None = None
    """By whose deed it was no longer wanted, also where its time was over; nobody's where it was the clock's."""
    taken: UUID | None = None
    """The late payment that was taken; its capture is on the way."""
    outcome: Literal["withdrawn", "expired"] | None = None
    """How it ended unpaid, once no money can come any more; None where it is paid, or may be."""
    closed_at: datetime | None = None

    @property
    def net_vnd(self) -> int:
        return sum(line.net_vnd for line in self.lines)

    @property
    def vat_vnd(self) -> int:
        return sum(line.vat_vnd for line in self.lines)

    @property
    def owed_vnd(self) -> int:
        """What has still to come."""
        return max(0, self.total_vnd - self.credited_vnd - self.captured_vnd)

    @property
    def left_vnd(self) -> int:
        """What was sold and not taken back."""
        return self.total_vnd - self.credited_vnd

    @property
    def waits(self) -> bool:
        """Whether it can be paid: nobody paid, took, withdrew or closed it."""
        ended = (self.paid_at, self.taken, self.withdrawn_at, self.outcome)
        return all(word is None for word in ended)


_INSTANT = sa.DateTime(timezone=True)
_WAITS = "paid_at IS NULL AND taken IS NULL AND withdrawn_at IS NULL AND outcome IS NULL"

SALE = sa.Table(
    "sale",
    sa.MetaData(),
    sa.Column("id", sa.Uuid, primary_key=True),
    sa.Column("agency", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),
    sa.Column("of", sa.Uuid, nullable=False, index=True),
    sa.Column("owner", sa.Uuid, nullable=False),
    sa.Column("number", sa.Text, nullable=False, unique=True),
    sa.Column("buyer", JSONB, nullable=False),
    sa.Column("collect", sa.Text, nullable=False),
    sa.Column("lines", JSONB, nullable=False),
    sa.Column("total_vnd", sa.BigInteger, nullable=False),
    sa.Column("opened_at", _INSTANT, nullable=False),
    sa.Column("expires_at", _INSTANT, nullable=False),
    sa.Column("captured_vnd", sa.BigInteger, nullable=False),
    sa.Column("credits", JSONB, nullable=False),
    sa.Column("credited_vnd", sa.BigInteger, nullable=False),
    sa.Column("paid_at", _INSTANT),
    sa.Column("withdrawn_at", _INSTANT),
    sa.Column("withdrawn_by", sa.Uuid),
    sa.Column("taken", sa.Uuid, unique=True),
    sa.Column("outcome", sa.Text),
    sa.Column("closed_at", _INSTANT),
    sa.CheckConstraint("collect IN ('prepaid', 'on_terms')", name="sale_collect"),
    sa.CheckConstraint("outcome IN ('withdrawn', 'expired')", name="sale_outcome"),
    sa.CheckConstraint("(outcome IS NULL) = (closed_at IS NULL)", name="sale_closed_with_outcome"),
    sa.CheckConstraint(
        "total_vnd > 0 OR (total_vnd = 0 AND paid_at IS NOT NULL)", name="sale_of_nothing_is_paid"
    ),
    sa.CheckConstraint("captured_vnd >= 0", name="sale_captured"),
    sa.CheckConstraint("credited_vnd BETWEEN 0 AND total_vnd", name="sale_never_over_credited"),
    sa.Index("sale_tail", sa.text(f"right(number, {TAIL})")),
    sa.Index(
        "sale_to_expire",
        "expires_at",
        postgresql_where=sa.text(f"collect = 'prepaid' AND {_WAITS}"),
    ),
)
"""A seller's invoices, for queries that join what was sold with how its invoice stands."""


def sale_ddl(service: str) -> list[str]:
    """SQL for a seller's invoices, each its owner's own; run by the seller's first migration."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]
    indexes = sorted(SALE.indexes, key=lambda index: str(index.name))
    made: list[Any] = [CreateTable(SALE), *(CreateIndex(index) for index in indexes)]
    return [
        *(str(statement.compile(dialect=dialect)) for statement in made),
        *secure_ddl(service, "sale", person="owner"),
        f"REVOKE DELETE, TRUNCATE ON sale FROM {service}_web, {service}_worker",
    ]


def waits() -> sa.ColumnElement[bool]:
    """The condition under which a sale can still be paid: `Sale.waits`, for queries."""
    return sa.and_(*(SALE.c[name].is_(None) for name in ("paid_at", "taken", "withdrawn_at", "outcome")))


def tail(key: UUID) -> str:
    """The end of an id, as it stands in numbers that people quote."""
    return key.hex[-TAIL:].upper()


def number(prefix: str, key: UUID, at: datetime) -> str:
    """What buyers see and quote: the seller's letters, the day, and the end of an id."""
    return f"{prefix}{local_day(at):%y%m%d}-{tail(key)}"


def tails(prefix: str, codes: Iterable[str]) -> list[str]:
    """The ends of what may be a seller's numbers, of typed codes without dashes; the end alone is enough."""
    like = re.compile(rf"({prefix}(\d{{6}})?)?[0-9A-F]{{{TAIL}}}")
    return [code[-TAIL:] for code in codes if like.fullmatch(code)]


def pay_link(settings: Settings, seller: str, sale: Sale) -> str:
    """The buyer's signed way to payments, good as long as the invoice is."""
    ttl_s = max(LEAST_LINK_S, int((sale.expires_at - clock.now()).total_seconds()))
    return links.pay_link(settings, seller, sale.id, ttl_s, agency=sale.agency, amount_vnd=sale.total_vnd)


async def find(tx: Tx, invoices: Iterable[UUID | None]) -> dict[UUID, Sale]:
    """How invoices stand, by their ids."""
    rows = await tx.execute(
        sa.select(SALE).where(SALE.c.id.in_([key for key in invoices if key is not None]))
    )
    return {row.id: read_sale(row) for row in rows}


async def lock(tx: Tx, invoice: UUID | None) -> Sale | None:
    """How an invoice stands, and nobody changes it until the transaction ends.

    All sales of the same thing are locked with it, in the order of their ids: who goes on to the others meets nobody.
    """
    of = sa.select(SALE.c.of).where(SALE.c.id == invoice).scalar_subquery()
    rows = await tx.execute(sa.select(SALE).where(SALE.c.of == of).order_by(SALE.c.id).with_for_update())
    return next((read_sale(row) for row in rows if row.id == invoice), None)


def read_sale(row: Any) -> Sale:
    """A row of `SALE` as the rules see it."""
    return msgspec.convert(row._mapping, Sale, strict=False)  # noqa: SLF001 - SQLAlchemy's name for a public thing
