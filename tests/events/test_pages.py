"""What people see and do on the pages of events."""

import re
from uuid import UUID, uuid4

import httpx
import sqlalchemy as sa

from services.events.actions.catalogue import NewTicket
from shared.contracts.events import InvoiceOpened
from tests.conftest import Flat, Flats
from tests.events import a_capture, a_closing, a_refund, an_event, an_offer, counts, stock

STAFF = {"bkh": ["events"]}
SPONSOR_FORM = {
    "organisation": "Ngân hàng Biển Xanh",
    "tax_code": "",
    "industry": "100100",
    "contact_name": "Trần Thị Hoa",
    "contact_email": "hoa@bienxanh.example",
    "contact_phone": "0905 000 111",
    "seen_vnd": "216000000",
}


def chosen(found: dict, *titles: str) -> dict[str, list[str]]:
    """Tickets as the form sends them, at the prices that it showed."""
    tickets = [str(found[title]["id"]) for title in titles]
    return {
        "ticket": tickets,
        "seen": [f"{found[title]['id']}:{found[title]['price_vnd'] * 108 // 100}" for title in titles],
    }


class Browser:
    """A person with cookies, as the pages see one."""

    def __init__(self, flat: Flat, token: str = "") -> None:
        self.flat = flat
        self.cookies = {"nt_token": token} if token else {}

    async def get(self, path: str, status: int = 200) -> str:
        answer = await self.flat.client.get(path, headers={"accept": "text/html", **self._cookie()})
        self._keep(answer)
        assert answer.status_code == status, (path, answer.status_code, answer.text[:500])
        return answer.text

    async def post(self, path: str, form: dict, key: str = ""):
        answer = await self.flat.client.post(
            path,
            data={"_idempotency_key": key or str(uuid4()), **form},
            headers={"accept": "text/html", "x-csrftoken": self.cookies.get("nt_csrf", ""), **self._cookie()},
        )
        self._keep(answer)
        return answer

    def _keep(self, answer: httpx.Response) -> None:
        self.cookies.update(answer.cookies)
        for line in answer.headers.get_list("set-cookie"):
            if "Max-Age=0" in line:
                self.cookies.pop(line.split("=")[0], None)

    def _cookie(self) -> dict[str, str]:
        return {"cookie": "; ".join(f"{name}={value}" for name, value in self.cookies.items())}


async def test_every_page_of_a_sponsor_opens_and_the_form_leads_to_the_pay_link(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    somebody = Browser(flat)
    assert "Night Run" in await somebody.get("/events")
    assert "200.000.000" in await somebody.get("/events/night-run")
    path = f"/events/night-run/sponsor/{gold}"
    await somebody.get(path, status=307)  # to sign in, and back

    person = Browser(flat, flats.token(id=uuid4(), name="Hoa"))
    assert "108.000.000" in await person.get(path)
    key = str(uuid4())
    answer = await person.post(path, SPONSOR_FORM, key)
    assert answer.status_code == 303, answer.text
    assert answer.headers["location"].startswith("/pay/")
    again = await person.post(path, SPONSOR_FORM, key)
    assert again.headers["location"] == answer.headers["location"]
    (opened,) = await flat.facts()
    assert isinstance(opened, InvoiceOpened)
    waiting = await person.get(opened.return_url)
    assert "Thanh toán" in waiting
    soon = await person.get(f"{opened.return_url}?paid=yes")
    assert "Tiền đã nhận, đang cập nhật" in soon
    assert 'http-equiv="refresh"' in soon
    assert "/pay/" not in soon, "nobody is asked for what was paid a second ago"
    await flat.receive(a_capture(opened.invoice, opened.lines))
    assert "đang cập nhật" not in await person.get(f"{opened.return_url}?paid=yes")
    assert "Đã ký kết" in await person.get(opened.return_url)
    assert "Night Run" in await person.get("/events/mine")
    assert "Ngân hàng Biển Xanh" in await somebody.get("/events/night-run")


async def test_whoever_gives_a_package_back_reads_so_and_is_asked_for_no_money_any_more(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    person = Browser(flat, flats.token(id=uuid4(), name="Hoa"))
    form = f"/events/night-run/sponsor/{gold}"
    await person.get(form)
    await person.post(form, SPONSOR_FORM, str(uuid4()))
    (opened,) = await flat.facts()
    assert isinstance(opened, InvoiceOpened)
    assert "Trả lại gói" in await person.get(opened.return_url)
    answer = await person.post(f"{opened.return_url}/cancellation", {}, str(uuid4()))
    assert answer.headers["location"].endswith(opened.return_url)
    for _ in range(2):
        page = await person.get(opened.return_url)
        assert "Bạn đã trả lại gói" in page, "as often as it is looked at"
        assert "/pay/" not in page
        assert "/cancellation" not in page


async def test_a_refused_form_comes_back_as_it_was_filled_in_and_holds_nothing(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    path = f"/events/night-run/sponsor/{gold}"
    first, second = (Browser(flat, flats.token(id=uuid4())) for _ in range(2))
    for person in (first, second):
        await person.get(path)
    assert (await first.post(path, SPONSOR_FORM)).status_code == 303
    refused = await second.post(
        path, {**SPONSOR_FORM, "organisation": "Ngân hàng Số Hai", "industry": "100101"}
    )
    assert refused.status_code == 409
    assert "Ngân hàng Số Hai" in refused.text
    assert "ngành này đã có nhà tài trợ" in refused.text
    assert counts((await stock(flat))["Vàng"]) == (1, 0)
    wrong = await second.post(path, {**SPONSOR_FORM, "tax_code": "123"})
    assert wrong.status_code == 422
    at = wrong.text.split('id="tax_code-error"')[1].split("</span>")[0]
    assert "Mã số thuế có 10, 12 hoặc 13 chữ số" in at


async def test_runners_pay_get_bibs_and_are_let_in_once(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    tickets = await stock(flat)
    person = Browser(flat, flats.token(id=uuid4(), name="Minh"))
    await person.get("/events/night-run/register?n=2")
    answer = await person.post(
        "/events/night-run/register",
        {"name": ["Minh", "Lan"], **chosen(tickets, "5 km", "10 km")},
    )
    assert answer.status_code == 303, answer.text
    (opened,) = await flat.facts()
    assert isinstance(opened, InvoiceOpened)
    assert "Vé đang được giữ" in await person.get(opened.return_url)
    soon = await person.get(f"{opened.return_url}?paid=yes")
    assert "Tiền đã nhận, đang cập nhật" in soon
    assert "Vé đang được giữ" not in soon
    await flat.receive(a_capture(opened.invoice, opened.lines))
    assert await flat.held() == []
    paid = await person.get(opened.return_url)
    links = [link.replace("&amp;", "&") for link in re.findall(r'href="(/events/tickets/[^"]+)"', paid)]
    assert len(links) == 2
    nobody = Browser(flat)
    assert "0001" in await nobody.get(links[0])
    await nobody.get(links[0].replace("agency=bkh", "agency=ktv"), status=404)

    gate = Browser(flat, flats.token(id=uuid4(), roles=STAFF))
    await gate.get("/desk/events/night-run/check-in")
    assert "Cho vào cổng" in await gate.get(links[0])
    entered = await gate.post(
        "/desk/events/night-run/check-in", {"ticket": "http://localhost:8080" + links[0]}
    )
    assert entered.status_code == 303
    assert "Mời vào" in await gate.get(entered.headers["location"])
    # Said once, and by what happened: neither a reload nor an address that somebody made up is green.
    assert "Mời vào" not in await gate.get(entered.headers["location"])
    runner = links[1].split("/")[3].split("?")[0]
    assert "Mời vào" not in await gate.get(f"/desk/events/night-run/check-in?entered={runner}")
    twice = await gate.post("/desk/events/night-run/check-in", {"ticket": "1"})
    assert twice.status_code == 409
    assert "đã vào cổng" in twice.text
    assert (await gate.post("/desk/events/night-run/check-in", {"ticket": "999"})).status_code == 404


async def test_a_runners_form_says_which_row_is_wrong_and_grows_without_losing_a_name(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    ticket = str((await stock(flat))["5 km"]["id"])
    person = Browser(flat, flats.token(id=uuid4(), name="Minh"))
    path = "/events/night-run/register"
    await person.get(path)
    sent = {"name": ["Minh", "B"], "ticket": [ticket, ticket]}
    wrong = await person.post(path, sent)
    assert wrong.status_code == 422
    field = wrong.text.split('id="name-2"')[1].split(">")[0]
    assert 'value="B"' in field
    assert "autofocus" in field
    assert "Hãy viết ít nhất 2 ký tự." in wrong.text.split('id="name-2-error"')[1].split("</span>")[0]
    assert 'id="name-1-error"' not in wrong.text
    for people in ("3", "1", "99", "x"):
        shown = await person.post(path, {**sent, "_people": people})
        assert shown.status_code == 200
        rows = {"3": 3, "1": 1, "99": 10, "x": 2}[people]
        assert shown.text.count('name="name"') == rows
        assert 'value="Minh"' in shown.text
    assert await flat.facts() == []


async def test_the_desk_shows_stock_sponsors_and_the_recount_to_its_own_staff_only(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    gold = (await stock(flat))["Vàng"]["id"]
    person = Browser(flat, flats.token(id=uuid4()))
    path = f"/events/night-run/sponsor/{gold}"
    await person.get(path)
    await person.post(path, SPONSOR_FORM)
    (opened,) = await flat.facts()
    await flat.receive(a_capture(opened.invoice, opened.lines))
    await flat.tick()
    desk = Browser(flat, flats.token(id=uuid4(), roles=STAFF))
    assert "Night Run" in await desk.get("/desk/events")
    shown = await desk.get("/desk/events/night-run")
    assert "Ngân hàng Biển Xanh" in shown
    assert "khớp với chứng từ" in shown
    (link,) = re.findall(r'href="(/desk/events/night-run/sponsorships/[^"]+)"', shown)
    one = await desk.get(link)
    action = re.findall(r'action="(/desk/events/night-run/deliverables/[^"]+)"', one)[0]
    refused = await desk.post(action, {"proof": "Ả"})
    assert refused.status_code == 422
    assert 'value="Ả"' in refused.text
    assert "<details open>" in refused.text
    assert 'id="proof-error"' in refused.text
    assert (await desk.post(action, {"proof": "Ảnh số 12"})).status_code == 303
    assert "Ảnh số 12" in await desk.get(link)

    stranger = Browser(flat, flats.token(id=uuid4(), roles={"tcnt": ["events"], "bkh": ["ad_ops"]}))
    assert "Night Run" not in await stranger.get("/desk/events")
    await stranger.get("/desk/events/night-run", status=404)
    await stranger.get(link, status=404)
    await Browser(flat, flats.token(id=UUID(int=5))).get("/desk/events", status=403)


async def test_a_price_that_changed_is_asked_again_with_what_was_typed(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    found = await stock(flat)
    person = Browser(flat, flats.token(id=uuid4(), name="Minh"))
    runners, sponsor = "/events/night-run/register", f"/events/night-run/sponsor/{found['Vàng']['id']}"
    assert f"{found['5 km']['id']}:324000" in await person.get(runners)
    assert 'name="seen_vnd" value="216000000"' in await person.get(sponsor)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE sellable SET price_vnd = price_vnd * 2"))
    sent = {"name": ["Đặng Ánh"], **chosen(found, "5 km")}
    for path, form, typed, now in (
        (runners, sent, "Đặng Ánh", f"{found['5 km']['id']}:648000"),
        (sponsor, SPONSOR_FORM, "Ngân hàng Biển Xanh", 'name="seen_vnd" value="432000000"'),
    ):
        again = await person.post(path, form)
        assert again.status_code == 409
        assert "Giá bây giờ là" in again.text
        assert typed in again.text
        assert now in again.text
    assert (await person.post(runners, {**sent, "seen": []})).status_code == 409, "no price is no agreement"
    assert await flat.facts() == []
    agreed = {**sent, "seen": [f"{found['5 km']['id']}:648000"]}
    assert (await person.post(runners, agreed)).status_code == 303
    assert (await person.post(sponsor, {**SPONSOR_FORM, "seen_vnd": "432000000"})).status_code == 303


async def test_an_order_says_what_is_so_when_its_time_is_over_its_money_late_or_on_its_way_back(
    flats: Flats,
) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    found = await stock(flat)
    person = Browser(flat, flats.token(id=uuid4(), name="Minh"))
    await person.get("/events/night-run/register")
    await person.post("/events/night-run/register", {"name": ["Minh"], **chosen(found, "5 km")})
    opened = next(fact for fact in await flat.facts() if isinstance(fact, InvoiceOpened))

    async def says(sentence: str, *, payable: bool = False) -> None:
        page = await person.get(opened.return_url)
        assert sentence in page
        assert ("/pay/" in page) == payable
        assert "chưa bị trừ tiền" not in page, "nobody here knows that"

    await says("Vé đang được giữ", payable=True)
    async with flat.tx() as tx:
        await tx.execute(sa.text("UPDATE sale SET expires_at = opened_at"))
    await flat.tick()
    await says("Đã hết giờ giữ vé")
    await flat.receive(a_closing(opened.invoice, "withdrawn"))
    await says("Nếu tiền của bạn đến muộn")
    await flat.receive(an_offer(opened))
    await says("Vé đã được giữ lại cho bạn")
    await flat.receive(a_capture(opened.invoice, opened.lines, from_suspense=True))
    await says("Đã có số áo")
    (ticket,) = re.findall(r'href="(/events/tickets/[^"]+)"', await person.get(opened.return_url))
    await flat.receive(a_refund(opened))
    await says("Đơn đã hủy, tiền được trả lại")
    assert "Đã hủy, trả lại tiền" in await person.get("/events/mine")
    nobody = Browser(flat)
    page = await nobody.get(ticket.replace("&amp;", "&"))
    assert "Vé này đã hủy" in page
    assert "Mã vé để quét" not in page
    gate = Browser(flat, flats.token(id=uuid4(), roles=STAFF))
    await gate.get("/desk/events/night-run/check-in")
    refused = await gate.post("/desk/events/night-run/check-in", {"ticket": "1"})
    assert refused.status_code == 409
    assert "Vé này đã hủy và tiền đang được trả lại" in refused.text


async def test_a_sponsor_whose_money_went_back_is_named_no_more_and_owed_nothing(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat)
    path = f"/events/night-run/sponsor/{(await stock(flat))['Vàng']['id']}"
    person = Browser(flat, flats.token(id=uuid4()))
    await person.get(path)
    await person.post(path, SPONSOR_FORM)
    (opened,) = await flat.facts()
    await flat.receive(a_capture(opened.invoice, opened.lines))
    assert "Ngân hàng Biển Xanh" in await Browser(flat).get("/events/night-run")
    await flat.receive(a_refund(opened))
    assert "Ngân hàng Biển Xanh" not in await Browser(flat).get("/events/night-run")
    page = await person.get(opened.return_url)
    assert "Tài trợ đã hủy, tiền được trả lại" in page
    assert "/pay/" not in page
    desk = Browser(flat, flats.token(id=uuid4(), roles=STAFF))
    (link,) = re.findall(
        r'href="(/desk/events/night-run/sponsorships/[^"]+)"', await desk.get("/desk/events/night-run")
    )
    assert "không phải thực hiện nữa" in await desk.get(link)


async def test_what_costs_nothing_leads_to_its_bibs_and_speaks_of_no_payment(flats: Flats) -> None:
    flat = await flats.start("events")
    await an_event(flat, tickets=[NewTicket(title="Thiếu nhi", price_vnd=0, capacity=9)], packages=[])
    ticket = (await stock(flat))["Thiếu nhi"]["id"]
    person = Browser(flat, flats.token(id=uuid4()))
    form = await person.get("/events/night-run/register")
    assert "miễn phí" in form
    assert "miễn phí" in await person.get("/events/night-run")
    assert "thanh toán" not in form.split("<form", 1)[1].split("</form>")[0].lower()
    done = await person.post(
        "/events/night-run/register", {"name": ["An"], "ticket": [str(ticket)], "seen": [f"{ticket}:0"]}
    )
    assert done.status_code == 303
    assert done.headers["location"].startswith("/events/registrations/")
    page = await person.get(done.headers["location"])
    assert "Đã có số áo" in page
    assert "0001" in page
    for shown in (page, await person.get("/events/mine")):
        assert "Đã đăng ký" in shown
        assert "Đã thanh toán" not in shown, "nobody paid"
    body = {"event": "night-run", "entries": [{"ticket": str(ticket), "name": "An"}], "seen_vnd": 0}
    headers = {"authorization": f"Bearer {flats.token(id=uuid4())}", "idempotency-key": str(uuid4())}
    answer = await flat.client.post("/api/events/v1/registrations", json=body, headers=headers)
    said = answer.json()
    assert (answer.status_code, said["pay_url"], said["paid"], said["order"]["invoice"]) == (
        201,
        None,
        True,
        None,
    )
