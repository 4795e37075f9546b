"""A crowd finds the house full, and is told so; money finds its own room, and its own way to the database."""

import asyncio
from contextlib import AsyncExitStack

import httpx
import pytest

from demo.app import create_app
from shared import gate, kit, observe
from shared.gate import Gate
from shared.settings import Settings
from tests.conftest import Flats
from tests.payments import an_invoice, link

pytestmark = pytest.mark.promise("T8")


def test_paying_and_the_banks_word_have_a_room_of_their_own_and_who_only_watches_has_none_there() -> None:
    house = Gate(1)
    for path in ("/gateway/vnpay/ipn", "/gateway/vnpay/return", "/pay/0199"):
        assert house.room_of("POST", path) is house.money, path
    for path in ("/pay/0199/live", "/payments", "/desk/payments", "/api/payments/v1/captures", "/"):
        assert house.room_of("POST", path) is house.crowd, path
    for path in ("/health/ready", "/health/live", "/metrics"):
        assert house.room_of("POST", path) is house.looks, path


async def test_a_full_house_says_so_to_programs_and_to_people_in_their_language(flats: Flats) -> None:
    client = (await flats.start("payments", requests_at_once=0)).client
    told = await client.get("/api/payments/v1/captures")
    assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert told.headers["content-type"] == "application/problem+json"
    assert told.json()["code"] == "unavailable"
    assert "try again in a second" in told.json()["detail"]
    assert (await client.get("/gateway/vnpay/ipn")).headers["content-type"] == "application/problem+json"
    for lang, words in (("vi", "quá nhiều yêu cầu"), ("en", "More is asked at this moment")):
        shown = await client.get("/desk/payments", headers={"Cookie": f"lang={lang}"})
        assert (shown.status_code, shown.headers["retry-after"]) == (503, "1")
        assert words in shown.text
    for look in ("/health/live", "/health/ready", "/metrics"):
        assert (await client.get(look)).status_code == 200, look
    assert 'nguonthu_sent_away_total{room="crowd"}' in (await client.get("/metrics")).text


async def test_who_looks_too_often_is_told_so_too_and_takes_no_room_of_others(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gate, "MOST_LOOKS", 0)
    client = (await flats.start("payments")).client
    for look in ("/health/live", "/health/ready", "/metrics"):
        told = await client.get(look)
        assert (told.status_code, told.headers["retry-after"]) == (503, "1")
    assert (await client.get("/gateway/vnpay/ipn?vnp_TxnRef=nobody")).status_code == 200


async def test_a_redis_that_is_not_reached_shows_in_the_figures_and_nowhere_else(flats: Flats) -> None:
    for url, away in (("redis://127.0.0.1:1/0", 1), (flats.stack.settings().redis_url, 0)):
        client = (await flats.start("payments", redis_url=url)).client
        assert f"nguonthu_redis_away {away}.0" in (await client.get("/metrics")).text
        assert (await client.get("/health/ready")).status_code == 200


async def test_the_newspaper_too_is_full_at_a_time() -> None:
    app = create_app(Settings(requests_at_once=0))
    transport = httpx.ASGITransport(app=app)
    async with app.lifespan(), httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
        shown = await client.get("/")
        assert (shown.status_code, shown.headers["retry-after"]) == (503, "1")
        assert "quá nhiều yêu cầu" in shown.text
        assert (await client.get("/health/ready")).status_code == 200


async def test_while_a_crowd_holds_every_connection_a_buyer_pays_and_the_bank_is_heard(flats: Flats) -> None:
    flat = await flats.start("payments", web_connections=2, worker_connections=2)
    invoice = an_invoice()
    await flat.receive(invoice)
    async with AsyncExitStack() as crowd:
        for _ in range(2):
            for one in (flat.kit.database.web_tx(["bkh"]), flat.kit.database.worker_tx()):
                tx = await crowd.enter_async_context(one)
                await tx.connection()
        async with asyncio.timeout(8):  # less than the others wait for a connection
            address = link(flat.kit.settings, invoice)
            assert (await flat.client.get(address)).status_code == 200
            assert (await flat.client.post(address)).status_code == 303
            heard = await flat.client.get("/gateway/vnpay/ipn?vnp_TxnRef=nobody")
            assert heard.json()["RspCode"] == "97"


async def test_health_and_the_figures_answer_though_no_connection_is_left_to_look_with(
    flats: Flats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kit, "READY_S", 0.3)
    monkeypatch.setattr(observe, "LOOKS_S", 0.3)
    flat = await flats.start("payments", worker_connections=1)
    async with flat.kit.database.worker_tx() as tx:
        await tx.connection()
        async with asyncio.timeout(8):  # less than the others wait for a connection
            ready = await flat.client.get("/health/ready")
            figures = await flat.client.get("/metrics")
    assert (ready.status_code, "PostgreSQL: does not answer" in ready.text) == (503, True)
    assert (figures.status_code, "nguonthu_outbox_facts NaN" in figures.text) == (200, True)
    assert (await flat.client.get("/health/ready")).status_code == 200
