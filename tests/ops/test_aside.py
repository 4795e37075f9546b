"""What lives aside does all that it is told, in order, and never ends early without a word."""

import time
from collections.abc import Iterator
from datetime import UTC, date, datetime
from importlib import import_module
from pathlib import Path

import pytest

from ops.simulation import ASIDE
from ops.simulation.aside import Aside, EndedEarly, Hearing, Said, Told
from shared.contracts import SERVICES

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def told(act: str, *facts: bytes) -> Told:
    return Told(act, date(2026, 3, 1), NOON, list(facts))


async def write(heard: Iterator[Told], diary: Path) -> None:
    """Slow on purpose, so that the teller would be gone first."""
    for step in heard:
        time.sleep(0.05)  # noqa: ASYNC251 - nothing else runs there
        with diary.open("a", encoding="utf-8") as page:
            page.write(f"{step.act} {step.day} {step.instant:%H:%M} {b' '.join(step.facts).decode()}\n")


async def stumble(heard: Iterator[Told], at: str) -> None:
    for step in heard:
        if step.act == at:
            raise ValueError(f"Cannot {at}.")


async def test_all_that_was_told_is_done_in_order_when_the_block_ends(tmp_path: Path) -> None:
    async with Aside(write, tmp_path / "diary") as aside:
        for n in range(5):
            await aside.tell(told(f"act{n}", b"one", b"two"))
    lines = (tmp_path / "diary").read_text(encoding="utf-8").splitlines()
    assert lines == [f"act{n} 2026-03-01 12:00 one two" for n in range(5)]


async def test_a_step_that_fails_aside_is_an_error_here() -> None:
    with pytest.raises(EndedEarly, match="status 1"):
        async with Aside(stumble, "fall") as aside:
            await aside.tell(told("walk"))
            await aside.tell(told("fall"))


async def test_nothing_more_can_be_told_to_what_has_ended() -> None:
    with pytest.raises(EndedEarly, match="did not live to see 2026-03-01"):
        async with Aside(stumble, "fall") as aside:
            await aside.tell(told("fall"))
            for _ in range(200):
                await aside.tell(told("walk", bytes(100_000)))


async def test_where_the_teller_fails_nothing_is_waited_for(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        async with Aside(write, tmp_path / "diary") as aside:
            for n in range(1000):
                await aside.tell(told(f"act{n}"))
            raise KeyError
    diary = tmp_path / "diary"
    assert not diary.exists() or len(diary.read_text(encoding="utf-8").splitlines()) < 1000


def test_nobody_hears_what_lives_aside_but_the_witness_of_its_heads() -> None:
    """Of simulated years the ledger alone keeps the heads; accounts is their witness from the first real day on."""
    heard = {
        (service, subject)
        for service in SERVICES
        for source, subjects in import_module(f"services.{service}.consumers").consumer.sources().items()
        for subject in subjects
        if source == ASIDE
    }
    assert heard == {("accounts", "ledger.head.signed.v1")}


async def echo(heard: Hearing) -> None:
    for step in heard:
        if step.act == "fall":
            raise ValueError("Cannot fall.")
        if step.asked:
            heard.answer(Said(step.instant, [step.act.encode(), *step.facts]))


async def test_what_is_asked_is_answered_after_all_that_was_told_before() -> None:
    async with Aside(echo) as aside:
        await aside.tell(told("walk"))
        assert await aside.ask(told("run", b"one")) == Said(NOON, [b"run", b"one"])


async def test_who_ends_before_the_answer_is_an_error_here() -> None:
    with pytest.raises(EndedEarly, match="did not live to see the end of 2026-03-01"):
        async with Aside(echo) as aside:
            await aside.ask(told("fall"))
