"""Has copies made each night, and now and then one brought back for trial: each in a process of its own."""

import os
import sys

from ops.copies import schedule
from ops.embedded.process import Child, Part
from ops.embedded.stack import Stack
from shared import clock, copies
from shared.settings import PREFIX, Settings


class Copier:
    """Looks whether a copy or a drill of one house is due, and begins one of them at a time."""

    def __init__(self, stack: Stack, wishes: Settings) -> None:
        self.stack = stack
        self.wishes = wishes
        self._child: Child | None = None

    def look(self) -> None:
        """Begin what is due; how it ends is written down in the home, by itself."""
        if self._child and self._child.alive():
            return
        settings, now = self.wishes, clock.now()
        opens = not settings.backup_recipient or bool(settings.backup_key)
        drill_days = settings.backup_drill_days if settings.backup_at else 0
        record = schedule(self.stack.home, settings.backup_at, drill_days)
        if copies.copy_is_due(record, now):
            self._begin("backup", "--keep", str(settings.backup_keep))
        elif opens and copies.drill_is_due(record, now):
            self._begin("restore", settings.backup_to or str(self.stack.home / "backups"), "--drill")

    def _begin(self, *words: str) -> None:
        # Our whole environment: what opens a bucket stands in it under names of its own.
        env = {**os.environ, **self.stack.given, f"{PREFIX}HOME": str(self.stack.home)}
        argv = [sys.executable, "-P", "-m", "ops.cli", *words]
        self._child = Child(Part("copier", 0, lambda: "", argv, env=env), self.stack.logs)

    def stop(self) -> None:
        """End what is under way; the next start finds it due still."""
        if self._child:
            self._child.kill()
