"""Upgrades: all of it or nothing, with the way back; the version before runs on what a newer one left."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from ops.embedded import Stack
from ops.migrate import migrate_all
from shared.contracts import SERVICES
from tests.ops.test_cli import nguonthu
from tests.shared.homes import a_folder, copy_sources

pytestmark = [pytest.mark.promise("F2"), pytest.mark.promise("T5"), pytest.mark.xdist_group("backup")]

SECOND = '''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("agency", sa.Column("motto", sa.Text, server_default=""))
    {more}
'''


@pytest.fixture(scope="module")
def newer() -> Iterator[Path]:
    """A later version of the program: each service's agencies have a column more."""
    with a_folder() as folder:
        copy_sources(folder)
        for service in SERVICES:
            plant(folder, service)
        yield folder


def plant(version: Path, service: str, more: str = "") -> None:
    """Give a service of that version a second migration, which does something more."""
    file = version / "services" / service / "migrations" / "versions" / "0002_motto.py"
    file.write_text(SECOND.format(more=more), encoding="utf-8")


@pytest.fixture
def home() -> Iterator[Path]:
    """A house of our version, at rest."""
    with a_folder() as folder:
        stack = Stack(folder / "home", durable=False)
        stack.start(["postgres"])
        migrate_all(stack.settings())
        stack.stop()
        yield folder / "home"


def by(version: Path, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """A command of another version on a house."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NGUONTHU_")}
    return subprocess.run(
        [sys.executable, "-m", "ops.cli", *words],
        env={**kept, "COLUMNS": "200", "PYTHONPATH": str(version), "NGUONTHU_HOME": str(home)},
        cwd=version,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def revisions(home: Path) -> set[str]:
    """At which migrations the six databases are."""
    stack = Stack(home)
    stack.start(["postgres"])
    found = set()
    try:
        for service in SERVICES:
            with closing(psycopg.connect(stack.admin_url(service))) as db:
                found |= {row[0] for row in db.execute("SELECT version_num FROM alembic_version")}
    finally:
        stack.stop()
    return found


def starts(home: Path) -> bool:
    """Whether our version brings the whole house up, with every part serving."""
    told = nguonthu("up", "--detach", "--no-demo", NGUONTHU_HOME=str(home))
    nguonthu("down", NGUONTHU_HOME=str(home))
    return told.returncode == 0


@pytest.mark.stack
def test_an_upgrade_that_fails_half_way_names_the_service_and_the_version_before_starts(
    newer: Path, home: Path
) -> None:
    plant(newer, "events", "op.add_column('no_such_table', sa.Column('x', sa.Text))")
    try:
        told = by(newer, home, "upgrade")
    finally:
        plant(newer, "events")
    assert told.returncode == 1
    assert "The database of events cannot be migrated" in told.stderr
    assert "no_such_table" in told.stderr
    assert "the version of before starts" in told.stderr
    assert revisions(home) == {"0001"}, "those before it are as they were, too"
    assert starts(home)


@pytest.mark.stack
def test_the_version_before_starts_on_what_a_newer_one_left_even_half_way(newer: Path, home: Path) -> None:
    done = by(newer, home, "migrate", "accounts")
    assert done.returncode == 0, done.stderr
    assert revisions(home) == {"0001", "0002"}
    assert starts(home)
    assert revisions(home) == {"0001", "0002"}, "what a newer version has added stays"


def test_an_upgrade_backs_up_first_and_says_the_way_back(newer: Path, home: Path) -> None:
    told = by(newer, home, "upgrade")
    assert told.returncode == 0, told.stderr
    (way_back,) = re.findall(r"^The way back: nguonthu restore (\S+) --to", told.stdout, re.MULTILINE)
    assert revisions(home) == {"0002"}
    restored = nguonthu("restore", way_back, "--to", str(home.parent / "back"))
    assert restored.returncode == 0, restored.stderr
    assert revisions(home.parent / "back") == {"0001"}
