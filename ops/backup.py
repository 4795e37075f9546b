"""A copy of the embedded house at one instant, in one file, that is checked by hashes and put into another folder."""

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from datetime import datetime
from hashlib import file_digest, sha256
from importlib.metadata import version
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import msgspec
import psycopg

from ops.embedded import parts
from ops.embedded.history import NONE, UNFINISHED
from ops.embedded.process import launched
from ops.embedded.stack import Stack
from ops.places import COPY, BadBackup, Place
from ops.replay import hand_on_all
from ops.sealing import seal, unseal
from shared import clock
from shared.contracts import SERVICES

FORMAT = 2
NAME = "nguonthu-"
PLAIN, SEALED = ".tar", ".tar.age"

KEPT = ("demo.json", NONE, "production.json")

WORK = "copying"
"""Where a home keeps what is under way; whoever was cut off left it to the next one, who removes it."""

ANOTHER = "Take another copy: nguonthu restore and its name; the last one before this will do."

ROOM = 256 * 2**20
"""Bytes that a copy leaves free: PostgreSQL and JetStream stop on a full disk."""


@contextlib.contextmanager
def alone(home: Path) -> Iterator[None]:
    """Make or try a copy as the only one who does in a home. Raises BadBackup."""
    home.mkdir(parents=True, exist_ok=True)
    lock = os.open(home / "copies.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise BadBackup(
                f"A copy of {home} is being made or tried just now.", "Wait until that one has ended."
            ) from error
        yield
    finally:
        os.close(lock)


@contextlib.contextmanager
def work_in(home: Path, name: str = WORK) -> Iterator[Path]:
    """A folder of a home for the length of the block, closed to others."""
    folder = home / name
    if folder.exists():
        shutil.rmtree(folder)
    folder.mkdir(mode=0o700)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def make(stack: Stack, folder: Path, recipient: str = "") -> Path:
    """Copy databases, files and secrets into a file of a folder, sealed where a recipient is named.

    PostgreSQL must run; services may. The six databases are copied at one instant (pg_basebackup), the files after
    them: files are only ever added, so that every file that the databases name is there. The file has its name once it
    is whole and on the disk.
    """
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    _look_for_room(stack.home, folder)
    target = folder / f"{NAME}{clock.now():%Y%m%d-%H%M%S}{SEALED if recipient else PLAIN}"
    part = target.with_name(f"{target.name}.part")
    for left in folder.glob(f"{NAME}*.part"):
        left.unlink()
    try:
        with work_in(stack.home) as work:
            _fill(stack, work)
            if recipient:
                seal(work / "copy.tar", part, recipient)
            else:
                shutil.move(work / "copy.tar", part)
        _bring_to_disk(part)
        part.rename(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    return target


def refuse_file(folder: Path) -> None:
    """Refuse a file where a folder is to be."""
    if folder.exists() and not folder.is_dir():
        raise BadBackup(f"{folder} is a file.", "Name a folder.")


def _bring_to_disk(file: Path) -> None:
    file.chmod(0o600)
    with file.open("rb") as written:
        os.fsync(written.fileno())


def _look_for_room(home: Path, folder: Path) -> None:
    """Refuse to fill a disk. Databases pack to less than a third, which stands there three times; files stand twice."""
    sizes = {
        name: sum(file.stat().st_size for file in (home / name).rglob("*") if file.is_file())
        for name in ("postgres", "files")
    }
    wanted = sizes["postgres"] + 2 * sizes["files"] + ROOM
    for place in (home, folder):
        if (free := shutil.disk_usage(place).free) < wanted:
            raise BadBackup(
                f"A copy may need {wanted // 2**20} MiB and {free // 2**20} MiB are free at {place}.",
                "Free some space first.",
            )


def _fill(stack: Stack, work: Path) -> None:
    """Put everything into `copy.tar`, and as the last what there is: a copy without its manifest is none."""
    counts, made_at = _counts(stack), clock.now()
    _refuse_unfinished(stack.home)
    _copy_databases(stack, work / "postgres")
    # Again, since what is copied is how the databases stood at the end.
    _refuse_unfinished(stack.home)
    # What others may hold twice by a link is put in twice: each name stands for itself.
    with tarfile.open(work / "copy.tar", "w", dereference=True) as tar:
        hashes = {name: _put(tar, file, name) for name, file in _what_there_is(stack.home, work)}
        manifest = {
            "format": FORMAT,
            "version": version("nguonthu"),
            "postgres": _postgres_version(),
            "made_at": made_at.isoformat(),
            "facts_at_least": counts,
            "files": {name: told for name, told in hashes.items() if told},
        }
        text = json.dumps(manifest, indent=1).encode()
        entry = tarfile.TarInfo("manifest.json")
        entry.size = len(text)
        tar.addfile(entry, BytesIO(text))
    shutil.rmtree(work / "postgres")


def _refuse_unfinished(home: Path) -> None:
    """Copy no half of a demo history: nobody could go on with it where it is brought back."""
    if (home / UNFINISHED).exists():
        raise BadBackup(
            f"The demo history in {home} is not finished.", "Wait for the first start to end: nguonthu up"
        )


def _what_there_is(home: Path, work: Path) -> Iterator[tuple[str, Path]]:
    """Each file of a copy by its name there."""
    for root, name in ((work, "postgres"), (home, "files"), (home, "secrets")):
        for file in sorted((root / name).rglob("*")):
            if file.is_file():
                yield str(file.relative_to(root)), file
    for name in KEPT:
        if (home / name).exists():
            yield name, home / name


class _Hashed:
    """A file that is hashed while it is read: what the manifest says is what was copied."""

    def __init__(self, source: BinaryIO) -> None:
        self.source, self.hash = source, sha256()

    def read(self, size: int = -1) -> bytes:
        chunk = self.source.read(size)
        self.hash.update(chunk)
        return chunk


def _put(tar: tarfile.TarFile, file: Path, name: str) -> str:
    """Copy a file and return its hash.

    One that is gone meanwhile was being written, and has got its name by now or never gets one: it has no hash.
    """
    try:
        source = file.open("rb")
    except FileNotFoundError:
        return ""
    with source:
        hashed = _Hashed(source)
        tar.addfile(tar.gettarinfo(arcname=name, fileobj=source), hashed)
        return hashed.hash.hexdigest()


def _copy_databases(stack: Stack, target: Path) -> None:
    done = subprocess.run(
        # It ends with us: who stops the house in the middle of a copy leaves nothing running.
        launched(
            [
                str(parts.postgres_bin() / "pg_basebackup"),
                *("--host=127.0.0.1", f"--port={stack.ports.of('postgres')}"),
                *("--username=postgres", "--no-password"),
                *(f"--pgdata={target}", "--format=tar", "--gzip", "--wal-method=stream"),
                "--checkpoint=fast",
            ]
        ),
        env=parts.plain_env() | {"PGPASSWORD": stack.keys.text("postgres_admin")},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BadBackup(f"pg_basebackup failed: {done.stderr.strip()[-300:]}")


def found_at(where: str) -> tuple[Place, str]:
    """The place of a copy and its name, where one is named, or the last one's of a place. Raises BadBackup."""
    above, _, name = where.rstrip("/").rpartition("/")
    if COPY.fullmatch(name):
        return Place(above or "."), name
    is_there = "://" in where or Path(where).is_dir()
    if not is_there or not (names := (place := Place(where)).held()):
        raise BadBackup(f"{where} is no backup, and holds none that is whole.", "nguonthu backup makes one.")
    return place, names[-1]


def unpack(place: Place, name: str, home: Path, key: str = "") -> dict[str, Any]:
    """Put a copy into a home that is empty or does not exist, and return its manifest.

    Raises BadBackup where the copy is not whole and as it was, and leaves nothing behind. `key` is the text of the file
    of the key that opens it.
    """
    refuse_file(home)
    if home.exists() and any(home.iterdir()):
        raise BadBackup(
            f"{home} is not empty, and a restore never overwrites a house.",
            "Name a folder that is not there: nguonthu restore FOLDER --to NEW_FOLDER",
        )
    home.mkdir(parents=True, exist_ok=True)
    try:
        with work_in(home) as work:
            tar = _opened(place, name, work, key)
            taken = work / "taken"
            try:
                _extract(tar, taken)
            except tarfile.TarError as error:
                raise BadBackup(f"{name} is not whole: {error}.", ANOTHER) from error
            tar.unlink()
            manifest = check(taken, name)
            _unpack(taken, home)
    except BaseException:
        shutil.rmtree(home)
        raise
    return manifest


def _opened(place: Place, name: str, work: Path, key: str) -> Path:
    """A copy as a plain file in a folder, of which nothing is looked at before all of it was found unaltered."""
    fetched, tar = work / name, work / "copy.tar"
    place.fetch(name, fetched)
    if name.endswith(SEALED):
        unseal(fetched, tar, key)
        fetched.unlink()
        return tar
    return fetched


def _extract(archive: Path, place: Path) -> None:
    with tarfile.open(archive) as packed:
        packed.extractall(place, filter=_plain)  # noqa: S202 - the filter lets nothing out of the place


def _plain(entry: tarfile.TarInfo, place: str) -> tarfile.TarInfo | None:
    """A filter of what a copy may hold: files and folders below its own. Raises BadBackup for a link or a device."""
    if not (entry.isreg() or entry.isdir()):
        raise BadBackup(
            f"{entry.name} in the copy is neither a file nor a folder, and no copy of ours holds such."
        )
    return tarfile.data_filter(entry, place)


class _Manifest(msgspec.Struct):
    """What the end of a copy says of it; other formats may say more, or less."""

    format: int
    postgres: str = ""
    version: str = ""
    made_at: str = ""
    facts_at_least: dict[str, int] = {}
    files: dict[str, str] = {}


def check(folder: Path, name: str) -> dict[str, Any]:
    """Compare all files with the manifest and return the manifest. Raises BadBackup, also for one it does not name."""
    try:
        read = msgspec.json.decode((folder / "manifest.json").read_bytes(), type=_Manifest)
        manifest: dict[str, Any] = msgspec.to_builtins(read)
    except (OSError, msgspec.MsgspecError) as error:
        raise BadBackup(
            f"{name} is not whole: its manifest.json, which is its end, cannot be read.", ANOTHER
        ) from error
    if manifest.get("format") != FORMAT:
        raise BadBackup(
            f"{name} was made by another version of this program (format {manifest.get('format')})."
        )
    if manifest["postgres"] != _postgres_version():
        raise BadBackup(f"{name} holds PostgreSQL {manifest['postgres']}; here is {_postgres_version()}.")
    held = {str(file.relative_to(folder)) for file in folder.rglob("*") if not file.is_dir()}
    if unnamed := sorted(held - {"manifest.json", *manifest["files"]}):
        raise BadBackup(f"{name} holds {unnamed[0]}, which its manifest does not name.", ANOTHER)
    for each, expected in manifest["files"].items():
        # By what is held and not by a path: a name that leads elsewhere is no file of the copy.
        if each not in held:
            raise BadBackup(f"{each} is missing from {name}.", ANOTHER)
        if _hash(folder / each) != expected:
            raise BadBackup(f"{each} is not as it was when {name} was made.", ANOTHER)
    return manifest


def _unpack(taken: Path, home: Path) -> None:
    fresh = home / "postgres.new"
    fresh.mkdir(mode=0o700)
    for archive, place in (("base.tar.gz", fresh), ("pg_wal.tar.gz", fresh / "pg_wal")):
        _extract(taken / "postgres" / archive, place)
    for name in ("files", "secrets", *KEPT):
        if (taken / name).exists():
            (taken / name).rename(home / name)
    if (home / "secrets").exists():
        (home / "secrets").chmod(0o700)
    # Last, so that a home that was cut off halfway does not start.
    fresh.chmod(0o700)
    fresh.rename(home / "postgres")


def settle(stack: Stack, manifest: dict[str, Any]) -> int:
    """Compare a restored PostgreSQL, and hand on the facts that JetStream held and that were not handled.

    Returns how many those were. Raises BadBackup when facts are missing.
    """
    counts = _counts(stack)
    for service, expected in manifest["facts_at_least"].items():
        if (found := counts.get(service, 0)) < expected:
            raise BadBackup(f"{service} has {found} facts where the backup had {expected}.")
    made_at = datetime.fromisoformat(manifest["made_at"])
    return hand_on_all(stack.settings, made_at, manifest["facts_at_least"])


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
