"""What subscriptions says reaches people: who paid is written a letter of the days that they have."""

import pytest

from services.accounts import queries
from services.accounts.actions.people import save_profile
from services.accounts.tables import PersonRow
from shared import clock
from shared.contracts.subscriptions import CreditGranted, MessageRequested
from tests.accounts.builders import a_person, some_agencies
from tests.conftest import Flats
from tests.subscriptions.builders import a_package, captured, closed, opened_fact, periods, subscribed, taxed


@pytest.mark.promise("S6")
@pytest.mark.parametrize(
    ("lang", "words"), [("vi", "dùng được từ ngày"), ("en", "is good from")], ids=["vi", "en"]
)
async def test_who_paid_in_time_is_written_once_what_they_have_from_when_until_when_and_for_how_much(
    flats: Flats, lang: str, words: str
) -> None:
    people, flat = await flats.start("accounts"), await flats.start("subscriptions")
    await some_agencies(people)
    person, _ = await a_person(people)
    async with people.tx() as tx:
        await save_profile(tx, await tx.get_one(PersonRow, person), "Lan", lang, "")
    await taxed(flat)
    await subscribed(flat, person, *(await a_package(flat, net_vnd=50_000)))
    asked = await opened_fact(flat)
    await flat.receive(captured(asked), captured(asked), closed(asked))
    said = [fact for fact in await flat.facts() if isinstance(fact, MessageRequested)]
    await people.receive(*said, *said)
    await people.tick()
    async with people.tx() as tx:
        (letter,) = await queries.inbox(tx)
    (period,) = await periods(flat)
    assert "Đọc báo trọn gói" in letter.subject
    for told in (
        words,
        f"{period.start:%d/%m/%Y}",
        "54.000\xa0₫",
        "4.000\xa0₫",
        asked.number,
        "/subscribe/mine",
    ):
        assert told in letter.body, told


async def test_money_that_buys_nothing_is_not_told_as_a_period(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    package, price = await a_package(flat)
    await subscribed(flat, person, package, price)
    first = await opened_fact(flat)
    await subscribed(flat, person, package, price, renewal=True)
    second = await opened_fact(flat)
    await flat.receive(captured(first))
    await flat.facts()
    await flat.receive(captured(second))
    assert [type(fact) for fact in await flat.facts()] == [CreditGranted]
