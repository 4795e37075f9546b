"""Which house a command works on: a deployed one given by settings, the embedded one that runs, or one that rests."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

from ops.cli.screen import Sorry
from ops.golive import load
from ops.keys import as_service
from shared import clock
from shared.calendar import local_day
from shared.contracts import SERVICES
from shared.keys import OPERATOR
from shared.settings import PREFIX, Settings, read

if TYPE_CHECKING:
    from ops.embedded import Stack


@dataclass(frozen=True)
class Reached:
    """A house whose stores answer. `stack` is None for a deployed one; `runs` says whether services do."""

    settings: Settings
    stack: "Stack | None"
    runs: bool


def home_of(environ: dict[str, str] | None = None) -> Path:
    """The folder of the embedded house."""
    return read(environ).home.absolute()


NO_HOUSE = "Go where its .data is, or name that by NGUONTHU_HOME; nguonthu up makes one."


def is_house(home: Path) -> bool:
    """Whether a folder holds an embedded house: its databases have their place once they are whole."""
    return (home / "postgres").is_dir()


def is_deployed() -> bool:
    """Whether the settings name a database server, so that no embedded one is meant."""
    return bool(os.environ.get(PREFIX + "POSTGRES_URL") or os.environ.get(PREFIX + "POSTGRES_URL_FILE"))


@contextlib.contextmanager
def house(*, at_rest: bool = False, begins: bool = False) -> Iterator[Reached]:
    """Reach the stores, starting the embedded ones for the length of the block when they rest.

    `at_rest` is for commands that must not run beside the services, `begins` for those that make a house where there
    is none; what others find in a wrong folder is no house, and they leave none there.
    """
    if is_deployed():
        yield Reached(load(who=OPERATOR), None, runs=False)
        return
    from ops.embedded import CannotStart, Stack
    from ops.embedded.state import read_run

    home = home_of()
    if not begins and not is_house(home):
        raise Sorry(f"There is no house in {home}.", NO_HOUSE)
    given = {key: value for key, value in os.environ.items() if key.startswith(PREFIX)}
    stack = Stack(home, given=given)
    if running := read_run(home):
        if at_rest:
            raise Sorry("The house is running.", "Stop it first: nguonthu down")
        # Another process holds it; its ports and keys are in the folder.
        stack.address, stack.creatives = running.address, stack.settings().creatives_url
        yield Reached(stack.settings(), stack, runs=True)
        return
    try:
        stack.start()
    except CannotStart as error:
        raise Sorry(str(error), "nguonthu doctor looks for the reason.") from error
    try:
        yield Reached(stack.settings(), stack, runs=False)
    finally:
        stack.stop()


def service_named(name: str) -> str:
    """The name, when it is one of the six."""
    if name not in SERVICES:
        raise Sorry(f"There is no service {name!r}.", "They are: " + ", ".join(SERVICES))
    return name


def settings_of(reached: Reached, service: str) -> Settings:
    """A service's own settings: derived for the operator, given where a command runs beside a deployed service."""
    if reached.stack:
        return reached.stack.settings(service)
    return as_service(reached.settings, service) if reached.settings.operator_secret else reached.settings


def today() -> date:
    """The day in Viet Nam."""
    return local_day(clock.now())


def a_day(text: str) -> date:
    """Read a day that a person typed: `2024-01-31`, or `today`."""
    try:
        return today() if text == "today" else date.fromisoformat(text)
    except ValueError as error:
        raise Sorry(f"{text!r} is no day.", "Write it as 2024-01-31, or `today`.") from error
