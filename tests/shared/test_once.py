"""A business POST is done at most once per Idempotency-Key of whoever sent it."""

import asyncio

import pytest

from shared import clock


@pytest.mark.promise("F5")
async def test_a_repeated_post_gets_the_first_answer_and_does_nothing_again(door):
    key = door.headers()
    answers = [
        await door.client.post("/api/ads/v1/bookings", json={"budget_vnd": 5}, headers=key) for _ in range(3)
    ]
    assert [a.status_code for a in answers] == [201, 201, 201]
    assert len({a.text for a in answers}) == 1
    assert await door.said() == 1


async def test_twenty_at_once_with_one_key_are_one_and_who_comes_too_soon_is_told_to_come_back(door):
    key = door.headers()
    body = {"budget_vnd": 5}
    answers = await asyncio.gather(
        *(door.client.post("/api/ads/v1/bookings", json=body, headers=key) for _ in range(20))
    )
    assert {a.status_code for a in answers} <= {201, 409}
    assert len({a.text for a in answers if a.status_code == 201}) == 1
    assert await door.said() == 1
    later = await door.client.post("/api/ads/v1/bookings", json=body, headers=key)
    assert later.status_code == 201, "the lock ends with the request"


@pytest.mark.promise("F11")
async def test_a_repeat_while_the_first_is_worked_on_is_a_conflict(door):
    """draft-ietf-httpapi-idempotency-key-header, 2.6: missing 400, other payload 422, concurrent 409."""
    key = door.headers()
    first = asyncio.create_task(door.client.post("/api/ads/v1/slow", headers=key))
    await asyncio.sleep(0.2)
    second = await door.client.post("/api/ads/v1/slow", headers=key)
    assert (second.status_code, second.json()["code"]) == (409, "still-working")
    assert int(second.headers["retry-after"]) >= 1
    assert (await first).status_code == 201
    again = await door.client.post("/api/ads/v1/slow", headers=key)
    assert (again.status_code, again.text) == (201, (await first).text)


@pytest.mark.promise("F11")
async def test_the_same_key_with_other_input_is_refused(door):
    key = door.headers()
    await door.client.post("/api/ads/v1/bookings", json={"budget_vnd": 5}, headers=key)
    answer = await door.client.post("/api/ads/v1/bookings", json={"budget_vnd": 6}, headers=key)
    assert (answer.status_code, answer.json()["code"]) == (422, "key-reused")


@pytest.mark.parametrize("key", [None, "", "short", "x" * 129, "tab\tinside"])
@pytest.mark.promise("F11")
async def test_without_a_usable_key_nothing_is_done(door, key):
    headers = {"Authorization": f"Bearer {door.key()}"} | ({} if key is None else {"Idempotency-Key": key})
    answer = await door.client.post("/api/ads/v1/bookings", json={"budget_vnd": 5}, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (400, "key-missing")
    assert "Idempotency-Key" in answer.json()["detail"]
    assert await door.said() == 0


@pytest.mark.promise("F5")
async def test_another_picture_under_the_same_key_is_refused_and_the_same_one_is_a_repeat(door):
    key = door.headers()

    async def send(content: bytes, name: str = "a.png"):
        files = {"file": (name, content, "image/png")}
        return await door.client.post("/api/ads/v1/pictures", files=files, headers=key)

    first, same, other = await send(b"first"), await send(b"first"), await send(b"other")
    assert (first.status_code, first.json()["id"]) == (201, "first"), "the work still reads the whole file"
    assert (same.status_code, same.text) == (201, first.text)
    assert (other.status_code, other.json()["code"]) == (422, "key-reused")
    assert (await send(b"first", "b.png")).status_code == 422
    assert await door.said() == 1


async def test_every_choice_of_a_list_in_a_form_counts(door):
    headers = {"Content-Type": "application/x-www-form-urlencoded", **door.headers()}
    sent = [
        await door.client.post("/api/ads/v1/slow", content=content, headers=headers)
        for content in ("day=1&day=2", "day=3&day=2", "day=1&day=3", "day=1&day=2")
    ]
    assert [answer.status_code for answer in sent] == [201, 422, 422, 201]


@pytest.mark.promise("F5")
async def test_a_stranger_behind_the_same_address_does_not_get_anothers_answer_by_the_same_form(door):
    form = {"_idempotency_key": str(clock.new_id()), "name": "An"}
    mine, theirs = {"Cookie": "nt_csrf=mine"}, {"Cookie": "nt_csrf=theirs"}
    first = await door.client.post("/advertise/forms", data=form, headers=mine)
    repeat = await door.client.post("/advertise/forms", data=form, headers=mine)
    stranger = await door.client.post("/advertise/forms", data=form, headers=theirs)
    assert first.status_code == repeat.status_code == 302, "a repeat has the status of the first answer"
    assert repeat.headers["location"] == first.headers["location"]
    assert stranger.headers["location"] != first.headers["location"]


async def test_a_refused_post_may_be_sent_again_with_its_key(door):
    key = door.headers()
    for _ in range(2):
        answer = await door.client.post("/api/ads/v1/bookings", json={"budget_vnd": 13}, headers=key)
        assert answer.status_code == 409
