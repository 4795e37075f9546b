"""Heads of the books: signed by a key that the database's owner lacks, kept by a witness, held against the books."""

import asyncio
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path

import msgspec
import psycopg
import pytest
import sqlalchemy as sa
from typer.testing import CliRunner

from ops.cli import app
from ops.cli import ledger as cli
from ops.embedded.keys import Keys
from services.ledger import jobs
from services.ledger.actions import heads as actions
from services.ledger.queries import heads
from services.ledger.rules.heads import Head, findings, in_header, is_due, printed, signed_bytes
from shared import clock
from shared.clock import DrivenClock
from shared.contracts.ledger import HeadSigned
from shared.settings import BadSetting
from tests.conftest import Flat, Flats
from tests.ledger.builders import a_line, captured

NOW = datetime(2026, 11, 28, 2, 15, tzinfo=UTC)


def a_head(seq: int = 3, **changes: object) -> Head:
    head = Head(seq, f"{seq:02x}" * 32, NOW + timedelta(seconds=seq), "kid", "good")
    return msgspec.structs.replace(head, **changes)


ARCHIVED = {seq: a_head(seq).hash for seq in range(1, 10)}


def is_signed(head: Head) -> bool:
    return head.signature == "good"


def test_what_is_signed_is_five_lines_that_hold_every_field_in_one_way() -> None:
    head = a_head()
    said = "nguonthu ledger head 1\n3\n" + "03" * 32 + "\n2026-11-28T02:15:03.000000+00:00\nkid\n"
    assert signed_bytes(head) == said.encode()
    local = head.signed_at.astimezone(timezone(timedelta(hours=7)))
    assert signed_bytes(a_head(signed_at=local)) == signed_bytes(head), "an instant is the same in any zone"
    others = [a_head(seq=4), a_head(hash="04" * 32), a_head(signed_at=NOW), a_head(key="other")]
    assert len({signed_bytes(each) for each in (head, *others)}) == 5


def test_a_head_is_printed_with_its_number_the_beginning_of_its_hash_and_its_time_in_viet_nam() -> None:
    assert printed(a_head()) == "3 · 030303030303 · 28/11/2026 09:15"
    assert in_header(a_head()) == "3:030303030303 2026-11-28T09:15:03+07:00"
    assert in_header(a_head()).isascii()


def test_a_head_is_signed_when_it_moved_and_an_hour_passed_or_a_day_was_reached() -> None:
    last, today, tomorrow = a_head(signed_at=NOW), date(2026, 11, 28), date(2026, 11, 29)
    assert is_due(None, 1, today, NOW), "the first is signed at once"
    assert not is_due(last, 3, tomorrow, NOW + timedelta(days=1)), "it has not moved"
    assert not is_due(last, 4, today, NOW + timedelta(minutes=59))
    assert is_due(last, 4, today, NOW + timedelta(minutes=60))
    midnight = datetime(2026, 11, 28, 17, 1, tzinfo=UTC)
    before = a_head(signed_at=midnight - timedelta(minutes=5))
    assert not is_due(before, 4, today, midnight)
    assert is_due(before, 4, tomorrow, midnight), "a day of Viet Nam was reached"


@pytest.mark.promise("L2")
def test_heads_that_are_as_they_were_signed_and_witnessed_find_nothing() -> None:
    own = [a_head(3), a_head(7)]
    assert findings(own, [a_head(3)], ARCHIVED, is_signed) == [], "the last one may still be on its way"
    assert findings(own, own, ARCHIVED, is_signed) == []
    assert findings([], [], {}, is_signed) == []


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    ("own", "witnessed", "archived", "said"),
    [
        ([a_head(3, signature="bad")], [], ARCHIVED, ["no key of the ledger has signed it"]),
        ([], [a_head(3)], ARCHIVED, ["a witness holds it and the ledger does not"]),
        ([a_head(3)], [], {}, ["the archive holds no fact 3"]),
        ([a_head(3)], [a_head(3)], {3: "ff" * 32}, ["until fact 3 has another hash, ffffffffffff"]),
        # Whoever makes the chain anew, and the ledger's own heads with it, cannot reach the witness.
        (
            [a_head(3, hash="ff" * 32, signature="bad")],
            [a_head(3)],
            {3: "ff" * 32},
            ["no key of the ledger", "a witness holds it", "another hash"],
        ),
    ],
    ids=["unsigned", "taken away", "cut off", "made anew", "made anew with its head"],
)
def test_each_way_in_which_books_and_heads_can_differ_is_named(
    own: list[Head], witnessed: list[Head], archived: dict[int, str], said: list[str]
) -> None:
    found = findings(own, witnessed, archived, is_signed)
    assert len(found) == len(said)
    for sentence, words in zip(sorted(found), sorted(said), strict=True):
        assert words in " ".join(found), sentence
        assert sentence.startswith("head 3 · ")


HOUR = timedelta(hours=1)


def later(driven: DrivenClock, by: timedelta) -> None:
    driven.move_to(driven.instant + by)


async def heads_said(flat: Flat) -> list[HeadSigned]:
    return [fact for fact in await flat.facts() if isinstance(fact, HeadSigned)]


async def found(flat: Flat, witnessed: list[Head], *printed: tuple[int, str]) -> tuple[str, ...]:
    is_signed = heads.verifier(flat.kit.settings.head_public_keys)
    async with flat.tx() as tx:
        return await heads.verify_heads(tx, witnessed, is_signed, printed)


async def signed_and_witnessed(flats: Flats, november: DrivenClock) -> tuple[Flat, list[Head]]:
    """Books of which two heads were signed, and what accounts heard of them."""
    flat, witness = await flats.start("ledger"), await flats.start("accounts")
    for _ in range(2):
        await flat.receive(captured(a_line()), captured(a_line(50_000)))
        later(november, HOUR)
        await flat.tick()
    said = await heads_said(flat)
    assert [fact.agency for fact in said] == ["*", "*"]
    await witness.receive(*said)
    return flat, await asyncio.to_thread(cli.witnessed, flats.settings("accounts"))


def as_owner(flats: Flats, *statements: str) -> None:
    """Do what only the owner of the ledger's database can: no trigger is asked."""
    with psycopg.connect(flats.stack.admin_url("test_ledger"), autocommit=True) as db:
        db.execute("SET session_replication_role = replica")
        for statement in statements:
            db.execute(statement)


@pytest.mark.promise("L2")
async def test_the_head_is_signed_once_it_moved_each_hour_and_after_each_day_and_said_as_it_is_kept(
    flats: Flats, november: DrivenClock
) -> None:
    flat = await flats.start("ledger")
    await flat.tick()
    assert await heads_said(flat) == [], "books without a fact have no head"
    await flat.receive(captured(a_line()))
    await flat.tick()
    [said] = await heads_said(flat)
    async with flat.tx() as tx:
        kept, top = await heads.latest(tx), await heads.top(tx)
    assert kept == Head(said.seq, said.hash, said.signed_at, said.key, said.signature)
    assert top is not None
    assert (kept.seq, kept.hash) == (top.seq, top.hash)
    assert heads.verifier(flat.kit.settings.head_public_keys)(kept)
    later(november, HOUR)
    await flat.tick()
    assert await heads_said(flat) == [], "nothing was booked"
    await flat.receive(captured(a_line()))
    await flat.tick()
    [second] = await heads_said(flat)
    assert second.seq > said.seq
    later(november, HOUR / 2)
    await flat.receive(captured(a_line()))
    await flat.tick()
    assert await heads_said(flat) == [], "the hour is not over"
    later(november, 12 * HOUR)
    await flat.tick()
    [after_midnight] = await heads_said(flat)
    assert after_midnight.seq > second.seq


@pytest.mark.promise("L2")
async def test_signed_and_witnessed_books_are_sound_and_what_their_owner_changes_later_is_named(
    flats: Flats, november: DrivenClock
) -> None:
    flat, witnessed = await signed_and_witnessed(flats, november)
    assert len(witnessed) == 2
    first, last = witnessed
    paper = (first.seq, first.hash[:12])
    assert await found(flat, witnessed, paper) == ()
    assert [text.split(": ")[1] for text in await found(flat, witnessed, (first.seq, "0" * 12))] == [
        f"what is archived until fact {first.seq} has another hash, {first.hash[:12]}"
    ]
    as_owner(flats, f"DELETE FROM head WHERE seq = {last.seq}")
    assert [text.split(": ")[1] for text in await found(flat, witnessed)] == [
        "a witness holds it and the ledger does not"
    ]
    as_owner(flats, f"DELETE FROM archive WHERE seq >= {last.seq}")
    assert f"the archive holds no fact {last.seq}" in " ".join(await found(flat, witnessed))
    as_owner(
        flats,
        f"UPDATE archive SET hash = sha256('other') WHERE seq = {first.seq}",
        f"UPDATE head SET hash = encode(sha256('other'), 'hex') WHERE seq = {first.seq}",
    )
    told = " ".join(await found(flat, witnessed, paper))
    for words in ("no key of the ledger has signed it", "a witness holds it", "printed head", "another hash"):
        assert words in told


@pytest.mark.promise("L2")
async def test_a_head_that_another_key_signed_is_named_and_one_of_before_is_taken(
    flats: Flats, november: DrivenClock, tmp_path: Path
) -> None:
    flat, (first, last) = await signed_and_witnessed(flats, november)
    keys = Keys(tmp_path)
    forged = actions.signed(keys.text("head_private_key"), last.seq, last.hash, clock.now())
    assert not heads.verifier(flat.kit.settings.head_public_keys)(forged)
    assert heads.verifier(keys.text("head_public_keys"))(forged)
    keys.turn_key("head", keys.public_keys("head"))
    assert heads.verifier(keys.text("head_public_keys"))(forged), "it was signed before the turn"
    posed = msgspec.structs.replace(forged, key=first.key)
    assert "no key of the ledger has signed it" in " ".join(await found(flat, [first, last, posed]))
    assert heads.verifier(flat.kit.settings.head_public_keys)(last)
    for changes in ({"seq": last.seq + 1}, {"hash": first.hash}, {"signed_at": clock.now()}):
        assert not heads.verifier(flat.kit.settings.head_public_keys)(
            msgspec.structs.replace(last, **changes)
        )


async def test_without_the_key_the_job_says_what_is_not_set(flats: Flats, november: DrivenClock) -> None:
    flat = await flats.start("ledger", head_private_key="")
    await flat.receive(captured(a_line()))
    with pytest.raises(BadSetting, match="NGUONTHU_HEAD_PRIVATE_KEY is not set"):
        await jobs.sign_head(flat.kit)
    assert await heads_said(flat) == []


@pytest.mark.promise("L2")
@pytest.mark.parametrize("change", ["UPDATE head SET key = 'x'", "DELETE FROM head", "TRUNCATE head"])
async def test_a_signed_head_stays_and_no_request_adds_one(
    flats: Flats, november: DrivenClock, change: str
) -> None:
    flat, _ = await signed_and_witnessed(flats, november)
    for door in (flat.kit.database.web_tx, flat.kit.database.worker_tx):
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            async with door() as tx:
                await tx.execute(sa.text(change))
    with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
        async with flat.kit.database.web_tx() as tx:
            await tx.execute(sa.text("INSERT INTO head SELECT * FROM head"))
    if not change.startswith("TRUNCATE"):
        owner = psycopg.connect(flats.stack.admin_url("test_ledger"))
        with owner as db, pytest.raises(psycopg.errors.RestrictViolation, match="append-only"):
            db.execute(change)


@pytest.mark.promise("L2")
async def test_each_finance_page_prints_the_head_and_each_csv_bears_it_in_a_header(
    flats: Flats, november: DrivenClock, cookie: dict[str, str]
) -> None:
    flat = await flats.start("ledger")
    pages = ("/finance", "/finance/accounts", "/finance/entries")
    files = ("/finance/accounts.csv", "/finance/entries.csv", "/finance/revenue.csv")
    for path in (*pages, *files):
        answer = await flat.client.get(path, headers=cookie, follow_redirects=True)
        assert (answer.status_code, "x-ledger-head" in answer.headers) == (200, False)
        assert "Sổ cái đã ký" not in answer.text
    await flat.receive(captured(a_line()))
    await flat.tick()
    async with flat.tx() as tx:
        head = await heads.latest(tx)
    assert head is not None
    for path in pages:
        answer = await flat.client.get(path, headers=cookie, follow_redirects=True)
        assert f"Sổ cái đã ký đến <code>{printed(head)}</code>" in answer.text
    for path in files:
        answer = await flat.client.get(path, headers=cookie)
        assert answer.headers["x-ledger-head"] == in_header(head)
        assert head.hash[:12] not in answer.text, "no row of the table"
        assert cli.head_on_paper(answer.headers["x-ledger-head"]) == (head.seq, head.hash[:12])
    assert cli.head_on_paper(printed(head)) == (head.seq, head.hash[:12])


@pytest.mark.promise("L2")
async def test_verify_holds_the_books_against_what_accounts_heard_and_against_paper(
    flats: Flats, november: DrivenClock
) -> None:
    _, (first, last) = await signed_and_witnessed(flats, november)
    env = {**flats.stack.env(), "NGUONTHU_DATABASE_PREFIX": "test_", "COLUMNS": "200"}

    async def told(*words: str) -> tuple[int, str]:
        done = await asyncio.to_thread(CliRunner().invoke, app, ["ledger", "verify", *words], env=env)
        return done.exit_code, done.output + str(done.exception or "")

    code, said = await told("--head", f"{first.seq}:{first.hash[:12]}", "--head", printed(last))
    assert (code, "accounts holds 2 heads" in said) == (0, True), said
    code, said = await told("--head", f"{first.seq}:{'0' * 12}")
    assert (code, f"printed head {first.seq}" in said) == (1, True), said
    code, said = await told("--head", "the first one")
    assert (code, "the first one is no head of the books" in said) == (1, True), said
    as_owner(flats, f"DELETE FROM head WHERE seq = {last.seq}")
    code, said = await told()
    assert (code, "a witness holds it and the ledger does not" in said) == (1, True), said
