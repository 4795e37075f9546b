"""Orders from booking to payment: book, submit, ask for the money, run, cancel."""

from collections.abc import Sequence
from datetime import date, timedelta
from typing import Annotated, Self
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.ads.actions.settlement import unwind
from services.ads.actions.version import bump
from services.ads.queries import catalogue, orders
from services.ads.rules import orders as rules
from services.ads.tables import CreativeRow, LineRow, OrderRow
from shared import auth, clock, money, sales, selling
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.contracts.ads import MessageRequested
from shared.contracts.base import Buyer, CreditedLine, Delivery, Line, Stream
from shared.db import Tx, locked
from shared.errors import NotAllowed, NotFound
from shared.jobs import Batch
from shared.outbox import emit
from shared.sales import Sale
from shared.settings import Settings

STREAM: Stream = "advertising.web"
PRODUCT_CLASS = "advertising.web.cpm"
GUARANTEED = 2

GRACE_DAYS = 2
"""A line's account is drawn up so many days after its flight, when no beacon can come any more."""

Code = Annotated[str, msgspec.Meta(min_length=1, max_length=64, pattern=r"^[a-z0-9-]+$")]
# PostgreSQL keeps no NUL, so none is let in; and a name of blanks names nothing.
Text = Annotated[str, msgspec.Meta(min_length=1, max_length=200, pattern=r"^[^\x00]*[^\x00\s][^\x00]*$")]


class NewLine(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A line item: `budget_vnd` is net of VAT and never exceeded; days are local and both included."""

    placements: Annotated[tuple[Code, ...], msgspec.Meta(min_length=1, max_length=20)]
    starts_on: date
    ends_on: date
    budget_vnd: Annotated[int, msgspec.Meta(gt=0, le=10**11)]
    name: Annotated[str, msgspec.Meta(max_length=200, pattern=r"^[^\x00]*$")] = ""
    pricing: rules.Pricing = "cpm"
    price_vnd: Annotated[int, msgspec.Meta(gt=0)] | None = None
    """The price for 1,000 impressions that you saw: where it has changed since, nothing is booked."""
    sections: Annotated[tuple[Code, ...], msgspec.Meta(max_length=20)] = ()
    devices: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^(phone|tablet|desktop)$")], ...],
        msgspec.Meta(max_length=3),
    ] = ()
    languages: Annotated[
        tuple[Annotated[str, msgspec.Meta(pattern="^[a-z]{2}$")], ...], msgspec.Meta(max_length=5)
    ] = ()
    hours: Annotated[tuple[Annotated[int, msgspec.Meta(ge=0, le=23)], ...], msgspec.Meta(max_length=24)] = ()
    cap_day: Annotated[int, msgspec.Meta(ge=0, le=1000)] = 0

    @classmethod
    def example(cls, today: date) -> Self:
        return cls(
            name="Trang nhất, điện thoại và máy tính",
            placements=("article-mid",),
            starts_on=today + timedelta(days=3),
            ends_on=today + timedelta(days=16),
            budget_vnd=3_000_000,
            devices=("phone", "desktop"),
            cap_day=4,
        )


class NewOrder(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An order of one or more line items at one agency."""

    agency: Code
    name: Text
    line_items: Annotated[tuple[NewLine, ...], msgspec.Meta(min_length=1, max_length=50)]

    @classmethod
    def example(cls, today: date) -> Self:
        return cls(
            agency="bkh-sandbox", name="Nước mắm Hòn Yến, vụ cá mới", line_items=(NewLine.example(today),)
        )


async def book_order(
    tx: Tx, settings: Settings, principal: auth.Principal, wanted: NewOrder
) -> orders.OrderView:
    """Price an order and keep it as a draft.

    Raises NotAllowed without an organisation, or where neither it nor the key is at home, and the refusals of
    `rules.price`.
    """
    if principal.organisation is None:
        raise NotAllowed("Only an advertiser's key or person books; this one belongs to no organisation.")
    if principal.kind == "key" and principal.agency != wanted.agency:
        raise NotAllowed(f"This key books at {principal.agency} only.")
    if principal.kind == "person" and sandbox.is_sandbox(wanted.agency):
        raise NotAllowed("The sandbox is for programs: only its keys book there.")
    if principal.kind == "person" and wanted.agency not in auth.is_registered.agencies(principal):
        raise NotAllowed("Your organisation is not registered with this agency.")
    row = await keep_order(tx, principal.organisation, principal.subject, wanted)
    return await orders.order(tx, settings, row.id)


async def keep_order(tx: Tx, organisation: UUID, booked_by: str, wanted: NewOrder) -> OrderRow:
    """Write an order and its priced lines."""
    now = clock.now()
    today = local_day(now)
    rates = await catalogue.rates(tx, wanted.agency, today)
    row = OrderRow(
        id=clock.new_id(),
        agency=wanted.agency,
        organisation=organisation,
        kind="sold",
        name=wanted.name,
        booked_by=booked_by,
        booked_at=now,
    )
    tx.add(row)
    await tx.flush()
    for n, line in enumerate(wanted.line_items, start=1):
        wish = rules.Wish(line.placements, line.sections, line.starts_on, line.ends_on, line.budget_vnd)
        offer = rules.price(wish, rates, today)
        money.check_seen(line.price_vnd, offer.price_vnd)
        tx.add(_line_row(row, n, line, offer, today))
    await tx.flush()
    return row


def _line_row(row: OrderRow, n: int, line: NewLine, offer: rules.Offer, today: date) -> LineRow:
    return LineRow(
        id=clock.new_id(),
        ad_order=row.id,
        agency=row.agency,
        organisation=row.organisation,
        name=line.name or f"{row.name} · {n}",
        tier=GUARANTEED,
        placements=list(dict.fromkeys(line.placements)),
        sections=list(dict.fromkeys(line.sections)),
        devices=list(line.devices),
        languages=list(line.languages),
        hours=list(line.hours),
        starts_on=line.starts_on,
        ends_on=line.ends_on,
        pricing=line.pricing,
        price_vnd=offer.price_vnd,
        budget_vnd=line.budget_vnd,
        goal=offer.goal,
        net_vnd=offer.net_vnd,
        vat_vnd=money.priced(offer.net_vnd, rules.VAT_CLASS, today).vat_vnd,
        cap_day=line.cap_day,
    )


async def lock_order(tx: Tx, order_id: UUID) -> OrderRow:
    """Raises NotFound, also for an order of somebody else."""
    row: OrderRow | None = await locked(tx, OrderRow, order_id)
    if row is None or row.kind != "sold":
        raise NotFound("There is no such order.")
    return row


async def submit_order(tx: Tx, settings: Settings, order_id: UUID) -> orders.OrderView:
    """Hand an order to review. Raises NotSubmittable while a line has no creative, or when it is over."""
    row = await lock_order(tx, order_id)
    view = await orders.order(tx, settings, order_id)
    if view.status not in ("draft", "review", "refused"):
        raise rules.NotSubmittable(f"The order is in the state {view.status}; only a draft is submitted.")
    usable = {(c.width, c.height) for c in view.creatives if c.status in ("waiting", "approved")}
    if orders.uncovered(view.line_items, await catalogue.sizes(tx, row.agency), usable):
        raise rules.NotSubmittable("Each line needs a creative in the size of one of its placements.")
    today = local_day(clock.now())
    if any(line.ends_on < today for line in view.line_items):
        raise rules.NotSubmittable("The flight of a line is over: book it anew with later days.")
    row.submitted_at = row.submitted_at or clock.now()
    await tx.flush()
    await open_invoice_when_approved(tx, row)
    return await orders.order(tx, settings, order_id)


async def open_invoice_when_approved(tx: Tx, row: OrderRow) -> None:
    """Ask for the money once no creative of a submitted order waits and each line has one that may be shown."""
    if row.submitted_at is None or row.invoice is not None or row.cancelled_at is not None:
        return
    creatives = list(await tx.scalars(sa.select(CreativeRow).where(CreativeRow.ad_order == row.id)))
    verdicts = await orders.verdicts_of(tx, [c.id for c in creatives])
    lines = list(await tx.scalars(sa.select(LineRow).where(LineRow.ad_order == row.id).order_by(LineRow.id)))
    approved = {
        (c.width, c.height) for c in creatives if verdicts.get(c.id, ("waiting", ""))[0] == "approved"
    }
    if len(verdicts) < len(creatives):
        return
    if orders.uncovered(lines, await catalogue.sizes(tx, row.agency), approved):
        return
    await _open_invoice(tx, row, lines)


async def _open_invoice(tx: Tx, row: OrderRow, lines: Sequence[LineRow]) -> None:
    now = clock.now()
    if row.organisation is None:
        raise ValueError("A house order is never invoiced.")
    for line in lines:
        # What was booked stays, VAT included, whatever its rate has become since.
        cost = money.split(line.net_vnd + line.vat_vnd, rules.VAT_CLASS, local_day(now))
        line.net_vnd, line.vat_vnd = cost.net_vnd, cost.vat_vnd
    row.invoice = clock.new_id()
    await tx.flush()
    await selling.open_sale(
        tx,
        ORDER,
        invoice=row.invoice,
        of=row.id,
        owner=row.organisation,
        buyer=Buyer("organisation", row.organisation),
        number=orders.number_of(row.id),
        lines=[_invoice_line(line) for line in lines],
        expires_at=now + rules.HOLD,
        return_url=f"/advertise/orders/{row.id}",
    )


def _invoice_line(line: LineRow) -> Line:
    return Line(
        id=line.id,
        agency=line.agency,
        stream=STREAM,
        product_class=PRODUCT_CLASS,
        title=line.name,
        net_vnd=line.net_vnd,
        vat_class=rules.VAT_CLASS,
        vat_vnd=line.vat_vnd,
        earn=Delivery(unit="impression", quantity=line.goal),
    )


async def _deliver(tx: Tx, sale: Sale) -> None:
    """All the money came: the order runs in its flight, by the net and VAT of the day of the money."""
    row = await lock_order(tx, sale.of)
    if row.cancelled_at is not None:
        raise rules.OrderCancelled("The order was cancelled before its money came.")
    row.paid_at = sale.paid_at
    charged = {line.id: line for line in sale.lines}
    for line in await _lines_of(tx, row):
        line.net_vnd, line.vat_vnd = charged[line.id].net_vnd, charged[line.id].vat_vnd
    await tx.flush()
    await bump(tx)
    await _tell(tx, sale, row)


async def _tell(tx: Tx, sale: Sale, row: OrderRow) -> None:
    """Write to the advertiser that the order is paid; in the sandbox nothing was."""
    if sandbox.is_sandbox(sale.agency):
        return
    params = {
        "order": row.name,
        "number": sale.number,
        "amount_vnd": sale.total_vnd,
        "path": f"/advertise/orders/{row.id}",
    }
    await emit(
        tx, MessageRequested(agency=sale.agency, person=sale.owner, template="ads.order-paid", params=params)
    )


async def _take(tx: Tx, sale: Sale) -> None:
    """Late money buys what it would have bought in time, as long as no flight is over."""
    row = await lock_order(tx, sale.of)
    if row.cancelled_at is not None:
        raise rules.OrderCancelled("The order was cancelled before its money came.")
    if any(line.ends_on < local_day(clock.now()) for line in await _lines_of(tx, row)):
        raise rules.FlightOver("The money came when the flight was over.")


async def _free(_tx: Tx, _sale: Sale) -> None:
    """An order that is not paid holds nothing; how it stands follows from its sale."""


async def _cancel(tx: Tx, sale: Sale, amount_vnd: int, _by: UUID | None) -> tuple[CreditedLine, ...]:
    """Give back all that was not shown, and the order is over; or less, as an allowance, and it runs on."""
    row = await lock_order(tx, sale.of)
    lines = await _lines_of(tx, row)
    rest = await unwind(tx, sale, lines)
    rest_vnd = sum(line.net_vnd + line.vat_vnd for line in rest)
    if amount_vnd > rest_vnd:
        raise rules.AlreadyShown(f"At most {rest_vnd} đồng of this order were not shown yet.")
    if amount_vnd < rest_vnd:
        # Of a line that was shown in full nothing goes back.
        return selling.spread(amount_vnd, rest)
    row.cancelled_at = clock.now()
    _close(lines)
    await tx.flush()
    await bump(tx)
    return rest


ORDER = selling.Kind(seller="ads", name="order", deliver=_deliver, take=_take, free=_free, cancel=_cancel)


def _close(lines: Sequence[LineRow]) -> None:
    for line in lines:
        line.closed_at = line.closed_at or clock.now()


async def _lines_of(tx: Tx, row: OrderRow) -> list[LineRow]:
    return list(
        await tx.scalars(
            sa.select(LineRow).where(LineRow.ad_order == row.id).order_by(LineRow.id).with_for_update()
        )
    )


async def _lock_whole(tx: Tx, order_id: UUID) -> tuple[Sale | None, OrderRow]:
    """Lock an order's sale, then the order, as money that comes does. Raises NotFound."""
    sale = await sales.lock(tx, await tx.scalar(sa.select(OrderRow.invoice).where(OrderRow.id == order_id)))
    row = await lock_order(tx, order_id)
    # One that was opened while the order was waited for: nobody can have paid it yet.
    return sale or await sales.lock(tx, row.invoice), row


async def cancel_order(
    tx: Tx, settings: Settings, order_id: UUID, by: UUID | None = None
) -> orders.OrderView:
    """Stop an order: before payment its invoice is withdrawn, after it what was not shown is credited.

    Raises NotFound, NotCancellable when nothing is left to cancel. `by` is the person whose deed it is.
    """
    sale, row = await _lock_whole(tx, order_id)
    view = await orders.order(tx, settings, order_id)
    if view.status in ("finished", "cancelled", "expired"):
        raise rules.NotCancellable(f"The order is {view.status} already.")
    row.cancelled_at = clock.now()
    await tx.flush()
    if sale is not None and sale.paid_at is not None:
        lines = await _lines_of(tx, row)
        rest = await unwind(tx, sale, lines)
        _close(lines)
        await tx.flush()
        await selling.credit(tx, ORDER, sale, rest, "cancelled", by=by)
    elif sale is not None:
        await selling.withdraw(tx, ORDER, sale, "cancelled", by=by)
    await bump(tx)
    return await orders.order(tx, settings, order_id)


async def close_ended(tx: Tx, batch: Batch) -> None:
    """Draw up the account of paid lines whose flight has ended, and credit what falls short."""
    last = local_day(clock.now()) - timedelta(days=GRACE_DAYS)
    due = (
        sa.select(LineRow.id, OrderRow.invoice)
        .join(OrderRow, OrderRow.id == LineRow.ad_order)
        .where(LineRow.ends_on < last, LineRow.closed_at.is_(None), OrderRow.paid_at.is_not(None))
    )
    for line_id, invoice in await batch.take(tx, due):
        sale = await sales.lock(tx, invoice)
        line: LineRow = await locked(tx, LineRow, line_id)
        if sale is None or line.closed_at is not None:
            continue
        rest = await unwind(tx, sale, [line])
        _close([line])
        await tx.flush()
        await selling.credit(tx, ORDER, sale, rest, "undelivered")
