"""What tests of ads start from: a rate card, an advertiser, an image, an order on its way."""

from datetime import date, timedelta
from io import BytesIO
from typing import Any
from uuid import UUID, uuid4

from PIL import Image

from services.ads.actions.creatives import CHECKS
from services.ads.tables import PlacementRow, RateRow
from shared import clock
from shared.calendar import local_day
from shared.contracts.ads import InvoiceOpened
from shared.contracts.base import PaidLine
from shared.contracts.payments import PaymentCaptured

SECTIONS = ["thoi-su", "kinh-te", "du-lich", "the-thao", "van-hoa"]
PLACEMENTS = [
    ("home-top", 970, 250, [], 80_000),
    ("article-mid", 300, 250, SECTIONS, 45_000),
    ("article-bottom", 728, 90, SECTIONS, 30_000),
]
READER = {"user-agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/141.0 Safari/537.36"}


def today() -> date:
    return local_day(clock.now())


async def a_rate_card(flat: Any, agency: str = "bkh") -> None:
    async with flat.tx() as tx:
        for code, width, height, sections, price in PLACEMENTS:
            key = uuid4()
            tx.add(
                PlacementRow(
                    id=key,
                    agency=agency,
                    code=code,
                    site="web",
                    name=code,
                    width=width,
                    height=height,
                    sections=sections,
                )
            )
            tx.add(
                RateRow(
                    id=uuid4(),
                    agency=agency,
                    placement=key,
                    pricing="cpm",
                    price_vnd=price,
                    valid_from=date(2024, 1, 1),
                )
            )


def an_image(width: int = 300, height: int = 250, kind: str = "PNG", colour: str = "teal") -> bytes:
    out = BytesIO()
    Image.new("RGB", (width, height), colour).save(out, kind)
    return out.getvalue()


def a_line(**changes: Any) -> dict[str, Any]:
    return {
        "placements": ["article-mid"],
        "starts_on": str(today()),
        "ends_on": str(today() + timedelta(days=9)),
        "budget_vnd": 4_500_000,
        **changes,
    }


def an_order(*lines: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {"agency": "bkh", "name": "Hè Nha Trang", "line_items": list(lines) or [a_line()], **changes}


class Advertiser:
    """An organisation that books with the key that its person made."""

    def __init__(self, flats: Any, flat: Any, agency: str = "bkh") -> None:
        self.flat = flat
        self.organisation, self.person = uuid4(), uuid4()
        key = flats.key(
            id=uuid4(),
            agency=agency,
            scopes=["ads:book", "ads:read"],
            organisation=self.organisation,
            made_by=self.person,
        )
        self.headers = {"authorization": f"Bearer {key}"}

    async def post(self, path: str, body: Any = None, key: str = "", **more: Any) -> Any:
        headers = {**self.headers, "idempotency-key": key or str(uuid4())}
        return await self.flat.client.post(f"/api/ads/v1{path}", json=body, headers=headers, **more)

    async def get(self, path: str) -> Any:
        return await self.flat.client.get(f"/api/ads/v1{path}", headers=self.headers)

    async def upload(
        self, order: str, content: bytes, click_url: str = "https://bienkhanhhoa.example.vn/he", key: str = ""
    ) -> Any:
        return await self.flat.client.post(
            f"/api/ads/v1/orders/{order}/creatives",
            headers={**self.headers, "idempotency-key": key or str(uuid4())},
            files={"file": ("banner.png", content, "image/png")},
            data={"click_url": click_url},
        )


def ops_headers(flats: Any, agency: str = "bkh") -> dict[str, str]:
    key = flats.key(id=uuid4(), agency=agency, scopes=["ads:review", "ads:read"])
    return {"authorization": f"Bearer {key}"}


async def review(flats: Any, flat: Any, creative: str, verdict: str = "approved", **changes: Any) -> Any:
    body = {"verdict": verdict, "checks": list(CHECKS) if verdict == "approved" else [], **changes}
    return await flat.client.post(
        f"/api/ads/v1/creatives/{creative}/review", json=body, headers=ops_headers(flats)
    )


def paid(invoice: InvoiceOpened) -> PaymentCaptured:
    return PaymentCaptured(
        agency=invoice.agency,
        payment=uuid4(),
        invoice=invoice.invoice,
        seller="ads",
        rail="vnpay",
        collect="prepaid",
        amount_vnd=invoice.total_vnd,
        captured_at=clock.now(),
        lines=tuple(PaidLine(line, line.gross_vnd, line.vat_vnd) for line in invoice.lines),
    )


async def a_live_order(
    flats: Any, flat: Any, advertiser: Advertiser, *lines: dict[str, Any]
) -> dict[str, Any]:
    """Book, upload, submit, approve, pay; returns the order as the API shows it then."""
    order = (await advertiser.post("/orders", an_order(*lines))).json()
    sizes = {
        (w, h) for code, w, h, _, _ in PLACEMENTS for x in order["line_items"] if code in x["placements"]
    }
    made = [(await advertiser.upload(order["id"], an_image(*size))).json() for size in sorted(sizes)]
    await advertiser.post(f"/orders/{order['id']}/submit")
    for creative in made:
        assert (await review(flats, flat, creative["id"])).status_code == 200
    invoice = next(f for f in await flat.facts() if isinstance(f, InvoiceOpened))
    await flat.receive(paid(invoice))
    await flat.facts()
    await flat.app.state.server.refresh()
    return (await advertiser.get(f"/orders/{order['id']}")).json()


async def decide(flat: Any, *placements: str, **changes: Any) -> Any:
    body = {"agency": "bkh", "section": "du-lich", "placements": list(placements), **changes}
    answer = await flat.client.post("/api/ads/v1/decide", json=body, headers=READER)
    assert answer.status_code == 200, answer.text
    return answer.json()["ads"]


def path_of(address: str) -> str:
    return "/" + address.split("/", 3)[3]


def uuid_of(text: str) -> UUID:
    return UUID(text)
