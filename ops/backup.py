"""A copy of the embedded house at one instant, that can be checked by hashes and put into another folder."""

import contextlib
import json
import shutil
import subprocess
import tarfile
from datetime import datetime
from hashlib import file_digest
from importlib.metadata import version
from pathlib import Path
from typing import Any

import psycopg

from ops.embedded import parts
from ops.embedded.stack import Stack
from ops.replay import hand_on_all
from shared import clock
from shared.contracts import SERVICES

FORMAT = 1
NAME = "nguonthu-"
"""What the names of backups begin with; their instant follows, so that the last one comes last."""

KEPT = ("demo.json", "production.json")


class BadBackup(Exception):
    """A backup cannot be used, or a home cannot take one; the sentence says why, the hint what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


def make(stack: Stack, folder: Path) -> Path:
    """Copy databases, files and secrets below a folder. PostgreSQL must run; services may.

    The six databases are copied at one instant (pg_basebackup), the files after them: files are only ever added,
    so that every file that the databases name is there.
    """
    target = folder.absolute() / f"{NAME}{clock.now():%Y%m%d-%H%M%S}"
    target.mkdir(parents=True, mode=0o700)
    try:
        _fill(stack, target)
    except BaseException:
        shutil.rmtree(target)
        raise
    return target


def _fill(stack: Stack, target: Path) -> None:
    """Copy everything, and write down last what there is: a folder without its manifest is no backup."""
    counts, made_at = _counts(stack), clock.now()
    _copy_databases(stack, target)
    for name in ("files", "secrets"):
        if (stack.home / name).exists():
            shutil.copytree(stack.home / name, target / name, copy_function=_copy_what_stays)
    for name in KEPT:
        if (stack.home / name).exists():
            shutil.copy2(stack.home / name, target / name)
    manifest = {
        "format": FORMAT,
        "version": version("nguonthu"),
        "postgres": _postgres_version(),
        "made_at": made_at.isoformat(),
        "facts_at_least": counts,
        "files": {
            str(file.relative_to(target)): _hash(file) for file in sorted(target.rglob("*")) if file.is_file()
        },
    }
    (target / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")


def _copy_what_stays(source: str, target: str) -> None:
    """Copy a file; one that is gone meanwhile was being written, and has got its name by now or never gets one."""
    with contextlib.suppress(FileNotFoundError):
        shutil.copy2(source, target)


def _copy_databases(stack: Stack, target: Path) -> None:
    done = subprocess.run(
        [
            str(parts.postgres_bin() / "pg_basebackup"),
            *(
                "--host=127.0.0.1",
                f"--port={stack.ports.of('postgres')}",
                "--username=postgres",
                "--no-password",
            ),
            *(f"--pgdata={target / 'postgres'}", "--format=tar", "--gzip", "--wal-method=stream"),
            "--checkpoint=fast",
        ],
        env=parts.plain_env() | {"PGPASSWORD": stack.keys.text("postgres_admin")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BadBackup(f"pg_basebackup failed: {done.stderr.strip()[-300:]}")


def held(folder: Path) -> list[Path]:
    """The whole backups in a folder, the oldest first."""
    return sorted(file.parent for file in folder.glob(f"{NAME}*/manifest.json"))


def newest(folder: Path) -> Path:
    """The backup that a folder is, or the last one of those that it holds. Raises BadBackup."""
    if (folder / "manifest.json").is_file():
        return folder
    if not (backups := held(folder)):
        raise BadBackup(f"{folder} is no backup, and holds none that is whole.", "nguonthu backup makes one.")
    return backups[-1]


def forget(folder: Path, keep: int) -> list[Path]:
    """Remove the oldest backups of a folder until it holds no more than `keep`; returns those."""
    old = held(folder)[:-keep]
    for backup in old:
        # First what makes it one: who is cut off in the middle leaves nothing that looks whole.
        (backup / "manifest.json").unlink()
        shutil.rmtree(backup)
    return old


def check(folder: Path) -> dict[str, Any]:
    """Compare every file with the manifest and return the manifest. Raises BadBackup."""
    try:
        manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise BadBackup(f"{folder} is no backup: its manifest.json cannot be read.") from error
    if manifest.get("format") != FORMAT:
        raise BadBackup(
            f"{folder} was made by another version of this program (format {manifest.get('format')})."
        )
    if manifest["postgres"] != _postgres_version():
        raise BadBackup(f"{folder} holds PostgreSQL {manifest['postgres']}; here is {_postgres_version()}.")
    for name, expected in manifest["files"].items():
        file = folder / name
        if not file.is_file():
            raise BadBackup(f"{name} is missing from the backup.")
        if _hash(file) != expected:
            raise BadBackup(f"{name} is not as it was when the backup was made.")
    return manifest


def unpack(folder: Path, home: Path) -> None:
    """Put a backup into a home that is empty or does not exist. Raises BadBackup."""
    if home.exists() and any(home.iterdir()):
        raise BadBackup(
            f"{home} is not empty, and a restore never overwrites a house.",
            "Name a folder that is not there: nguonthu restore FOLDER --to NEW_FOLDER",
        )
    home.mkdir(parents=True, exist_ok=True)
    try:
        _unpack(folder, home)
    except BaseException:
        shutil.rmtree(home)
        raise


def _unpack(folder: Path, home: Path) -> None:
    fresh = home / "postgres.new"
    fresh.mkdir(mode=0o700)
    for archive, place in (("base.tar.gz", fresh), ("pg_wal.tar.gz", fresh / "pg_wal")):
        with tarfile.open(folder / "postgres" / archive) as tar:
            tar.extractall(place, filter="data")
    for name in ("files", "secrets"):
        if (folder / name).exists():
            shutil.copytree(folder / name, home / name)
    for name in KEPT:
        if (folder / name).exists():
            shutil.copy2(folder / name, home / name)
    # Last, so that a home that was cut off halfway does not start.
    fresh.chmod(0o700)
    fresh.rename(home / "postgres")


def settle(home: Path, manifest: dict[str, Any]) -> int:
    """Start the restored stores, compare them, and hand on the facts that JetStream held and that were not handled.

    Returns how many those were. Raises BadBackup when facts are missing.
    """
    stack = Stack(home)
    stack.start(("postgres",))
    try:
        counts = _counts(stack)
        for service, expected in manifest["facts_at_least"].items():
            if (found := counts.get(service, 0)) < expected:
                raise BadBackup(f"{service} has {found} facts where the backup had {expected}.")
        made_at = datetime.fromisoformat(manifest["made_at"])
        return hand_on_all(stack.settings, made_at, manifest["facts_at_least"])
    finally:
        stack.stop()


def _counts(stack: Stack) -> dict[str, int]:
    """Facts that each service has published, where it has been migrated."""
    found = {}
    for service in SERVICES:
        with psycopg.connect(stack.admin_url(service)) as db:
            made = db.execute("SELECT to_regclass('fact_log') IS NOT NULL").fetchone()
            if made and made[0]:
                row = db.execute("SELECT count(*) FROM fact_log").fetchone()
                found[service] = int(row[0]) if row else 0
    return found


def _postgres_version() -> str:
    told = subprocess.run(
        [str(parts.postgres_bin() / "postgres"), "--version"], capture_output=True, text=True, check=True
    )
    return told.stdout.split()[-1].split(".")[0]


def _hash(file: Path) -> str:
    with file.open("rb") as source:
        return file_digest(source, "sha256").hexdigest()
