"""That nobody leads and that a job has not run is said by readiness, by the figures and by the doctor alike."""

import asyncio
import os
import re
from datetime import timedelta
from pathlib import Path

import msgspec
import pytest

from ops.embedded import doctor, state
from ops.embedded.process import created
from ops.embedded.state import HouseState, PartState
from shared import clock, turns
from tests.conftest import Flat, Flats
from tests.ops.test_server import at_rest

JOB = "forget"


@pytest.fixture
async def unled(flats: Flats) -> Flat:
    """A service that nobody has led for long, and one of whose jobs had rested for longer than that before."""
    flat = await flats.start("payments")
    flat.kit.settings = msgspec.structs.replace(flat.kit.settings, background=True)
    flat.kit.leader._led_at_s -= 100
    async with flat.tx() as tx:
        ago = {turns.LEAD: 40_000, **dict.fromkeys(flat.kit.paces, 10), JOB: 50_000}
        await turns.note(tx, {job: clock.now() - timedelta(seconds=s) for job, s in ago.items()})
    return flat


def examined(port: int, monkeypatch: pytest.MonkeyPatch) -> list[doctor.Finding]:
    """What the doctor finds in a house in which this one service runs."""
    note = {"pid": os.getpid(), "created": created(os.getpid()), "port": port}
    parts = [
        state._look_at(Path(), "payments", note),
        PartState("postgres", ready=True, detail="", pid=1, port=1),
    ]
    monkeypatch.setattr(doctor, "look", lambda _home: HouseState("", parts, []))
    monkeypatch.setattr(doctor, "listening_beyond_loopback", lambda _home: [])
    for beside in ("_streams", "_held"):
        monkeypatch.setattr(doctor, beside, lambda *_: iter(()))
    return list(doctor._running(Path()))


@pytest.mark.promise("T1", "F5")
async def test_both_signs_are_told_in_each_place_where_somebody_looks(
    unled: Flat, monkeypatch: pytest.MonkeyPatch
) -> None:
    ready = await unled.client.get("/health/ready")
    assert (ready.status_code, ready.json()["status"]) == (503, "waiting")
    leader, job = ready.json()["waits_for"][:2]
    assert leader.startswith("leader: nobody leads for 10")
    assert job.startswith(f"jobs: {JOB} has not ended a turn for 4000")

    figures = (await unled.client.get("/metrics")).text
    for name, least in (
        ("nguonthu_unled_seconds", 100),
        (rf'nguonthu_job_rested_seconds{{job="{JOB}"}}', 40_000),
    ):
        [found] = re.findall(rf"^{re.escape(name)} (\S+)$", figures, re.MULTILINE)
        assert float(found) >= least

    async with at_rest(unled.app) as server:
        port = server.servers[0].sockets[0].getsockname()[1]
        findings = await asyncio.to_thread(examined, port, monkeypatch)
    [sick] = [finding for finding in findings if finding.what.startswith("payments")]
    assert not sick.well
    assert "leader: nobody leads for 10" in sick.what
    assert f"jobs: {JOB} has not ended a turn for 4000" in sick.what
