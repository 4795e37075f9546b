"""`nguonthu ledger …`: prove the books, rebuild them, read a trial balance."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from ops.cli.screen import Sorry, say, step, table
from ops.cli.where import a_day, house, settings_of
from services.ledger.actions import rebuilding
from services.ledger.queries import books, proof
from shared import money
from shared.db import Tx, database_url
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True)

T = TypeVar("T")


@app.command()
def verify() -> None:
    """Recompute every hash and balance of the books."""
    with house() as reached, step("Hashes, balances, rollups, decisions"):
        found = proven(settings_of(reached, "ledger"))
    if found.findings:
        for finding in found.findings[:20]:
            say(finding)
        raise Sorry(
            f"The books are not sound: {len(found.findings)} findings.", "Keep the database as it is."
        )
    say(f"Sound: {found.facts} facts, {found.entries} entries, {found.legs} legs.")


def proven(settings: Settings) -> proof.Proof:
    """What recomputing the books finds."""
    return asyncio.run(inside(settings, "worker", proof.verify))


@app.command()
def rebuild(
    repost: Annotated[
        bool, typer.Option(help="Book all by the rules of now, and show which balances differ by it.")
    ] = False,
) -> None:
    """Replay the archive beside the running books, and put what comes of it in their place.

    It is kept only when every hash comes out the same, unless all is to be booked by the rules of now.
    """
    with house() as reached, step("Replaying the archive"):
        try:
            done = asyncio.run(replayed(reached.settings, repost=repost))
        except rebuilding.Differs as finding:
            raise Sorry(f"Nothing was changed: {finding}.", "nguonthu ledger verify says more.") from finding
    for difference in done.differences:
        say(difference)
    say(f"{done.facts} facts replayed, {'by the rules of now' if repost else 'to the same hashes'}.")


async def replayed(settings: Settings, *, repost: bool = False) -> rebuilding.Rebuilt:
    """Rebuild the books in steps, each a transaction of its own, so that the running ones go on. Raises Differs."""
    await inside(settings, "owner", rebuilding.begin)
    try:
        while await inside(settings, "owner", partial(rebuilding.go_on, repost=repost)):
            pass
        return await inside(settings, "owner", partial(rebuilding.swap, repost=repost))
    except BaseException:
        await inside(settings, "owner", rebuilding.give_up)
        raise


@app.command(name="trial-balance")
def trial_balance(
    on: Annotated[str, typer.Option(help="Effective day, such as 2026-11-30.")] = "today",
    agency: Annotated[str, typer.Option(help="One agency; all when left out.")] = "",
) -> None:
    """Show every account's balance; the last line is zero."""
    day = a_day(on)

    async def read(tx: Tx) -> books.TrialBalance:
        booked = await books.all_agencies(tx)
        if agency and agency not in booked:
            raise Sorry(f"The books hold nothing of an agency {agency}.", "They hold: " + ", ".join(booked))
        return await books.trial_balance(tx, [agency] if agency else booked, day)

    with house() as reached:
        found = asyncio.run(inside(settings_of(reached, "ledger"), "worker", read))
    rows = [(a.code, a.account, money.show(a.balance_vnd)) for a in found.accounts]
    table(("code", "account", "balance"), [*rows, ("", "sum", money.show(found.sum_vnd))])


async def inside(settings: Settings, role: str, work: Callable[[Tx], Awaitable[T]]) -> T:
    """Do work in one transaction of one of the ledger's roles; it commits only when the work ends well."""
    engine = create_async_engine(database_url(settings, "ledger", role))
    try:
        async with AsyncSession(engine) as tx, tx.begin():
            return await work(tx)
    finally:
        await engine.dispose()
