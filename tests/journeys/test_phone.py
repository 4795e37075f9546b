"""Each page that strangers, buyers and staff meet, looked at on a phone: it fits, it reads, and a picture is kept."""

import re
from urllib.parse import parse_qs, urlsplit
from uuid import UUID, uuid4

import pytest
from playwright.sync_api import expect

from ops.keys import of_service
from shared import links
from shared.settings import Settings
from tests.journeys.people import banner, in_newest_letter, picture, sign_in_by_code, sign_in_staff, visitor

pytestmark = [
    pytest.mark.promise("W8", "W9"),
    pytest.mark.xdist_group("house"),
    pytest.mark.stack,
    pytest.mark.browser,
]

PUSHED_SIDEWAYS = """[...document.querySelectorAll(".nav ul, .tabs, .table-box, pre")]
.filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.className || e.tagName)"""
MASTHEAD = "document.querySelector('.masthead-in')?.offsetHeight ?? 0"
LINKS = "[...document.querySelectorAll('.nav a, .tabs a')].map(a => a.getAttribute('href'))"
IN_VIEW = """() => { const e = document.querySelector("[aria-invalid=true]").getBoundingClientRect();
return e.top >= 0 && e.bottom <= innerHeight }"""
ENGLISH = re.compile(r"\b(the|and|not|this|that|your|cannot|must|been)\b", re.IGNORECASE)
VISIBLE = """[...document.querySelectorAll("main :not([lang=en], [lang=en] *, code, pre, pre *)")].flatMap(
e => e.checkVisibility() ? [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.data) : [])"""

STRANGERS = {
    "docs": "/docs",
    "rate-card": "/advertise",
    "sign-in": "/account/sign-in",
    "password": "/account/password",
    "mail": "/dev/mail",
    "error-404": "/events/khong-co",
    "error-forged": "/pay/0197f0aa-0000-7000-8000-000000000000?amount=1&agency=bkh&exp=1&sig=x",
    "error-410": "/account/join?token=cu",
}
OWN = {
    "account": "/account",
    "security": "/account/security",
    "consents": "/account/consents",
    "error-403": "/desk/ads",
    "events-mine": "/events/mine",
}
DESKS = {
    "/finance": {
        "growth": "/finance",
        "balance": "/finance/accounts",
        "journal": "/finance/entries",
        "payments": "/desk/payments",
        "held": "/desk/payments/held",
        "refunds": "/desk/payments/refunds",
        "rails": "/desk/payments/rails",
    },
    "/desk/ads": {"desk": "/desk", "ads": "/desk/ads", "ads-orders": "/desk/ads/orders"},
    "/desk/subscriptions": {"readers": "/desk/subscriptions", "walls": "/desk/subscriptions/policies"},
    "/desk/events": {
        "events": "/desk/events",
        "event": "/desk{night_run}",
        "gate": "/desk{night_run}/check-in",
    },
    "/desk/people": {"people": "/desk/people", "server-keys": "/desk/keys", "audit": "/desk/audit"},
}


def look(page, name):
    """Keep a picture of a Vietnamese page; nothing on it is read by pushing it sideways, and none of it is English."""
    picture(page, f"phone-{name}")
    assert page.evaluate(PUSHED_SIDEWAYS) == [], page.url
    assert page.evaluate(MASTHEAD) <= 72, f"{page.url}: the masthead wraps"
    said = [text.strip() for text in page.evaluate(VISIBLE) if ENGLISH.search(text)]
    assert said == [], f"{page.url}: {said}"


def send(page, button, fields):
    """Fill in a form and send it as it is, whatever the browser thinks of it."""
    page.evaluate("for (const form of document.forms) form.noValidate = true")
    for name, value in fields.items():
        page.locator(f"main [id='{name}']").fill(value)
    page.get_by_role("button", name=re.compile(button)).first.click()


def refused_at(page, name):
    """The form came back with its reason at the field, and the field is what the reader sees first."""
    expect(page.locator(f"[id='{name}-error']")).to_be_visible()
    assert page.evaluate(IN_VIEW), f"{page.url}: the refused field is out of view"


def test_pages_of_strangers(house, browser):
    page = visitor(browser, house).new_page()
    for name, path in STRANGERS.items():
        page.goto(path)
        look(page, name)
    page.goto("/events/khong-co?lang=en")
    expect(page.get_by_role("heading", level=1)).to_have_text("There is no such page")
    picture(page, "phone-error-404-en")


@pytest.mark.timeout(240)
def test_wrong_input_comes_back_as_typed_with_the_reason_at_its_field(house, browser):
    page = visitor(browser, house).new_page()
    page.goto("/account/organisation?kind=advertiser&next=/advertise/new")
    sign_in_by_code(page, house, f"dt-{uuid4().hex[:10]}@example.com")
    page.wait_for_url("**/account/organisation**")
    for name, path in OWN.items():
        page.goto(path)
        look(page, name)
    page.goto("/account/organisation?kind=advertiser&next=/advertise/new")
    send(page, "Đăng ký", {"name": "Công ty Thử", "tax_code": "123", "contact_name": "An"})
    refused_at(page, "tax_code")
    look(page, "organisation-refused")
    send(page, "Đăng ký", {"tax_code": f"{uuid4().int % 10**12:012d}"})
    page.wait_for_url("**/advertise/new")
    page.locator("input[name=placement]").nth(1).check()
    send(page, "Xem giá", {"name": "Hè Nha Trang", "budget_vnd": "5000.00"})
    refused_at(page, "budget_vnd")
    assert page.locator("#budget_vnd").input_value() == "5000.00"
    assert page.locator("input[name=placement]").nth(1).is_checked()
    look(page, "booking-refused")
    send(page, "Xem giá", {"budget_vnd": "5.000.000"})
    page.wait_for_url("**/advertise/orders/**")
    page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": banner(9, 9)})
    send(page, "Tải mẫu lên", {"click_url": "https://example.com"})
    refused_at(page, "file")
    look(page, "creative-refused")
    page.goto(f"{house.demo['night_run']}/register?n=2")
    send(page, "Giữ vé", {"name-1": "An Nguyễn", "name-2": "B"})
    refused_at(page, "name-2")
    look(page, "register-refused")
    page.get_by_role("button", name="Thêm một người").click()
    assert page.locator("#name-1").input_value() == "An Nguyễn"
    expect(page.locator("#name-3")).to_be_visible()


def late(house, pay_url):
    """The same invoice's link as it would be after its time."""
    place = urlsplit(pay_url)
    said = {name: values[0] for name, values in parse_qs(place.query).items()}
    operator = (house.home / "secrets" / "operator").read_text(encoding="utf-8").strip()
    return links.pay_link(
        Settings(**of_service(operator, "payments")),
        said["seller"],
        UUID(place.path.rsplit("/", 1)[1]),
        -60,
        agency=said["agency"],
        amount_vnd=int(said["amount"]),
    )


@pytest.mark.timeout(240)
def test_the_page_of_payment_late_and_left(house, browser):
    page = visitor(browser, house).new_page()
    page.goto(house.demo["night_run"])
    page.get_by_role("link", name="Chọn gói Đồng").click()
    sign_in_by_code(page, house, f"dt-{uuid4().hex[:10]}@example.com")
    page.wait_for_url("**/sponsor/**")
    send(
        page,
        "Giữ gói",
        {"organisation": "Công ty Thử", "contact_name": "Lan", "contact_email": "không phải thư"},
    )
    refused_at(page, "industry")
    look(page, "sponsor-refused")
    page.locator("#industry").select_option(index=2)
    send(page, "Giữ gói", {"contact_email": "lan@example.com"})
    page.wait_for_url("**/pay/**")
    to_pay = page.get_by_role("button", name=re.compile("VNPAY"))
    expect(to_pay).to_be_visible(timeout=15_000)
    look(page, "pay-sponsor")
    pay_url = page.url
    page.goto(late(house, pay_url))
    expect(page.get_by_text("Đường dẫn trả tiền đã hết hạn")).to_be_visible()
    look(page, "pay-late")
    page.goto(pay_url)
    to_pay.click()
    page.wait_for_url("**/gateway/vnpay-sim/**")
    look(page, "bank")
    page.locator('button[value="cancel"]').click()
    expect(page.get_by_text("Chưa trả được, bạn chưa mất tiền")).to_be_visible(timeout=15_000)
    look(page, "pay-failed")
    page.goto("/events/mine")
    page.locator('a[href^="/events/sponsorships/"]').first.click()
    look(page, "sponsorship-held")


@pytest.mark.timeout(300)
@pytest.mark.parametrize("opens", DESKS)
def test_desks(house, browser, opens):
    page = visitor(browser, house).new_page()
    sign_in_staff(page, house, opens)
    shown = {}
    for name, path in DESKS[opens].items():
        page.goto(path.format(night_run=house.demo["night_run"]))
        look(page, f"desk-{name}")
        shown |= dict.fromkeys(page.evaluate(LINKS), path)
    for href, path in shown.items():
        assert page.request.get(href).ok, f"{path} shows {href}, which does not open"


@pytest.mark.timeout(120)
def test_an_invitation_up_to_the_recovery_codes(house, browser):
    desk = visitor(browser, house).new_page()
    sign_in_staff(desk, house, "/desk/people")
    desk.goto("/desk/people")
    email = f"moi-{uuid4().hex[:8]}@baokhanhhoa.example"
    desk.locator("input[name=roles]").first.check()
    send(desk, "Gửi lời mời", {"email": email, "name": "Người Mới"})
    token = in_newest_letter(house, email, r"join\?token=(\w+)")
    page = visitor(browser, house).new_page()
    page.goto(f"/account/join?token={token}")
    send(page, "Tiếp tục", {"password": "12345678"})
    refused = page.locator("#password-error")
    expect(refused).to_be_visible()
    look(page, "join-refused")
    send(page, "Tiếp tục", {"password": f"{uuid4().hex} xanh biển"})
    page.wait_for_url("**/account/enrol")
    assert page.locator('a[href^="otpauth://"]').is_visible()
    look(page, "enrol")
