"""Simulated years: the same seed makes the same books, nothing is left over, and a history is never lived twice."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import closing
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import psutil
import psycopg
import pytest
import sqlalchemy as sa

from ops.cli import care
from ops.cli.care import FIRST_SCALE
from ops.embedded import Stack, clone_database
from ops.simulation import AlreadyLived, simulate
from services.payments import gateways
from shared import clock
from shared.calendar import ZONE, start_of
from shared.contracts import SERVICES
from shared.leader import Leader, ServiceRuns
from shared.settings import Settings
from tests.conftest import Templates
from tests.shared.dates import dated_after
from tests.shared.homes import a_folder

pytestmark = [pytest.mark.promise("F7"), pytest.mark.xdist_group("simulate")]

# The merger falls into these days; they hold a Sunday and a month's end, on which the jobs run.
FIRST, LAST = date(2025, 4, 20), date(2025, 4, 30)
NOW = datetime(2025, 4, 30, 14, 40, tzinfo=ZONE)
"""When these years are lived: the last day is today, in the middle of it."""

MOST_A_DAY = 55
"""Statements of a day beside those of the flats that live aside: a first start lives 700 days and waits for each."""

BOOKS = "SELECT id, recorded_at, posted_on, hash FROM entry ORDER BY id"
IN_ALL = "SELECT subject, count(*) FROM fact_log GROUP BY subject ORDER BY subject"


class Town:
    """Six fresh databases under a name of their own, to be lived in."""

    def __init__(self, stack: Stack, templates: Templates, name: str, home: Path) -> None:
        self.stack, self.name, self.home = stack, name, home
        self.statements = 0
        self.by_evening: list[int] = []
        """How many statements it had taken by the end of each day."""
        self.wires: set[Any] = set()
        """How payments reached the bank."""
        for service in SERVICES:
            clone_database(stack.admin_url("postgres"), templates.name(service), f"{name}_{service}")

    def settings(self, service: str) -> Settings:
        return msgspec.structs.replace(
            self.stack.settings(service), database_prefix=f"{self.name}_", background=False, home=self.home
        )

    async def live(self, seed: int, last: date = LAST) -> list[tuple[int, int, str]]:
        told: list[tuple[int, int, str]] = []

        def evening(*step: Any) -> None:
            told.append(step)
            self.by_evening.append(self.statements)
            self.wires.add(gateways.wire.get())

        sa.event.listen(sa.Engine, "before_cursor_execute", self._count)
        try:
            with clock.driven(clock.DrivenClock(NOW, seed)):
                self.demo = await simulate(self.settings, FIRST, last, seed, evening, scale=FIRST_SCALE)
        finally:
            sa.event.remove(sa.Engine, "before_cursor_execute", self._count)
        return told

    def _count(self, *_: object) -> None:
        self.statements += 1

    def rows(self, service: str, query: str) -> list[tuple[Any, ...]]:
        with closing(psycopg.connect(self.stack.admin_url(f"{self.name}_{service}"))) as connection:
            return connection.execute(query).fetchall()

    def value(self, service: str, query: str) -> Any:
        return self.rows(service, query)[0][0]


@pytest.fixture(scope="module")
def lived(stack: Stack, templates: Templates, tmp_path_factory: pytest.TempPathFactory) -> Town:
    """A town that has lived its days by seed 7."""
    town = Town(stack, templates, "first", tmp_path_factory.mktemp("first"))
    told = asyncio.run(town.live(7))
    assert [(done, span) for done, span, _ in told] == [(n, 11) for n in range(1, 12)]
    assert told[0][2] == "20/04/2025"
    return town


def test_nothing_is_lived_while_one_of_the_services_runs(
    stack: Stack, templates: Templates, tmp_path: Path
) -> None:
    town = Town(stack, templates, "running", tmp_path)

    async def beside_a_running_service() -> None:
        async with Leader(town.settings("payments"), "payments").standing_in():
            with pytest.raises(ServiceRuns, match="payments is running"):
                await town.live(7, FIRST)
        assert town.value("accounts", "SELECT count(*) FROM person") == 0
        await town.live(7, FIRST)

    asyncio.run(beside_a_running_service())
    assert town.value("accounts", "SELECT count(*) FROM person") > 0


def test_the_same_seed_makes_the_same_books_and_another_seed_others(
    lived: Town, stack: Stack, templates: Templates, tmp_path: Path
) -> None:
    first = lived
    again, other = (Town(stack, templates, name, tmp_path / name) for name in ("again", "other"))
    asyncio.run(again.live(7))
    asyncio.run(other.live(8, FIRST + timedelta(days=4)))
    books = first.rows("ledger", BOOKS)
    assert len(books) > 30
    assert again.rows("ledger", BOOKS) == books
    assert not {row[3] for row in other.rows("ledger", BOOKS)} & {row[3] for row in books}
    for service in SERVICES:
        assert again.rows(service, IN_ALL) == first.rows(service, IN_ALL), service
    assert again.demo == first.demo


def test_a_lived_house_is_whole_quiet_and_lives_only_once(lived: Town) -> None:
    town = lived
    for service in SERVICES:
        assert town.value(service, "SELECT count(*) FROM retry") == 0, service
        assert town.value(service, "SELECT count(*) FROM outbox") == 0, service
    assert town.value("ledger", "SELECT count(*) FROM leg") > 100
    assert town.rows("ledger", "SELECT agency FROM leg GROUP BY 1 HAVING sum(amount_vnd) <> 0") == []
    unbalanced = "SELECT agency FROM rollup GROUP BY 1 HAVING sum(debit_vnd) <> sum(credit_vnd)"
    assert town.rows("ledger", unbalanced) == []
    # What was captured is what the bank says it took.
    captured = town.value("payments", "SELECT sum(amount_vnd) FROM capture")
    by_the_bank = "SELECT sum(amount_vnd) FROM sim_transaction WHERE state = 'paid'"
    assert captured == town.value("payments", by_the_bank)
    assert captured > 0
    # Ad delivery came in as totals of an hour, counted and told alike; every day was recognised.
    hours = "SELECT count(*), count(*) FILTER (WHERE date_trunc('hour', hour) <> hour) FROM rollup"
    ((counted, uneven),) = town.rows("ads", hours)
    assert counted > 0
    assert uneven == 0
    assert town.value("ledger", "SELECT day FROM reached") == LAST
    # Nothing is dated outside the days that were lived.
    dates = "SELECT min(recorded_at AT TIME ZONE 'Asia/Ho_Chi_Minh'), max(recorded_at AT TIME ZONE 'Asia/Ho_Chi_Minh')"
    ((earliest, latest),) = town.rows("ledger", f"{dates} FROM entry")
    assert FIRST <= earliest.date() <= latest.date() == LAST
    # From the merger on the heir sells, and what its predecessors sold before goes on.
    sold = dict(town.rows("payments", "SELECT agency, min(opened_at) FROM invoice GROUP BY agency"))
    assert {"baokh", "bkh"} <= set(sold)
    assert sold["bkh"].date() >= date(2025, 4, 24)

    before = town.rows("ledger", BOOKS)
    with pytest.raises(AlreadyLived):
        asyncio.run(town.live(8))
    assert town.rows("ledger", BOOKS) == before


@pytest.mark.promise("F1")
@pytest.mark.parametrize("service", SERVICES)
def test_nothing_in_a_house_is_dated_in_the_future(lived: Town, service: str) -> None:
    with closing(psycopg.connect(lived.stack.admin_url(f"{lived.name}_{service}"))) as db:
        # A driven clock moves by a microsecond a call; living through the day takes longer.
        assert dated_after(db, NOW + timedelta(seconds=1)) == []
        assert dated_after(db, NOW - timedelta(days=30)) != []  # the walk sees what there is


def test_today_is_lived_up_to_now(lived: Town) -> None:
    hours = "SELECT DISTINCT hour FROM rollup WHERE hour > '{}' ORDER BY 1"
    shown = [hour for (hour,) in lived.rows("ads", hours.format(start_of(LAST)))]
    assert shown == [start_of(LAST) + timedelta(hours=9), start_of(LAST) + timedelta(hours=14)]
    assert lived.value("ledger", "SELECT day FROM reached") == LAST


def test_a_lived_day_takes_no_more_statements_than_a_first_start_has_time_for(lived: Town) -> None:
    begun, ended = lived.by_evening[0], lived.by_evening[-1]
    a_day = (ended - begun) / (len(lived.by_evening) - 1)
    assert a_day <= MOST_A_DAY, f"{a_day:.0f} statements a day"


def test_no_act_of_a_flat_that_lives_aside_answers_to_a_job_that_ran_before_it(lived: Town) -> None:
    cause = (
        "SELECT DISTINCT convert_from(body, 'UTF8')::json ->> 'correlation' FROM fact_log WHERE subject = "
    )
    assert lived.rows("ads", f"{cause} 'ads.invoice.opened.v1'") == [("",)]
    [(settled,)] = lived.rows("ads", f"{cause} 'ads.delivery.recorded.v1' LIMIT 1")
    assert settled.startswith("job:settle_delivery:")


def test_while_years_pass_the_bank_is_reached_without_any_server(lived: Town) -> None:
    assert lived.wires
    assert gateways.over_http not in lived.wires


def test_what_was_recorded_later_bears_no_earlier_date(lived: Town) -> None:
    recorded = [at for (at,) in lived.rows("ledger", "SELECT recorded_at FROM archive ORDER BY seq")]
    assert recorded
    assert recorded == sorted(recorded)


@pytest.mark.promise("F1")
@pytest.mark.parametrize(
    ("today", "first", "last"),
    [
        (date(2026, 11, 27), date(2025, 1, 1), date(2026, 11, 26)),
        (date(2027, 1, 1), date(2025, 1, 1), date(2026, 12, 31)),
    ],
)
def test_the_history_of_a_first_start_begins_a_year_before_and_ends_yesterday(
    monkeypatch: pytest.MonkeyPatch, today: date, first: date, last: date
) -> None:
    lives: list[tuple[date, date]] = []
    monkeypatch.setattr(care, "today", lambda: today)
    monkeypatch.setattr(care, "_simulate", lambda start, end, *_: lives.append((start, end)))
    care.simulate(first=True)
    assert lives == [(first, last)]


def test_the_command_refuses_while_the_house_runs() -> None:
    with a_folder() as home:
        stand_in = psutil.Popen(["sleep", "100"], cwd=home)
        made = stand_in.create_time()
        note = {"pid": stand_in.pid, "created": made, "address": "http://127.0.0.1:1", "ready": True}
        note["parts"] = {}
        (home / "run.json").write_text(json.dumps(note), encoding="utf-8")
        kept = {key: value for key, value in os.environ.items() if not key.startswith("NGUONTHU_")}
        told = subprocess.run(
            [sys.executable, "-m", "ops.cli", "simulate", "--from", "2026-01-01", "--to", "2026-01-02"],
            env={**kept, "COLUMNS": "200", "NGUONTHU_HOME": str(home)},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert told.returncode == 1
        assert "The house is running." in told.stderr
        assert "nguonthu down" in told.stderr
        assert not (home / "demo.json").exists()
        assert not (home / "postgres").exists()
        stand_in.kill()
        stand_in.wait()
