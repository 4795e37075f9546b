"""Sequences of the whole house: whatever is done in whatever order, in the end money, stock, access and books agree."""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from ops.embedded import Stack
from services.payments.rules import refunds
from shared import clock, selling
from shared.contracts import Fact, base, payments
from shared.sales import SALE
from tests.simulation.sequence import run
from tests.simulation.town import Ground, Town

pytestmark = pytest.mark.no_cover
"""Counting lines would take longer than living the runs, and each flat's own tests say what is covered."""

SEEDS = int(os.environ.get("SEQUENCES", "40"))
"""How many runs: CI lives 200, `make sequences` thousands."""

BATCH = 5
SEARCHED = 40
"""In so many runs at most a planted fault must be found."""


@pytest.fixture(scope="session")
def grounds(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ground]:
    with Ground(stack, Path(tmp_path_factory.mktemp("town"))) as ground:
        yield ground


@pytest.fixture
async def ground(grounds: Ground) -> AsyncIterator[Ground]:
    yield grounds
    await grounds.close()


@pytest.mark.promise("T3")
@pytest.mark.promise("T4")
@pytest.mark.promise("P7")
@pytest.mark.parametrize("first", range(1, SEEDS + 1, BATCH))
async def test_money_stock_access_and_books_agree_after_whatever_was_done_in_whatever_order(
    ground: Ground, first: int
) -> None:
    for seed in range(first, min(first + BATCH, SEEDS + 1)):
        await run(ground, seed)


@pytest.mark.promise("T4")
async def test_a_run_is_repeated_exactly_by_its_seed(ground: Ground) -> None:
    once, again = await run(ground, 7), await run(ground, 7)
    assert once.told == again.told


async def _ignores_late_money(*_: Any) -> None:
    """A seller that is offered late money, and says nothing."""


async def _takes_twice(tx: Any, _kind: Any, sale: Any, fact: Any) -> None:
    """A seller that takes whatever money comes, paid or not."""
    taken = {"taken": fact.payment, "outcome": None, "closed_at": None}
    await tx.execute(sa.update(SALE).where(SALE.c.id == sale.id).values(taken))


def _straight_to_the_rail(*, seller: bool) -> str:
    """A desk that gives money back without asking who sold."""
    del seller
    return "due"


async def _credits_twice(tx: Any, *facts: Fact) -> None:
    """A seller that says each credit twice, as two."""
    for fact in facts:
        await _emit(tx, fact)
        if isinstance(fact, base.CreditGranted):
            await _emit(tx, msgspec.structs.replace(fact, id=clock.new_id(), credit=clock.new_id()))


_emit, _carry = selling.emit, Town.carry


def _loses_captures(town: Town, fact: Fact) -> None:
    """A bus that loses what payments says of every second payment."""
    if isinstance(fact, payments.PaymentCaptured):
        town.things["captures"] = town.things.get("captures", 0) + 1
        if town.things["captures"] % 2 == 0:
            return
    _carry(town, fact)


@pytest.mark.parametrize(
    ("where", "name", "fault"),
    [
        (selling, "offered", _ignores_late_money),
        (refunds, "_agreed", _straight_to_the_rail),
        (selling, "_take", _takes_twice),
        (Town, "carry", _loses_captures),
        (selling, "emit", _credits_twice),
    ],
    ids=["ignores-late-money", "refund-without-credit", "double-take", "lost-fact", "credit-twice"],
)
async def test_a_planted_fault_is_found(
    ground: Ground, monkeypatch: pytest.MonkeyPatch, where: Any, name: str, fault: Callable[..., Any]
) -> None:
    monkeypatch.setattr(where, name, fault)
    with pytest.raises(AssertionError, match="Replay: "):
        for seed in range(1, SEARCHED + 1):
            await run(ground, seed)
