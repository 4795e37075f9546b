"""What falls due is done in batches; what fails of it is left, told of, and stops nobody else."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa

from shared import jobs
from shared.db import Tx
from shared.errors import Refused
from shared.jobs import Batch, Jobs, SomeFailed, run_one, until_nothing_is_due
from shared.observe import FAILING
from tests.conftest import Flat, Flats

THING = sa.table("version", sa.column("name", sa.Text()), sa.column("number", sa.BigInteger()))
"""Any table of a flat: a thing is due while its number is 0."""

DUE = sa.select(THING.c.name).where(THING.c.number == 0)
DONE = sa.select(THING.c.name).where(THING.c.number == 1).order_by(THING.c.name)


class NotThis(Refused):
    """A rule says no."""


async def refuse(_tx: Tx) -> None:
    raise NotThis("Not this one.")


async def hurt_the_database(tx: Tx) -> None:
    await tx.execute(sa.insert(THING).values(name="a", number=None))


async def stumble(_tx: Tx) -> None:
    raise KeyError("a mistake of ours")


async def lose_the_connection(tx: Tx) -> None:
    await tx.execute(sa.text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def be_cancelled(_tx: Tx) -> None:
    raise asyncio.CancelledError


Fault = Callable[[Tx], Any]


async def do(tx: Tx, batch: Batch, faults: dict[str, Fault], seen: list[str]) -> None:
    """Write 1 beside each thing, and beside who has a fault first, so that there is something to undo."""
    for (name,) in await batch.take(tx, DUE):
        seen.append(name)
        await tx.execute(sa.update(THING).where(THING.c.name == name).values(number=1))
        if name in faults:
            await faults[name](tx)


@pytest.fixture
async def flat(flats: Flats, monkeypatch: pytest.MonkeyPatch) -> Flat:
    monkeypatch.setattr(jobs, "AT_ONCE", 2)
    made = await flats.start("ads")
    async with made.tx() as tx:
        await tx.execute(sa.delete(THING))
    return made


async def are_due(flat: Flat, *names: str) -> None:
    async with flat.tx() as tx:
        for name in names:
            await tx.execute(sa.insert(THING).values(name=name, number=0))


async def done(flat: Flat) -> str:
    async with flat.tx() as tx:
        return "".join(await tx.scalars(DONE))


@pytest.mark.parametrize("due", ["", "a", "ab", "abc", "abcdefg"])
async def test_what_an_outage_left_behind_is_made_up_in_one_turn_a_batch_a_transaction(
    flat: Flat, due: str
) -> None:
    transactions = set()

    async def counted(tx: Tx, batch: Batch) -> None:
        transactions.add(await tx.scalar(sa.text("SELECT pg_current_xact_id()::text")))
        await do(tx, batch, {}, [])

    await are_due(flat, *due)
    await until_nothing_is_due(flat.kit.database, counted)
    assert await done(flat) == due
    assert len(transactions) == len(due) // 2 + 1


@pytest.mark.parametrize("fault", [refuse, hurt_the_database, stumble])
async def test_one_that_fails_is_undone_alone_and_named_when_all_others_are_done(
    flat: Flat, fault: Fault
) -> None:
    await are_due(flat, *"abcde")
    with pytest.raises(SomeFailed, match="do failed for b; 1 in all") as told:
        await until_nothing_is_due(flat.kit.database, do, {"b": fault}, [])
    assert await done(flat) == "acde"
    assert told.value.__cause__ is not None
    # Nothing stands in its way any more, so the next turn does it.
    await until_nothing_is_due(flat.kit.database, do, {}, [])
    assert await done(flat) == "abcde"


async def test_batches_full_of_failing_ones_end_and_hide_nothing_behind_them(flat: Flat) -> None:
    await are_due(flat, *"abcdefg")
    with pytest.raises(SomeFailed) as told:
        async with asyncio.timeout(30):
            await until_nothing_is_due(flat.kit.database, do, dict.fromkeys("abcdg", refuse), [])
    assert told.value.keys == [*"abcdg"]
    assert await done(flat) == "ef"


async def test_what_stays_due_though_nothing_failed_is_seen_once_a_turn(flat: Flat) -> None:
    seen = []

    async def idle(tx: Tx, batch: Batch) -> None:
        seen.extend(name for (name,) in await batch.take(tx, DUE))

    await are_due(flat, *"abcde")
    async with asyncio.timeout(30):
        await until_nothing_is_due(flat.kit.database, idle)
    assert seen == [*"abcde"]


@pytest.mark.parametrize(
    ("fault", "error"),
    [(lose_the_connection, sa.exc.OperationalError), (be_cancelled, asyncio.CancelledError)],
)
async def test_a_lost_connection_or_a_stop_is_nobodys_failure_and_ends_the_turn(
    flat: Flat, fault: Fault, error: type[BaseException]
) -> None:
    await are_due(flat, *"abcd")
    seen: list[str] = []
    with pytest.raises(error):
        await until_nothing_is_due(flat.kit.database, do, {"a": fault}, seen)
    assert seen == ["a"]
    assert await done(flat) == ""
    # Nor is it where another one has failed before.
    with pytest.raises(error):
        await until_nothing_is_due(flat.kit.database, do, {"a": refuse, "b": fault}, seen)
    assert await done(flat) == ""
    assert seen == ["a", "a", "a", "b"]


async def test_a_question_that_fails_is_no_things_failure(flat: Flat) -> None:
    async def broken(tx: Tx, batch: Batch) -> None:
        await batch.take(tx, sa.select(THING.c.name).where(sa.text("nowhere = 1")))

    with pytest.raises(sa.exc.ProgrammingError, match="nowhere"):
        await until_nothing_is_due(flat.kit.database, broken)


async def test_the_metric_says_how_much_of_a_job_failed_until_a_turn_is_whole_again(flat: Flat) -> None:
    faults: dict[str, Fault] = dict.fromkeys("abc", refuse)
    mine = Jobs[Any]("ads")

    @mine.every(1)
    async def my_job(kit: Any) -> None:
        await until_nothing_is_due(kit.database, do, faults, [])

    def failing() -> float:
        return FAILING.labels("my_job")._value.get()

    await are_due(flat, *"abcd")
    with pytest.raises(SomeFailed):
        await run_one(flat.kit, mine.scheduled[0])
    assert failing() == 3
    assert 'nguonthu_failing{job="my_job"} 3.0' in (await flat.client.get("/metrics")).text
    faults.clear()
    await run_one(flat.kit, mine.scheduled[0])
    assert failing() == 0
    assert await done(flat) == "abcd"


async def test_the_metric_says_that_a_job_broke_as_a_whole(flat: Flat) -> None:
    mine = Jobs[Any]("ads")

    @mine.every(1)
    async def broken_job(_kit: Any) -> None:
        raise ValueError("nothing of it was done")

    with pytest.raises(ValueError, match="nothing"):
        await run_one(flat.kit, mine.scheduled[0])
    assert FAILING.labels("broken_job")._value.get() == 1
