"""The demo history of a first start never costs a house what it holds."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import psycopg
import pytest

from ops.backup import BadBackup, make
from ops.embedded import Stack, history
from ops.migrate import migrate_all
from shared import clock
from tests.ops.test_cli import nguonthu
from tests.shared.homes import a_folder

pytestmark = [pytest.mark.promise("F1"), pytest.mark.xdist_group("history")]


@pytest.fixture(scope="module")
def running() -> Iterator[Stack]:
    with a_folder() as home:
        found = Stack(home, durable=False)
        found.start()
        yield found
        found.stop()


@pytest.fixture
def stack(running: Stack) -> Stack:
    """An empty house of which the stores run."""
    migrate_all(running.settings())
    with psycopg.connect(running.admin_url("accounts"), autocommit=True) as db:
        db.execute("DELETE FROM outbox")
    for mark in (history.UNFINISHED, history.NONE):
        (running.home / mark).unlink(missing_ok=True)
    return running


def say(stack: Stack, days_ago: float) -> None:
    """Have accounts say something that is still to be published."""
    with psycopg.connect(stack.admin_url("accounts"), autocommit=True) as db:
        db.execute(
            "INSERT INTO outbox (id, subject, body, occurred_at) "
            "VALUES (%s, 'accounts.agency.registered.v1', '{}', %s)",
            (clock.new_id(), clock.now() - timedelta(days=days_ago)),
        )


def kept(stack: Stack) -> int:
    with psycopg.connect(stack.admin_url("accounts")) as db:
        made = db.execute("SELECT to_regclass('outbox') IS NOT NULL").fetchone()
        row = db.execute("SELECT count(*) FROM outbox").fetchone() if made and made[0] else None
        return int(row[0]) if row else 0


def test_a_demo_is_made_in_an_empty_house_alone(stack: Stack) -> None:
    said: list[str] = []
    assert history.is_wanted(stack, said.append, asked_for=True)
    say(stack, days_ago=30)
    assert not history.is_wanted(stack, said.append, asked_for=True)
    assert ["has no demo" in line for line in said] == [True]
    assert not (stack.home / history.UNFINISHED).exists()


def test_a_house_that_was_begun_without_a_demo_is_not_given_one_later(stack: Stack) -> None:
    said: list[str] = []
    assert not history.is_wanted(stack, said.append, asked_for=False)
    assert not history.is_wanted(stack, said.append, asked_for=True), "although it is empty still"
    assert ["has no demo" in line for line in said] == [True]


def test_a_history_that_was_cut_off_is_removed_while_it_is_all_that_the_house_holds(stack: Stack) -> None:
    said: list[str] = []
    history.begin(stack)
    say(stack, days_ago=1)
    history.forget_unfinished(stack, said.append)
    assert kept(stack) == 0
    assert ["is removed" in line for line in said] == [True]
    assert history.is_wanted(stack, said.append, asked_for=True)


def test_a_house_that_holds_more_than_a_history_that_was_cut_off_is_never_emptied(stack: Stack) -> None:
    said: list[str] = []
    history.begin(stack)
    say(stack, days_ago=1)
    say(stack, days_ago=0)
    history.forget_unfinished(stack, said.append)
    assert kept(stack) == 2
    assert ["stays as it is" in line for line in said] == [True]
    assert not history.is_wanted(stack, said.append, asked_for=True)
    history.forget_unfinished(stack, said.append)
    assert kept(stack) == 2


@pytest.mark.promise("T6")
def test_half_a_demo_history_is_not_copied(stack: Stack) -> None:
    history.begin(stack)
    with pytest.raises(BadBackup, match="is not finished"):
        make(stack, stack.home / "backups")
    assert list((stack.home / "backups").iterdir()) == []
    (stack.home / history.UNFINISHED).unlink()
    assert make(stack, stack.home / "backups").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("backup", "X", "--keep", "14"),
        ("facts", "parked"),
        ("facts", "replay", "ledger"),
        ("ledger", "verify"),
    ],
)
def test_a_folder_without_a_house_is_named_and_left_as_it_is(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    told = nguonthu(*words, NGUONTHU_HOME=str(tmp_path / "home"))
    assert told.returncode == 1
    assert f"There is no house in {tmp_path / 'home'}." in told.stderr
    assert "NGUONTHU_HOME" in told.stderr
    assert list(tmp_path.iterdir()) == []
