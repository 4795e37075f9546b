"""`nguonthu`: one command to start, look after and ask the house."""

import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ops.cli import care, copies, facts, running, streams
from ops.cli.screen import Sorry, complain
from shared.contracts import SERVICES
from shared.settings import BadSetting

HELP = """The revenue platform of a press agency: six services, one house.

Start with: nguonthu up
"""

app = typer.Typer(help=HELP, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)
running.add_to(app)
care.add_to(app)
copies.add_to(app)
app.add_typer(facts.app, name="facts", help="See facts pass, and handle again those that were parked.")
app.add_typer(streams.app, name="streams", help="Make streams of NATS anew that were lost.")


def own_commands(service: str) -> type[TyperGroup]:
    """The commands of one service, imported only when one of them is meant."""

    class OwnCommands(TyperGroup):
        def _own(self) -> Any:
            return typer.main.get_command(import_module(f"ops.cli.{service}").app)

        def list_commands(self, ctx: Any) -> list[str]:
            own = self._own()
            return list(own.list_commands(ctx)) if isinstance(own, TyperGroup) else [own.name]

        def get_command(self, ctx: Any, cmd_name: str) -> Any:
            own = self._own()
            if isinstance(own, TyperGroup):
                return own.get_command(ctx, cmd_name)
            return own if own.name == cmd_name else None

    return OwnCommands


for _service in SERVICES:
    if (Path(__file__).parent / f"{_service}.py").exists():
        app.add_typer(
            typer.Typer(cls=own_commands(_service), no_args_is_help=True),
            name=_service,
            help=f"Commands of {_service}.",
        )


@app.callback()
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show where an error came from.")] = False,
) -> None:
    """The option is read in `main`, which has to know it even when reading the others fails."""


root.__doc__ = HELP


def _sentence(error: Exception) -> str:
    """What is said of an error that no command foresaw: of a file its name and what is wrong with it."""
    if isinstance(error, OSError) and error.filename and error.strerror:
        return f"{error.filename}: {error.strerror}."
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0] if lines else 'no more is known'}"


def main() -> None:
    """Run a command; whatever goes wrong is one sentence and a hint, and an exit code that is not zero."""
    try:
        app()
    except Sorry as sorry:
        complain(sorry, sorry.hint)
    except BadSetting as error:
        complain(error, "docs/settings.md lists every setting.")
    except Exception as error:
        if "--debug" in sys.argv:
            raise
        complain(
            Sorry(_sentence(error)),
            "nguonthu --debug and the command shows where it came from.",
        )
    else:
        return
    sys.exit(1)
