"""A house at rest: what looks around every second costs next to nothing, and a look that fails is not the last."""

import asyncio
from functools import partial
from typing import Any

import psycopg
import pytest
from sqlalchemy import event

from shared.contracts import SERVICES
from shared.jobs import run_one
from shared.service import refresh
from tests.conftest import Flat, Flats

OFTEN_S = 2


def looks(flat: Flat) -> list[Any]:
    """What a service does every second or two."""
    kit = flat.kit
    found: list[Any] = [partial(run_one, kit, job) for job in kit.jobs.scheduled if job.every_s <= OFTEN_S]
    found.append(partial(refresh, kit, flat.app.state.verifier))
    if kit.service == "ads":
        found.append(flat.app.state.server.refresh)
    if kit.service == "subscriptions":
        found += [flat.app.state.doorkeeper.refresh, flat.app.state.doorkeeper.meter.flush]
    return found


@pytest.mark.promise("V10")
@pytest.mark.parametrize("service", SERVICES)
async def test_what_is_done_every_second_opens_no_transaction_while_nothing_happens(
    flats: Flats, service: str
) -> None:
    flat = await flats.start(service)
    begun: list[Any] = []
    event.listen(flat.kit.database.worker.sync_engine, "begin", begun.append)
    for look in looks(flat):
        await look()
    assert begun, "the first look reads what there is"
    begun.clear()
    for look in looks(flat):
        await look()
    assert begun == []


async def test_a_look_whose_session_was_ended_raises_and_the_next_one_has_another(
    flats: Flats, superuser: Any
) -> None:
    database = (await flats.start("ads")).kit.database
    session = "SELECT pg_backend_pid() AS pid"
    old = (await database.glance(session)).pid
    superuser.execute("SELECT pg_terminate_backend(%s)", (old,))
    await asyncio.sleep(0.2)
    with pytest.raises(psycopg.OperationalError):
        await database.glance(session)
    assert (await database.glance(session)).pid != old
