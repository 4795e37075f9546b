"""Homes for houses under test: pytest's own folders are closed to the user that PostgreSQL runs as."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent

_MEMORY, _ROOM = Path("/dev/shm"), 4 * 2**30


def in_memory() -> Path | None:
    """Where files are kept in memory, which spares most of what copying and dropping databases costs.

    None where a machine has no such place, or little room there: then they lie on the disk.
    """
    return _MEMORY if _MEMORY.is_dir() and shutil.disk_usage(_MEMORY).free > _ROOM else None


@contextmanager
def a_folder(place: Path | None = None) -> Iterator[Path]:
    """An empty folder that every user may pass, removed afterwards with the house that stands in it.

    A keeper in a session of its own sees to that, so that it is done as well when we are interrupted or killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="nt-", dir=place))
    folder.chmod(0o711)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.shared.keeper", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        start_new_session=True,
    ):
        yield folder


def copy_sources(folder: Path) -> Path:
    """The program as a clone has it, in a folder that every user may pass; `PYTHONPATH` runs it from there."""
    for name in ("ops", "services", "shared", "demo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    folder.chmod(0o711)
    return folder
