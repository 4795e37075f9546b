"""Serving over HTTP: decisions, caps, beacons and clicks, and how fast a stop or a payment takes hold."""

import asyncio
from uuid import uuid4

import msgspec
import pytest
import sqlalchemy as sa

from services.ads.rules import tokens
from shared import clock
from tests.ads.builders import (
    READER,
    Advertiser,
    a_line,
    a_live_order,
    a_rate_card,
    an_image,
    an_order,
    decide,
    ops_headers,
    paid,
    path_of,
    review,
)


@pytest.fixture
async def flat(flats):
    made = await flats.start("ads")
    await a_rate_card(made)
    return made


@pytest.fixture
def advertiser(flats, flat):
    return Advertiser(flats, flat)


async def test_a_beacon_counts_once_however_often_it_comes(flats, flat, advertiser):
    order = await a_live_order(flats, flat, advertiser)
    [ad] = await decide(flat, "article-mid")
    path = path_of(ad["impression_url"])
    answers = await asyncio.gather(*(flat.client.post(path, headers=READER) for _ in range(10)))
    assert sorted(a.headers["x-counted"] for a in answers) == ["no; replay"] * 9 + ["yes"]
    assert (await flat.client.post(path, headers=READER)).headers["x-counted"] == "no; replay"
    assert (await advertiser.get(f"/orders/{order['id']}")).json()["line_items"][0]["impressions"] == 1


@pytest.mark.promise("T11")
async def test_an_ad_that_was_shown_before_a_turn_of_the_secret_is_counted_after_it(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser)
    ads = await decide(flat, "article-mid") + await decide(flat, "article-mid")
    server = flat.app.state.server
    before = server.settings
    server.key = tokens.key_of("another")
    for until, counted in ((0, 404), (int(clock.now().timestamp()) + 60, 204)):
        formers = f"until:{until},own:{before.secret}"
        server.settings = msgspec.structs.replace(before, secret="another", former_keys=formers)
        answer = await flat.client.post(path_of(ads.pop()["impression_url"]), headers=READER)
        assert answer.status_code == counted


@pytest.mark.promise("A12")
async def test_what_is_no_person_or_forged_is_not_counted(flats, flat, advertiser):
    order = await a_live_order(flats, flat, advertiser)
    [ad] = await decide(flat, "article-mid")
    path = path_of(ad["impression_url"])
    bot = await flat.client.get(path, headers={"user-agent": "Googlebot/2.1"})
    early = await flat.client.get(path, headers={**READER, "sec-purpose": "prefetch"})
    unseen = await flat.client.get(path_of(ad["click_url"]), headers=READER)
    assert [a.headers["x-counted"] for a in (bot, early, unseen)] == [
        "no; bot",
        "no; prefetch",
        "no; no-view",
    ]
    assert unseen.status_code == 302
    middle = len(path) // 2
    forged = path[:middle] + ("A" if path[middle] != "A" else "B") + path[middle + 1 :]
    for bad in (forged, "/b/c/x", "/b/c/" + "A" * 5000, "/b/i/%E1%BA%A3"):
        answer = await flat.client.get(bad, headers=READER)
        assert answer.status_code == 404, bad
        assert answer.headers["content-type"].startswith("application/problem+json")
    line = (await advertiser.get(f"/orders/{order['id']}")).json()["line_items"][0]
    assert (line["impressions"], line["clicks"]) == (0, 0)


async def test_whoever_tries_the_house_with_a_tool_is_its_reader_but_not_in_production(
    flats, flat, advertiser
):
    await a_live_order(flats, flat, advertiser)
    [ad] = await decide(flat, "article-mid")
    server, told = flat.app.state.server, []
    assert server.tools_count, "this house is not in production"
    for server.tools_count in (False, True):
        answer = await flat.client.get(path_of(ad["impression_url"]), headers={"user-agent": "curl/8"})
        told.append(answer.headers["x-counted"])
    assert told == ["no; bot", "yes"]


async def test_a_stopped_creative_is_gone_everywhere(flats, flat, advertiser):
    order = await a_live_order(flats, flat, advertiser)
    [ad] = await decide(flat, "article-mid")
    creative = order["creatives"][0]["id"]
    assert (await review(flats, flat, creative, "stopped", reason="Yêu cầu của Sở")).status_code == 200
    await flat.app.state.server.refresh()
    assert await decide(flat, "article-mid") == []
    assert (await flat.client.get(path_of(ad["click_url"]), headers=READER)).status_code == 404
    assert (await flat.client.get(path_of(ad["creative_url"]))).status_code == 404
    assert (await advertiser.get(f"/orders/{order['id']}")).json()["status"] == "paused"


@pytest.mark.promise("A10")
async def test_a_line_is_shown_only_to_whom_it_targets_and_only_so_often(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(sections=["du-lich"], cap_day=2))
    assert await decide(flat, "article-mid", section="kinh-te") == []
    shown = [len(await decide(flat, "article-mid", visitor="v1")) for _ in range(4)]
    assert shown == [1, 1, 0, 0]
    assert len(await decide(flat, "article-mid", visitor="v2")) == 1


@pytest.mark.promise("A7")
async def test_explain_tells_the_agency_why_and_nobody_else(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(sections=["du-lich"]))
    ask = {"agency": "bkh", "section": "kinh-te", "placements": ["article-mid"], "explain": True}
    server = flats.key(id=uuid4(), agency="bkh", scopes=["ads:serve"])
    serving = {**READER, "authorization": f"Bearer {server}"}
    told = await flat.client.post("/api/ads/v1/decide", json=ask, headers=serving)
    assert told.json()["why"][0]["lost"] == "section: 'kinh-te' is not among du-lich"
    asked = await flat.client.get(
        "/b/decide?agency=bkh&section=the-thao&p=article-mid,home-top&explain=1",
        headers=serving,
    )
    assert [why["placement"] for why in asked.json()["why"]] == ["article-mid", "home-top"]
    for headers in (READER, advertiser.headers, ops_headers(flats), ops_headers(flats, "tcnt")):
        assert (await flat.client.post("/api/ads/v1/decide", json=ask, headers=headers)).status_code == 403


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"agency":1}',
        b"[" * 10_000,
        b'{"agency":"bkh","placements":[]}',
        b'{"a":1}',
        b"\xff\xfe",
    ],
)
async def test_a_broken_question_is_a_problem_and_no_fault(flat, body):
    answer = await flat.client.post("/api/ads/v1/decide", content=body, headers=READER)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("application/problem+json")


async def test_a_question_of_many_bytes_is_too_large_and_a_wrong_method_hears_which_are_right(flat):
    much = await flat.client.post("/api/ads/v1/decide", content=b"[" * 100_000, headers=READER)
    assert (much.status_code, much.json()["code"]) == (413, "too-large")
    wrong = await flat.client.put("/api/ads/v1/decide", content=b"{}", headers=READER)
    assert (wrong.status_code, wrong.json()["code"]) == (405, "wrong-method")
    assert wrong.headers["allow"] == "GET, POST"


@pytest.mark.promise("A7")
async def test_one_request_fills_a_page_from_memory_without_sql(flats, flat, advertiser):
    await a_live_order(flats, flat, advertiser, a_line(placements=["article-mid", "home-top"]))
    statements = []
    for engine in (flat.kit.database.web, flat.kit.database.worker):
        sa.event.listen(engine.sync_engine, "before_cursor_execute", lambda *a: statements.append(a[2]))
    ads = await decide(flat, "home-top", "article-mid", "article-bottom")
    assert [ad["placement"] for ad in ads] == ["home-top", "article-mid"]
    assert statements == []


@pytest.mark.promise("A7")
async def test_a_payment_shows_the_ad_within_five_seconds(flats, flat, advertiser):
    order = (await advertiser.post("/orders", an_order())).json()["id"]
    creative = (await advertiser.upload(order, an_image())).json()["id"]
    await advertiser.post(f"/orders/{order}/submit")
    await review(flats, flat, creative)
    [invoice] = await flat.facts()
    running = asyncio.create_task(flat.app.state.server.run())
    try:
        await asyncio.sleep(0.2)
        await flat.receive(paid(invoice))
        for _ in range(50):
            if await decide(flat, "article-mid"):
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("no ad after five seconds")
    finally:
        running.cancel()
