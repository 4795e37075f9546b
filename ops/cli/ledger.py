"""`nguonthu ledger …`: prove the books, rebuild them, read a trial balance."""

import asyncio
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated, TypeVar

import typer
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine

from ops.cli.screen import Sorry, say, step, table
from ops.cli.where import a_day, house, settings_of
from ops.replay import connect
from services.ledger.actions import rebuilding
from services.ledger.queries import books, heads, proof
from services.ledger.rules.heads import Head
from shared import money
from shared.db import Tx, database_url, is_busy
from shared.settings import Settings

app = typer.Typer(no_args_is_help=True)

ON_PAPER = re.compile(r"(\d{1,18})\s*[:·]\s*([0-9a-fA-F]{8,64})\b")

T = TypeVar("T")


@app.command()
def verify(
    printed: Annotated[
        list[str] | None,
        typer.Option(
            "--head", help="A head that a page or report printed, as NUMBER:DIGITS; may be said again."
        ),
    ] = None,
) -> None:
    """Recompute every hash and balance of the books, and hold them against the heads that were signed."""
    on_paper = [head_on_paper(text) for text in printed or ()]
    with house() as reached, step("Hashes, balances, rollups, decisions, signed heads"):
        found = proven(settings_of(reached, "ledger"))
        held = witnessed(settings_of(reached, "accounts"))
        findings = (*found.findings, *held_against(settings_of(reached, "ledger"), held, on_paper))
    if findings:
        for finding in findings[:20]:
            say(finding)
        raise Sorry(f"The books are not sound: {len(findings)} findings.", "Keep the database as it is.")
    say(
        f"Sound: {found.facts} facts, {found.entries} entries, {found.legs} legs; accounts holds {len(held)} heads."
    )


def head_on_paper(text: str) -> tuple[int, str]:
    """The number and the digits of a head as it is printed, `1234:0123456789ab` or with a dot between. Raises Sorry."""
    read = ON_PAPER.match(text)
    if read is None:
        raise Sorry(
            f"{text} is no head of the books.", "It is its number, a colon and 8 digits of its hash or more."
        )
    return int(read[1]), read[2].lower()


def witnessed(settings: Settings) -> list[Head]:
    """The heads that accounts holds."""
    with connect(settings, "accounts") as link:
        rows = link.execute("SELECT seq, hash, signed_at, key, signature FROM head").fetchall()
    return [Head(**row) for row in rows]


def held_against(
    settings: Settings, held: list[Head], on_paper: Sequence[tuple[int, str]] = ()
) -> tuple[str, ...]:
    """What of the signed heads the books no longer bear out. Raises Sorry without the keys that tell who signed."""
    if not settings.head_public_keys:
        raise Sorry(
            "HEAD_PUBLIC_KEYS is not set: nobody can tell who signed the heads.", "docs/settings.md says."
        )
    is_signed = heads.verifier(settings.head_public_keys)
    return asyncio.run(
        inside(settings, "worker", lambda tx: heads.verify_heads(tx, held, is_signed, on_paper))
    )


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
        ledger = settings_of(reached, "ledger")
        if repost and (
            proven(ledger).findings or held_against(ledger, witnessed(settings_of(reached, "accounts")))
        ):
            raise Sorry("Nothing was changed: the books are not sound.", "nguonthu ledger verify says more.")
        try:
            done = asyncio.run(replayed(reached.settings, repost=repost))
        except rebuilding.Differs as finding:
            raise Sorry(f"Nothing was changed: {finding}.", "nguonthu ledger verify says more.") from finding
    for difference in done.differences:
        say(difference)
    say(f"{done.facts} facts replayed, {'by the rules of now' if repost else 'to the same hashes'}.")


SWAPS, SWAP_AGAIN_S = 30, 1.0
"""So often is the swap tried while others read the books, and so long is waited in between."""


async def swapped(settings: Settings, *, repost: bool) -> rebuilding.Rebuilt:
    for left in reversed(range(SWAPS)):
        try:
            return await inside(settings, "owner", partial(rebuilding.swap, repost=repost))
        except DBAPIError as error:
            if not left or not is_busy(error):
                raise
            await asyncio.sleep(SWAP_AGAIN_S)
    raise AssertionError("Each try has returned or raised.")


async def replayed(settings: Settings, *, repost: bool = False) -> rebuilding.Rebuilt:
    """Rebuild the books in steps, each a transaction of its own, so that the running ones go on. Raises Differs."""
    await inside(settings, "owner", rebuilding.begin)
    try:
        while await inside(settings, "owner", partial(rebuilding.go_on, repost=repost)):
            pass
        return await swapped(settings, repost=repost)
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
