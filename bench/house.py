"""V9 and V10: how fast the house stands again, and how much memory it takes at rest."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

from bench.report import Row

AT_REST_S = 20


def _command(home: Path, *words: str) -> None:
    environ = {**os.environ, "NGUONTHU_HOME": str(home)}
    subprocess.run([sys.executable, "-m", "shared.cli", *words], env=environ, check=True, timeout=300)


async def second_start(short: bool) -> list[Row]:
    """V9: `nguonthu up` in a home that has been up before, from the command to “the house stands”."""
    home = Path(tempfile.mkdtemp(prefix="nt-bench-"))
    took = []
    try:
        _command(home, "up", "--detach", "--no-demo")
        _command(home, "down")
        for _ in range(1 if short else 3):
            started = time.perf_counter()
            _command(home, "up", "--detach", "--no-demo")
            took.append(time.perf_counter() - started)
            _command(home, "down")
    finally:
        shutil.rmtree(home, ignore_errors=True)
    return [Row("V9", "second `make up`", took, [], "s", "≤ 10 s", max(took) <= 10)]


async def memory(short: bool) -> list[Row]:
    """V10: proportional set size of every process of the house, one worker each, after a rest."""
    home = Path(tempfile.mkdtemp(prefix="nt-bench-"))
    try:
        _command(home, "up", "--detach", "--no-demo")
        time.sleep(AT_REST_S / 4 if short else AT_REST_S)
        total = sum(process.memory_full_info().pss for process in _family(home)) / 1e9
    finally:
        _command(home, "down")
        shutil.rmtree(home, ignore_errors=True)
    return [Row("V10", "whole house at rest, sum of PSS", [total], [], "GB", "≤ 1.2 GB", total <= 1.2)]


def _family(home: Path) -> list[psutil.Process]:
    """Every process of this user whose environment names the home, and their children."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        try:
            if process.environ().get("NGUONTHU_HOME") == str(home):
                for one in (process, *process.children(recursive=True)):
                    found[one.pid] = one
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    found.pop(os.getpid(), None)
    return list(found.values())
