"""Small things the tests of subscriptions are made of."""

from datetime import date, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
import msgspec
import sqlalchemy as sa

from services.subscriptions.actions.catalogue import (
    PackageOffer,
    PriceOffer,
    choose_vat_class,
    offer_package,
    set_price,
)
from services.subscriptions.actions.subscriptions import Opened, Order, subscribe
from services.subscriptions.rules.catalogue import Grant, Term
from services.subscriptions.tables import PeriodRow
from shared import clock
from shared.calendar import local_day, start_of
from shared.contracts.base import Line, PaidLine
from shared.contracts.payments import InvoiceClosed, MoneyUnapplied, PaymentCaptured, RefundAsked
from shared.contracts.subscriptions import InvoiceOpened
from shared.money import split
from shared.sales import Sale, find
from shared.settings import Settings
from tests.conftest import Flat, Flats

MONTH = Term("month", 1)
ACCESS = "/api/subscriptions/v1/access"


def at(day: date, hour: int = 9, minute: int = 0) -> datetime:
    return start_of(day) + timedelta(hours=hour, minutes=minute)


def driven(moment: datetime) -> clock.DrivenClock:
    return clock.DrivenClock(moment, 1)


async def sale_of(flat: Flat, invoice: UUID) -> Sale:
    async with flat.tx() as tx:
        return (await find(tx, [invoice]))[invoice]


async def periods(flat: Flat) -> list[PeriodRow]:
    """All paid periods, in the order in which they begin."""
    async with flat.tx() as tx:
        return list(await tx.scalars(sa.select(PeriodRow).order_by(PeriodRow.start, PeriodRow.id)))


async def a_package(
    flat: Flat,
    *,
    agency: str = "bkh",
    code: str = "doc-bao",
    net_vnd: int = 49_000,
    term: Term = MONTH,
    product_class: str = "digital_news",
    sections: tuple[str, ...] = ("*",),
    **more: object,
) -> tuple[UUID, UUID]:
    """A package on sale with one price; returns both ids."""
    async with flat.tx() as tx:
        offer = PackageOffer(
            agency=agency,
            code=code,
            title="Đọc báo trọn gói",
            title_en="All the news",
            summary="Mọi bài trên báo.",
            summary_en="Every article.",
            product_class=product_class,
            grants=(Grant(agency, sections),),
            on_sale_from=date(2024, 1, 1),
            **more,  # type: ignore[arg-type]
        )
        package = (await offer_package(tx, offer)).id
        price = (await set_price(tx, package, PriceOffer(term, net_vnd, date(2024, 1, 1)))).id
    return package, price


async def taxed(flat: Flat, product_class: str = "digital_news", agency: str = "bkh") -> None:
    async with flat.tx() as tx:
        await choose_vat_class(tx, agency, product_class, "standard", date(2024, 1, 1))


async def subscribed(
    flat: Flat, person: UUID, package: UUID, price: UUID, *, renewal: bool = False
) -> Opened:
    async with flat.tx() as tx:
        return await subscribe(
            tx, flat.kit.settings, person, Order(package=package, price=price, renewal=renewal)
        )


async def opened_fact(flat: Flat) -> InvoiceOpened:
    """The newest invoice that the service announced."""
    return [fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened)][-1]


def captured(
    invoice: InvoiceOpened,
    *,
    amount_vnd: int = 0,
    later: timedelta = timedelta(),
    payment: UUID | None = None,
    from_suspense: bool = False,
) -> PaymentCaptured:
    """Payments' word that an invoice was paid in full, or an amount of it: split by the rate of its day."""
    amount, came = amount_vnd or invoice.total_vnd, clock.now() + later
    sold: Line = invoice.lines[0]
    agreed = split(sold.gross_vnd, sold.vat_class, local_day(came))
    line = msgspec.structs.replace(sold, net_vnd=agreed.net_vnd, vat_vnd=agreed.vat_vnd)
    return PaymentCaptured(
        agency=invoice.agency,
        payment=payment or clock.new_id(),
        invoice=invoice.invoice,
        seller="subscriptions",
        rail="vnpay",
        collect="prepaid",
        amount_vnd=amount,
        captured_at=came,
        lines=(PaidLine(line, amount, line.vat_vnd * amount // line.gross_vnd),),
        from_suspense=from_suspense,
    )


def late(asked: InvoiceOpened, **changes: Any) -> MoneyUnapplied:
    """Payments' word that the money of an invoice came when it was closed, offered to us."""
    said: dict[str, Any] = {
        "agency": asked.agency,
        "payment": clock.new_id(),
        "rail": "vietqr",
        "amount_vnd": asked.total_vnd,
        "reason": "invoice-closed",
        "captured_at": clock.now(),
        "invoice": asked.invoice,
        "offered_to": "subscriptions",
    }
    return MoneyUnapplied(**{**said, **changes})


def asked_back(invoice: InvoiceOpened, amount_vnd: int, by: UUID | None = None) -> RefundAsked:
    """Payments' word that its desk wants to give back so much."""
    return RefundAsked(
        agency=invoice.agency,
        refund=clock.new_id(),
        payment=clock.new_id(),
        invoice=invoice.invoice,
        seller="subscriptions",
        amount_vnd=amount_vnd,
        reason="goodwill",
        by=by,
    )


def closed(invoice: InvoiceOpened, outcome: str = "paid") -> InvoiceClosed:
    return InvoiceClosed(
        agency=invoice.agency,
        invoice=invoice.invoice,
        outcome=outcome,  # type: ignore[arg-type]
        seller="subscriptions",
    )


async def a_reader_with_access(
    flat: Flat, person: UUID, *, renewal: bool = False, **package: object
) -> Opened:
    """A person whose first period is paid, and who was told so."""
    made = await a_package(flat, **package)  # type: ignore[arg-type]
    opened = await subscribed(flat, person, *made, renewal=renewal)
    fact = await opened_fact(flat)
    await flat.receive(captured(fact), closed(fact))
    await flat.facts()
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    return opened


def a_question(**changes: object) -> dict[str, object]:
    return {
        "agency": "bkh",
        "article": "gia-tom-hum",
        "section": "kinh-te",
        "premium": True,
        "device": None,
        "person_token": None,
        **changes,
    }


class Newsroom:
    """The CMS of an agency: it asks, and keeps the device token as a browser's cookie would."""

    def __init__(self, flat: Flat, flats: Flats, agency: str = "bkh") -> None:
        self.flat = flat
        self.agency = agency
        key = flats.key(id=clock.new_id(), agency=agency, scopes=["subscriptions:access"])
        self.headers = {"Authorization": f"Bearer {key}"}
        self.device: str | None = None

    async def ask(self, **changes: object) -> httpx.Response:
        question = a_question(**{"agency": self.agency, "device": self.device, **changes})
        return await self.flat.client.post(ACCESS, json=question, headers=self.headers)

    async def read(self, article: str, **changes: object) -> dict[str, object]:
        """Ask for an article and keep the device."""
        answer = await self.ask(article=article, **changes)
        assert answer.status_code == 200, answer.text
        body: dict[str, object] = answer.json()
        self.device = str(body["device"])
        return body


def signed_in(flat: Flat, flats: Flats, person: UUID, **principal: object) -> str:
    """Put a page token into the client's cookies; returns it."""
    token = flats.token(id=person, **principal)
    flat.client.cookies.set("nt_token", token)
    return token


def settings_of(flat: Flat) -> Settings:
    return flat.kit.settings
