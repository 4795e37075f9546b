"""A house with a history like a first start's: lived once for one state of the sources and one day, then copied."""

import fcntl
import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

from ops.cli.where import today
from tests.shared.homes import ROOT, a_folder

SHOWN_ONLY = {".css", ".html", ".js", ".md", ".mo", ".po", ".pyc"}
"""Endings of files that no history depends on."""

OWN = ("logs", "lock", "ports.json", "run.json")
"""What belongs to one house alone."""


def fingerprint() -> str:
    """One word for all that the history is made from; it ends yesterday, so the day belongs to it."""
    found = hashlib.sha256(str(today()).encode())
    files = [
        path
        for top in ("services", "shared", "ops", "demo")
        for path in (ROOT / top).rglob("*")
        if path.is_file()
    ]
    for path in sorted([*files, ROOT / "requirements" / "run.txt"]):
        if path.suffix not in SHOWN_ONLY:
            found.update(f"{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return found.hexdigest()


def copy_lived(cache: Path, environ: dict[str, str], home: Path) -> None:
    """Put a lived house that is at rest into a home, which must not be there; the first to ask lives the history.

    The cache holds the last one.
    """
    with _alone(cache):
        kept, said, wanted = cache / "home", cache / "fingerprint", fingerprint()
        if not said.exists() or said.read_text(encoding="utf-8") != wanted:
            said.unlink(missing_ok=True)
            shutil.rmtree(kept, ignore_errors=True)
            with a_folder() as folder:
                _live(environ | {"NGUONTHU_HOME": str(folder / "home")})
                shutil.copytree(folder / "home", kept, ignore=shutil.ignore_patterns(*OWN))
            said.write_text(wanted, encoding="utf-8")
        shutil.copytree(kept, home)


def _live(environ: dict[str, str]) -> None:
    """Live as many days as a first start does, with fewer people: `.ci/run` starts a house as a newcomer would."""
    last = today() - timedelta(days=1)
    days = ("--from", f"{last.year - 1}-01-01", "--to", str(last))
    for words in (("simulate", *days, "--scale", "0.05"), ("up", "--detach"), ("down",)):
        told = subprocess.run(
            [sys.executable, "-P", "-m", "ops.cli", *words],
            env=environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One at a time: test workers and runs share the cache."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
