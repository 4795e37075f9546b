"""Commands that look after the house's data and secrets: init, migrate, seed, simulate, contracts, upgrade."""

import asyncio
import contextlib
import gc
import json
import os
from datetime import date, timedelta
from importlib import import_module
from pathlib import Path
from typing import Annotated

import typer

from ops.cli.screen import Sorry, err, out, say, step
from ops.cli.where import Reached, a_day, home_of, house, is_deployed, service_named, settings_of, today
from ops.golive import HOUSE, checks, load
from shared import clock
from shared.contracts import SERVICES
from shared.keys import OPERATOR
from shared.settings import PREFIX, Settings

FIRST_SCALE = 0.175
"""How busy the agencies are in the demo of a first start.

It begins last January, so that growth can be measured, and ends yesterday: today is the newcomer's.
"""

SEED = 7

DAYS_A_LINE = 60
"""Where no bar can be drawn, a line tells of so many days lived through."""

QUORUM = 3
"""NATS nodes of which one may be away."""


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    for command in (init, migrate, seed, simulate, contracts, upgrade, secrets, turn_key, turn_secret):
        app.command()(command)


def init(
    email: Annotated[str, typer.Option(help="E-mail of the first administrator.")],
    agency: Annotated[str, typer.Option(help="Code of the agency, such as bkh.")],
    agency_name: Annotated[str, typer.Option(help="Its name in full.")],
) -> None:
    """Make an empty production: databases, the first administrator, and what is left to do before going live."""
    from ops.embedded.history import UNFINISHED
    from ops.migrate import migrate_all

    with house(at_rest=True, begins=True) as reached:
        home = reached.settings.home
        if any((home / name).exists() for name in ("demo.json", UNFINISHED)):
            raise Sorry(f"{home} holds a demo.", "A production begins in an empty folder: set NGUONTHU_HOME.")
        with step("Databases"):
            migrate_all(reached.settings)
        with step("First administrator"):
            own = settings_of(reached, "accounts")
            enrol = import_module("ops.cli.accounts").first_administrator
            link = enrol(own, agency=agency, agency_name=agency_name, email=email)
        home.mkdir(parents=True, exist_ok=True)
        (home / "production.json").write_text(
            json.dumps({"agency": agency, "since": clock.now().isoformat()})
        )
        out.print(f"\nThe first administrator enrols here, once, within a day:\n  {link}\n", soft_wrap=True)
        _checklist(reached.settings)


def _checklist(settings: Settings) -> None:
    out.print("[bold]Before going live[/bold]")
    who = OPERATOR if is_deployed() else HOUSE
    todo = [(holds, f"{PREFIX}{check.variable}", check.otherwise) for check, holds in checks(settings, who)]
    for holds, variable, otherwise in todo:
        _tick(variable if holds else f"{variable} {otherwise}", done=holds)
    if who == OPERATOR:
        _tick("What each service holds: one that others reach refuses to start and says what is missing")
    copies = settings.nats_replicas
    _tick(f"{PREFIX}NATS_REPLICAS is {copies}; 3, on three nodes, outlive one of them", done=copies >= QUORUM)
    if who == HOUSE:
        _tick(
            f"{PREFIX}BACKUP_AT makes a copy each night; _TO brings it elsewhere, _RECIPIENT seals it",
            done=bool(settings.backup_at and settings.backup_to and settings.backup_recipient),
        )
    _tick("A backup was made and restored once: nguonthu backup, nguonthu restore --drill")
    _tick("Two administrators have enrolled, each with TOTP")


def _tick(what: str, *, done: bool = False) -> None:
    out.print(f"  {'[green]✓[/green]' if done else '☐'} {what}", soft_wrap=True)


def migrate(
    service: Annotated[str, typer.Argument(help="One service; all six when left out.")] = "",
    bootstrap: Annotated[
        bool,
        typer.Option("--bootstrap", help="Make databases and roles first (NGUONTHU_POSTGRES_ADMIN_URL)."),
    ] = False,
) -> None:
    """Bring databases and streams to their newest version. Safe to run twice, and while the house runs."""
    from ops.mending import mend
    from ops.migrate import NotMigrated
    from ops.migrate import migrate as migrate_one
    from ops.streams import lay_out

    if bootstrap:
        _bootstrap(load(who=OPERATOR))
    with house(begins=True) as reached:
        for name in [service_named(service)] if service else SERVICES:
            try:
                with step(f"Database of {name}"):
                    migrate_one(reached.settings, name)
            except NotMigrated as error:
                raise Sorry(
                    str(error),
                    "It stays as it was, and the services run on: migrations only add. Mend it and run this again.",
                ) from error
        with step("Streams"):
            # Of one service alone it is not known whether the others have a log to hand on from.
            asyncio.run(lay_out(reached.settings)) if service else mend(reached.settings)


def _bootstrap(settings: Settings) -> None:
    from ops.embedded.databases import bootstrap_databases, wait_for_postgres

    if not settings.postgres_admin_url:
        raise Sorry(
            f"{PREFIX}POSTGRES_ADMIN_URL is not set.", "Only a superuser can make databases and roles."
        )
    with step("Databases and roles"):
        wait_for_postgres(settings.postgres_admin_url, limit_s=60)
        names = [settings.database_prefix + name for name in SERVICES]
        bootstrap_databases(settings.postgres_admin_url, settings, names)


def seed() -> None:
    """Make the demo's agencies, people, packages and keys, with one day of business."""
    day = today()
    _simulate(day, day, SEED, 1.0)


def simulate(
    start: Annotated[str, typer.Option("--from", help="First day, as 2024-01-01.")] = "2024-01-01",
    end: Annotated[str, typer.Option("--to", help="Last day, or `today`: up to now.")] = "today",
    seed: Annotated[int, typer.Option(help="The same seed makes the same books.")] = SEED,
    scale: Annotated[
        float, typer.Option(min=0.001, help="How busy the agencies are; 1 is as they are.")
    ] = 1.0,
    first: Annotated[bool, typer.Option("--first", help="The shorter history of a first `make up`.")] = False,
) -> None:
    """Live through years of business by the real actions, on a driven clock. The house must be empty and at rest."""
    if first:
        yesterday = today() - timedelta(days=1)
        _simulate(date(yesterday.year - 1, 1, 1), yesterday, seed, FIRST_SCALE)
    else:
        _simulate(a_day(start), a_day(end), seed, scale)


def _simulate(start: date, end: date, seed: int, scale: float) -> None:
    import uvloop
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ops.migrate import migrate_all
    from ops.simulation import simulate as live
    from ops.simulation import write_demo
    from ops.simulation.aside import YOUNG
    from shared.errors import Refused

    if end < start:
        raise Sorry(f"The last day {end} is before the first day {start}.")
    if end > today():
        raise Sorry(f"{end} has not come yet.", "Simulate until today at the most.")
    bar = Progress(
        TextColumn("  Living through {task.fields[day]}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=out,
        transient=True,
    )
    # A history that a power cut interrupts is made anew, so its commits need not wait for the disk.
    os.environ["PGOPTIONS"] = "-c synchronous_commit=off"
    with house(at_rest=True, begins=True) as reached:
        migrate_all(reached.settings)
        with step(f"History from {start:%d/%m/%Y} to {end:%d/%m/%Y}"), bar:
            task = bar.add_task("", day=f"{start:%d/%m/%Y}", total=(end - start).days + 1)

            def progress(done: int, total: int, day: str) -> None:
                bar.update(task, completed=done, total=total, day=day)
                if not out.is_terminal and done % DAYS_A_LINE == 0:
                    say(f"  … {day}, {done} of {total} days")

            def own(service: str) -> Settings:
                return settings_of(reached, service)

            try:
                gc.freeze()
                gc.set_threshold(*YOUNG)
                demo = uvloop.run(live(own, start, end, seed, progress, scale))
            except Refused as refusal:
                raise Sorry(refusal.sentence) from refusal
        write_demo(reached.settings, demo)


def contracts(
    check: Annotated[
        bool, typer.Option("--check", help="Change nothing; fail when something would.")
    ] = False,
) -> None:
    """Write the JSON Schema of every fact and the AsyncAPI document."""
    from ops import contracts as export

    if check:
        old = {name: (export.FOLDER / name) for name in export.written()}
        changed = [
            name
            for name, text in export.written().items()
            if not old[name].exists() or old[name].read_text(encoding="utf-8") != text
        ]
        if changed:
            raise Sorry(
                "These contracts are not as published: " + ", ".join(changed), "make contracts writes them."
            )
        say(f"{len(old)} files are as published.")
        return
    changed = export.write_all()
    say("Written: " + ", ".join(changed) if changed else "Nothing has changed.")


def upgrade() -> None:
    """Check, back up, migrate all or nothing; and say the way back. The house must be at rest."""
    from ops.backup import alone, make
    from ops.migrate import NotMigrated, migrate_all
    from ops.places import BadBackup

    if is_deployed():
        raise Sorry(
            "A deployed house is upgraded by its orchestrator.",
            "Run `nguonthu migrate` from the new image, then replace the services; migrations only expand.",
        )
    home = home_of()
    with house(at_rest=True) as reached:
        stack = reached.stack
        if stack is None:
            raise Sorry("There is no embedded house here.")
        with step("Preflight"):
            _preflight(reached)
        try:
            with step("Backup"), alone(home):
                made = make(stack, home / "backups", reached.settings.backup_recipient)
        except BadBackup as error:
            raise Sorry(str(error), error.hint) from error
        try:
            with step("Migrations"):
                migrate_all(reached.settings)
        except NotMigrated as error:
            raise Sorry(
                str(error), "Nothing was changed: the version of before starts on this house as it did."
            ) from error
    say(f"The way back: nguonthu restore {made} --to NEW_FOLDER, with the version of before.")
    say("Upgraded. Start it with: nguonthu up")


def _preflight(reached: Reached) -> None:
    from psycopg.errors import UndefinedTable

    from ops.replay import held

    parked = []
    for name in SERVICES:
        # A service that this version brings along has no tables yet.
        with contextlib.suppress(UndefinedTable):
            parked += held(settings_of(reached, name), name, ("parked",))
    if parked:
        err.print(f"  {len(parked)} facts are parked; they stay so. See: nguonthu facts parked")


def secrets(
    folder: Annotated[Path, typer.Argument(help="Where to, such as deploy/secrets.")],
) -> None:
    """Make the secrets of a deployed house (compose.yaml reads them); what is there stays."""
    from ops.deploy import write_secrets

    names = write_secrets(folder)
    say(f"{folder} holds: {', '.join(names)}")
    if not (folder / "vnpay_terminals").read_text(encoding="utf-8").strip():
        say(
            f"{folder / 'vnpay_terminals'} is empty, which is for trials: put in what VNPay gave, "
            "as agency:terminal:secret, separated by commas."
        )


def turn_key(
    folder: Annotated[Path, typer.Argument(help="Of the secrets: NGUONTHU_HOME/secrets, or deploy/secrets.")],
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Take nothing any more that a key of before has signed.")
    ] = False,
    heads: Annotated[
        bool, typer.Option("--heads", help="The key that signs heads of the books, not that of tokens.")
    ] = False,
) -> None:
    """Sign tokens and API keys, or heads of the books, with a new key; what the one of before signed is still taken."""
    from ops.deploy import READABLE
    from ops.embedded.keys import Keys

    signed, signer = ("head", "ledger") if heads else ("token", "accounts")
    private, public = f"{signed}_private_key", f"{signed}_public_keys"
    if not (folder / private).is_file():
        raise Sorry(f"{folder} holds no {private}.", "Name the folder of the secrets.")
    if heads and leaked:
        raise Sorry(
            "What a key of before signed stays to be proven by it: accounts holds those heads since they were signed.",
            "Turn it without --leaked; from now on nothing new is signed by it.",
        )
    mode = (folder / private).stat().st_mode & READABLE
    keys = Keys(folder)
    keys.turn_key(signed, [] if leaked else keys.public_keys(signed))
    for name in (private, public):
        (folder / name).chmod(mode)
    say(f"{len(keys.public_keys(signed))} keys are taken now. Start all services anew, {signer} as the last.")


def turn_secret(
    folder: Annotated[Path, typer.Argument(help="Of the secrets: NGUONTHU_HOME/secrets, or deploy/secrets.")],
    days: Annotated[
        int, typer.Option(min=1, help="For so long is opened what the one of before signed.")
    ] = 400,
    leaked: Annotated[
        bool, typer.Option("--leaked", help="Take nothing any more that a secret of before has signed.")
    ] = False,
) -> None:
    """Derive links, seals and passwords from a new operator's secret. The house must be at rest."""
    from ops.deploy import READABLE, write_secrets
    from ops.embedded.keys import Keys
    from ops.embedded.state import read_run

    if not (folder / "operator").is_file():
        raise Sorry(f"{folder} holds no operator's secret.", "Name the folder of the secrets.")
    if read_run(folder.absolute().parent):
        raise Sorry("The house is running.", "Stop it first: nguonthu down")
    until = clock.now() + timedelta(days=days)
    mode = (folder / "operator").stat().st_mode & READABLE
    Keys(folder).turn_operator(int(until.timestamp()), leaked=leaked)
    (folder / "operator").chmod(mode)
    if (folder / "nats.conf").is_file():
        write_secrets(folder)
    opened = "Nothing is opened any more" if leaked else f"Until {until:%d/%m/%Y} is opened"
    say(f"{opened} that a secret of before has signed. Start the whole house anew.")
