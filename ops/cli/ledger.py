"""`nguonthu ledger …`: prove the books, rebuild them, read a trial balance."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Annotated, TypeVar

import typer
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from ops.cli.screen import Sorry, say, step, table
from ops.cli.where import a_day, house, settings_of
from services.ledger.actions import rebuilding
from services.ledger.queries import books
from shared import money
from shared.db import Tx, database_url
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True)

T = TypeVar("T")


@app.command()
def verify() -> None:
    """Recompute every hash and balance of the books."""
    with house() as reached, step("Hashes, balances, rollups, decisions"):
        proof = proven(settings_of(reached, "ledger"))
    if proof.findings:
        for finding in proof.findings[:20]:
            say(finding)
        raise Sorry(
            f"The books are not sound: {len(proof.findings)} findings.", "Keep the database as it is."
        )
    say(f"Sound: {proof.facts} facts, {proof.entries} entries, {proof.legs} legs.")


def proven(settings: Settings) -> rebuilding.Proof:
    """What recomputing the books finds."""
    return asyncio.run(inside(settings, "worker", rebuilding.verify))


@app.command()
def rebuild() -> None:
    """Drop the books and replay the archive; kept only when every hash comes out the same."""
    with house() as reached, step("Replaying the archive"):
        try:
            count = asyncio.run(inside(reached.settings, "owner", rebuilding.rebuild))
        except rebuilding.Differs as finding:
            raise Sorry(f"Nothing was changed: {finding}.", "nguonthu ledger verify says more.") from finding
    say(f"{count} facts replayed to the same hashes.")


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
