"""The JSON door of subscriptions."""

from shared import clock
from tests.conftest import Flats
from tests.subscriptions.builders import Newsroom, a_reader_with_access


async def test_a_reader_meets_the_wall_after_three_different_articles(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    said = [await newsroom.read(f"bai-{n}") for n in range(4)]
    assert [a["allowed"] for a in said] == [True, True, True, False]
    assert [a["remaining"] for a in said] == [2, 1, 0, 0]
    assert said[3]["reason"] == "wall"
    assert said[3]["offers_url"] == "/subscribe?agency=bkh&next=%2Fbai%2Fbai-3"


async def test_a_payment_opens_every_section(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person)
    said = await Newsroom(flat, flats).read("bai", person_token=flats.token(id=person))
    assert (said["allowed"], said["reason"]) == (True, "entitled")
