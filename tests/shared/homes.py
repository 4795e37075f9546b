"""Homes for houses under test: pytest's own folders are closed to the user that PostgreSQL runs as."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def a_folder() -> Iterator[Path]:
    """An empty folder that every user may pass, removed afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="nt-"))
    folder.chmod(0o711)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
