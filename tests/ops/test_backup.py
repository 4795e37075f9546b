"""Backups: what was copied comes back elsewhere, what was under way goes on, and nothing is done a second time."""

import json
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from uuid import UUID

import psycopg
import pytest

from ops import backup as copies
from ops.embedded import Stack
from ops.embedded.stack import running
from ops.migrate import migrate_all
from ops.places import Place
from shared import clock
from shared.contracts import SERVICES
from tests.ops.test_cli import nguonthu
from tests.shared.homes import a_folder

pytestmark = [pytest.mark.promise("T6"), pytest.mark.xdist_group("backup")]
"""One worker makes the home for all of these tests."""

SAID = "accounts.agency.registered.v1"


@pytest.fixture
def folder() -> Iterator[Path]:
    with a_folder() as made:
        yield made


@pytest.fixture(scope="module")
def lived() -> Iterator[tuple[Path, Path]]:
    """A home with databases, facts that ledger knows in every way, and a file; and the folder of its backups."""
    with a_folder() as home:
        stack = Stack(home, durable=False)
        stack.start(["postgres"])
        migrate_all(stack.settings())
        _say(stack)
        (home / "files" / "ads").mkdir(parents=True)
        (home / "files" / "ads" / "abc").write_bytes(b"picture")
        stack.stop()
        told = nguonthu("backup", str(home / "copies"), NGUONTHU_HOME=str(home))
        assert told.returncode == 0, told.stderr
        yield home, home / "copies"


def _say(stack: Stack) -> None:
    """Accounts has said five facts: ledger forgot the first, handled one, holds two, and has not heard the last.

    The others handled them all, and forgot the first.
    """
    ids, now = [clock.new_id() for _ in range(5)], clock.now()
    with psycopg.connect(stack.admin_url("accounts"), autocommit=True) as db:
        for seq, (fact, days) in enumerate(zip(ids, (120, 80, 40, 40, 0), strict=True), start=1):
            db.execute(
                "INSERT INTO fact_log (seq, id, subject, body, occurred_at) VALUES (%s, %s, %s, '{}', %s)",
                (seq, fact, SAID, now - timedelta(days=days)),
            )
    for service in SERVICES:
        known = ids[1:2] if service == "ledger" else ids[1:]
        with psycopg.connect(stack.admin_url(service), autocommit=True) as db:
            for fact in known:
                db.execute(
                    "INSERT INTO inbox VALUES (%s, %s, substring(sha256('{}') FOR 16), %s)", (fact, SAID, now)
                )
    with psycopg.connect(stack.admin_url("ledger"), autocommit=True) as db:
        for fact, state in ((ids[2], "parked"), (ids[3], "waiting")):
            db.execute(
                "INSERT INTO retry (fact_id, subject, body, state, since, next_at) "
                "VALUES (%s, %s, '{}', %s, %s, %s)",
                (fact, SAID, state, now, now),
            )


def held(home: Path) -> list[tuple[UUID, str]]:
    """What ledger keeps for later in a home that rests, the oldest fact first."""
    stack = Stack(home)
    stack.start(["postgres"])
    try:
        with closing(psycopg.connect(stack.admin_url("ledger"))) as db:
            return db.execute("SELECT fact_id, state FROM retry ORDER BY fact_id").fetchall()
    finally:
        stack.stop()


@pytest.mark.promise("F2")
def test_a_backup_restores_to_another_home_and_hands_on_only_what_nobody_handled(
    lived: tuple[Path, Path], folder: Path
) -> None:
    home, backups = lived
    new = folder / "new"
    told = nguonthu("restore", str(backups), "--to", str(new))
    assert told.returncode == 0, told.stderr
    assert "\n1 facts were handed on." in told.stdout
    assert (new / "files" / "ads" / "abc").read_bytes() == b"picture"
    assert (new / "secrets" / "operator").read_bytes() == (home / "secrets" / "operator").read_bytes()
    assert (new / "secrets" / "operator").stat().st_mode & 0o077 == 0
    assert [state for _, state in held(new)] == ["parked", "waiting", "retry"]


def test_days_count_from_the_backup_and_not_from_the_restore(lived: tuple[Path, Path], folder: Path) -> None:
    manifest = copies.unpack(*copies.found_at(str(lived[1])), folder / "new")
    late = clock.DrivenClock(clock.now() + timedelta(days=300), 7)
    with clock.driven(late), running(folder / "new", ["postgres"]) as stack:
        assert copies.settle(stack, manifest) == 1


def test_without_another_folder_a_restore_goes_where_the_house_is_looked_for(
    lived: tuple[Path, Path], folder: Path
) -> None:
    home, backups = lived
    taken = nguonthu("restore", str(backups), NGUONTHU_HOME=str(home))
    assert taken.returncode == 1
    assert "never overwrites a house" in taken.stderr
    assert "nguonthu restore FOLDER --to NEW_FOLDER" in taken.stderr
    told = nguonthu("restore", str(backups), NGUONTHU_HOME=str(folder / "fresh"))
    assert told.returncode == 0, told.stderr
    assert (folder / "fresh" / "postgres" / "PG_VERSION").exists()


def the_copy(lived: tuple[Path, Path]) -> Path:
    place, name = copies.found_at(str(lived[1]))
    return Path(place.where) / name


def test_of_several_backups_the_last_whole_one_is_taken(lived: tuple[Path, Path], tmp_path: Path) -> None:
    for name in ("20250101-000000.tar", "20250102-000000.tar", "20250103-000000.tar.part"):
        shutil.copy(the_copy(lived), tmp_path / f"nguonthu-{name}")
    first, last = "nguonthu-20250101-000000.tar", "nguonthu-20250102-000000.tar"
    assert copies.found_at(str(tmp_path))[1] == last
    assert copies.found_at(f"{tmp_path}/{first}")[1] == first


def test_of_many_backups_the_last_are_kept(lived: tuple[Path, Path], tmp_path: Path) -> None:
    for n in range(1, 4):
        (tmp_path / f"nguonthu-2025010{n}-000000.tar").touch()
    (tmp_path / "else").touch()
    assert Place(str(tmp_path)).forget(2) == ["nguonthu-20250101-000000.tar"]
    assert sorted(kept.name[:17] for kept in tmp_path.iterdir()) == [
        "else",
        "nguonthu-20250102",
        "nguonthu-20250103",
    ]
    assert Place(str(tmp_path)).forget(2) == []


def altered(copy: Path, target: Path, at: int) -> Path:
    """The same copy, of which one byte is another."""
    content = bytearray(copy.read_bytes())
    content[at] ^= 1
    made = target / copy.name
    made.write_bytes(content)
    return made


def test_an_open_backup_that_was_altered_or_cut_short_is_refused_and_nothing_is_made(
    lived: tuple[Path, Path], tmp_path: Path
) -> None:
    whole = the_copy(lived)
    bad = altered(whole, tmp_path, whole.read_bytes().index(b"picture"))
    told = nguonthu("restore", str(bad), "--to", str(tmp_path / "new"))
    assert told.returncode == 1
    assert "files/ads/abc is not as it was" in told.stderr
    bad.write_bytes(whole.read_bytes()[: -15 * 1024])
    with pytest.raises(copies.BadBackup, match="is not whole"):
        copies.unpack(*copies.found_at(str(bad)), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def with_more(copy: Path, target: Path, *more: tarfile.TarInfo, named: str = "") -> Path:
    """A copy that holds more than ours, or whose manifest names more, and that is whole otherwise."""
    made = target / copy.name
    with tarfile.open(copy) as old, tarfile.open(made, "w") as new:
        for entry in old:
            content = old.extractfile(entry)
            assert content
            body = content.read()
            if named and entry.name == "manifest.json":
                body = json.dumps(
                    (told := json.loads(body)) | {"files": told["files"] | {named: HASH}}
                ).encode()
                entry.size = len(body)
            new.addfile(entry, BytesIO(body))
        for entry in more:
            new.addfile(entry)
    return made


HASH = sha256(b"").hexdigest()


def an_entry(name: str, kind: bytes = tarfile.REGTYPE, to: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, to
    return entry


@pytest.mark.parametrize(
    ("entry", "named", "why"),
    [
        (an_entry("secrets/more"), "", "holds secrets/more, which its manifest does not name"),
        (an_entry("files/ads/way", tarfile.SYMTYPE, "../ads/abc"), "", "neither a file nor a folder"),
        (an_entry("secrets/way", tarfile.SYMTYPE, "/etc"), "", "neither a file nor a folder"),
        (an_entry("files/twin", tarfile.LNKTYPE, "files/ads/abc"), "", "neither a file nor a folder"),
        (an_entry("files/pipe", tarfile.FIFOTYPE), "", "neither a file nor a folder"),
        (an_entry("../../outside"), "", "is not whole"),
        (an_entry("/outside"), "/outside", "holds outside, which"),
        (None, "{above}/empty", "/empty is missing from"),
        (None, "files/../../../../empty", "files/../../../../empty is missing from"),
    ],
)
def test_a_backup_with_links_with_what_it_does_not_name_or_with_names_outside_of_it_is_refused(
    lived: tuple[Path, Path], tmp_path: Path, entry: tarfile.TarInfo | None, named: str, why: str
) -> None:
    (tmp_path / "empty").touch()
    bad = with_more(
        the_copy(lived), tmp_path, *([entry] if entry else []), named=named.format(above=tmp_path)
    )
    with pytest.raises(copies.BadBackup, match=re.escape(why)):
        copies.unpack(*copies.found_at(str(bad)), tmp_path / "new")
    assert not (tmp_path / "new").exists()
    assert {left.name for left in tmp_path.iterdir()} == {bad.name, "empty"}


def test_a_backup_that_fails_half_way_leaves_nothing(
    lived: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    home = tmp_path / "home"
    monkeypatch.setattr(copies, "_copy_databases", full)
    monkeypatch.setattr(copies, "_counts", lambda _: {})
    with pytest.raises(OSError, match="No space left"):
        copies.make(Stack(home), tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []
    assert not (home / "copying").exists()
    monkeypatch.setattr(copies.tarfile, "open", full)
    with pytest.raises(OSError, match="No space left"):
        copies.unpack(*copies.found_at(str(lived[1])), tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_a_backup_that_would_fill_the_disk_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "ROOM", 2**60)
    with pytest.raises(copies.BadBackup, match="MiB are free"):
        copies.make(Stack(tmp_path / "home"), tmp_path / "copies")
    assert list((tmp_path / "copies").iterdir()) == []


def test_a_file_that_vanishes_while_it_is_copied_stops_no_backup(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "copy.tar", "w") as tar:
        assert copies._put(tar, tmp_path / "being-written#1", "files/being-written#1") == ""
        assert tar.getnames() == []


def test_a_manifest_of_another_shape_is_refused_with_what_to_do(tmp_path: Path) -> None:
    for text in ("[]", '{"files": {}}', '{"format": 2, "files": []}', "cut"):
        (tmp_path / "manifest.json").write_text(text)
        with pytest.raises(copies.BadBackup, match="is not whole") as refused:
            copies.check(tmp_path, "the copy")
        assert "another copy" in refused.value.hint
    (tmp_path / "manifest.json").write_text('{"format": 2}')
    with pytest.raises(copies.BadBackup, match="holds PostgreSQL ;"):
        copies.check(tmp_path, "the copy")


def test_a_file_where_a_folder_is_to_be_is_refused(lived: tuple[Path, Path], tmp_path: Path) -> None:
    home, copies = lived
    file = tmp_path / "file"
    file.write_text("mine")
    for words in (("restore", str(copies), "--to", str(file)), ("backup", str(file))):
        told = nguonthu(*words, NGUONTHU_HOME=str(home))
        assert (told.returncode, told.stderr.splitlines()) == (
            1,
            [f"✗ {file} is a file.", "  Name a folder."],
        )
    assert file.read_text() == "mine"
