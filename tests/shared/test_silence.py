"""What answers nothing is given up, and its connection with it; who asked is told to come again."""

import asyncio
import contextlib
import math
import re
from types import SimpleNamespace

import psycopg
import pytest
import sqlalchemy as sa
from sqlalchemy.pool import QueuePool

from shared import clock, contracts, observe, patience, service
from shared.bus import ACK_WAIT_S, Intake
from shared.patience import connect
from tests.cut import line_to
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = [pytest.mark.xdist_group("facts"), pytest.mark.promise("T7")]

BOUND_S = 12


@pytest.fixture
def brief(monkeypatch):
    """Limits that a test can wait for."""
    monkeypatch.setattr(patience, "LOOK_S", 0.5)
    monkeypatch.setitem(patience.LINE, "connect_timeout", 2)


@pytest.fixture
async def silent(flats, stack, brief):
    """A service, and the line to its database."""
    async with line_to(stack.settings().postgres_url) as (line, url):
        flat = await flats.start("subscriptions", postgres_url=url)
        assert (await flat.client.get("/subscribe")).status_code == 200
        yield flat, line
        line.mend()


async def test_a_page_of_a_database_that_says_nothing_asks_its_reader_to_come_again(silent):
    flat, line = silent
    line.hold()
    began = clock.monotonic_s()
    answers = await asyncio.gather(*(flat.client.get("/subscribe") for _ in range(3)))
    assert clock.monotonic_s() - began < BOUND_S
    for answer in answers:
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
        assert "tạm vắng" in answer.text
    answer = await flat.client.get("/subscribe?lang=en")
    assert "away for a moment" in answer.text
    line.mend()
    assert (await flat.client.get("/subscribe")).status_code == 200


async def test_health_and_metrics_answer_while_the_database_says_nothing(silent):
    flat, line = silent
    assert "nguonthu_outbox_facts 0.0" in (await flat.client.get("/metrics")).text
    line.hold()
    began = clock.monotonic_s()
    ready, metrics = await asyncio.gather(flat.client.get("/health/ready"), flat.client.get("/metrics"))
    assert clock.monotonic_s() - began < BOUND_S
    assert ready.status_code == 503
    assert "PostgreSQL: " in ready.text
    assert metrics.status_code == 200
    assert "nguonthu_outbox_facts NaN" in metrics.text


async def test_the_figures_wait_for_a_silent_database_once_and_not_once_a_look(silent, monkeypatch):
    flat, line = silent
    monkeypatch.setattr(patience, "LOOK_S", 60.0)
    monkeypatch.setitem(patience.LINE, "connect_timeout", 60)
    monkeypatch.setattr(observe, "LOOKS_S", 3.0)
    line.hold()
    began = clock.monotonic_s()
    assert "nguonthu_outbox_facts NaN" in (await flat.client.get("/metrics")).text
    assert clock.monotonic_s() - began < 5.5


ANSWERED = re.compile(r'^nguonthu_store_answers_seconds{store="(\w+)"} (\S+)$', re.MULTILINE)


async def test_the_figures_say_how_long_each_store_takes_to_answer(silent):
    flat, line = silent

    async def took_s() -> dict[str, float]:
        return {store: float(s) for store, s in ANSWERED.findall((await flat.client.get("/metrics")).text)}

    line.slow(0.1)
    slow = await took_s()
    assert slow["postgres"] > 0.2 > slow["redis"] > 0
    assert math.isnan(slow["nats"]), "this service has no background, and so no line to NATS"
    line.mend()
    line.hold()
    assert math.isnan((await took_s())["postgres"])


async def test_a_connection_that_never_answered_goes_to_nobody_again(sample, brief):
    async with line_to(sample.kit.settings.postgres_url) as (line, url):
        address = f"{url}/sample_ads".replace(
            "://", f"://ads_worker:{sample.kit.settings.postgres_password}@"
        )
        asked = await connect(address, patience_s=0.5)
        await asked.execute("SELECT 1")
        line.hold()
        with pytest.raises(psycopg.OperationalError, match="has not answered for 0"):
            await asked.execute("SELECT 2")
        assert asked.closed
        with pytest.raises(psycopg.OperationalError, match="timeout"):
            await connect(address)


async def test_who_gives_up_a_statement_has_the_server_give_it_up_too(sample, superuser):
    pool = sample.kit.database.worker.pool
    assert isinstance(pool, QueuePool)

    async def sleep():
        async with sample.kit.database.worker_tx() as tx:
            await tx.execute(sa.text("SELECT pg_sleep(30), 'unheard'"))

    async def sleeps():
        found = "SELECT FROM pg_stat_activity WHERE query LIKE '%unheard%' AND pid <> pg_backend_pid()"
        return bool(superuser.execute(found).fetchall())

    async def sleeps_no_more():
        return not await sleeps()

    asking = asyncio.create_task(sleep())
    await until(sleeps)
    asking.cancel()
    began = clock.monotonic_s()
    with contextlib.suppress(asyncio.CancelledError, sa.exc.DBAPIError):
        await asking
    assert clock.monotonic_s() - began < 2, "nothing is waited for"
    await until(sleeps_no_more)
    assert pool.checkedout() == 0


async def test_an_answer_that_came_while_our_own_loop_was_held_is_heard(sample, brief):
    async def hold():
        await asyncio.sleep(0.05)
        until_s = clock.monotonic_s() + 1
        while clock.monotonic_s() < until_s:
            """The loop is held."""

    held = asyncio.create_task(hold())
    assert (await sample.kit.database.glance("SELECT pg_sleep(0.2), 7 AS said")).said == 7
    await held


async def test_a_request_that_is_not_answered_in_time_is_given_up(door, monkeypatch):
    monkeypatch.setattr(service, "ANSWERED_S", 0.2)
    answer = await door.client.post("/api/ads/v1/slow", headers=door.headers())
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")
    assert answer.json()["code"] == "unavailable"
    assert answer.headers["x-request-id"]
    monkeypatch.setattr(service, "ANSWERED_S", 20)
    answer = await door.client.post("/api/ads/v1/slow", headers=door.headers())
    assert answer.json() == {"id": "slow", "budget_vnd": 0}


async def test_a_hot_path_is_given_up_in_time_too(door, monkeypatch):
    monkeypatch.setattr(service, "ANSWERED_S", 0.2)
    answer = await door.client.post("/b/hot")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "2")


async def test_an_answer_that_has_begun_and_a_body_that_still_comes_take_their_time(monkeypatch):
    monkeypatch.setattr(service, "ANSWERED_S", 0.2)
    told = []

    async def app(_scope, receive, send):
        for _ in range(3):
            await receive()
        await send({"type": "http.response.start"})
        await asyncio.sleep(0.5)
        await send({"type": "http.response.body"})

    async def receive():
        await asyncio.sleep(0.15)

    async def send(message):
        told.append(message["type"])

    await service.Caller._in_time(SimpleNamespace(), app, {}, receive, send)
    assert told == ["http.response.start", "http.response.body"]


async def test_facts_that_could_not_be_handled_for_a_moment_come_again_before_their_time_is_over(
    line, monkeypatch
):
    sample, bus, _ = line
    fact, receive, tries = withdrawn(), sample.kit.consumer.receive, []

    async def away_at_first(*given):
        tries.append(clock.monotonic_s())
        if len(tries) < 3:
            raise OSError("the database is away")
        await receive(*given)

    monkeypatch.setattr(sample.kit.consumer, "receive", away_at_first)
    await bus.publish_each([(str(fact.id), fact.subject(), contracts.encode(fact))])
    running = asyncio.create_task(Intake(bus, sample.kit.database, sample.kit.consumer).run("ads"))

    async def all_seen():
        return bool(sample.seen)

    await until(all_seen)
    running.cancel()
    assert tries[-1] - tries[0] < ACK_WAIT_S, "both times it was given back"
