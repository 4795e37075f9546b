"""Keeps one folder of a test: when whoever holds our standard input is done or dead, ends what runs there, removes it.

A pipe is the one thing that the system closes whatever a process dies of.
"""

import shutil
import sys
from pathlib import Path


def end_houses(folder: Path) -> None:
    """End the houses in a folder and right below it, and what a killed one left behind."""
    from shared.embedded.process import end_leftovers
    from shared.embedded.state import stop

    for run in (*folder.glob("run.json"), *folder.glob("*/run.json")):
        try:
            stop(run.parent)
        except TimeoutError as error:
            print(error, file=sys.stderr)  # noqa: T201 - its parts are ended one by one instead
        end_leftovers(run)


if __name__ == "__main__":
    kept = Path(sys.argv[1])
    sys.stdin.buffer.read()
    end_houses(kept)
    shutil.rmtree(kept, ignore_errors=True)
