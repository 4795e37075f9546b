"""Commands that make copies of the house, bring them elsewhere, try them and bring them back."""

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ops.cli.screen import Sorry, err, say, step
from ops.cli.where import home_of, house, is_deployed
from shared.settings import PREFIX, Settings, read

if TYPE_CHECKING:
    from ops.embedded import Stack
    from ops.places import Place


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (backup, backup_key, restore):
        app.command()(command)


def backup(
    folder: Annotated[
        Path | None, typer.Argument(help="Where to; NGUONTHU_HOME/backups when left out.")
    ] = None,
    keep: Annotated[
        int, typer.Option(min=0, help="Remove the oldest ones there until so many are left; 0 removes none.")
    ] = 0,
) -> None:
    """Copy databases (at one instant), files and secrets into one file; settings seal it and bring it on."""
    from ops.places import BadBackup

    with house() as reached:
        if reached.stack is None:
            raise Sorry(
                "This house's PostgreSQL is looked after elsewhere.",
                "docs/operations/restore.md says how its own tools copy all six databases at one instant.",
            )
        try:
            made = _copy(reached.stack, reached.settings, folder or reached.stack.home / "backups", keep)
        except BadBackup as error:
            raise Sorry(str(error), error.hint) from error
    say(f"The backup is {made}.")
    say(f"The way back: nguonthu restore {made} --to NEW_FOLDER")


def _copy(stack: "Stack", settings: Settings, folder: Path, keep: int) -> Path:
    from ops.backup import make, refuse_file
    from ops.copies import attempt, bring
    from ops.places import Place

    refuse_file(folder)
    places = [Place(str(folder), make=True)]
    with attempt(stack.home, "copied"):
        with step("Backup"):
            made = make(stack, folder, settings.backup_recipient)
        if settings.backup_to:
            with step(f"Brought to {settings.backup_to} and read back"):
                places.append(bring(made, settings.backup_to, stack.home))
        for place in places:
            if keep and (gone := place.forget(keep)):
                say(f"Removed the oldest in {place.where}: {', '.join(gone)}")
    if not settings.backup_recipient:
        err.print(
            f"  It is not sealed, and holds every secret of the house: keep it as you keep them, or set "
            f"{PREFIX}BACKUP_RECIPIENT.",
            soft_wrap=True,
        )
    return made


def backup_key(
    file: Annotated[Path, typer.Argument(help="A file that is not there yet.")],
) -> None:
    """Make a key for sealed copies: the file opens them, its public half seals them."""
    from ops.sealing import new_key

    text, public = new_key()
    try:
        with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(text)
    except FileExistsError as error:
        raise Sorry(
            f"{file} is there already, and copies may be sealed for it.", "Name another file."
        ) from error
    say(f"{PREFIX}BACKUP_RECIPIENT={public}")
    say(f"{file} opens what is sealed for it, and nothing else does: keep it twice, and not on this machine.")


def restore(
    place: Annotated[
        str, typer.Argument(help="A copy, or a place of copies of which the last is taken: a folder, s3://…")
    ],
    to: Annotated[
        Path | None, typer.Option(help="The new home; NGUONTHU_HOME when left out. Empty, or not there.")
    ] = None,
    drill: Annotated[
        bool, typer.Option("--drill", help="Only try it, in a temporary home that is removed, and note it.")
    ] = False,
) -> None:
    """Put a copy into a new home, check it against its hashes, and hand facts on that were under way."""
    from ops.places import BadBackup

    if to is None and not drill and is_deployed():
        raise Sorry(
            "This house's PostgreSQL is looked after elsewhere, and is restored there.",
            "docs/operations/restore.md says how. To look into a backup here: --to NEW_FOLDER",
        )
    try:
        if drill:
            _drill(place)
        else:
            _restore(place, to.absolute() if to else home_of())
    except BadBackup as error:
        raise Sorry(str(error), error.hint) from error


def _restore(where: str, home: Path) -> None:
    from ops.backup import found_at, settle, unpack
    from ops.embedded.stack import running

    place, name = found_at(where)
    with step(f"{name}: hashes, databases, files and secrets"):
        manifest = unpack(place, name, home, read().backup_key)
    with step("Facts that were under way"), running(home, ("postgres",)) as stack:
        handed = settle(stack, manifest)
    say(f"{handed} facts were handed on. Start it with: NGUONTHU_HOME={home} nguonthu up")


def _drill(where: str) -> None:
    from ops.backup import found_at
    from ops.copies import attempt, tell_of_drill

    settings = read()
    home = home_of()
    with attempt(home, "drilled"):
        place, name = found_at(where)
        with step(f"{name}: comes back, and its books are sound"):
            _prove(place, name, home, settings.backup_key)
        tell_of_drill(place)
    say(f"{name} came back whole.")


def _prove(place: "Place", name: str, home: Path, key: str) -> None:
    from ops.copies import brought_back
    from ops.migrate import migrate_all
    from ops.places import BadBackup

    with brought_back(place, name, home, key) as stack:
        # As the next start would: the copy may be older than the program.
        migrate_all(stack.settings())
        found = import_module("ops.cli.ledger").proven(stack.settings("ledger")).findings
    if found:
        raise BadBackup(
            f"The books in {name} are not sound: {len(found)} findings, the first: {found[0]}",
            "nguonthu ledger verify looks at those of the house itself.",
        )
