"""Homes for houses under test: pytest's own folders are closed to the user that PostgreSQL runs as."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def a_folder() -> Iterator[Path]:
    """An empty folder that every user may pass, removed afterwards with the house that stands in it.

    A keeper in a session of its own sees to that, so that it is done as well when we are interrupted or killed.
    """
    folder = Path(tempfile.mkdtemp(prefix="nt-"))
    folder.chmod(0o711)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "tests.shared.keeper", folder],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        start_new_session=True,
    ):
        yield folder
