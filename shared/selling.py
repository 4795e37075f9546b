"""What a seller does about an invoice, once for all sellers: open, deliver, withdraw, free, take late money, give back.

A seller says for each kind of sale what to do when its money came, came late, does not come, or is to go back; payments
has the other half. A sale's row is locked before the rows that it pays for.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import msgspec
import sqlalchemy as sa

from shared import clock, contracts
from shared.consume import Consumer
from shared.contracts.base import Buyer, Collect, CreditedLine, Line
from shared.contracts.payments import InvoiceClosed, MoneyUnapplied, PaymentCaptured, RefundAsked
from shared.db import Tx
from shared.errors import Refused, Waits
from shared.jobs import Batch
from shared.money import allocate
from shared.outbox import emit
from shared.sales import SALE, Credited, Sale, lock, read_sale, waits
from shared.waiting import arrived

MONEY_COMES = timedelta(days=1)
"""How long a refund waits for money of which payments speaks before we have heard of it."""


class AlreadyPaid(Refused):
    """The invoice is paid, or its late money was taken: nothing is sold twice."""


class OtherAmount(Refused):
    """Another amount came than is still owed, so that it buys nothing."""


class NothingCame(Refused):
    """Nothing came for the invoice, so that nothing can go back."""


class Overcredited(Refused):
    """More would be taken back than was sold."""


Deed = Callable[[Tx, Sale], Awaitable[None]]


class Kind(msgspec.Struct, frozen=True, kw_only=True):
    """What a seller does about one kind of sale. What a deed refuses leaves nothing behind."""

    seller: str
    name: str
    deliver: Deed
    """All the money came: give what was bought. Refused where that cannot be: it is freed, and the money credited."""
    take: Deed
    """Money came late: hold again what was freed. Refused where it is gone: the money is declined."""
    free: Deed
    """No money can come any more, or what it paid for cannot be given: free what is still held."""
    cancel: Callable[[Tx, Sale, int, UUID | None], Awaitable[tuple[CreditedLine, ...]]]
    """So much is to go back: unwind what was sold, and say what of which line. Refused where it was used up.

    Last comes the person who asked for it: what else ends with it ends by their deed.
    """


async def _write(tx: Tx, sale: Sale, **changes: Any) -> Sale:
    stored = {
        name: msgspec.to_builtins(value) if name in ("lines", "credits") else value
        for name, value in changes.items()
    }
    await tx.execute(sa.update(SALE).where(SALE.c.id == sale.id).values(stored))
    return msgspec.structs.replace(sale, **changes)


def _said(kind: Kind) -> Any:
    """The facts by which the seller speaks."""
    return contracts.PUBLISHERS[kind.seller]


async def open_sale(
    tx: Tx,
    kind: Kind,
    *,
    of: UUID,
    owner: UUID,
    buyer: Buyer,
    number: str,
    lines: Sequence[Line],
    expires_at: datetime,
    return_url: str,
    invoice: UUID | None = None,
    due_at: datetime | None = None,
    collect: Collect = "prepaid",
) -> Sale:
    """Ask for the money of a sale. What costs nothing is delivered in the same transaction, without an invoice."""
    now = clock.now()
    total_vnd = sum(line.gross_vnd for line in lines)
    sale = Sale(
        id=invoice or clock.new_id(),
        agency=lines[0].agency,
        kind=kind.name,
        of=of,
        owner=owner,
        number=number,
        buyer=buyer,
        collect=collect,
        lines=tuple(lines),
        total_vnd=total_vnd,
        opened_at=now,
        expires_at=expires_at,
        paid_at=None if total_vnd else now,
    )
    stored = msgspec.structs.asdict(sale)
    plain = {name: msgspec.to_builtins(stored[name]) for name in ("buyer", "lines", "credits")}
    await tx.execute(sa.insert(SALE).values({**stored, **plain}))
    if total_vnd == 0:
        await kind.deliver(tx, sale)
        return sale
    await _ask(tx, kind, sale, due_at or expires_at, return_url)
    return sale


async def _ask(
    tx: Tx, kind: Kind, sale: Sale, due_at: datetime, return_url: str, tax_point: date | None = None
) -> None:
    opened = _said(kind).InvoiceOpened(
        agency=sale.agency,
        invoice=sale.id,
        number=sale.number,
        buyer=sale.buyer,
        collect=sale.collect,
        due_at=due_at,
        expires_at=sale.expires_at,
        return_url=return_url,
        tax_point=tax_point,
        lines=sale.lines,
    )
    await emit(tx, opened)


async def claim(
    tx: Tx,
    kind: Kind,
    sale: Sale,
    lines: Sequence[Line],
    *,
    tax_point: date,
    due_at: datetime,
    return_url: str,
) -> Sale:
    """A locked sale that was asked for in advance is delivered and unpaid: say its invoice again, on terms.

    From its tax point on it is owed, its lines split by the rate of that day, the agreed gross unchanged.
    Payments turns its invoice once and never back; money that came to it before pays as prepaid, and says so.
    """
    sale = await _write(tx, sale, collect="on_terms", lines=tuple(lines))
    await _ask(tx, kind, sale, due_at, return_url, tax_point)
    return sale


async def withdraw(tx: Tx, kind: Kind, sale: Sale, reason: str, *, by: UUID | None = None) -> bool:
    """Say that a locked sale is no longer to be paid; False where it no longer waits. Its stock stays held for now.

    `by` is the person whose deed it is. They are noted also where its time was over before or its late money is on
    the way: whatever comes for it goes back by their deed, and they never approve that.
    """
    if by is not None and sale.paid_at is None and sale.withdrawn_by is None:
        sale = await _write(tx, sale, withdrawn_by=by)
    if not sale.waits:
        return False
    await _write(tx, sale, withdrawn_at=clock.now())
    await emit(tx, _said(kind).InvoiceWithdrawn(agency=sale.agency, invoice=sale.id, reason=reason))
    return True


async def withdraw_expired(tx: Tx, batch: Batch, kinds: Mapping[str, Kind]) -> None:
    """Ask payments to stop for prepaid sales whose time is over."""
    over = (
        sa.select(SALE)
        .where(SALE.c.expires_at <= clock.now(), SALE.c.collect == "prepaid", waits())
        .with_for_update(skip_locked=True)
    )
    for sale in [read_sale(row) for row in await batch.take(tx, over)]:
        await withdraw(tx, kinds[sale.kind], sale, "expired")


async def credit(
    tx: Tx,
    kind: Kind,
    sale: Sale,
    lines: Sequence[CreditedLine],
    reason: str,
    *,
    refund: UUID | None = None,
    by: UUID | None = None,
) -> Sale:
    """Take back so much of the lines of a locked sale; payments sends back what came for them. Raises Overcredited.

    `by` is the person whose deed it follows from, who never approves the money. A credit of nothing says nothing.
    """
    lines = [line for line in lines if line.net_vnd or line.vat_vnd]
    if not lines:
        return sale
    credits_ = dict(sale.credits)
    sold = {line.id: line for line in sale.lines}
    for line in lines:
        before = credits_.get(line.line, Credited())
        after = Credited(before.net_vnd + line.net_vnd, before.vat_vnd + line.vat_vnd)
        if after.net_vnd > sold[line.line].net_vnd or after.vat_vnd > sold[line.line].vat_vnd:
            raise Overcredited("More would be taken back of a line than was sold by it.")
        credits_[line.line] = after
    granted = _said(kind).CreditGranted(
        agency=sale.agency,
        credit=clock.new_id(),
        invoice=sale.id,
        reason=reason,
        lines=tuple(lines),
        refund=refund,
        by=by,
    )
    sale = await _write(tx, sale, credits=credits_, credited_vnd=sale.credited_vnd + granted.gross_vnd)
    await emit(tx, granted)
    return sale


def parts(sale: Sale, amount_vnd: int) -> tuple[CreditedLine, ...]:
    """An amount of a sale over what is left of its lines, net and VAT each. Raises Overcredited beyond that."""
    if not 0 < amount_vnd <= sale.left_vnd:
        raise Overcredited(f"At most {sale.left_vnd} đồng of this invoice can be taken back.")
    return spread(amount_vnd, [left_of(sale, line) for line in sale.lines])


def spread(amount_vnd: int, left: Sequence[CreditedLine]) -> tuple[CreditedLine, ...]:
    """An amount over what can be taken back of some lines, net and VAT each."""
    shares = allocate(amount_vnd, [part.net_vnd + part.vat_vnd for part in left])
    return tuple(_part(part, share) for part, share in zip(left, shares, strict=True))


def left_of(sale: Sale, line: Line) -> CreditedLine:
    """What was sold by a line and not taken back."""
    gone = sale.credits.get(line.id, Credited())
    return CreditedLine(line.id, line.net_vnd - gone.net_vnd, line.vat_vnd - gone.vat_vnd)


def _part(left: CreditedLine, gross_vnd: int) -> CreditedLine:
    if gross_vnd == 0:
        return CreditedLine(left.line, 0, 0)
    net_vnd, vat_vnd = allocate(gross_vnd, [left.net_vnd, left.vat_vnd])
    return CreditedLine(left.line, net_vnd, vat_vnd)


async def _own(
    tx: Tx, kinds: Mapping[str, Kind], fact: PaymentCaptured | InvoiceClosed | RefundAsked
) -> Sale | None:
    """The sale that a fact of payments is about, locked; None where it is another seller's."""
    sellers = {kind.seller for kind in kinds.values()}
    return await lock(tx, fact.invoice) if fact.seller in sellers else None


async def captured(tx: Tx, kinds: Mapping[str, Kind], fact: PaymentCaptured) -> None:
    """Money came; when all of it is there, what was bought is delivered, or freed and credited where that cannot be."""
    sale = await _own(tx, kinds, fact)
    if sale is None or sale.paid_at is not None:
        return  # another seller's, or told before
    lines = tuple(paid.line for paid in fact.lines)
    # Payments' word also on terms or not: money may have come before it heard that the sale was claimed.
    came = {
        "captured_vnd": sale.captured_vnd + fact.amount_vnd,
        "lines": lines,
        "collect": fact.collect,
    }
    if fact.amount_vnd < sale.owed_vnd:
        await _write(tx, sale, **came)
        return
    sale = await _write(tx, sale, **came, paid_at=fact.captured_at)
    arrived(tx, f"money:{sale.id}")
    kind = kinds[sale.kind]
    try:
        async with tx.begin_nested():
            await kind.deliver(tx, sale)
    except Refused as refusal:
        await kind.free(tx, sale)
        # What was credited before is owed back already, and payments knows it.
        rest = parts(sale, sale.left_vnd) if sale.left_vnd else ()
        await credit(tx, kind, sale, rest, refusal.code, by=sale.withdrawn_by)


async def closed(tx: Tx, kinds: Mapping[str, Kind], fact: InvoiceClosed) -> None:
    """No money can come any more: what is held is freed. Of a sale that is paid, or taken since, it stays."""
    sale = await _own(tx, kinds, fact) if fact.outcome != "paid" else None
    if sale is None:
        return  # another seller's; or paid, which the capture says
    if sale.paid_at is not None or (sale.taken is not None and fact.outcome != "returned"):
        return  # said before the late money was taken, and heard after it
    outcome = "expired" if fact.outcome == "expired" else "withdrawn"
    sale = await _write(tx, sale, outcome=outcome, closed_at=fact.occurred_at, taken=None)
    await kinds[sale.kind].free(tx, sale)


async def offered(tx: Tx, kinds: Mapping[str, Kind], fact: MoneyUnapplied) -> None:
    """Money lies in suspense for a closed or paid sale: take it where stock and price still stand, or decline it."""
    kind = next(iter(kinds.values()))
    if fact.offered_to != kind.seller or fact.invoice is None:
        return
    sale = await lock(tx, fact.invoice)
    said = _said(kind)
    try:
        if sale is None:
            raise NothingCame("There is no such sale.")
        async with tx.begin_nested():
            await _take(tx, kinds[sale.kind], sale, fact)
    except Refused as refusal:
        declined = said.MoneyDeclined(
            agency=fact.agency,
            payment=fact.payment,
            invoice=fact.invoice,
            reason=refusal.code,
            by=sale.withdrawn_by if sale else None,
        )
        await emit(tx, declined)
        return
    await emit(tx, said.MoneyTaken(agency=fact.agency, payment=fact.payment, invoice=fact.invoice))


async def _take(tx: Tx, kind: Kind, sale: Sale, fact: MoneyUnapplied) -> None:
    # Payments says so before the capture is heard where that one is tried again: a second payment buys nothing.
    if sale.paid_at is not None or sale.taken is not None or fact.reason == "already-paid":
        raise AlreadyPaid("The invoice is paid already.")
    if fact.amount_vnd != sale.owed_vnd:
        raise OtherAmount(f"{sale.owed_vnd} đồng are owed, and {fact.amount_vnd} came.")
    await kind.take(tx, sale)
    await _write(tx, sale, taken=fact.payment, outcome=None, closed_at=None)


async def refund_asked(tx: Tx, kinds: Mapping[str, Kind], fact: RefundAsked) -> None:
    """The desk wants money back for a buyer: unwind what was sold and credit it, or say why not.

    Payments asks only for money that it has told of. Where that is not heard yet the fact waits, but not for ever.
    Raises Waits.
    """
    sale = await _own(tx, kinds, fact)
    if sale is None:
        return  # another seller's
    kind = kinds[sale.kind]
    try:
        if sale.paid_at is None:
            if clock.now() < fact.occurred_at + MONEY_COMES:
                raise Waits(f"money:{sale.id}")
            raise NothingCame("Nothing came for this invoice.")
        if fact.amount_vnd > sale.left_vnd:
            raise Overcredited(f"At most {sale.left_vnd} đồng of this invoice can be taken back.")
        async with tx.begin_nested():
            lines = await kind.cancel(tx, sale, fact.amount_vnd, fact.by)
            await credit(tx, kind, sale, lines, "refund", refund=fact.refund, by=fact.by)
    except Refused as refusal:
        refused = _said(kind).RefundRefused(
            agency=fact.agency, refund=fact.refund, invoice=fact.invoice, reason=refusal.code
        )
        await emit(tx, refused)


def listen(consumer: Consumer, *kinds: Kind) -> dict[str, Kind]:
    """Let a seller hear what payments says of its sales; returns its kinds by name."""
    known = {kind.name: kind for kind in kinds}

    @consumer.on
    async def book_payment(fact: PaymentCaptured, tx: Tx) -> None:
        await captured(tx, known, fact)

    @consumer.on
    async def close_invoice(fact: InvoiceClosed, tx: Tx) -> None:
        await closed(tx, known, fact)

    @consumer.on
    async def answer_offer(fact: MoneyUnapplied, tx: Tx) -> None:
        await offered(tx, known, fact)

    @consumer.on
    async def answer_refund(fact: RefundAsked, tx: Tx) -> None:
        await refund_asked(tx, known, fact)

    return known
