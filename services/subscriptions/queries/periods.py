"""Paid periods: which of them meet some days, and what ending one would give back."""

from uuid import UUID

import sqlalchemy as sa

from services.subscriptions.rules.periods import Span, unearned
from services.subscriptions.tables import PeriodRow, SubscriptionRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.base import CreditedLine
from shared.db import Tx
from shared.money import Amount
from shared.sales import SALE, Credited, Sale, find


async def meets_paid(tx: Tx, person: UUID, package: UUID, days: Span) -> bool:
    """Whether a person has a paid period of a package on one of these days, by whatever subscription."""
    meeting = sa.exists().where(
        PeriodRow.person == person,
        PeriodRow.package == package,
        PeriodRow.start < days.until,
        PeriodRow.until > days.start,
        PeriodRow.until > PeriodRow.start,
    )
    return bool(await tx.scalar(sa.select(meeting)))


async def is_on_its_way(tx: Tx, person: UUID, package: UUID) -> bool:
    """Whether late money of a person was taken for a package, and its capture is still to come."""
    coming = sa.exists().where(
        SALE.c.owner == person,
        SALE.c.taken.is_not(None),
        SALE.c.paid_at.is_(None),
        SALE.c.of == SubscriptionRow.id,
        SubscriptionRow.package == package,
    )
    return bool(await tx.scalar(sa.select(coming)))


def unused(sale: Sale, period: PeriodRow) -> tuple[CreditedLine, ...]:
    """What ending a period today would give back; the page that offers it and the credit itself both ask here."""
    assert sale.paid_at is not None  # noqa: S101 - a period begins with its money
    (line,) = sale.lines
    gone = sale.credits.get(line.id, Credited())
    back = unearned(
        Amount(line.net_vnd - gone.net_vnd, line.vat_vnd - gone.vat_vnd),
        line.vat_class,
        local_day(sale.paid_at),
        Span(period.start, period.until),
        local_day(clock.now()),
    )
    return (CreditedLine(line.id, back.net_vnd, back.vat_vnd),)


async def refund_offered(tx: Tx, subscription: UUID) -> int:
    """What ending a subscription at once would credit now, VAT included; of what a bank disputes, nothing."""
    today = local_day(clock.now())
    periods = (
        await tx.scalars(
            sa.select(PeriodRow).where(
                PeriodRow.subscription == subscription, PeriodRow.until > today, ~PeriodRow.suspended
            )
        )
    ).all()
    sold = await find(tx, [period.invoice for period in periods])
    return sum(gross(unused(sold[period.invoice], period)) for period in periods)


def gross(lines: tuple[CreditedLine, ...]) -> int:
    """What a credit of these lines comes to, VAT included."""
    return sum(line.net_vnd + line.vat_vnd for line in lines)
