"""Commands about facts: see them pass, see what was parked and why, and have it handled again."""

import contextlib
import json
import time
from collections.abc import Iterable
from typing import Annotated, Any

import typer

from ops.cli.screen import Sorry, out, say, table
from ops.cli.where import a_day, house, service_named, settings_of
from shared import clock
from shared.calendar import local_day, start_of
from shared.contracts import SERVICES

app = typer.Typer(no_args_is_help=True)

FOLLOW_S = 0.5


@app.command()
def tail(
    service: Annotated[str, typer.Argument(help="Publisher; all six when left out.")] = "",
    lines: Annotated[int, typer.Option("-n", min=0, help="How many of the newest to begin with.")] = 20,
    follow: Annotated[bool, typer.Option("-f", "--follow", help="Go on as new ones come.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One object a line.")] = False,
) -> None:
    """Show the newest published facts."""
    from ops.replay import connect

    names = [service_named(service)] if service else list(SERVICES)
    with house() as reached, contextlib.ExitStack() as open_links:
        links = {name: open_links.enter_context(connect(settings_of(reached, name), name)) for name in names}
        seen = dict.fromkeys(names, 0)
        rows = []
        for name, link in links.items():
            newest = link.execute(
                "SELECT seq, id, subject, body, occurred_at FROM fact_log ORDER BY seq DESC LIMIT %s",
                (lines,),
            ).fetchall()
            seen[name] = newest[0]["seq"] if newest else 0
            rows += newest
        rows.sort(key=lambda row: row["occurred_at"])
        _show(rows[-lines:] if lines else [], as_json=as_json)
        while follow:
            time.sleep(FOLLOW_S)
            for name, link in links.items():
                more = link.execute(
                    "SELECT seq, id, subject, body, occurred_at FROM fact_log WHERE seq > %s ORDER BY seq LIMIT 500",
                    (seen[name],),
                ).fetchall()
                if more:
                    seen[name] = more[-1]["seq"]
                    _show(more, as_json=as_json)


def _show(rows: Iterable[dict[str, Any]], *, as_json: bool) -> None:
    for row in rows:
        body = bytes(row["body"]).decode("utf-8")
        if as_json:
            typer.echo(body)
        else:
            out.print(f"[dim]{row['occurred_at']:%Y-%m-%d %H:%M:%S}[/dim] [bold]{row['subject']}[/bold]")
            say(f"  {body}")


@app.command()
def parked(
    service: Annotated[str, typer.Argument(help="Consumer; all six when left out.")] = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Also those that wait, are tried again, or were dropped.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show facts that could not be handled, and why."""
    from ops.replay import held

    states = ("parked", "aside", "waiting", "retry", "dropped") if everything else ("parked", "aside")
    names = [service_named(service)] if service else SERVICES
    with house() as reached:
        rows = [(name, row) for name in names for row in held(settings_of(reached, name), name, states)]
    if as_json:
        typer.echo(json.dumps([_plain(name, row) for name, row in rows], ensure_ascii=False, indent=1))
    elif rows:
        table(
            ("service", "state", "fact", "id", "since", "why"),
            [
                (
                    name,
                    row["state"],
                    row["subject"],
                    row["fact_id"],
                    f"{row['since']:%Y-%m-%d %H:%M}",
                    row["waits_for"] or row["error"].strip().rsplit("\n", 1)[-1],
                )
                for name, row in rows
            ],
        )
        say(
            "After mending the cause: nguonthu facts replay SERVICE; what is never to be: nguonthu facts drop"
        )
    else:
        say("Nothing is parked." if not everything else "Nothing is held.")


def _plain(name: str, row: dict[str, Any]) -> dict[str, Any]:
    return {
        "service": name,
        "id": str(row["fact_id"]),
        "subject": row["subject"],
        "state": row["state"],
        "waits_for": row["waits_for"],
        "attempts": row["attempts"],
        "error": row["error"],
        "since": row["since"].isoformat(),
        "body": bytes(row["body"]).decode("utf-8", "replace"),
    }


@app.command()
def drop(
    service: Annotated[str, typer.Argument(help="The consumer that shall not handle them.")],
    reason: Annotated[str, typer.Option(help="Why, for whoever asks later.")],
    fact: Annotated[str, typer.Option("--id", help="This fact.")] = "",
    subject: Annotated[str, typer.Option(help="All that is held of this subject, with its version.")] = "",
) -> None:
    """Give up facts that a service holds and can never handle: they are kept and shown, and never tried again."""
    from ops.replay import drop as dropped

    service_named(service)
    if bool(fact) == bool(subject) or not reason.strip():
        raise Sorry(
            "Say which, and why: either --id or --subject, and --reason.", "nguonthu facts parked --all"
        )
    with house() as reached:
        gone = dropped(settings_of(reached, service), service, " ".join(reason.split()), fact, subject)
    if not gone:
        raise Sorry(f"{service} holds no fact {fact or subject}.", f"nguonthu facts parked {service} --all")
    for row in gone:
        say(f"{row['fact_id']}  {row['subject']}")
    say(f"{len(gone)} facts are dropped. One is tried again by: nguonthu facts replay {service} --id ID")


@app.command()
def replay(
    service: Annotated[str, typer.Argument(help="The consumer that shall handle facts again.")],
    fact: Annotated[str, typer.Option("--id", help="Only this parked fact.")] = "",
    publisher: Annotated[
        str,
        typer.Option("--from", help="Not what was parked, but what this publisher said and nobody handled."),
    ] = "",
    since: Annotated[str, typer.Option(help="With --from: only from this day on, as 2026-01-31.")] = "",
) -> None:
    """Have a service handle facts again: what it parked, or a publisher's log. What it knows is not done twice."""
    from ops.replay import again, hand_on, hears, unhandled_since

    service_named(service)
    first = unhandled_since(clock.now())
    if since and not publisher:
        raise Sorry("--since says from when in a publisher's log.", "Name the publisher with --from.")
    if since and (asked := start_of(a_day(since))) < first:
        raise Sorry(
            f"What was said before {local_day(first):%d/%m/%Y} was handled or is held; nobody knows any more which.",
            "Handed on again it would be done twice. Without --since all is handed on that can be unhandled.",
        )
    if since and asked > clock.now():
        raise Sorry(f"{asked:%d/%m/%Y} has not come yet.", "Nothing was said since then.")
    if publisher and not hears(service, service_named(publisher)):
        raise Sorry(f"{service} hears nothing of {publisher}.", "docs/facts.md says who hears whom.")
    with house() as reached:
        settings = settings_of(reached, service)
        if publisher:
            source = settings_of(reached, service_named(publisher))
            count = hand_on(source, publisher, settings, service, asked if since else first)
        else:
            count = again(settings, service, fact)
    if fact and not count:
        raise Sorry(f"{service} has parked no fact {fact}.", f"nguonthu facts parked {service}")
    say(f"{count} facts are handled again within a second of the service running.")
