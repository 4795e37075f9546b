"""PostgreSQL that is frozen, whole, is ended whole and started anew, and has lost nothing."""

import contextlib
import os
import signal

import psutil
import psycopg
import pytest

from ops.embedded import Stack, parts, watch
from ops.embedded.watch import LOOKS
from tests.ops.test_watch import supervising, tend
from tests.shared.homes import a_folder

pytestmark = pytest.mark.promise("T7")


@pytest.fixture
def house():
    """PostgreSQL in a home of its own, and what tends it."""
    with a_folder() as home:
        stack = Stack(home, lambda _: None)
        stack.start(["postgres"])
        yield supervising(stack)
        stack.stop()


def family(pid):
    """The server and what it has started: a process for each session, and its helpers."""
    server = psutil.Process(pid)
    return [server, *server.children(recursive=True)]


def test_a_frozen_postgres_is_ended_with_all_its_processes_and_started_anew_and_has_lost_nothing(
    house, monkeypatch
):
    monkeypatch.setattr(watch, "ANSWER_S", 0.3)
    monkeypatch.setattr(watch, "LOOKS_OF_POSTGRES", LOOKS)
    stack = house.stack
    with psycopg.connect(stack.admin_url(), autocommit=True) as session:
        session.execute("CREATE TABLE kept AS SELECT 7 AS said")
        house.look()
        before = stack.children["postgres"].pid
        frozen = family(before)
        assert len(frozen) > LOOKS, "the session is one of them"
        for one in frozen:
            os.kill(one.pid, signal.SIGSTOP)
        assert not answers(stack)
        tend(house, lambda: stack.children["postgres"].pid != before and answers(stack))
        with contextlib.suppress(psycopg.Error):
            session.execute("SELECT 1")
            raise AssertionError("The session is still there.")
    assert stack.children["postgres"].pid != before
    assert [one for one in frozen if one.is_running() and one.status() != psutil.STATUS_ZOMBIE] == []
    with psycopg.connect(stack.admin_url()) as session:
        assert session.execute("SELECT said FROM kept").fetchone() == (7,)


def answers(stack):
    return not parts.postgres_waits_for(stack.home, stack.ports.of("postgres"))
