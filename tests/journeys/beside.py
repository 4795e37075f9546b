"""`nguonthu`, for a house of which a test says which release each service is: a note names its sources.

The supervisor starts what has ended as it was; here that is the moment at which another release takes its place.
"""

import os
import sys
from pathlib import Path

from ops import serve
from ops.cli import main

NOTES = "releases"
"""The folder of a home in which the notes lie, each by the name of its service."""

own = serve.serve


def served(name: str, port: int, workers: int = 1) -> None:
    note = Path(os.environ["NGUONTHU_HOME"]) / NOTES / name
    if not note.exists():
        own(name, port, workers)
        return
    words = ["-P", "-m", "ops.cli", "run", name, "--port", str(port)]
    os.environ["PYTHONPATH"] = note.read_text(encoding="utf-8")
    os.execv(sys.executable, [sys.executable, *words])  # noqa: S606 - the sources are others


serve.serve = served

if __name__ == "__main__":
    main()
