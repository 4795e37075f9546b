"""The JSON door of subscriptions: access checks, packages, subscriptions, walls."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from redis.asyncio import Redis

from ops.simulation import today
from services.subscriptions.actions.walls import change_policy
from services.subscriptions.rules.access import SectionPolicy, WallPolicy
from shared import auth, clock, counters
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded
from shared.keys import OPERATOR
from tests.conftest import Flat, Flats
from tests.subscriptions.builders import (
    ACCESS,
    Newsroom,
    a_package,
    a_question,
    a_reader_with_access,
)

API = "/api/subscriptions/v1"


async def a_wall(flat: Flat, policy: WallPolicy, agency: str = "bkh") -> None:
    async with flat.tx() as tx:
        await change_policy(tx, agency, policy, 0, None)
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)


async def test_a_reader_meets_the_wall_after_three_different_articles(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    said = [await newsroom.read(f"bai-{n}") for n in range(4)]
    assert [a["allowed"] for a in said] == [True, True, True, False]
    assert [a["remaining"] for a in said] == [2, 1, 0, 0]
    assert said[3]["reason"] == "wall"
    assert said[3]["offers_url"] == "/subscribe?agency=bkh&next=%2Fbai%2Fbai-3"


async def test_reading_again_costs_nothing_even_at_the_limit(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    for article in ("a", "a", "b", "b", "c"):
        assert (await newsroom.read(article))["allowed"]
    assert not (await newsroom.read("d"))["allowed"]
    assert (await newsroom.read("a"))["allowed"]


async def test_of_fifty_at_once_nobody_gets_more_than_the_limit(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    await newsroom.read("first")
    answers = await asyncio.gather(*[newsroom.ask(article=f"bai-{n}") for n in range(50)])
    assert sum(answer.json()["allowed"] for answer in answers) == 2


async def test_a_lost_or_forged_device_is_a_new_one_with_the_stricter_limit_and_no_error(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    await a_wall(flat, WallPolicy(default=SectionPolicy(limit=3, new_device_limit=0)))
    newsroom = Newsroom(flat, flats)
    for device in (None, "", "x", "0" * 32 + "." + "0" * 32, "é" * 40, "a.b.c", "." * 5000):
        newsroom.device = device
        answer = await newsroom.ask()
        assert answer.status_code == 200, (device, answer.text)
        assert answer.json()["allowed"] is False
        assert answer.json()["device"] != device
    newsroom.device = answer.json()["device"]
    assert (await newsroom.ask()).json()["allowed"] is True


async def test_signing_in_gives_no_second_month(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    for article in ("a", "b"):
        await newsroom.read(article)
    token = flats.token(id=clock.new_id())
    assert (await newsroom.read("c", person_token=token))["remaining"] == 0
    assert (await newsroom.read("d", person_token=token))["allowed"] is False
    # On another device the person has read three already, and what they read costs them nothing.
    newsroom.device = None
    assert (await newsroom.read("e", person_token=token))["allowed"] is False
    assert (await newsroom.read("a", person_token=token))["allowed"] is True


async def test_counts_survive_the_loss_of_redis(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    for article in ("a", "b", "c"):
        await newsroom.read(article)
    await flat.app.state.doorkeeper.meter.flush()
    async with Redis.from_url(counters.address(flats.stack.settings(), OPERATOR)) as operator:
        assert await operator.keys("subscriptions:meter:*")
        await operator.flushdb()
    assert (await newsroom.read("d"))["allowed"] is False
    assert (await newsroom.read("a"))["allowed"] is True


async def test_without_redis_postgres_counts_and_its_counts_come_back_with_redis(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    await newsroom.read("a")
    there, flat.kit.redis = (
        flat.kit.redis,
        Redis.from_url("redis://127.0.0.1:1/0", socket_connect_timeout=1),
    )
    try:
        answers = await asyncio.gather(*[newsroom.ask(article=f"bai-{n}") for n in range(5)])
        assert sum(answer.json()["allowed"] for answer in answers) == 2
        assert (await newsroom.read("a"))["allowed"] is True
    finally:
        await flat.kit.redis.aclose()
        flat.kit.redis = there
    assert (await newsroom.read("b"))["allowed"] is False


async def test_a_payment_opens_every_section_also_when_the_page_token_is_hours_old(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await a_reader_with_access(flat, person)
    signer = auth.Signer(flats.stack.settings("accounts"))
    reader = auth.Principal(kind="person", id=person)
    newsroom = Newsroom(flat, flats)
    for age, reason in (
        (timedelta(0), "entitled"),
        (timedelta(hours=11), "entitled"),
        (timedelta(hours=13), "metered"),
    ):
        token = signer._sign(reader, clock.now() + timedelta(minutes=5) - age)
        assert (await newsroom.read("bai", person_token=token))["reason"] == reason


async def test_what_was_bought_before_a_merger_is_read_after_it(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    await flat.receive(
        AgencyRegistered(agency="bkh", name="Báo Khánh Hòa", kind="converged", active_from=today()),
        AgencySucceeded(agency="baokh", successor="bkh", on=today()),
    )
    await a_reader_with_access(flat, person, agency="baokh")
    assert (await Newsroom(flat, flats).read("bai", person_token=flats.token(id=person)))[
        "reason"
    ] == "entitled"


async def test_a_crawler_that_the_newsroom_verified_gets_the_policys_part_and_spends_nothing(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    assert (await newsroom.read("a", crawler=True))["reason"] == "policy"
    assert (await newsroom.read("a"))["remaining"] == 2


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[" * 10_000,
        b'{"agency":"bkh","article":1,"section":"x","premium":true}',
        b'{"agency":"bkh","article":"a","section":"x","premium":"yes"}',
        b'{"agency":"bkh","article":"a","section":"x","premium":true,"admin":true}',
        b'{"agency":"bkh","section":"x","premium":true}',
        b"\xff\xfe",
    ],
)
async def test_a_broken_question_is_refused_clearly(flats: Flats, body: bytes) -> None:
    flat = await flats.start("subscriptions")
    headers = Newsroom(flat, flats).headers
    answer = await flat.client.post(ACCESS, content=body, headers=headers)
    assert answer.status_code == 400
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_question_of_many_bytes_is_too_large(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    body = b'{"agency":"bkh","article":"' + b"a" * 20_000 + b'","section":"x","premium":true}'
    answer = await flat.client.post(ACCESS, content=body, headers=Newsroom(flat, flats).headers)
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")


async def test_only_a_key_with_the_scope_asks_and_only_for_its_agency(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    assert (await flat.client.post(ACCESS, json=a_question())).status_code == 401
    person = {"Authorization": f"Bearer {flats.token(id=clock.new_id(), roles={'bkh': ['administrator']})}"}
    assert (await flat.client.post(ACCESS, json=a_question(), headers=person)).status_code == 401
    other = {"Authorization": f"Bearer {flats.key(id=clock.new_id(), agency='bkh', scopes=['ads:book'])}"}
    assert (await flat.client.post(ACCESS, json=a_question(), headers=other)).status_code == 403
    newsroom = Newsroom(flat, flats)
    assert (await newsroom.ask(agency="tcnt")).status_code == 403
    assert (await flat.client.get(ACCESS, headers=newsroom.headers)).status_code == 405


async def test_an_answer_explains_itself_when_asked(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    url, question = f"{ACCESS}?explain=1", a_question()
    answer = (await flat.client.post(url, json=question, headers=newsroom.headers)).json()
    assert "premium articles are metered" in answer["explain"][0]
    assert answer["explain"][-1] == "So: allowed (metered)."
    assert "explain" not in (await newsroom.ask()).json()


async def test_a_batch_answers_in_order(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    newsroom = Newsroom(flat, flats)
    device = (await newsroom.read("x"))["device"]
    asks = [a_question(article=f"bai-{n}", device=device) for n in range(4)] + [a_question(premium=False)]
    answer = await flat.client.post(f"{ACCESS}/batch", json={"asks": asks}, headers=newsroom.headers)
    assert [a["allowed"] for a in answer.json()["answers"]] == [True, True, False, False, True]


async def test_packages_are_public_with_vat_and_the_newest_price(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    await a_package(flat, product_class="mixed", net_vnd=100_000)
    (package,) = (await flat.client.get(f"{API}/packages?agency=bkh")).json()
    (offer,) = package["offers"]
    assert (offer["net_vnd"], offer["vat_class"], offer["total_vnd"]) == (100_000, "standard", 108_000)


async def test_a_price_may_be_nothing_and_never_less(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    package, _ = await a_package(flat)
    key = flats.key(id=clock.new_id(), agency="bkh", scopes=["subscriptions:catalogue"])
    for net_vnd, status in ((-1, 400), (0, 201)):
        headers = {"Authorization": f"Bearer {key}", "Idempotency-Key": str(clock.new_id())}
        price = {"term": {"unit": "day", "count": 7}, "net_vnd": net_vnd, "since": "2024-01-01"}
        answer = await flat.client.post(f"{API}/packages/{package}/prices", json=price, headers=headers)
        assert answer.status_code == status, answer.text


async def test_staff_offer_packages_for_their_agency_alone(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    body: dict[str, Any] = {
        "agency": "bkh",
        "code": "tuan",
        "title": "Tuần",
        "title_en": "Week",
        "summary": "Bảy ngày.",
        "summary_en": "Seven days.",
        "grants": [{"agency": "bkh"}],
        "on_sale_from": "2024-01-01",
    }
    for roles, status in (({"bkh": ["subscriptions"]}, 201), ({"tcnt": ["subscriptions"]}, 403)):
        token = flats.token(id=clock.new_id(), roles=roles)
        headers = {"Authorization": f"Bearer {token}", "Idempotency-Key": str(clock.new_id())}
        made = await flat.client.post(f"{API}/packages", json=body, headers=headers)
        assert made.status_code == status, made.text
    # A role at one agency and a desk at another do not add up.
    mixed = flats.token(id=clock.new_id(), roles={"bkh": ["auditor"], "tcnt": ["subscriptions"]})
    headers = {"Authorization": f"Bearer {mixed}", "Idempotency-Key": str(clock.new_id())}
    assert (await flat.client.post(f"{API}/packages", json=body, headers=headers)).status_code == 403


async def test_staff_and_keys_read_subscriptions_of_their_agency_alone(flats: Flats) -> None:
    flat = await flats.start("subscriptions")
    person = clock.new_id()
    opened = await a_reader_with_access(flat, person)

    async def seen(token: str, path: str = f"/subscriptions?person={person}") -> Any:
        return await flat.client.get(API + path, headers={"Authorization": f"Bearer {token}"})

    staff = flats.token(id=clock.new_id(), roles={"bkh": ["subscriptions"]})
    key = flats.key(id=clock.new_id(), agency="bkh", scopes=["subscriptions:read"])
    for token in (staff, key):
        (held,) = (await seen(token)).json()["items"]
        assert (held["id"], held["standing"]) == (str(opened.subscription), "active")
    stranger = flats.token(id=clock.new_id(), roles={"tcnt": ["subscriptions"]})
    assert (await seen(stranger)).json()["items"] == []
    assert (await seen(stranger, f"/subscriptions/{opened.subscription}")).status_code == 404
    assert (await seen(flats.token(id=person))).status_code == 403


async def test_a_wall_is_changed_by_the_version_that_was_seen_and_holds_at_the_next_check(
    flats: Flats,
) -> None:
    flat = await flats.start("subscriptions")
    headers = {"Authorization": f"Bearer {flats.token(id=clock.new_id(), roles={'bkh': ['subscriptions']})}"}
    url = f"{API}/policies/bkh"
    before = await flat.client.get(url, headers=headers)
    wall = {**before.json()["policy"], "default": {"premium": "hard"}}
    assert (await flat.client.put(url, json=wall, headers=headers)).status_code == 428
    put = {**headers, "If-Match": before.headers["etag"]}
    assert (await flat.client.put(url, json=wall, headers=put)).status_code == 200
    assert (await flat.client.put(url, json=wall, headers=put)).status_code == 412
    await flat.app.state.doorkeeper.snapshot.refresh(flat.kit.database)
    assert (await Newsroom(flat, flats).read("a"))["reason"] == "wall"
    bad = {**wall, "sections": {"kinh-te": {"premium": "sometimes"}}}
    assert (await flat.client.put(url, json=bad, headers=put)).status_code == 400
    stranger = {
        "Authorization": f"Bearer {flats.token(id=clock.new_id(), roles={'tcnt': ['subscriptions']})}"
    }
    assert (await flat.client.get(url, headers=stranger)).status_code == 404
