"""Buyers without a browser: they post the same forms as a browser would, and try again as people do."""

import re
import time
from datetime import timedelta
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from uuid import uuid4

import httpx

from shared import clock
from shared.calendar import local_day
from tests.journeys.conftest import WholeHouse
from tests.journeys.people import banner, in_newest_letter, newest_code, totp_code

PATIENCE_S = 120
REVIEWED = ["truthful", "allowed-goods", "no-imitation", "readable", "target-works"]


class Client:
    """An HTTP client that repeats what failed for a passing reason, with the same idempotency key."""

    def __init__(self, house: WholeHouse, bearer: str = "") -> None:
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        self.http = house.client(headers=headers)
        self.house = house

    def call(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send until there is an answer that is not a passing failure. Raises AssertionError after two minutes."""
        more.setdefault("headers", {}).setdefault("Idempotency-Key", uuid4().hex)
        end, answer = time.monotonic() + PATIENCE_S, None
        while time.monotonic() < end:
            try:
                answer = self.http.request(method, path, **more)
            except httpx.TransportError:
                time.sleep(0.2)
                continue
            if answer.status_code not in (429, 502, 503, 504):
                return answer
            time.sleep(0.2)
        raise AssertionError(f"{method} {path}: {answer and answer.text[:200]}")

    def form(self, path: str, shown: str = "", **fields: str) -> httpx.Response:
        """Post a form of a page, with its hidden fields, and follow where it leads."""
        page = self.follow(self.call("GET", shown or path))
        hidden = dict(re.findall(r'name="(_[a-z_]+)" value="([^"]*)"', page.text))
        return self.follow(self.call("POST", path, data={**hidden, **fields}))

    def follow(self, answer: httpx.Response) -> httpx.Response:
        while answer.is_redirect:
            place = urlsplit(answer.headers["location"])
            answer = self.call("GET", place.path + (f"?{place.query}" if place.query else ""))
        return answer


def pay(house: WholeHouse, link: str) -> str:
    """Open the signed link, go to the bank and pay; returns the VNPay reference."""
    place = urlsplit(link)
    buyer = Client(house)
    address = f"{place.path}?{place.query}"
    end = time.monotonic() + PATIENCE_S
    while "_csrf_token" not in (shown := buyer.call("GET", address)).text:
        assert time.monotonic() < end, f"{place.path} does not offer to pay: {shown.text[-2000:]}"
        time.sleep(0.3)
    bank = buyer.form(address)
    reference = re.search(r'name="reference" value="([^"]+)"', bank.text)
    terminal = re.search(r'name="terminal" value="([^"]+)"', bank.text)
    assert reference, bank.text[:500]
    assert terminal
    path = re.search(r'action="([^"]*vnpay-sim[^"]*)"', bank.text)
    assert path
    hidden = dict(re.findall(r'name="(_[a-z_]+)" value="([^"]*)"', bank.text))
    fields = {**hidden, "terminal": terminal.group(1), "reference": reference.group(1), "choice": "pay"}
    answer = buyer.call("POST", path.group(1), data=fields)
    assert answer.status_code == 303, answer.text[:300]
    return reference.group(1)


def advertiser(house: WholeHouse) -> Client:
    """A newly registered advertiser that followed its letter, with the key it was shown."""
    email = f"mua-{uuid4().hex[:10]}@example.com"
    made = Client(house).call(
        "POST",
        "/api/accounts/v1/advertisers",
        json={
            "agency": "bkh",
            "name": "Người mua thử",
            "tax_code": f"{uuid4().int % 10**12:012d}",
            "email": email,
            "contact_name": "Liên hệ",
        },
    )
    assert made.status_code == 201, made.text
    return Client(house, first_key(house, email))


def first_key(house: WholeHouse, email: str) -> str:
    """Follow the invitation in the letter to an advertiser; returns the key that the page then shows."""
    token = in_newest_letter(house, email, r"join\?token=(\w+)")
    fields = {"token": token, "name": "Liên hệ", "password": f"{uuid4().hex} {uuid4().hex}"}
    page = Client(house).form("/account/join", shown=f"/account/join?token={token}", **fields)
    key = re.search(r"nt_[\w-]+\.[\w-]+\.[\w-]+", page.text)
    assert key, page.text[:500]
    return key.group()


@cache
def staff(house: WholeHouse, opens: str) -> Client:
    """The member of staff whose work is at an address, signed in once: the next code is half a minute away."""
    who = house.sign_in(opens)
    client = Client(house)
    client.form("/account/password", identifier=who["email"], password=who["password"], next="/account")
    client.form("/account/totp", code=totp_code(who["totp_secret"]))
    return client


def bearer_of(person: Client) -> dict[str, str]:
    """A fresh page token of a signed-in person, for the API."""
    person.call("GET", "/account/renew?next=/account")
    return {"Authorization": f"Bearer {person.http.cookies['nt_token']}"}


def buy_campaign(house: WholeHouse, client: Client, ad_ops: Client) -> None:
    """Book, upload, submit, approve and pay one campaign."""
    today = local_day(clock.now())
    line = {
        "placements": ["article-mid"],
        "starts_on": today.isoformat(),
        "ends_on": (today + timedelta(days=6)).isoformat(),
        "budget_vnd": 2_000_000,
    }
    order = client.call(
        "POST", "/api/ads/v1/orders", json={"agency": "bkh", "name": "Thử", "line_items": [line]}
    )
    assert order.status_code == 201, order.text
    at = f"/api/ads/v1/orders/{order.json()['id']}"
    made = client.call(
        "POST",
        f"{at}/creatives",
        files={"file": ("a.png", banner(300, 250), "image/png")},
        data={"click_url": "https://example.com/"},
    )
    assert made.status_code == 201, made.text
    assert client.call("POST", f"{at}/submit").status_code == 200
    answer = ad_ops.call(
        "POST",
        f"/api/ads/v1/creatives/{made.json()['id']}/review",
        json={"verdict": "approved", "checks": REVIEWED},
        headers=bearer_of(ad_ops),
    )
    # The first answer may have been lost on its way: then the verdict stands.
    assert answer.status_code == 200 or "The creative is approved" in answer.text, answer.text
    pay(house, client.call("GET", at).json()["pay_url"])


def buy_subscription(house: WholeHouse) -> None:
    """A new reader takes a package and pays."""
    reader = Client(house)
    email = f"doc-{uuid4().hex[:12]}@example.com"
    reader.form("/account/sign-in", identifier=email, next="/subscribe?agency=bkh")
    reader.form("/account/code", code=newest_code(house, email))
    offers = reader.follow(reader.call("GET", "/subscribe?agency=bkh"))
    choice = re.search(r'href="(/subscribe/([0-9a-f-]{36})\?price=([0-9a-f-]{36})[^"]*)"', offers.text)
    assert choice, offers.text[:500]
    shown = choice.group(1).replace("&amp;", "&")
    page = reader.follow(reader.call("GET", shown))
    hidden = dict(re.findall(r'name="(_[a-z_]+|seen_vnd)" value="([^"]*)"', page.text))
    fields = {**hidden, "price": choice.group(3), "next": "/", "terms": "yes", "group": "yes"}
    if 'name="group"' not in page.text:
        fields.pop("group")
    taken = reader.call("POST", f"/subscribe/{choice.group(2)}", data=fields)
    assert taken.status_code == 303, taken.text[:500]
    pay(house, taken.headers["location"])


def buy_bib(house: WholeHouse, client: Client) -> None:
    """Register one runner for the Night Run and pay."""
    pay(house, order_bib(client))


def order_bib(client: Client) -> str:
    """Register one runner for the Night Run; returns the link to pay by."""
    events = client.call("GET", "/api/events/v1/events").json()["items"]
    slug = next(e["slug"] for e in events if e["title"] == "Nha Trang Night Run" and e["is_open"])
    full = client.call("GET", f"/api/events/v1/events/{slug}").json()
    ticket = max((s for s in full["sellables"] if s["kind"] == "ticket"), key=lambda s: s["left"])
    order = client.call(
        "POST",
        "/api/events/v1/registrations",
        json={"event": slug, "entries": [{"ticket": ticket["id"], "name": "Người chạy thử"}]},
    )
    assert order.status_code == 201, order.text
    link: str = order.json()["pay_url"]
    return link
