"""Commands that start, stop and look at the house: up, down, run, status, doctor."""

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import msgspec
import typer

from ops.cli.screen import Sorry, harmless, out, say, step, table
from ops.cli.where import NO_HOUSE, home_of, is_house
from shared.contracts import SERVICES

if TYPE_CHECKING:
    from ops.embedded import Stack

DETACHED_LIMIT_S = 900

PLACES = (
    ("/", "the sample newspaper: read until the wall, subscribe, see the ads"),
    ("/advertise", "book advertising"),
    ("/events", "events, tickets and sponsorship"),
    ("/finance", "revenue, the growth target, the books"),
    ("/desk", "the desks of ads, subscriptions, events and payments"),
    ("/dev/mail", "every message the house has sent (sign-in codes arrive here)"),
    ("/docs", "the API of each service"),
)


def add_to(app: typer.Typer) -> None:
    """Register the commands."""
    app.command()(up)
    app.command()(down)
    app.command()(run)
    app.command()(status)
    app.command()(doctor)


def up(
    detach: Annotated[bool, typer.Option("--detach", help="Return once it stands; it runs on.")] = False,
    demo: Annotated[
        bool, typer.Option("--demo/--no-demo", help="Make demo history at the first start.")
    ] = True,
) -> None:
    """Start everything and say where to go. Ctrl-C stops it."""
    from ops.embedded.state import read_run

    home = home_of()
    if running := read_run(home):
        if not running.ready:
            raise Sorry("The house is being started already.", "How far it is: nguonthu status")
        say(f"The house already stands: {running.address}")
        _sign_ins(home)
        return
    if detach:
        _up_detached(home, demo=demo)
        return
    # Nearly all that imports make stays: to look through it again and again costs a fifth of a start.
    gc.disable()
    from ops.embedded import CannotStart
    from ops.embedded.supervisor import Supervisor

    try:
        Supervisor(home, os.environ, say, step, with_demo=demo).run(_welcome)
    except CannotStart as error:
        raise Sorry(str(error), "nguonthu doctor looks for the reason.") from error


def _up_detached(home: Path, *, demo: bool) -> None:
    from ops.embedded.state import read_run

    log = home / "logs" / "house.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    with log.open("wb") as output:
        house = subprocess.Popen(
            [sys.executable, "-P", "-m", "ops.cli", "up", "--demo" if demo else "--no-demo"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )
    told = 0
    while not ((run := read_run(home)) and run.ready):
        told = _pass_on(log, told)
        if house.poll() is not None:
            last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-3:]
            raise Sorry("The house did not come up: " + " / ".join(last), f"All it said is in {log}.")
        if time.monotonic() - begun > DETACHED_LIMIT_S:
            house.terminate()
            raise Sorry(f"The house is not up after {DETACHED_LIMIT_S} s.", f"What it said is in {log}.")
        time.sleep(0.1)
    _pass_on(log, told)
    say(f"The house stands: {run.address} (stop it with: nguonthu down)")
    _sign_ins(home)


def _pass_on(log: Path, told: int) -> int:
    """Show the steps that a log has gained behind its first `told` bytes; returns how many are told now."""
    with log.open("rb") as lines:
        lines.seek(told)
        for line in lines:
            if not line.endswith(b"\n"):
                break
            told += len(line)
            if line.lstrip().startswith(("✓".encode(), "…".encode())):
                say(line.decode("utf-8", "replace").rstrip())
    return told


def _welcome(stack: "Stack") -> None:
    out.print(f"\n[bold]The house stands: [link={stack.address}]{stack.address}[/link][/bold]\n")
    width = max(len(stack.address + place) for place, _ in PLACES)
    for place, what in PLACES:
        out.print(f"  {(stack.address + place).ljust(width)}  [dim]{what}[/dim]", soft_wrap=True)
    _sign_ins(stack.home)
    out.print(f"\n[dim]Ctrl-C stops all of it. Data stays in {stack.home}.[/dim]", soft_wrap=True)


def _sign_ins(home: Path) -> None:
    """Name the demo's people and what opens for each; nobody in a house without a demo."""
    from ops.embedded.supervisor import read_sign_ins

    people = read_sign_ins(home)
    if people:
        out.print("\n[bold]Demo sign-ins[/bold]")
        width = max(len(person["email"]) for person in people)
        for person in people:
            code = f"  TOTP {person['totp_secret']}" if person["totp_secret"] else ""
            # Unfolded, so that it can be copied.
            out.print(
                f"  {person['email'].ljust(width)}  {person['password']}{code}", soft_wrap=True, markup=False
            )
            out.print(f"    [dim]{person['who']}: {person['opens']}[/dim]", soft_wrap=True)
        out.print("  [dim]A code instead of an authenticator: nguonthu accounts totp E-MAIL[/dim]")


def down() -> None:
    """Stop a house that runs elsewhere on this machine."""
    from ops.embedded.state import stop as stop_house

    try:
        stopped = stop_house(home_of())
    except TimeoutError as error:
        raise Sorry(str(error), "End that process by its number.") from error
    say("Stopped." if stopped else "Nothing was running.")


def run(
    service: Annotated[str, typer.Argument(help="One of: " + ", ".join((*SERVICES, "demo")))],
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    workers: Annotated[int, typer.Option(min=1, help="Processes that share the port.")] = 1,
) -> None:
    """Run one service in the foreground, with the settings of the environment."""
    if service not in (*SERVICES, "demo"):
        raise Sorry(f"There is no service {service!r}.", "They are: " + ", ".join((*SERVICES, "demo")))
    from ops.serve import serve

    serve(service, port, workers)


def status(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """What runs, and whether each part is ready. Exit code 1 when something is not."""
    from ops.embedded.state import look

    home = home_of()
    state = look(home)
    if as_json:
        typer.echo(json.dumps(msgspec.to_builtins(state), indent=1, ensure_ascii=False))
    elif state.parts:
        say(state.address or "(still starting)")
        rows = [(p.name, "ready" if p.ready else "waits", p.pid, p.port, p.detail) for p in state.parts]
        table(("part", "state", "process", "port", "what it waits for"), rows)
    elif is_house(home):
        say(f"The house in {home} does not run. Start it with: nguonthu up")
    else:
        say(f"There is no house in {home}.")
        say(NO_HOUSE)
    for trouble in [] if as_json else state.copies:
        say(f"Copies: {trouble}")
    if not state.ready:
        raise typer.Exit(1)


def doctor() -> None:
    """Look for what is wrong, and say how to mend it."""
    from ops.embedded.doctor import examine

    bad = 0
    for finding in examine(home_of()):
        mark = "[green]✓[/green]" if finding.well else "[bold red]✗[/bold red]"
        bad += not finding.well
        out.print(mark, harmless(finding.what), soft_wrap=True, markup=True)
        if not finding.well:
            out.print(f"    → {finding.mend}", soft_wrap=True, markup=False)
    if bad:
        raise typer.Exit(1)
