"""When an invoice may be paid, when it is over, and which of its lines a payment pays."""

from collections.abc import Mapping, Sequence
from datetime import date, datetime
from typing import Literal
from uuid import UUID

import msgspec

from shared import money
from shared.contracts.base import Collect, CreditedLine, Line, Outcome, PaidLine
from shared.errors import Refused


class AlreadyPaid(Refused):
    """The invoice is paid; nothing more is owed."""


class Withdrawn(Refused):
    """The seller no longer wants the invoice paid."""


class Expired(Refused):
    """The time to pay the invoice is over."""


class NotTheirs(Refused):
    """A seller speaks of what another one sold; the fact is kept aside, and changes nothing."""


class OpenedOtherwise(Refused):
    """An invoice is said again with other lines or sums than before; the fact is kept aside, and changes nothing."""


class Invoice(msgspec.Struct, frozen=True, kw_only=True):
    """An invoice as its seller opened it, and what became of it."""

    id: UUID
    agency: str
    seller: str
    number: str
    collect: Collect
    expires_at: datetime
    return_url: str
    lines: tuple[Line, ...]
    total_vnd: int
    withdrawn_at: datetime | None = None
    outcome: Outcome | None = None

    @property
    def vat_vnd(self) -> int:
        return sum(line.vat_vnd for line in self.lines)

    @property
    def was_called_off(self) -> bool:
        """Whether its seller withdrew it before its time was over, so that money for it may not be kept."""
        return self.withdrawn_at is not None and self.withdrawn_at < self.expires_at


def standing(invoice: Invoice, now: datetime) -> Literal["new", "paid", "withdrawn", "expired"]:
    """Where an invoice without an attempt under way stands; `new` may be paid."""
    if invoice.outcome is not None:
        return invoice.outcome
    if invoice.withdrawn_at is not None:
        return "withdrawn"
    return "expired" if _is_over(invoice, now) else "new"


def require_payable(invoice: Invoice, now: datetime) -> None:
    """Raises AlreadyPaid, Withdrawn or Expired when no new attempt may begin."""
    stands = standing(invoice, now)
    if stands == "paid":
        raise AlreadyPaid(f"Invoice {invoice.number} is paid already.")
    if stands == "withdrawn":
        raise Withdrawn(f"The seller has withdrawn invoice {invoice.number}.")
    if stands == "expired":
        raise Expired(f"The time to pay invoice {invoice.number} is over.")


def closing(invoice: Invoice, *, in_flight: bool, now: datetime) -> Outcome | None:
    """How an unpaid invoice ends now; None while an attempt may still bring money, or while it may be paid."""
    if invoice.outcome is not None or in_flight:
        return None
    stands = standing(invoice, now)
    return None if stands == "new" else stands


def _is_over(invoice: Invoice, now: datetime) -> bool:
    # What was delivered on terms stays owed after its day.
    return invoice.collect == "prepaid" and now >= invoice.expires_at


def still_owed(total_vnd: int, credited_vnd: int) -> int:
    """What is to be paid of an invoice after its credits."""
    return max(0, total_vnd - credited_vnd)


def owed_back(total_vnd: int, credited_vnd: int, captured_vnd: int, refunding_vnd: int) -> int:
    """What was captured beyond what is owed, and is not on its way back yet."""
    return max(0, captured_vnd - refunding_vnd - still_owed(total_vnd, credited_vnd))


def allocated(lines: Sequence[Line], amount_vnd: int, credited: Mapping[UUID, int]) -> tuple[PaidLine, ...]:
    """Split a payment over the lines; the parts sum to the payment, whatever was credited before it came.

    What is owed of each line is paid first. What exceeds it falls on what was credited, and goes back by that credit.
    """
    gross = [line.gross_vnd for line in lines]
    back = [_within(credited.get(line.id, 0), line.gross_vnd) for line in lines]
    owed = [whole - part for whole, part in zip(gross, back, strict=True)]
    if amount_vnd >= sum(gross):
        # The whole sum needs no split, and then a line may be negative, such as a discount.
        paid, beside = gross, gross
    elif amount_vnd >= sum(owed):
        paid, beside = owed, back
    else:
        paid, beside = [0] * len(gross), owed
    rest = money.allocate(amount_vnd - sum(paid), [max(0, part) for part in beside])
    parts = [part + more for part, more in zip(paid, rest, strict=True)]
    return tuple(
        PaidLine(line, part, _vat_within(line, part)) for line, part in zip(lines, parts, strict=True)
    )


def _vat_within(line: Line, amount_vnd: int) -> int:
    """The VAT inside what is paid of a line: all of it for the whole line, else its share, rounded down.

    One payment pays an invoice, so a part is what its credits left of the line.
    """
    whole = amount_vnd == line.gross_vnd
    return line.vat_vnd if whole else line.vat_vnd * amount_vnd // line.gross_vnd


def _within(part_vnd: int, whole_vnd: int) -> int:
    return max(min(part_vnd, max(0, whole_vnd)), min(0, whole_vnd))


def split_on(invoice: Invoice, day: date) -> tuple[Line, ...]:
    """The lines by the rate of the day of their money: the agreed gross stays, VAT is what the law takes of it then.

    What is owed on terms had its tax point when its invoice was opened, and keeps that split.
    """
    if invoice.collect == "on_terms":
        return invoice.lines
    return tuple(_split(line, day) for line in invoice.lines)


def _split(line: Line, day: date) -> Line:
    amount = money.split(line.gross_vnd, line.vat_class, day)
    if abs(amount.vat_vnd - line.vat_vnd) <= 1:
        # By this rate already: a part of an agreed sum was rounded with the parts before it.
        return line
    return msgspec.structs.replace(line, net_vnd=amount.net_vnd, vat_vnd=amount.vat_vnd)


def require_revivable(invoice: Invoice) -> None:
    """Raises AlreadyPaid unless late money may still pay an invoice: one that was closed without any."""
    if invoice.outcome not in ("withdrawn", "expired"):
        raise AlreadyPaid(
            f"Invoice {invoice.number} is {invoice.outcome or 'open'}; late money cannot pay it."
        )


def becomes_owed(invoice: Invoice, collect: Collect, lines: Sequence[Line]) -> bool:
    """Whether an invoice that is said again is owed from now on: asked for in advance, unpaid, and now on terms.

    Never back; and what is paid or over stays as it ended. Raises OpenedOtherwise where a gross would change.
    """
    if [(line.id, line.gross_vnd) for line in lines] != [(line.id, line.gross_vnd) for line in invoice.lines]:
        raise OpenedOtherwise(f"Invoice {invoice.number} was opened over other lines or sums before.")
    return invoice.outcome is None and (invoice.collect, collect) == ("prepaid", "on_terms")


def require_its_lines(invoice: Invoice, credited: Sequence[CreditedLine]) -> None:
    """Raises NotTheirs where a credit takes back what this invoice did not sell."""
    sold = {line.id for line in invoice.lines}
    for part in credited:
        if part.line not in sold:
            raise NotTheirs(f"Invoice {invoice.number} has no line {part.line}.")


def gross_of(credited: Sequence[CreditedLine]) -> int:
    return sum(line.net_vnd + line.vat_vnd for line in credited)
