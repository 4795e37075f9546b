"""What people do in a browser: sign in, pay at the bank, look."""

import re
import time
from io import BytesIO
from typing import Any

import httpx
import pyotp
from PIL import Image
from playwright.sync_api import Browser, BrowserContext, Page, expect

from tests.journeys.conftest import ARTEFACTS, WholeHouse
from tests.shared.browser import DESKTOP, PHONE, accessible

SIZES = {"phone": PHONE, "desktop": DESKTOP}
AGENT = "Mozilla/5.0 ({}) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 {}Safari/537.36"
AGENTS = {
    "phone": AGENT.format("Linux; Android 15; K", "Mobile "),
    "desktop": AGENT.format("X11; Linux x86_64", ""),
}
"""What ordinary browsers say of themselves; in production the headless one's own word counts as a bot's."""


def visitor(browser: Browser, house: WholeHouse, size: str = "phone") -> BrowserContext:
    """A fresh browser that knows nobody."""
    return browser.new_context(
        viewport=SIZES[size],
        base_url=house.address,
        locale="vi-VN",
        is_mobile=size == "phone",
        user_agent=AGENTS[size],
    )


IMAGES_THAT_FAILED = (
    "async () => { const all = [...document.images]; all.forEach(i => { i.loading = 'eager' });"
    " await Promise.allSettled(all.map(i => i.decode()));"
    " return all.filter(i => !i.naturalWidth).map(i => i.src) }"
)
"""Addresses of pictures that did not load; those further down the page are fetched for it."""


def picture(page: Page, name: str) -> None:
    """Keep a screenshot as an artefact; the page must show its pictures, fit its screen and pass axe."""
    assert page.evaluate(IMAGES_THAT_FAILED) == [], page.url
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"{name}.png", full_page=True)
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{page.url}: {wide} px too wide"
    accessible(page)


def newest_code(house: WholeHouse, email: str) -> str:
    """The one-time code that the embedded inbox shows for an address; asked again while a part is away."""
    return in_newest_letter(house, email, r"\b(\d{6})\b")


def in_newest_letter(house: WholeHouse, email: str, pattern: str) -> str:
    """What a pattern finds in the newest letter to an address; asked again while a part is away."""

    def look() -> str:
        try:
            inbox = house.get("/dev/mail", params={"to": email})
            letter = re.search(r'href="(/dev/mail/[^"]+)"', inbox.text)
            found = letter and re.search(pattern, house.get(letter.group(1)).text)
        except httpx.TransportError:
            return ""
        return found.group(1) if found else ""

    said: str = house.until(look, f"a letter to {email} is in the inbox", seconds=60)
    return said


def sign_in_by_code(page: Page, house: WholeHouse, email: str) -> None:
    """From the sign-in page to where the reader was going."""
    page.get_by_label("E-mail hoặc số điện thoại").fill(email)
    page.get_by_role("button", name="Gửi mã cho tôi").click()
    expect(page.get_by_label("Mã trong thư")).to_be_visible()
    page.get_by_label("Mã trong thư").fill(newest_code(house, email))
    page.get_by_role("button", name="Tiếp tục").click()


_used: dict[str, int] = {}


def totp_code(secret: str) -> str:
    """A code that was not used before: each works once, and the house takes one up to a step before its time."""
    step = max(int(time.time()) // 30, _used.get(secret, 0) + 1)
    time.sleep(max(0.0, (step - 1) * 30 - time.time()))
    _used[secret] = step
    return pyotp.TOTP(secret).at(step * 30)


_signed_in: dict[str, list[dict[str, Any]]] = {}
"""Cookies of staff by their e-mail: each person signs in once and comes back."""


def sign_in_staff(page: Page, house: WholeHouse, opens: str, email: str = "") -> None:
    """Password and TOTP, or the session from before; ends on the page where the person works.

    `email` names one of several who work there.
    """
    who = house.sign_in(opens, email)
    if who["email"] in _signed_in:
        page.context.add_cookies(_signed_in[who["email"]])
        page.goto(f"/account/renew?next={opens}")
        return
    page.goto(f"/account/password?next={opens}")
    page.get_by_label("E-mail hoặc số điện thoại").fill(who["email"])
    page.get_by_label("Mật khẩu").fill(who["password"])
    page.get_by_role("button", name="Đăng nhập").click()
    page.get_by_label("Mã 6 số hoặc mã khôi phục").fill(totp_code(who["totp_secret"]))
    page.get_by_role("button", name="Đăng nhập").click()
    page.wait_for_url(f"**{opens}**")
    _signed_in[who["email"]] = [c for c in page.context.cookies() if c["name"] in ("nt_session", "nt_token")]


def pay_at_the_bank(page: Page) -> None:
    """From the request for payment through the simulated bank and back."""
    page.get_by_role("button", name=re.compile("VNPAY")).click()
    page.wait_for_url("**/gateway/vnpay-sim/**")
    page.locator('button[value="pay"]').click()


def banner(width: int, height: int, colour: str = "#0a6c74") -> bytes:
    """A picture of the size that a placement wants."""
    out = BytesIO()
    Image.new("RGB", (width, height), colour).save(out, "PNG")
    return out.getvalue()


__all__ = [
    "AGENTS",
    "banner",
    "in_newest_letter",
    "newest_code",
    "pay_at_the_bank",
    "picture",
    "sign_in_by_code",
    "sign_in_staff",
    "totp_code",
    "visitor",
]
