"""Commands about NATS: make streams and consumers anew that were lost."""

from typing import Annotated

import typer

from ops.cli.screen import Sorry, say
from ops.cli.where import house

app = typer.Typer(no_args_is_help=True)

REACH_S = 5.0
"""How long a person waits to hear that NATS does not answer."""


@app.callback()
def streams() -> None:
    """Keeps `mend` a command of its own, for want of a second one."""


@app.command()
def mend(
    keep: Annotated[bool, typer.Option("--keep", help="Go on looking and mending, for ever.")] = False,
    everything: Annotated[
        bool,
        typer.Option("--all", help="Hand on from every log: a stream that is there may have lost a part."),
    ] = False,
) -> None:
    """Make streams and consumers that are missing, and hand on what was lost. A running house does it by itself."""
    import logging

    import nats.errors
    import structlog

    from ops import mending
    from ops.streams import NotLaidOut

    # What NATS does meanwhile is said in one sentence at the end.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))
    with house() as reached:
        if keep:
            mending.keep(reached.settings, say)
        try:
            done = mending.mend(reached.settings, everything=everything, limit_s=REACH_S)
        except (TimeoutError, nats.errors.Error, NotLaidOut) as error:
            raise Sorry(
                f"NATS cannot be mended: {str(error) or 'it does not answer'}", "nguonthu status"
            ) from error
    for line in done or ["Nothing is missing."]:
        say(line)
