"""How the command line speaks: steps with a tick and their time, tables, and errors of one sentence and a hint."""

import contextlib
import sys
import time
import unicodedata
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

out = Console(highlight=False)
err = Console(stderr=True, highlight=False)


class Sorry(Exception):
    """A command cannot do what was asked: one sentence, and a hint of what to do."""

    def __init__(self, sentence: str, hint: str = "") -> None:
        super().__init__(sentence)
        self.hint = hint


def harmless(text: object) -> str:
    """A text as it is shown: what in it would drive the terminal or turn its letters around stands as its escape."""
    return escape("".join(map(_seen, str(text))))


def _seen(letter: str) -> str:
    drives = unicodedata.category(letter) in ("Cc", "Cf", "Cs") and letter not in "\n\t"
    return ascii(letter)[1:-1] if drives else letter


def say(text: str) -> None:
    """Show one line."""
    out.print(harmless(text), soft_wrap=True)


@contextlib.contextmanager
def step(text: str) -> Iterator[None]:
    """Show what is being done, with a tick and the time once it is done."""
    begun = time.monotonic()
    # No spinner: its thread must not run while services are forked.
    if sys.stdout.isatty():
        out.print(f"  … {harmless(text)}", end="\r")
    yield
    out.print(f"  [green]✓[/green] {harmless(text)} [dim]({time.monotonic() - begun:.1f} s)[/dim]")


def table(headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Show rows under headings."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        shown.add_column(heading, overflow="fold")
    for row in rows:
        shown.add_row(*map(harmless, row))
    out.print(shown)


def complain(sorry: Exception, hint: str = "") -> None:
    """Show an error as a person wants it."""
    err.print(f"[bold red]✗[/bold red] {harmless(sorry)}", soft_wrap=True)
    if hint:
        err.print(f"  {harmless(hint)}", soft_wrap=True)
