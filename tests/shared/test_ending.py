"""Whoever works for ever ends when told to, though a library on the way keeps that to itself."""

import asyncio

import pytest

from shared import fence
from shared.bus import Intake, Relay
from shared.jobs import Jobs, Scheduled
from shared.kit import Kit
from shared.presence import Presence

pytestmark = [pytest.mark.xdist_group("facts"), pytest.mark.promise("T1")]


class Deaf:
    """A call that does not pass on that its caller is to end, as `asyncio.wait_for` of Python 3.11 may not."""

    def __init__(self):
        self.calls = 0
        self.called = asyncio.Event()

    async def __call__(self, *_):
        self.calls += 1
        self.called.set()
        try:
            await asyncio.sleep(0.05)
        except asyncio.CancelledError:
            return 0
        return 0


@pytest.fixture
def loops(sample, monkeypatch):
    """What runs for ever in a service, each with something deaf at its core."""
    kit = Kit("ads", sample.kit.settings, sample.kit.consumer, Jobs("ads"))
    deaf = Deaf()
    relay, intake = Relay(kit.bus, kit.database), Intake(kit.bus, kit.database, kit.consumer)
    monkeypatch.setattr(relay, "publish_once", deaf)
    relay.rung = Bell(deaf)
    monkeypatch.setattr(intake, "_subscribed", lambda _: Opened())
    monkeypatch.setattr(intake, "_fetch", deaf)
    monkeypatch.setattr(kit, "_tried", deaf)
    kit.retry_due = Bell(deaf)
    presence = Presence(kit.bus, kit.consumer)
    monkeypatch.setattr(presence, "look", deaf)
    monkeypatch.setattr("shared.presence.LOOK_S", 0)
    jobs = Jobs("ads")
    return deaf, {
        "relay": relay.run,
        "intake": lambda: intake.run("ads"),
        "retry": kit._retry,
        "presence": presence.keep_looking,
        "job": lambda: jobs.loop(kit, Scheduled("deaf", 0, deaf)),
    }


class Bell:
    def __init__(self, wait):
        self.wait = wait

    def clear(self):
        """It rings all the time."""


class Opened:
    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        return None


@pytest.mark.parametrize("name", ["relay", "intake", "retry", "presence", "job"])
async def test_it_ends_in_its_next_turn(loops, name):
    deaf, running = loops
    task = asyncio.create_task(running[name]())
    await asyncio.wait_for(deaf.called.wait(), 10)
    calls = deaf.calls
    task.cancel()
    done, _ = await asyncio.wait([task], timeout=5)
    assert done, f"it went on: {deaf.calls - calls} more turns"
    assert task.cancelled()


async def test_who_is_not_to_end_goes_on():
    async with asyncio.timeout(60):
        await asyncio.sleep(0)
        fence.go_on()
