"""What is sold of an event is earned on its day, also where that day has moved since."""

import sqlalchemy as sa

from services.events.tables import EventRow, InstalmentRow, RegistrationRow, SponsorshipRow
from shared.calendar import local_day
from shared.contracts.base import OnDate
from shared.contracts.events import EarningMoved
from shared.db import Tx
from shared.outbox import emit
from shared.sales import SALE, Sale, read_sale


async def move(tx: Tx, event: EventRow) -> None:
    """The event has another day: all that is paid for it, or owed on terms, is earned on that."""
    sponsorships = sa.select(SponsorshipRow.id).where(SponsorshipRow.event == event.id)
    sold = (
        sa.select(RegistrationRow.id).where(RegistrationRow.event == event.id),
        sponsorships,
        sa.select(InstalmentRow.id).where(InstalmentRow.sponsorship.in_(sponsorships)),
    )
    # Of what is prepaid the books know nothing before its money comes; `follow` says it then.
    booked = sa.or_(SALE.c.paid_at.is_not(None), SALE.c.collect == "on_terms")
    rows = await tx.execute(
        sa.select(SALE)
        .where(SALE.c.of.in_(sa.union_all(*sold)), SALE.c.total_vnd > 0, booked)
        .order_by(SALE.c.id)
    )
    await emit(tx, *(fact for row in rows for fact in _moved(read_sale(row), event)))


async def follow(tx: Tx, sale: Sale, event: EventRow) -> None:
    """What was asked for before the event got another day, and is paid after that, is earned on the day of now."""
    on = OnDate(local_day(event.starts_at))
    if sale.total_vnd and any(line.earn != on for line in sale.lines):
        await emit(tx, *_moved(sale, event))


def _moved(sale: Sale, event: EventRow) -> list[EarningMoved]:
    on = OnDate(local_day(event.starts_at))
    return [EarningMoved(agency=sale.agency, line=line.id, earn=on) for line in sale.lines]
