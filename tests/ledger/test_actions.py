"""Proofs of the books: verification finds what was altered, a rebuild comes to the same hashes."""

from datetime import date, timedelta
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from ops.cli.ledger import replayed
from services.ledger.actions import posting, rebuilding, recognising
from services.ledger.queries import heads, proof
from services.ledger.rules.posting import RULES, VERSIONS
from shared.calendar import start_of
from shared.contracts.payments import RefundCompleted
from tests.ledger.builders import refunded
from tests.ledger.test_consumers import balances
from tests.ledger.test_rules import a_busy_month


async def lived(flats: Any, november: Any) -> Any:
    """A ledger that lived two months, with facts out of order."""
    flat = await flats.start("ledger")
    for n, fact in enumerate(reversed(a_busy_month())):
        november.move_to(start_of(date(2026, 12, 20) + timedelta(days=3 * n)) + timedelta(hours=9))
        await flat.receive(fact)
        await flat.tick()
    await flat.kit.consumer.again(flat.kit.database)
    november.move_to(start_of(date(2027, 1, 31)))
    await flat.kit.consumer.again(flat.kit.database)
    await flat.tick()
    assert await flat.held() == []
    return flat


async def hashes(flat: Any) -> list[bytes]:
    async with flat.tx() as tx:
        return [bytes(h) for h in await tx.scalars(sa.text("SELECT hash FROM entry ORDER BY id"))]


async def rebuilt(flats: Any, *, repost: bool = False) -> rebuilding.Rebuilt:
    return await replayed(flats.settings(None), repost=repost)


@pytest.mark.promise("L9")
async def test_a_rebuild_from_the_archive_gives_the_same_hashes(flats: Any, november: Any) -> None:
    flat = await lived(flats, november)
    before = await hashes(flat)
    november.move_to(start_of(date(2027, 3, 1)))
    assert (await rebuilt(flats)).facts > len(a_busy_month())
    assert await hashes(flat) == before
    async with flat.tx() as tx:
        assert (await proof.verify(tx)).findings == ()
    # The rebuilt books go on as the old ones would have.
    await flat.tick()
    async with flat.tx() as tx:
        assert await tx.scalar(sa.text("SELECT day FROM reached")) == date(2027, 3, 1)


@pytest.mark.promise("L9")
async def test_a_rebuild_that_differs_changes_nothing(flats: Any, november: Any, stack: Any) -> None:
    flat = await lived(flats, november)
    before = await hashes(flat)
    with psycopg.connect(stack.admin_url("test_ledger"), autocommit=True) as all_powerful:
        all_powerful.execute("SET session_replication_role = replica")
        all_powerful.execute(
            "UPDATE archive SET body = convert_to(replace(convert_from(body, 'UTF8'), '43200', '43201'), 'UTF8')"
        )
    with pytest.raises(rebuilding.Differs, match=r"refund\.completed"):
        await rebuilt(flats)
    assert await hashes(flat) == before


@pytest.mark.promise("L9")
async def test_a_corrected_rule_leaves_what_was_booked_and_can_be_applied_to_all_of_it_with_the_differences_shown(
    flats: Any, november: Any, monkeypatch: Any
) -> None:
    flat = await lived(flats, november)
    before = await hashes(flat)
    refund_completed = RULES[RefundCompleted]

    def corrected(fact: Any, books: Any) -> Any:
        """Cash that goes back leaves the bank at once, it turned out."""
        outcome = refund_completed(fact, books)
        [draft] = outcome.drafts
        legs = tuple(
            msgspec.structs.replace(leg, account="bank") if leg.account.startswith("cash") else leg
            for leg in draft.legs
        )
        return msgspec.structs.replace(outcome, drafts=(msgspec.structs.replace(draft, legs=legs),))

    monkeypatch.setitem(VERSIONS, 2, {**RULES, RefundCompleted: corrected})
    for module in (posting, recognising, rebuilding):
        monkeypatch.setattr(module, "VERSION", 2)
    await rebuilt(flats)
    assert await hashes(flat) == before, "what was booked is replayed by the version that booked it"
    await flat.receive(refunded(5_000, date(2027, 1, 20)))
    assert (await balances(flat))["bank"] == -5_000
    done = await rebuilt(flats, repost=True)
    assert list(done.differences) == [
        "bkh bank 2027-01-01: -5000 → -48200",
        "bkh cash_in_transit:vnpay 2027-01-01: -43200 → 0",
    ]
    async with flat.tx() as tx:
        assert (await proof.verify(tx)).findings == ()
        assert set(await tx.scalars(sa.text("SELECT rules FROM archive"))) == {2}
        signed = await tx.scalar(sa.text("SELECT count(*) FROM head"))
        assert signed > 1, "heads of the books of before, whose archive is gone"
        assert await heads.verify_heads(tx, [], lambda _: True) == ()
        assert len(await heads.verify_heads(tx, [], lambda _: False)) == signed
    assert (await rebuilt(flats)).differences == ()
