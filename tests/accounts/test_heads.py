"""Accounts is the witness of the books: it keeps each signed head as it was heard, and auditors see the newest."""

from typing import Any

import msgspec
import pytest
import sqlalchemy as sa

from services.accounts.queries import heads
from shared import clock
from shared.contracts.ledger import HeadSigned
from tests.accounts.builders import Browser, a_person, some_agencies
from tests.conftest import Flat, Flats


def a_head(seq: int = 1200, **changes: Any) -> HeadSigned:
    said = {"hash": f"{seq % 256:02x}" * 32, "signed_at": clock.now(), "key": "kid", "signature": "ab" * 64}
    return HeadSigned(agency="*", seq=seq, **{**said, **changes})


async def kept(flat: Flat) -> list[heads.Head]:
    async with flat.tx() as tx:
        return await heads.newest(tx, 100)


@pytest.mark.promise("L2")
async def test_each_head_is_kept_as_it_was_heard_also_two_of_one_number_that_differ(flats: Flats) -> None:
    flat = await flats.start("accounts")
    first, other, last = a_head(), a_head(hash="ff" * 32), a_head(1300)
    await flat.receive(last, first, first, other)
    found = await kept(flat)
    assert [(head.seq, head.hash) for head in found] == [
        (fact.seq, fact.hash) for fact in (last, other, first)
    ]
    assert (found[0].signed_at, found[0].key, found[0].signature) == (
        last.signed_at,
        last.key,
        last.signature,
    )


@pytest.mark.promise("L2")
@pytest.mark.parametrize(
    "change",
    ["UPDATE head SET hash = ''", "DELETE FROM head", "TRUNCATE head", "INSERT INTO head DEFAULT VALUES"],
)
async def test_nobody_changes_or_takes_back_what_was_heard_and_no_request_adds_to_it(
    flats: Flats, change: str
) -> None:
    flat = await flats.start("accounts")
    await flat.receive(a_head())
    database = flat.kit.database
    doors = [database.web_tx] if change.startswith("INSERT") else [database.web_tx, database.worker_tx]
    for door in doors:
        with pytest.raises(sa.exc.ProgrammingError, match="permission denied"):
            async with door() as tx:
                await tx.execute(sa.text(change))
    assert len(await kept(flat)) == 1


@pytest.mark.promise("L2")
async def test_an_auditor_sees_the_newest_heads_below_the_trail(flats: Flats) -> None:
    flat = await flats.start("accounts")
    await some_agencies(flat)
    _, secret = await a_person(flat, roles=["auditor"], totp=True)
    browser = Browser(flat)
    await browser.sign_in_as_staff("lan@baokh.example", secret)
    assert "Sổ cái đã ký" not in (await browser.get("/desk/audit")).text
    await flat.receive(*(a_head(seq) for seq in range(1201, 1210)))
    shown = (await browser.get("/desk/audit")).text.split("<h2>Sổ cái đã ký")[1]
    assert all(f'class="num">{seq}</td>' in shown for seq in range(1205, 1210))
    assert "1204" not in shown, "a short list"
    assert a_head(1209).hash[:12] in shown


async def test_a_head_that_is_none_is_parked(flats: Flats) -> None:
    flat = await flats.start("accounts")
    broken = msgspec.structs.replace(a_head(), hash="no hash")
    await flat.kit.consumer.receive(flat.kit.database, [_received(broken)])
    assert [row.state for row in await flat.held()] == ["parked"]
    assert await kept(flat) == []


def _received(fact: HeadSigned) -> Any:
    from shared import contracts
    from shared.kept import Received

    return Received(fact.id, fact.subject(), contracts.encode(fact))
