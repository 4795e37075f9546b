"""Has missing streams made while the house runs: in a process of its own, since what they held may be much."""

import asyncio
import time

import nats.errors

from ops import mending
from ops.embedded.parts import plain_env
from ops.embedded.process import Child, Part
from ops.embedded.stack import Stack

FIRST_PAUSE_S, LONGEST_PAUSE_S = 5.0, 60.0


class Mender:
    """Looks at the streams of one house, and mends them one attempt at a time."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self._child: Child | None = None
        self._pause_s = FIRST_PAUSE_S
        self._not_before = 0.0

    def look(self) -> None:
        """Begin to mend where something is missing; after an attempt that did not help, ever later."""
        if self._child and self._child.alive():
            return
        try:
            missing = asyncio.run(mending.gaps(self.stack.settings()))
        except (OSError, TimeoutError, nats.errors.Error):
            # NATS is away or frozen, of which the watch over the parts tells.
            return
        if not any(gap.mendable for gap in missing):
            self._pause_s = FIRST_PAUSE_S
            return
        now = time.monotonic()
        if now >= self._not_before:
            self._not_before, self._pause_s = now + self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
            self.stack.say(f"NATS: {', '.join(gap.what for gap in missing)}; it is mended.")
            self._child = Child(self._part(), self.stack.logs)

    def _part(self) -> Part:
        settings = self.stack.settings()

        def work() -> None:
            for line in mending.mend(settings):
                print(line)  # noqa: T201 - into its log

        return Part("mender", 0, lambda: "", work=work, env=plain_env(), cwd=self.stack.home)

    def stop(self) -> None:
        """End an attempt that is under way; the next start finds what is missing still."""
        if self._child:
            self._child.kill()
