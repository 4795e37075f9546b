"""The rules against the reference ledger: whatever is told, in whatever order, every day of the books is the same."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import date, datetime, timedelta
from itertools import permutations
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.calendar import days
from shared.contracts import Fact
from shared.contracts.base import CreditedLine, Line, OnDate, PaidLine, Period
from shared.db import Database, Tx
from tests.conftest import Flats
from tests.ledger import builders
from tests.ledger.builders import (
    a_line,
    captured,
    credit,
    delivered,
    delivery,
    moved,
    opened,
    promised,
    refunded,
    undelivered,
)
from tests.ledger.honest import Scene, scenes, some_scenes
from tests.ledger.reference import Balances, Entry, added, day_of, history
from tests.ledger.replay import Replay

MARCH = Period(date(2026, 3, 1), date(2026, 3, 31))
FIRST, LAST = date(2026, 2, 25), date(2026, 5, 5)


def kept(replay: Replay, first: date, last: date) -> dict[date, Balances]:
    """What the entries come to at the end of each day, by the day to which they belong."""
    legs = [
        (draft.belongs_on, (draft.agency, leg.account, leg.amount_vnd))
        for draft in replay.drafts
        for leg in draft.legs
    ]
    return by_day(legs, first, last)


def by_day(legs: Iterable[tuple[date, Entry]], first: date, last: date) -> dict[date, Balances]:
    by_date: dict[date, list[Entry]] = {}
    for on, leg in legs:
        by_date.setdefault(max(on, first), []).append(leg)
    found, balances = {}, Balances()
    for day in days(first, last):
        so_far = [(*key, amount) for key, amount in balances.items()]
        found[day] = balances = added([*so_far, *by_date.get(day, [])])
    return found


def differing(found: dict[date, Balances], wanted: dict[date, Balances]) -> str:
    """The first day on which two histories differ, with what is found and wanted there; empty where they agree."""
    for day, balances in wanted.items():
        keys = [key for key in {**balances, **found[day]} if balances.get(key) != found[day].get(key)]
        if keys:
            told = (f"{key}: {found[day].get(key, 0)}, not {balances.get(key, 0)}" for key in sorted(keys))
            return f"{day}: " + "; ".join(told)
    return ""


def story(facts: Iterable[Any]) -> str:
    """Facts as somebody reads them who looks for what went wrong."""
    return "\n".join(map(_sentence, facts))


def _sentence(fact: Any) -> str:
    left_out = {
        "id",
        "occurred_at",
        "agency",
        "correlation",
        "buyer",
        "number",
        "return_url",
        "due_at",
        "expires_at",
    }
    told = {name: getattr(fact, name) for name in fact.__struct_fields__ if name not in left_out}
    words = ", ".join(f"{name}={_short(value)}" for name, value in told.items())
    return f"{day_of(fact)} {type(fact).__name__}({fact.agency}: {words})"


def _short(value: Any) -> str:
    match value:
        case tuple():
            text = "[" + "; ".join(map(_short, value)) + "]"
        case Line():
            what = f"{value.stream} {value.net_vnd}+{value.vat_vnd} {_short(value.earn)}"
            text = f"{_short(value.id)} of {value.agency} {what}"
        case PaidLine():
            text = f"{value.amount_vnd} ({value.vat_vnd} VAT) for {_short(value.line)}"
        case CreditedLine():
            text = f"{value.net_vnd}+{value.vat_vnd} of {_short(value.line)}"
        case Period():
            text = f"{value.start}–{value.end}"
        case UUID():
            text = str(value)[:4]
        case _:
            text = str(value)
    return text


def a_campaign_on_terms() -> list[Fact]:
    line = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    return [
        opened(line, on=date(2026, 3, 1)),
        delivery(line, 1, on=date(2026, 3, 15)),
        delivery(line, 2, on=date(2026, 3, 31)),
        credit(line, 500_000, 40_000, on=date(2026, 4, 2)),
        captured(line, paid=[540_000], collect="on_terms", on=date(2026, 4, 20)),
    ]


def a_month_paid_in_parts() -> list[Fact]:
    line = a_line(155_000, earn=MARCH)
    return [
        captured(line, paid=[83_700], on=date(2026, 2, 28)),
        captured(line, paid=[83_700], on=date(2026, 4, 10)),
        credit(line, 10_000, 800, on=date(2026, 3, 12)),
        moved(line, Period(date(2026, 3, 9), date(2026, 4, 8)), date(2026, 3, 9)),
        refunded(10_800, date(2026, 4, 11)),
    ]


def a_day_paid_around_it() -> list[Fact]:
    line = a_line(90_000, earn=OnDate(date(2026, 3, 8)), stream="ticket", agency="tcnt")
    return [
        captured(line, paid=[48_600], on=date(2026, 3, 1)),
        captured(line, paid=[48_600], on=date(2026, 3, 9)),
        moved(line, OnDate(date(2026, 4, 18)), date(2026, 3, 10), agency="bkh"),
        moved(line, OnDate(date(2026, 3, 20)), date(2026, 3, 11), agency="bkh"),
        credit(line, 90_000, 7_200, on=date(2026, 3, 15), agency="bkh"),
    ]


def an_order_delivered_before_its_invoice() -> list[Fact]:
    line = a_line(1_000_000, earn=delivered(4), stream="advertising.web")
    signed = promised(line, on=date(2026, 2, 26))
    return [
        signed,
        promised(a_line(), on=date(2026, 4, 1), order=signed.order),
        delivery(line, 3, on=date(2026, 3, 10)),
        undelivered(line, 1, on=date(2026, 3, 12)),
        opened(line, on=date(2026, 3, 31)),
    ]


def a_period_that_is_promised_billed_and_credited() -> list[Fact]:
    line = a_line(310_001, earn=MARCH, stream="sponsorship.cash", agency="tcnt")
    return [
        promised(line, on=date(2026, 2, 26)),
        opened(line, on=date(2026, 3, 14)),
        credit(line, 100_000, 8_000, on=date(2026, 3, 14), agency="bkh"),
        credit(line, 1, 0, on=date(2026, 3, 20), agency="bkh"),
        moved(line, Period(date(2026, 3, 18), date(2026, 4, 18)), date(2026, 3, 18), agency="bkh"),
    ]


def a_month_moved_before_its_money() -> list[Fact]:
    line = a_line(310_000, earn=MARCH, vat_class="exempt")
    return [
        moved(line, Period(date(2026, 3, 11), date(2026, 4, 10)), date(2026, 2, 27)),
        captured(line, paid=[155_000], on=date(2026, 3, 5)),
        captured(line, paid=[155_000], on=date(2026, 3, 20)),
        moved(line, Period(date(2026, 3, 13), date(2026, 4, 12)), date(2026, 3, 22)),
        credit(line, 100_000, 0, on=date(2026, 4, 2)),
    ]


def an_order_that_is_changed_and_called_off() -> list[Fact]:
    line, other = a_line(155_000, earn=MARCH), a_line(40_000, earn=delivered(4))
    signed = promised(line, other, on=date(2026, 2, 26))
    dearer = msgspec.structs.replace(line, net_vnd=310_000)
    return [
        signed,
        promised(dearer, other, on=date(2026, 3, 10), order=signed.order),
        promised(dearer, on=date(2026, 3, 20), order=signed.order),
        msgspec.structs.replace(promised(line, on=date(2026, 4, 20), order=signed.order), lines=()),
        delivery(other, 3, on=date(2026, 3, 2)),
    ]


SETS = [
    a_campaign_on_terms,
    a_month_paid_in_parts,
    a_day_paid_around_it,
    an_order_delivered_before_its_invoice,
    a_period_that_is_promised_billed_and_credited,
    a_month_moved_before_its_money,
    an_order_that_is_changed_and_called_off,
]


@pytest.mark.promise("L4")
@pytest.mark.parametrize("facts_of", SETS)
@pytest.mark.parametrize("through", [FIRST, date(2026, 3, 14), LAST], ids=str)
def test_every_order_of_some_facts_gives_the_same_books_on_every_day(facts_of: Any, through: date) -> None:
    """Whether their days were reached before, amid or after them."""
    facts = facts_of()
    wanted = history(facts, FIRST, LAST)
    for order in permutations(facts):
        replay = Replay(through)
        replay.hear(*order)
        replay.reach(LAST)
        assert replay.waiting == []
        assert differing(kept(replay, FIRST, LAST), wanted) == "", story(order)


@pytest.mark.promise("L4")
@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.data(), scenes())
def test_whatever_honest_senders_say_in_whatever_order_every_day_is_as_the_reference_says(
    data: st.DataObject, scene: Scene
) -> None:
    replay, told = Replay(scene.first), []
    for batch in batches(data, scene):
        replay.reach(max(replay.reached, data.draw(st.dates(scene.first, scene.last))))
        replay.hear(*batch)
        told += batch
        booked = [fact for fact in told if fact not in replay.waiting]
        so_far = history(booked, scene.first, replay.reached)
        assert differing(kept(replay, scene.first, replay.reached), so_far) == "", story(booked)
    replay.reach(scene.last)
    assert replay.waiting == []
    wanted = history(scene.facts, scene.first, scene.last)
    assert differing(kept(replay, scene.first, scene.last), wanted) == "", story(scene.facts)


def batches(data: st.DataObject, scene: Scene) -> Iterable[Sequence[Fact]]:
    """All facts in any order, some of them more than once, cut anywhere."""
    again = data.draw(st.lists(st.sampled_from(scene.facts), max_size=4)) if scene.facts else []
    told = data.draw(st.permutations([*scene.facts, *again]))
    cuts = sorted(data.draw(st.sets(st.integers(0, len(told)), max_size=6)))
    for start, end in zip([0, *cuts], [*cuts, len(told)], strict=True):
        yield told[start:end]


class Killed(BaseException):
    """The process was killed before its transaction could commit."""


@contextmanager
def mortal(database: Database, chance: Random, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of four transactions one dies before it commits."""
    lives = database.worker_tx

    @asynccontextmanager
    async def worker_tx() -> AsyncIterator[Tx]:
        async with lives() as tx:
            yield tx
            if chance.random() < 1 / 4:
                raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(database, "worker_tx", worker_tx)
        yield


@pytest.mark.promise("L3")
@pytest.mark.promise("L4")
@pytest.mark.parametrize("n", range(4))
async def test_the_stored_books_are_as_the_reference_says_though_whoever_writes_them_dies(
    flats: Flats, november: Any, monkeypatch: pytest.MonkeyPatch, n: int
) -> None:
    """Killed before the commit nothing was written; killed after it, before the ack, the same comes again."""
    scene, chance = some_scenes(4)[n], Random(n)
    flat = await flats.start("ledger")
    november.move_to(builders.noon(scene.first))
    left = [*scene.facts, *chance.sample(scene.facts, 4)]
    chance.shuffle(left)
    with mortal(flat.kit.database, chance, monkeypatch):
        while left:
            batch = left[: chance.randint(1, 8)]
            with suppress(Killed):
                november.move_to(_later(november, chance, scene.last))
                await flat.tick()
                await flat.receive(*batch)
                if chance.random() < 3 / 4:
                    del left[: len(batch)]
    november.move_to(max(november.now(), builders.noon(scene.last)))
    while await flat.held():
        november.move_to(november.now() + timedelta(hours=1))
        await flat.kit.consumer.again(flat.kit.database)
    await flat.tick()
    wanted = history(scene.facts, scene.first, scene.last)
    for sql in (LEGS, ROLLUP):
        async with flat.tx() as tx:
            rows = (await tx.execute(sa.text(sql))).all()
        found = by_day([(row[0], tuple(row[1:])) for row in rows], scene.first, scene.last)
        assert differing(found, wanted) == "", story(scene.facts)


LEGS = "SELECT belongs_on, agency, account, CAST(sum(amount_vnd) AS bigint) FROM leg GROUP BY 1, 2, 3"
ROLLUP = """SELECT belongs_on, agency, account, CAST(sum(debit_vnd - credit_vnd) AS bigint) FROM rollup
GROUP BY 1, 2, 3"""


def _later(november: Any, chance: Random, last: date) -> datetime:
    then = november.now() + timedelta(days=chance.choice((0, 0, 1, 7, 30)))
    return max(november.now(), min(then, builders.noon(last)))
