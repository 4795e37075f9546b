"""Somebody always leads, whatever breaks at once, and who led before writes nothing any more."""

import asyncio
import signal
import subprocess
import sys
from contextlib import asynccontextmanager
from datetime import timedelta

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from shared import clock, kit, leader, outbox, turns
from shared.bus import Bus, Relay
from shared.fence import NoLongerLeads
from shared.jobs import Jobs
from shared.kit import Kit
from shared.leader import LEASE_S, Leader
from tests.cut import line_to
from tests.sample import withdrawn
from tests.shared.test_facts import until

pytestmark = pytest.mark.xdist_group("facts")

TAKEN_OVER_S = 3 * LEASE_S
"""A bound for the test alone: it waits for what happens, however slow the machine."""


@pytest.fixture(autouse=True)
def left(monkeypatch):
    """Why this process would have left."""
    told = []
    for module in (leader, kit):
        monkeypatch.setattr(module, "leave", told.append)
    return told


def kit_at(sample, **settings):
    """Another process of the sample service, in which all of it runs."""
    given = msgspec.structs.replace(sample.kit.settings, background=True, **settings)
    return Kit("ads", given, sample.kit.consumer, Jobs("ads"))


@asynccontextmanager
async def leading(one, work):
    """A leader that runs."""
    running = asyncio.create_task(one.run(work))
    try:
        yield running
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


def end_sessions(superuser):
    """Break what the service has open to its database."""
    superuser.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE usename = 'ads_worker' AND datname = 'sample_ads'"
    )


async def led(one):
    async def leads():
        return one.leading

    await until(leads, TAKEN_OVER_S)


@pytest.mark.promise("T1", "F3")
async def test_when_nats_is_away_and_all_sessions_of_the_database_break_the_service_leads_again(
    line, superuser, left
):
    sample, _, _ = line
    async with line_to(sample.kit.settings.nats_url) as (nats, nats_url):
        flat = kit_at(sample, nats_url=nats_url)
        await flat.start()
        await led(flat.leader)
        for _ in range(3):
            nats.hold()
            async with sample.kit.database.worker_tx() as tx:
                await outbox.emit(tx, withdrawn())
            await asyncio.sleep(0.7)  # the relay hears of it, and waits for NATS within its transaction
            end_sessions(superuser)
            await asyncio.sleep(3)
            nats.cut()
            nats.mend()

            async def all_said():
                return flat.leader.leading and not await sample.rows("SELECT FROM outbox LIMIT 1")

            await until(all_said, 30)
        assert left == []
        await flat.stop()


async def test_who_is_told_to_end_ends_where_a_dead_connection_hides_it_from_him(line, superuser):
    sample, _, _ = line
    async with line_to(sample.kit.settings.nats_url) as (nats, nats_url):
        bus = Bus(msgspec.structs.replace(sample.kit.settings, nats_url=nats_url), "ads")
        await bus.connect()
        relay = asyncio.create_task(Relay(bus, sample.kit.database).run())
        nats.hold()
        async with sample.kit.database.worker_tx() as tx:
            await outbox.emit(tx, withdrawn())
        await asyncio.sleep(0.7)
        end_sessions(superuser)
        relay.cancel()
        ended, _ = await asyncio.wait([relay], timeout=5)
        assert ended
        nats.cut()
        await bus.close()
        await asyncio.gather(relay, return_exceptions=True)


@pytest.mark.promise("T7")
async def test_a_frozen_leader_loses_its_lock_and_writes_nothing_when_it_thaws(sample, stack):
    with psycopg.connect(stack.admin_url("sample_ads"), autocommit=True) as owner:
        owner.execute("SET ROLE ads_owner")
        owner.execute("CREATE TABLE wrote (who integer NOT NULL)")
    frozen = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.shared.office", stdin=asyncio.subprocess.PIPE
    )
    given = ("postgres_url", "postgres_password", "database_prefix")
    frozen.stdin.write(msgspec.json.encode({name: getattr(sample.kit.settings, name) for name in given}))
    frozen.stdin.close()

    async def count():
        return len(await sample.rows(f"SELECT FROM wrote WHERE who = {frozen.pid}"))

    try:
        await until(count, 30)
        frozen.send_signal(signal.SIGSTOP)
        other = Leader(sample.kit.settings, "ads")
        async with leading(other, asyncio.Event().wait):
            await led(other)
            before = await count()
            frozen.send_signal(signal.SIGCONT)
            await asyncio.sleep(2)
            assert other.leading
            assert await count() == before
    finally:
        frozen.kill()
        await frozen.wait()


@pytest.mark.promise("T7")
async def test_a_leader_that_is_cut_off_ends_its_work_and_another_leads(sample):
    ended = asyncio.Event()

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with line_to(sample.kit.settings.postgres_url) as (postgres, url):
        far = Leader(msgspec.structs.replace(sample.kit.settings, postgres_url=url), "ads")
        near = Leader(sample.kit.settings, "ads")
        async with leading(far, work):
            await led(far)
            postgres.hold()
            async with leading(near, asyncio.Event().wait):
                await asyncio.wait_for(ended.wait(), TAKEN_OVER_S)
                await led(near)
                assert not far.leading


async def test_who_no_longer_holds_the_lock_is_refused_each_transaction(sample, superuser):
    refused = asyncio.Event()

    async def work():
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND classid = 7001"
        )
        with pytest.raises(NoLongerLeads):
            async with sample.kit.database.worker_tx():
                raise AssertionError("It was let in.")
        refused.set()

    async with leading(Leader(sample.kit.settings, "ads"), work):
        await asyncio.wait_for(refused.wait(), 10)
    async with sample.kit.database.worker_tx() as tx:
        assert await tx.scalar(sa.text("SELECT 1")) == 1, "who leads nothing is not asked"


async def test_nobody_leads_before_all_has_ended_that_was_begun_under_the_one_before(sample):
    new, open_still = Leader(sample.kit.settings, "ads"), asyncio.Event()

    async def transact():
        async with sample.kit.database.worker_tx():
            begun.set()
            await open_still.wait()

    begun, left = asyncio.Event(), []

    async def work():
        left.append(asyncio.create_task(transact()))
        await begun.wait()

    # Its work ends by itself, and leaves a transaction behind, as who froze does.
    old = asyncio.create_task(Leader(sample.kit.settings, "ads").run(work))
    await begun.wait()
    old.cancel()
    await asyncio.gather(old, return_exceptions=True)
    async with leading(new, asyncio.Event().wait):
        await asyncio.sleep(2.5)
        assert not new.leading
        open_still.set()
        await led(new)
    await asyncio.gather(*left)


async def test_work_that_does_not_end_when_it_is_told_to_ends_with_its_process(
    sample, superuser, left, monkeypatch
):
    assert leader.ENDS_S < LEASE_S, "by then nobody else leads yet"
    monkeypatch.setattr(leader, "ENDS_S", 0.2)
    let_go = asyncio.Event()

    async def work():
        while not let_go.is_set():
            try:
                await let_go.wait()
            except asyncio.CancelledError:
                continue

    async def told():
        return left

    one = Leader(sample.kit.settings, "ads")
    async with leading(one, work):
        await led(one)
        superuser.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND objid = 7001"
        )
        try:
            await until(told)
        finally:
            let_go.set()
    assert left == ["what ads led has not ended"]


def test_a_process_that_does_not_hear_that_it_is_to_leave_is_gone_all_the_same():
    code = (
        "import signal, time; from shared import leader; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "leader.LEAVES_S = 0.2; leader.leave('it must'); time.sleep(60)"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=50, check=False).returncode == 1


async def test_that_nobody_leads_is_a_sign_of_its_own(sample, monkeypatch):
    monkeypatch.setattr(kit, "UNLED_S", 1.5)
    flat = kit_at(sample)
    try:
        async with sample.kit.leader.standing_in():
            assert not [sign for sign in await flat.waits_for() if "leads" in sign]
        await asyncio.sleep(2)
        [sign] = [sign for sign in await flat.waits_for() if "leads" in sign]
        assert sign.startswith("leader: nobody leads for 2 s")
        async with (
            leading(sample.kit.leader, asyncio.Event().wait),
            leading(flat.leader, asyncio.Event().wait),
        ):
            await asyncio.sleep(2.5)
            assert not [sign for sign in await flat.waits_for() if "leads" in sign], (
                "it sees that another does"
            )
    finally:
        await flat.stop()


@pytest.mark.promise("F3", "F5")
async def test_readiness_names_what_is_held_back_and_is_ready_all_the_same(sample):
    assert await sample.kit.holds() == []
    async with sample.kit.database.worker_tx() as tx:
        for state, key in (("waiting", "version"), ("waiting", "order x"), ("dropped", ""), ("parked", "")):
            await tx.execute(
                sa.text(
                    "INSERT INTO retry (fact_id, subject, body, state, waits_for, since, next_at) "
                    "VALUES (:id, 'ads.x.y.v9', '', :state, :key, :now, :now)"
                ),
                {"id": clock.new_id(), "state": state, "key": key, "now": clock.now()},
            )
        await outbox.emit(tx, withdrawn())
        await tx.execute(sa.text("UPDATE outbox SET aside = 'too large'"))
    assert await sample.kit.waits_for() == []
    assert await sample.kit.holds() == [
        "lets 1 facts wait for what has not come",
        "has parked 1 facts that it could not handle",
        "keeps 1 facts of a version newer than its own",
        "has set 1 facts aside that NATS does not take",
        "keeps 1 facts that were dropped, and handles them no more",
    ]


async def test_a_job_that_has_not_run_for_far_longer_than_its_pace_is_told_of_once_somebody_leads(sample):
    flat = kit_at(sample)

    @flat.jobs.every(10)
    async def clean(_kit):
        """What a job does is none of this test's business."""

    async def signs():
        return [sign for sign in await flat.waits_for() if sign.startswith("jobs: clean")]

    async def noted(**ago):
        async with flat.database.worker_tx() as tx:
            await turns.note(tx, {job: clock.now() - timedelta(seconds=s) for job, s in ago.items()})

    try:
        assert await signs() == [], "nobody has led yet"
        await noted(lead=10, clean=5000)
        assert await signs() == [], "the house was at rest"
        await noted(lead=4000, clean=5000)
        [sign] = await signs()
        assert sign.startswith("jobs: clean has not ended a turn for 4000 s")
        await noted(clean=20)
        assert await signs() == []
    finally:
        await flat.stop()


async def test_the_end_of_each_turn_is_noted_and_handed_on_to_who_leads_next(sample, monkeypatch):
    monkeypatch.setattr("shared.jobs.FIRST_RUN_S", 0.05)
    flat, runs = kit_at(sample), []

    @flat.jobs.every(0.05)
    async def clean(_kit):
        runs.append(flat.jobs.rested("clean"))
        if len(runs) == 1:
            raise RuntimeError("The first turn breaks.")

    async with flat.database.worker_tx() as tx:
        await turns.note(tx, {"clean": clock.now() - timedelta(hours=2)})

    async def ran():
        return len(runs) > 2

    async with leading(flat.leader, flat._lead):
        await until(ran)
        await kit._note_turns(flat)
    assert min(runs[:2]) > timedelta(hours=1), "what broke did not run"
    assert runs[2] < timedelta(minutes=1)
    async with flat.database.worker_tx() as tx:
        noted = await turns.ended(tx)
    assert {"clean", "lead"} <= noted.keys()
    assert clock.now() - min(noted["clean"], noted["lead"]) < timedelta(minutes=1)
    await flat.stop()
