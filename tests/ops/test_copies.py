"""Copies over time: sealed, brought elsewhere, made by a schedule, tried, and told of where one of these fails."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import psycopg
import pytest

from ops import backup
from ops import copies as keeping
from ops.cli import copies as commands
from ops.embedded import Stack, doctor, state
from ops.embedded.copier import Copier
from ops.migrate import migrate_all
from ops.places import BadBackup, Place
from ops.sealing import new_key, seal, unseal
from shared import clock, copies, observe
from shared.copies import Record, Turn
from shared.settings import BadSetting, Settings, read
from tests.ops.test_cli import nguonthu
from tests.shared.homes import a_folder

pytestmark = [pytest.mark.promise("T6"), pytest.mark.xdist_group("backup")]

NOON = datetime(2026, 11, 27, 5, tzinfo=UTC)
"""Noon in Viet Nam."""

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
def folder() -> Iterator[Path]:
    with a_folder() as made:
        yield made


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """The PostgreSQL of a house, which is migrated."""
    with a_folder() as folder:
        stack = Stack(folder / "home", durable=False)
        stack.start(["postgres"])
        migrate_all(stack.settings())
        yield stack
        stack.stop()


@pytest.fixture(scope="module")
def house(stack: Stack) -> Path:
    """The folder of a house, with its key beside it, copied once: sealed, and brought to another folder."""
    folder = stack.home.parent
    told = nguonthu("backup-key", str(folder / "key"))
    assert told.returncode == 0, told.stderr
    made_by(stack)
    return folder


def made_by(stack: Stack, keep: int = 0, **changes: str) -> Path:
    """A copy, as the command makes it on a machine that knows the public half of the key."""
    folder = stack.home.parent
    settings = Settings(
        backup_to=changes.get("to", str(folder / "elsewhere")),
        backup_recipient=changes.get("recipient", (folder / "key").read_text().splitlines()[0].split()[-1]),
    )
    return commands._copy(stack, settings, stack.home / "backups", keep)


# Sealed


def test_a_sealed_copy_opens_with_its_key_alone_and_comes_back_from_where_it_was_brought(
    house: Path, folder: Path
) -> None:
    (there,) = Place(str(house / "elsewhere")).held()
    content = (house / "elsewhere" / there).read_bytes()
    assert content.startswith(b"age-encryption.org/v1")
    assert (house / "home" / "secrets" / "operator").read_bytes() not in content
    assert content == (house / "home" / "backups" / there).read_bytes()
    with pytest.raises(BadBackup, match="holds no key that opens it") as keyless:
        backup.unpack(Place(str(house / "elsewhere")), there, folder / "new")
    assert "NGUONTHU_BACKUP_KEY_FILE=FILE" in keyless.value.hint
    key = {"NGUONTHU_BACKUP_KEY_FILE": str(house / "key")}
    told = nguonthu("restore", str(house / "elsewhere"), "--to", str(folder / "new"), **key)
    assert told.returncode == 0, told.stderr
    for name in ("operator", "postgres_admin"):
        secret = folder / "new" / "secrets" / name
        assert secret.read_bytes() == (house / "home" / "secrets" / name).read_bytes()
        assert secret.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("cut", [0, 60, 70_000, -1])
def test_a_sealed_copy_that_was_cut_short_is_refused_and_nothing_is_made(
    house: Path, tmp_path: Path, cut: int
) -> None:
    (name,) = Place(str(house / "elsewhere")).held()
    (tmp_path / name).write_bytes((house / "elsewhere" / name).read_bytes()[:cut])
    refuse(tmp_path, name, (house / "key").read_text())


@pytest.mark.parametrize("at", [30, 90, 300, 100_000, -1])
def test_a_sealed_copy_of_which_one_byte_is_another_is_refused_and_nothing_is_made(
    house: Path, tmp_path: Path, at: int
) -> None:
    (name,) = Place(str(house / "elsewhere")).held()
    content = bytearray((house / "elsewhere" / name).read_bytes())
    content[at] ^= 1
    (tmp_path / name).write_bytes(content)
    refuse(tmp_path, name, (house / "key").read_text())


def test_a_copy_for_another_key_is_refused_and_nothing_is_made(house: Path, tmp_path: Path) -> None:
    (name,) = Place(str(house / "elsewhere")).held()
    (tmp_path / name).write_bytes((house / "elsewhere" / name).read_bytes())
    refused = refuse(tmp_path, name, new_key()[0])
    assert "sealed for another key" in str(refused)


def refuse(folder: Path, name: str, key: str) -> BadBackup:
    with pytest.raises(BadBackup) as refused:
        backup.unpack(Place(str(folder)), name, folder / "new", key)
    assert name in str(refused.value)
    assert refused.value.hint
    assert not (folder / "new").exists()
    return refused.value


def test_a_key_is_never_written_over_and_its_file_is_its_owners_alone(house: Path) -> None:
    told = nguonthu("backup-key", str(house / "key"))
    assert (told.returncode, "is there already" in told.stderr) == (1, True)
    assert (house / "key").stat().st_mode & 0o077 == 0


def test_a_secret_half_in_the_wrong_place_is_refused_and_not_repeated(tmp_path: Path) -> None:
    secret = new_key()[0].splitlines()[1]
    with pytest.raises(BadBackup, match="is not the public half") as refused:
        seal(tmp_path / "none", tmp_path / "sealed", secret)
    assert secret not in str(refused.value)
    with pytest.raises(BadBackup, match="it is no key"):
        unseal(tmp_path / "none", tmp_path / "open", secret[:-1])


def test_a_full_disk_is_not_taken_for_an_altered_copy(house: Path) -> None:
    (name,) = Place(str(house / "elsewhere")).held()
    with pytest.raises(OSError, match="No space left"):
        unseal(house / "elsewhere" / name, Path("/dev/full"), (house / "key").read_text())


# Brought elsewhere


def test_what_comes_back_with_other_bytes_is_not_left_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "nguonthu-20250101-000000.tar").write_bytes(b"copy")
    monkeypatch.setattr(Place, "_chunks", lambda *_: iter([b"cop", b"i"]))
    with pytest.raises(BadBackup, match="gave back other bytes"):
        Place(str(tmp_path / "there"), make=True).put(tmp_path / "nguonthu-20250101-000000.tar")
    assert list((tmp_path / "there").iterdir()) == []


def test_a_copy_that_cannot_be_brought_stays_here_and_the_failure_is_told(house: Path, stack: Stack) -> None:
    (house / "occupied").touch()
    with pytest.raises(
        BadBackup, match=r"occupied/copies cannot be used: .* The copy is in (.+) alone"
    ) as told:
        made_by(stack, to=str(house / "occupied" / "copies"))
    (made,) = (file for file in (stack.home / "backups").iterdir() if f"{file} alone" in str(told.value))
    assert state.look(stack.home).copies == [f"the last copy failed: {told.value}"]
    made.unlink()


def test_only_so_many_are_left_in_both_places_and_an_open_copy_is_called_so(
    house: Path, stack: Stack, capsys: pytest.CaptureFixture[str]
) -> None:
    for place in ("home/backups", "elsewhere"):
        (house / place / "nguonthu-20250101-000000.tar.age").touch()
    made = made_by(stack, keep=2, recipient="")
    assert "holds every secret of the house" in capsys.readouterr().err
    for place in ("home/backups", "elsewhere"):
        held = Place(str(house / place)).held()
        assert (len(held), held[-1]) == (2, made.name)
        (house / place / made.name).unlink()


# One at a time, and by a schedule


def test_no_two_are_made_at_once_and_the_second_disturbs_no_record(house: Path, stack: Stack) -> None:
    before = copies.read(stack.home)
    with backup.alone(stack.home), pytest.raises(BadBackup, match="is being made or tried just now"):
        made_by(stack)
    assert copies.read(stack.home) == before


@pytest.mark.parametrize(
    ("record", "due"),
    [
        (Record(), False),
        (Record(at="03:15"), True),
        (Record(at="03:15", copied=Turn(NOON - DAY, NOON - DAY)), True),
        (Record(at="03:15", copied=Turn(NOON - 8 * HOUR, NOON - 8 * HOUR)), False),
        (Record(at="13:00", copied=Turn(NOON - 22 * HOUR, NOON - 22 * HOUR)), False),
        (Record(at="03:15", copied=Turn(NOON - 8 * HOUR, NOON - DAY, "full")), True),
        (Record(at="03:15", copied=Turn(NOON - HOUR, NOON - DAY, "full")), False),
    ],
)
def test_a_copy_is_due_once_a_night_and_again_some_hours_after_one_that_failed(
    record: Record, *, due: bool
) -> None:
    assert copies.copy_is_due(record, NOON) == due


def test_a_drill_is_due_when_the_last_one_is_too_old_and_not_twice_at_once() -> None:
    record = Record(at="03:15", drill_days=30, since=NOON - 40 * DAY)
    assert copies.drill_is_due(record, NOON)
    assert not copies.drill_is_due(msgspec.structs.replace(record, since=None), NOON)
    assert not copies.drill_is_due(msgspec.structs.replace(record, drill_days=0), NOON)
    well = msgspec.structs.replace(record, drilled=Turn(NOON - 31 * DAY, NOON - 31 * DAY))
    assert copies.drill_is_due(well, NOON)
    assert not copies.drill_is_due(well, NOON - 2 * DAY)
    assert not copies.drill_is_due(
        msgspec.structs.replace(record, drilled=Turn(NOON - HOUR, None, "bad")), NOON
    )


def test_a_time_that_is_none_stops_the_start() -> None:
    for bad in ("3:15", "24:00", "night"):
        with pytest.raises(BadSetting, match="is no time of the day"):
            read({"NGUONTHU_BACKUP_AT": bad})
    with pytest.raises(BadSetting, match="BACKUP_KEEP is 1 or more"):
        read({"NGUONTHU_BACKUP_KEEP": "0"})


def test_no_service_holds_the_key_that_opens_copies(tmp_path: Path) -> None:
    stack = Stack(tmp_path, given={"NGUONTHU_BACKUP_KEY_FILE": "key", "NGUONTHU_BACKUP_KEY": "AGE"})
    assert "BACKUP_KEY" not in " ".join(stack.env("payments"))
    assert "NGUONTHU_BACKUP_KEY" in stack.env()


def test_a_house_copies_itself_by_its_schedule_and_then_tries_the_copy(folder: Path) -> None:
    given = {
        "NGUONTHU_BACKUP_AT": "03:15",
        "NGUONTHU_BACKUP_TO": str(folder / "elsewhere"),
    }
    stack = Stack(folder / "home", durable=False, given=given)
    stack.start(["postgres"])
    migrate_all(stack.settings())
    copier = Copier(stack, read(given))
    try:
        stack.address = "http://localhost"
        stack.note()
        for what in ("copied", "drilled"):
            copier.look()
            assert copier._child
            assert copier._child.wait(60)
            record = copies.read(folder / "home")
            assert getattr(record, what).well_at, copier._child.last_words()
        copier.look()
        assert not copier._child.alive(), "both are done"
    finally:
        copier.stop()
        stack.stop()
    assert copies.troubles(record, clock.now()) == []
    assert Place(str(folder / "elsewhere")).noted("drilled.json")
    assert not (folder / "home" / "drill").exists()


def test_a_copy_or_drill_that_was_killed_is_begun_anew_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "copying").mkdir()
    (tmp_path / "copying" / "secret").touch()
    with backup.work_in(tmp_path) as work:
        assert list(work.iterdir()) == []
    assert not (tmp_path / "copying").exists()


# Drilled


def test_a_drill_of_a_damaged_copy_fails_is_told_and_leaves_nothing(house: Path, tmp_path: Path) -> None:
    (name,) = Place(str(house / "elsewhere")).held()
    content = bytearray((house / "elsewhere" / name).read_bytes())
    content[-1] ^= 1
    (tmp_path / name).write_bytes(content)
    env = {"NGUONTHU_HOME": str(tmp_path / "home"), "NGUONTHU_BACKUP_KEY_FILE": str(house / "key")}
    told = nguonthu("restore", str(tmp_path), "--drill", **env)
    assert told.returncode == 1
    looked = nguonthu("status", NGUONTHU_HOME=str(tmp_path / "home"))
    assert f"Copies: the last drill failed: {name} is not as it was when it was sealed" in looked.stdout
    assert not (tmp_path / "home" / "drill").exists()
    assert Place(str(tmp_path)).noted("drilled.json") is None


def test_a_drill_finds_books_that_are_not_sound(stack: Stack, folder: Path) -> None:
    with psycopg.connect(stack.admin_url("ledger"), autocommit=True) as db:
        db.execute(
            "INSERT INTO rollup VALUES ('bkh', '511', 'ads', '2026-01-01', '2026-01-01', '2026-01-01', 7, 0)"
        )
        made = backup.make(stack, folder)
        db.execute("DELETE FROM rollup")
    with pytest.raises(BadBackup, match="are not sound: 1 findings"):
        commands._prove(*backup.found_at(str(made)), folder, "")
    assert not (folder / "drill").exists()


def test_what_comes_back_with_fewer_facts_than_were_copied_is_refused(stack: Stack) -> None:
    manifest = {"made_at": str(clock.now()), "facts_at_least": {"ledger": 1}}
    with pytest.raises(BadBackup, match="ledger has 0 facts where the backup had 1"):
        backup.settle(stack, manifest)


def test_a_drill_on_another_machine_is_heard_of_with_the_next_copy(tmp_path: Path) -> None:
    place, before = Place(str(tmp_path / "there"), make=True), clock.now()
    keeping.tell_of_drill(place)
    (tmp_path / "nguonthu-20250101-000000.tar").write_bytes(b"copy")
    keeping.note(tmp_path, drilled=Turn(before, before - DAY, "it failed here"))
    keeping.bring(tmp_path / "nguonthu-20250101-000000.tar", place.where, tmp_path)
    drilled = copies.read(tmp_path).drilled
    assert drilled.trouble == ""
    assert drilled.well_at
    assert drilled.well_at >= before


# Told


@pytest.mark.parametrize(
    ("record", "told"),
    [
        (Record(), []),
        (Record(copied=Turn(NOON, NOON - 9 * DAY)), []),
        (Record(at="03:15"), ["no copy has been made yet"]),
        (Record(at="03:15", copied=Turn(NOON, NOON - DAY - 11 * HOUR)), []),
        (
            Record(at="03:15", copied=Turn(NOON, NOON - DAY - 13 * HOUR)),
            ["no copy has been made since 2026-11-25 16:00 UTC"],
        ),
        (Record(copied=Turn(NOON, None, "full")), ["the last copy failed: full"]),
        (Record(copied=Turn().begun(NOON - HOUR)), []),
        (Record(copied=Turn().begun(NOON - 4 * HOUR)), [f"the last copy failed: {copies.UNENDED}"]),
        (
            Record(copied=Turn().begun(NOON - 4 * HOUR).begun(NOON)),
            [f"the last copy failed: {copies.CUT_OFF}"],
        ),
        (Record(drilled=Turn(NOON, NOON, "bad books")), ["the last drill failed: bad books"]),
        (Record(drill_days=30, since=NOON - 31 * DAY), []),
        (
            Record(drill_days=30, since=NOON - 32 * DAY),
            ["no copy has come back in a drill since 2026-10-26"],
        ),
        (Record(drill_days=30, since=NOON - 90 * DAY, drilled=Turn(NOON, NOON - 9 * DAY)), []),
    ],
)
def test_what_is_amiss_is_told_and_a_house_without_a_schedule_is_left_alone(
    record: Record, told: list[str]
) -> None:
    assert copies.troubles(record, NOON) == told


def test_the_doctor_tells_of_it_and_asks_a_production_for_a_schedule(tmp_path: Path) -> None:
    def found() -> list[str]:
        return [finding.what for finding in doctor._copies(tmp_path)]

    assert found() == []
    (tmp_path / "production.json").touch()
    assert found() == ["Nobody makes copies of this house at a time of its own"]
    keeping.note(tmp_path, copied=Turn(well_at=clock.now()))
    assert found() == [], "cron makes them"
    keeping.schedule(tmp_path, "03:15", 30)
    assert found() == []
    (tmp_path / copies.FILE).write_text("{")
    assert "cannot be read" in found()[0]


@pytest.mark.parametrize(("record", "amiss"), [(Record(), 0), (Record(copied=Turn(NOON, None, "full")), 1)])
def test_a_figure_says_how_much_is_amiss(tmp_path: Path, record: Record, amiss: int) -> None:
    (tmp_path / copies.FILE).write_bytes(msgspec.json.encode(record))
    observe.tell_of_copies(tmp_path)
    assert observe.COPIES._value.get() == amiss
