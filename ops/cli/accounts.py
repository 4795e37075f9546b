"""Accounts' own commands: agencies and their lineage, enrolling administrators, a demo sign-in's TOTP code."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date
from typing import Annotated, TypeVar

import msgspec
import pyotp
import typer

from ops.cli.screen import Sorry, say, table
from ops.cli.where import home_of, house, settings_of
from services.accounts import queries
from services.accounts.actions import agencies as agency_actions
from services.accounts.actions import people
from shared import clock
from shared.calendar import local_day
from shared.contracts.accounts import AgencyKind
from shared.db import Database, Tx
from shared.errors import Refused
from shared.settings import Settings

OPERATOR = "operator:"
T = TypeVar("T")

app = typer.Typer(no_args_is_help=True)


@app.command()
def agencies(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the agencies and who stands in whose place."""
    found = _run(queries.agencies)
    if as_json:
        say(json.dumps(msgspec.to_builtins(found), ensure_ascii=False))
        return
    table(
        ("code", "name", "kind", "from", "succeeded by", "on"),
        [
            [a.code, a.name, a.kind, a.active_from or "", a.successor or "", a.succeeded_on or ""]
            for a in found
        ],
    )


@app.command("register-agency")
def register_agency(
    code: Annotated[str, typer.Argument(help="A short code, such as bkh.")],
    name: Annotated[str, typer.Argument(help="Its name in full.")],
    kind: Annotated[str, typer.Option(help="newspaper, broadcaster, magazine or converged")] = "newspaper",
    since: Annotated[str, typer.Option("--from", help="First day, as 2025-04-24; today when left out.")] = "",
) -> None:
    """Let another agency exist from a day on."""
    try:
        known = msgspec.convert(kind, AgencyKind)
    except msgspec.ValidationError as error:
        raise Sorry(
            f"There is no kind of agency {kind!r}.", "newspaper, broadcaster, magazine or converged"
        ) from error
    day = _day(since)
    _run(lambda tx: agency_actions.register_agency(tx, code, name, known, day, OPERATOR))
    say(f"{name} ({code}) exists from {day:%d/%m/%Y}.")


@app.command("succeed-agency")
def succeed_agency(
    code: Annotated[str, typer.Argument(help="The agency that ends.")],
    successor: Annotated[str, typer.Argument(help="The agency that stands in its place.")],
    on: Annotated[str, typer.Option(help="From which day, as 2025-04-24; today when left out.")] = "",
) -> None:
    """Put an agency in another's place; staff keep their roles there."""
    day = _day(on)
    _run(lambda tx: agency_actions.succeed_agency(tx, code, successor, day, OPERATOR))
    say(f"From {day:%d/%m/%Y} {successor} stands in the place of {code}.")


@app.command("invite-admin")
def invite_admin(
    email: Annotated[str, typer.Argument(help="Where the invitation goes.")],
    agency: Annotated[str, typer.Option(help="The agency; the only one when left out.")] = "",
) -> None:
    """Invite an administrator: prints the link by which the person enrols, once, within a day."""

    async def work(tx: Tx, settings: Settings) -> str:
        open_ones = [a.code for a in await queries.open_agencies(tx)]
        if agency and agency not in open_ones:
            raise Sorry(f"There is no agency {agency}.", "They are: " + ", ".join(open_ones))
        if not agency and len(open_ones) != 1:
            raise Sorry("Say of which agency with --agency.", "They are: " + ", ".join(open_ones))
        return await _invite(tx, settings, agency or open_ones[0], email)

    with house() as reached:
        own = settings_of(reached, "accounts")
        say(_in(own, lambda tx: work(tx, own)))


@app.command()
def totp(email: Annotated[str, typer.Argument(help="E-mail of a demo sign-in.")]) -> None:
    """Print the TOTP code of a demo sign-in, as its authenticator would show it now."""
    path = home_of() / "demo.json"
    if not path.exists():
        raise Sorry(f"There is no demo in {path.parent}.", "A real person's code is on that person's phone.")
    for entry in json.loads(path.read_text(encoding="utf-8"))["sign_ins"]:
        if entry["email"] == email and entry["totp_secret"]:
            say(pyotp.TOTP(entry["totp_secret"]).at(clock.now()))
            return
    raise Sorry(f"{email} is no demo sign-in with TOTP.", f"See sign_ins in {path}.")


def first_administrator(settings: Settings, *, agency: str, agency_name: str, email: str) -> str:
    """Register the first agency where it is missing and invite its administrator; returns the link."""

    async def work(tx: Tx) -> str:
        if await queries.agency(tx, agency) is None:
            await agency_actions.register_agency(
                tx, agency, agency_name, "newspaper", local_day(clock.now()), OPERATOR
            )
        return await _invite(tx, settings, agency, email)

    return _in(settings, work)


async def _invite(tx: Tx, settings: Settings, agency: str, email: str) -> str:
    return await people.invite(
        tx, settings, agency=agency, email=email, name="", roles=["administrator"], actor=OPERATOR
    )


def _run(work: Callable[[Tx], Awaitable[T]]) -> T:
    """Do one thing in one transaction of the house that is reached."""
    with house() as reached:
        return _in(settings_of(reached, "accounts"), work)


def _in(settings: Settings, work: Callable[[Tx], Awaitable[T]]) -> T:
    async def inside() -> T:
        database = Database(settings, "accounts")
        try:
            async with database.worker_tx() as tx:
                return await work(tx)
        finally:
            await database.close()

    try:
        return asyncio.run(inside())
    except Refused as refusal:
        raise Sorry(refusal.sentence) from refusal


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text) if text else local_day(clock.now())
    except ValueError as error:
        raise Sorry(f"{text!r} is no day.", "Write it as 2025-04-24.") from error
