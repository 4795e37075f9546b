"""Charts: drawn outside the transaction, by one warm process, each content once."""

import asyncio
from typing import Any

import pytest

from services.ledger import gateways
from services.ledger.gateways import Drawer
from shared.errors import Unavailable

BAR = {
    "data": {"values": [{"a": "x", "b": 1}]},
    "mark": "bar",
    "encoding": {"y": {"field": "b", "type": "quantitative"}},
}
CHART = "/finance/charts/growth.svg"


@pytest.fixture
async def drawer() -> Any:
    made = Drawer()
    yield made
    await made.close()


async def test_twelve_viewers_of_a_cold_chart_hold_no_connection_and_draw_it_once(
    flat: Any, cookie: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slowly(_: Drawer, _text: bytes) -> bytes:
        begun.set()
        await go_on.wait()
        return b"<svg/>"

    monkeypatch.setattr(Drawer, "_ask", slowly)
    viewers = [asyncio.ensure_future(flat.client.get(CHART, headers=cookie)) for _ in range(12)]
    await asyncio.wait_for(begun.wait(), 10)
    for _ in range(500):
        if flat.kit.database.web.pool.checkedout() == 0:
            break
        await asyncio.sleep(0.02)
    assert flat.kit.database.web.pool.checkedout() == 0
    assert (await asyncio.wait_for(flat.client.get("/finance", headers=cookie), 10)).status_code == 200
    assert not any(viewer.done() for viewer in viewers)
    go_on.set()
    assert [(await viewer).text for viewer in viewers] == ["<svg/>"] * 12
    assert flat.app.state.drawer.drawn == 1


async def test_charts_are_drawn_by_one_process_that_stays_warm_and_ends_when_it_rests(drawer: Drawer) -> None:
    first = await drawer.draw(BAR)
    process = drawer._process
    assert b"<svg" in first
    assert await drawer.draw(BAR | {"width": 90}) != first
    assert process
    assert drawer._process is process
    assert await drawer.draw(BAR) == first
    assert drawer.drawn == 2
    drawer.rest()
    assert await asyncio.wait_for(process.wait(), 5) != 0


async def test_a_process_without_charts_to_draw_ends(drawer: Drawer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateways, "REST_S", 0.05)
    await drawer.draw(BAR)
    process = drawer._process
    assert process
    await asyncio.wait_for(process.wait(), 5)


async def test_a_chart_that_takes_too_long_is_unavailable_and_the_next_is_drawn(
    drawer: Drawer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateways, "DRAW_LIMIT_S", 0.01)
    with pytest.raises(Unavailable):
        await drawer.draw(BAR)
    monkeypatch.setattr(gateways, "DRAW_LIMIT_S", 20)
    assert b"<svg" in await drawer.draw(BAR)


async def test_a_chart_that_cannot_be_drawn_is_an_error_and_the_next_is_drawn(drawer: Drawer) -> None:
    with pytest.raises(RuntimeError, match="ended"):
        await drawer.draw({"mark": ["nonsense"]})
    assert b"<svg" in await drawer.draw(BAR)
