"""Keeps one folder of a test: when whoever holds our standard input is done or dead, ends what runs there, removes it.

A pipe is the one thing that the system closes whatever a process dies of.
"""

import contextlib
import os
import shutil
import signal
import sys
from pathlib import Path

import psutil

STOP_S = 20.0


def at_work_in(folder: Path) -> dict[int, psutil.Process]:
    """Processes of the houses in a folder: who was given it, or one below it, as its home, or works there.

    Asked of the processes themselves: a house that is still coming up has not noted anything yet.
    """
    found, inside = {}, folder.resolve()
    for process in psutil.process_iter():
        # Whoever is gone, or is somebody else's, is none of ours.
        with contextlib.suppress(psutil.Error):
            named = process.environ().get("NGUONTHU_HOME", "")
            places = [Path(process.cwd()), *([Path(named).resolve()] if named else [])]
            if process.pid != os.getpid() and any(place.is_relative_to(inside) for place in places):
                found[process.pid] = process
    return found


def end_houses(folder: Path) -> None:
    """End all that runs in a folder: who started the others is asked, and ends them in their order.

    Looked for again until nobody is left, for a command that was asked may just have started a house.
    """
    while running := at_work_in(folder):
        heads = [one for one in running.values() if _parent(one) not in running]
        for one in heads:
            with contextlib.suppress(psutil.NoSuchProcess):
                # PostgreSQL would wait for its visitors.
                one.send_signal(signal.SIGINT if one.name().startswith("postgres") else signal.SIGTERM)
        _, stubborn = psutil.wait_procs(heads, timeout=STOP_S)
        for one in stubborn:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
        psutil.wait_procs(stubborn, timeout=STOP_S)


def _parent(process: psutil.Process) -> int:
    try:
        return process.ppid()
    except psutil.NoSuchProcess:
        return 0


if __name__ == "__main__":
    kept = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end_houses(kept)
    shutil.rmtree(kept, ignore_errors=True)
