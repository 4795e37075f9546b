"""A next release of the program, made from this one, and a house whose services are replaced by it one by one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import psycopg

from ops.embedded import Stack, state
from ops.embedded.parts import http_answer, plain_env, postgres_url
from tests.journeys.beside import NOTES
from tests.journeys.conftest import WholeHouse, kept_by
from tests.shared.homes import copy_sources
from tests.shared.ports import free_port

GAINED: Final = "from the next release"
"""What its payments write beside each capture, and say with it."""

ANEW: Final = "subscriptions.message.requested.v2"
"""What its subscriptions say instead of the first version."""

START_S: Final = 60

MIGRATION = '''"""A column more."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.add_column("{table}", sa.Column("note", sa.Text, nullable=False, server_default=""))
'''

MIGRATED = {"payments": "capture", "ledger": "archive"}

CHANGES: dict[str, dict[str, str]] = {
    # A fact that gains a field: it is said out of a new column of payments, and read into a new one of ledger.
    "shared/contracts/payments.py": {
        "    from_suspense: bool = False\n": '    from_suspense: bool = False\n    note: str = ""\n',
    },
    "services/payments/tables.py": {
        "    recorded_at: Mapped[datetime]\n": "    recorded_at: Mapped[datetime]\n    note: Mapped[str]\n",
    },
    "services/payments/actions/captures.py": {
        "        bank=attempt.bank,\n": f'        bank=attempt.bank,\n        note="{GAINED}",\n',
        "        from_suspense=bool(row.reason),\n": (
            "        from_suspense=bool(row.reason),\n        note=row.note,\n"
        ),
    },
    "services/ledger/tables/__init__.py": {
        "    body: Mapped[bytes]\n": "    body: Mapped[bytes]\n    note: Mapped[str]\n",
    },
    "services/ledger/actions/storing.py": {
        '"hash": p.hash}\n': '"hash": p.hash, "note": getattr(p.fact, "note", "")}\n',
    },
    # A fact that is another one from now on: who hears the first version has to learn the second.
    "shared/contracts/subscriptions.py": {
        "class DeliveryRecorded(": (
            f'class MessageRequestedAnew(base.MessageRequested, frozen=True, kw_only=True, tag="{ANEW}"):\n'
            "    urgent: bool\n\n\nclass DeliveryRecorded("
        ),
    },
    "services/subscriptions/actions/periods.py": {
        "EarningMoved, MessageRequested\n": "EarningMoved, MessageRequestedAnew\n",
        "        MessageRequested(\n            agency": (
            "        MessageRequestedAnew(\n            urgent=False, agency"
        ),
    },
}


def next_release(folder: Path) -> Path:
    """Make the sources of a release that says, hears, stores and reads more than this one does."""
    copy_sources(folder)
    for name, changes in CHANGES.items():
        file = folder / name
        text = file.read_text(encoding="utf-8")
        for before, after in changes.items():
            assert text.count(before) == 1, f"{name}: {before}"
            text = text.replace(before, after)
        file.write_text(text, encoding="utf-8")
    for service, table in MIGRATED.items():
        versions = folder / "services" / service / "migrations" / "versions"
        (versions / "0002_note.py").write_text(MIGRATION.format(table=table), encoding="utf-8")
    return folder


class Rolling(WholeHouse):
    """A house of this release; `next` are the sources of the one that is to take its place."""

    next: Path

    def by_next(self, *words: str) -> str:
        """A command of the next release on this house; returns what it said."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ops.cli", *words],
            env=self.environ | {"PYTHONPATH": str(self.next)},
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def beside(self, service: str) -> Iterator[None]:
        """A process of the next release of a service, next to the one that is there; it is ended afterwards."""
        stack, port = Stack(self.home), free_port()
        run = state.read_run(self.home)
        assert run
        stack.address, stack.creatives = run.address, f"http://creatives.localhost:{self.port('caddy')}"
        with (self.home / "logs" / f"{service}-beside.log").open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "ops.cli", "run", service, "--port", str(port)],
                env=plain_env() | stack.env(service) | {"PYTHONPATH": str(self.next)},
                cwd=self.home,
                stdout=log,
                stderr=log,
            )
            try:
                self.until(
                    lambda: not http_answer(port, "/health/ready"), f"the next {service} is ready", START_S
                )
                yield
            finally:
                process.send_signal(signal.SIGTERM)
                process.wait(timeout=30)

    def replace(self, service: str, *, back: bool = False) -> None:
        """Have the supervisor run a service from the sources of the next release, or from its own again."""
        note = self.home / NOTES / service
        if back:
            note.unlink()
        else:
            note.parent.mkdir(exist_ok=True)
            note.write_text(str(self.next), encoding="utf-8")
        before = self.pid(service)
        os.kill(before, signal.SIGTERM)
        self.until(lambda: self.pid(service) != before, f"{service} is another process", START_S)
        self.until(
            lambda: not state.waits_for(self.home, service, self.port(service)),
            f"{service} is ready",
            START_S,
        )

    @contextmanager
    def taken(self, service: str, table: str) -> Iterator[None]:
        """Nobody can write to a table while the body runs; everybody can read it."""
        with psycopg.connect(postgres_url(self.home, self.port("postgres"), service)) as db:
            db.execute("SET idle_in_transaction_session_timeout = 0")
            db.execute(f"LOCK TABLE {table} IN SHARE MODE")
            yield


@contextmanager
def rolling(home: Path, environ: dict[str, str], sources: Path) -> Iterator[Rolling]:
    """Bring a lived house up whose services can be replaced, and take it down."""
    house = Rolling(home, "", environ | {"NGUONTHU_HOME": str(home)})
    house.next = sources
    with kept_by("tests.journeys.beside", house):
        yield house
