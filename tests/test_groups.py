"""Tests that share something dear run in one worker, or each worker makes it for itself."""

import subprocess
import sys
from pathlib import Path

GROUPED = """
import os, pathlib, pytest

@pytest.mark.xdist_group("one")
@pytest.mark.parametrize("n", range(6))
def test_it(n):
    with pathlib.Path("workers").open("a") as page:
        print(os.environ["PYTEST_XDIST_WORKER"], file=page)
"""


def test_all_tests_of_a_group_run_in_the_same_worker(tmp_path: Path) -> None:
    """The distribution reads names that pytest gives: a version of either that breaks this doubles the time."""
    (tmp_path / "pytest.ini").touch()
    (tmp_path / "test_grouped.py").write_text(GROUPED, encoding="utf-8")
    told = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-p", "no:valkey"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert told.returncode == 0, told.stdout + told.stderr
    workers = (tmp_path / "workers").read_text(encoding="utf-8").split()
    assert (len(workers), len(set(workers))) == (6, 1)
