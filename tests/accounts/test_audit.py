"""The audit trail in words: what the staff of every service did, what it was before and what it is since."""

from datetime import UTC, datetime
from typing import get_args

import msgspec
import pytest

from services.accounts.pages.acts import ACTS, changes
from shared import acts, clock
from shared.contracts.acts import Act
from shared.contracts.events import ActRecorded
from shared.contracts.payments import ActRecorded as PaymentsAct
from shared.web import translate
from tests.accounts.builders import Browser, a_person, some_agencies
from tests.conftest import Flat, Flats
from tests.events import stock
from tests.events.test_api import a_json_event, bearer
from tests.subscriptions.builders import MONTH, a_package


@pytest.mark.promise("T16")
def test_each_act_that_can_be_recorded_has_a_vietnamese_and_an_english_word() -> None:
    assert set(ACTS) == set(get_args(Act))
    assert len(set(ACTS.values())) == len(ACTS)
    for act, words in ACTS.items():
        assert translate("vi", words) not in (act, translate("en", words)), act


async def test_an_act_that_is_not_listed_is_never_recorded(flats: Flats) -> None:
    flat = await flats.start("events")
    with pytest.raises(msgspec.ValidationError):
        async with flat.tx() as tx:
            await acts.record(tx, ActRecorded, "bkh", clock.new_id(), "event.unheard", None, {})
    assert await flat.facts() == []


def test_what_changed_reads_as_words_and_figures_from_what_to_what() -> None:
    assert changes("vi", {"price_vnd": 550_000}, {"title": "21 km", "price_vnd": 590_000}) == [
        ("Tên", "", "21 km"),
        ("Giá chưa thuế", "550.000\xa0₫", "590.000\xa0₫"),
    ]
    assert changes("en", ["finance"], ["auditor", "finance"]) == [
        ("Role", "Finance", "Auditor (read only), Finance")
    ]
    assert changes("vi", None, {"good": True, "on": "2026-07-01", "capacity": 12_000}) == [
        ("Kết quả", "", "Có"),
        ("Từ ngày", "", "01/07/2026"),
        ("Số lượng", "", "12.000"),
    ]


async def trail(flats: Flats, people: Flat, *said: object) -> str:
    """What the page of the trail shows once these acts were heard."""
    return (await readers_trail(people, *said))[1]


async def readers_trail(people: Flat, *said: object) -> tuple[Browser, str]:
    """An auditor at the trail, once these acts were heard."""
    _, secret = await a_person(people, roles=["auditor"], totp=True)
    await people.receive(*said)  # type: ignore[arg-type]
    browser = Browser(people)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    return browser, (await browser.get("/desk/audit")).text


@pytest.mark.promise("T16")
async def test_a_new_event_and_a_changed_price_stand_in_the_trail_with_who_changed_what_from_to(
    flats: Flats,
) -> None:
    people, flat = await flats.start("accounts"), await flats.start("events")
    await some_agencies(people)
    staff, _ = await a_person(people, "hoa@bkh.example", roles=["events"])
    headers = bearer(flats.token(id=staff, roles={"bkh": ["events"]}))
    base = "/api/events/v1/events"
    assert (await flat.client.post(base, json=a_json_event(), headers=headers)).status_code == 201
    gold = next(each for each in (await stock(flat)).values() if each["title"] == "Vàng")
    path, body = (
        f"{base}/night-run/sellables/{gold['id']}",
        {"price_vnd": 1_234_000, "capacity": gold["capacity"]},
    )
    assert (await flat.client.put(path, json=body, headers=headers | {"if-match": '"1"'})).status_code == 200
    assert (await flat.client.put(path, json=body, headers=headers | {"if-match": '"2"'})).status_code == 200
    said = [fact for fact in await flat.facts() if isinstance(fact, ActRecorded)]
    assert [fact.act for fact in said] == ["event.create", "event.price"], "what changed nothing is no act"
    assert {fact.actor for fact in said} == {staff}
    shown = await trail(flats, people, *said)
    for words in ("Mở sự kiện", "Đổi giá hoặc số lượng của sự kiện", "<del>", "1.234.000\xa0₫", "Vàng"):
        assert words in shown, words
    assert "{" not in shown.split('class="rows trail"')[1].split("</ul>")[0], "no raw values"


@pytest.mark.promise("T16")
async def test_a_new_price_of_a_package_stands_in_the_trail_with_the_price_before_it(flats: Flats) -> None:
    from shared.contracts.subscriptions import ActRecorded as Told

    people, flat = await flats.start("accounts"), await flats.start("subscriptions")
    await some_agencies(people)
    package, _ = await a_package(flat, net_vnd=49_000)
    person = clock.new_id()
    headers = bearer(
        flats.key(id=clock.new_id(), agency="bkh", scopes=["subscriptions:catalogue"], made_by=person)
    )
    price = {"term": {"unit": MONTH.unit, "count": MONTH.count}, "net_vnd": 59_000, "since": "2026-01-01"}
    path = f"/api/subscriptions/v1/packages/{package}/prices"
    assert (await flat.client.post(path, json=price, headers=headers)).status_code == 201
    (told,) = [fact for fact in await flat.facts() if isinstance(fact, Told)]
    assert (told.act, told.actor, told.before) == ("package.price", person, {"price_vnd": 49_000})
    assert "key" in told.details, "by which key, too"
    shown = await trail(flats, people, told)
    for words in ("Đặt giá gói đọc", "49.000\xa0₫</del>", "59.000\xa0₫", "01/01/2026"):
        assert words in shown, words


@pytest.mark.promise("T16")
async def test_the_trail_says_what_it_is_about_and_is_narrowed_by_person_deed_and_day(flats: Flats) -> None:
    people = await flats.start("accounts")
    await some_agencies(people)
    hoa, _ = await a_person(people, "hoa@bkh.example", roles=["finance"])
    attempt, other = clock.new_id(), clock.new_id()
    at = datetime(2026, 3, 1, 17, 30, tzinfo=UTC)
    said = [
        PaymentsAct(
            agency="bkh", actor=hoa, act="held.propose", about=attempt, details={"what": str(attempt)}
        ),
        PaymentsAct(agency="bkh", actor=clock.new_id(), act="refund.ask", about=other, occurred_at=at),
    ]
    browser, shown = await readers_trail(people, *said)
    assert f'href="/desk/find?q={attempt}">…{str(attempt)[-8:]}</a>' in shown
    assert f">{attempt}<" not in shown
    assert "person:" not in shown, "who has no name here has a short form"
    assert "<dt>Về</dt>" not in shown, "what it is about is said once"
    proposed, asked = (f"/desk/find?q={one}" for one in (attempt, other))
    for query, seen in (
        ("who=hoa@bkh.example", (True, False)),
        ("act=refund.ask", (False, True)),
        ("day=2026-03-02", (False, True)),
        ("day=2026-03-01", (False, False)),
        ("who=hoa@bkh.example&act=refund.ask", (False, False)),
    ):
        shown = (await browser.get(f"/desk/audit?agency=bkh&{query}")).text
        assert (proposed in shown, asked in shown) == seen, query
    assert "Không có dòng nào như thế" in shown
    assert (await browser.get("/desk/audit?who=a")).status_code == 422
    assert (await browser.get("/desk/audit?day=yesterday")).status_code == 400
