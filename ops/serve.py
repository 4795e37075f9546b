"""The process of one service: uvicorn, answering in one write, and at rest while nobody asks."""

import asyncio
import contextlib
import os
import resource
import sys
import tempfile
from importlib import import_module
from types import FrameType
from typing import Any

import uvicorn
from litestar import Litestar

from ops.golive import load
from shared import observe
from shared.onewrite import OneWrite

SERVER: dict[str, Any] = {
    "loop": "uvloop",
    "http": OneWrite,
    "log_config": None,
    "access_log": False,
    "timeout_graceful_shutdown": 8,
}
"""How every server of ours is set; the benchmark's are set the same."""

SERVED = "SERVED"
"""Environment variable that tells uvicorn's workers which service they are."""

NOT_STARTED = 3
"""Exit status of a server that could not start, as uvicorn's own."""

OPEN_FILES = 16_384
"""Connections that a process may have: those that are sent away need one, too."""

TICK_S = 1.0
"""Uvicorn keeps its Date header by the second."""


class RestingServer(uvicorn.Server):
    """Uvicorn looks ten times a second whether it is to stop; this one is told, and looks at the clock alone."""

    _loop: asyncio.AbstractEventLoop | None = None
    _told: asyncio.Event

    async def main_loop(self) -> None:
        self._told, self._loop = asyncio.Event(), asyncio.get_running_loop()
        while not await self.on_tick(0):
            waking = self._loop.call_later(TICK_S, self._told.set)
            await self._told.wait()
            waking.cancel()
            self._told.clear()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            # A signal interrupts the loop anywhere: only this call wakes it safely.
            self._loop.call_soon_threadsafe(self._told.set)


def serve(name: str, port: int, workers: int = 1) -> None:
    """Run one service (or `demo`) until it is told to stop. Raises BadSetting before anything listens."""
    settings = load(who=name)
    os.environ[SERVED] = name
    app: dict[str, Any] = {"app": "ops.serve:served", "factory": True, **SERVER}
    _open_many()
    if workers > 1:
        # A new one each time: what it counts begins anew with the service.
        with tempfile.TemporaryDirectory(prefix="nguonthu-figures-") as figures:
            os.environ[observe.FIGURES] = figures
            uvicorn.run(host=settings.listen, port=port, workers=workers, **app)
        return
    server = RestingServer(uvicorn.Config(host=settings.listen, port=port, **app))
    with contextlib.suppress(KeyboardInterrupt):
        server.run()
    if not server.started:
        sys.exit(NOT_STARTED)


def _open_many() -> None:
    """Let this process have more connections than a shell begins with, where the machine allows it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = OPEN_FILES if hard == resource.RLIM_INFINITY else min(hard, OPEN_FILES)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def served() -> Litestar:
    """The app of the service that this process runs."""
    name = os.environ[SERVED]
    settings = load(who=name)
    observe.configure_logs(name, settings.log_level)
    app: Litestar = import_module("demo.app" if name == "demo" else f"services.{name}.app").create_app(
        settings
    )
    return app
