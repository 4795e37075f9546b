"""Whatever the owner of the database changes behind its back is named by `verify`."""

import hashlib
from typing import Any

import psycopg
import pytest
import sqlalchemy as sa

from services.ledger.queries import proof
from services.ledger.rules import sealing
from services.ledger.rules.lines import Leg, Part
from tests.ledger.builders import a_line, captured
from tests.ledger.test_actions import lived

TAMPERED = {
    "an amount": ("UPDATE leg SET amount_vnd = amount_vnd * 2 WHERE line IS NOT NULL", "hash"),
    "an account": ("UPDATE leg SET account = 'fees' WHERE account = 'output_vat'", "hash"),
    "a stream": ("UPDATE leg SET stream = 'sms' WHERE account = 'revenue'", "hash"),
    "a line": ("UPDATE leg SET line = gen_random_uuid() WHERE account = 'revenue'", "hash"),
    "a party": ("UPDATE leg SET party = gen_random_uuid() WHERE account = 'receivable'", "hash"),
    "a paper": ("UPDATE leg SET document = NULL WHERE document IS NOT NULL", "hash"),
    "a due day": ("UPDATE leg SET due_on = due_on + 90 WHERE due_on IS NOT NULL", "hash"),
    "a quantity": ("UPDATE leg SET quantity = quantity + 1 WHERE quantity IS NOT NULL", "hash"),
    "a reference": ("UPDATE leg SET reference = 'x'", "hash"),
    "a leg's agency": ("UPDATE leg SET agency = 'tcnt' WHERE agency = 'bkh'", "another's"),
    "a leg's day": ("UPDATE leg SET belongs_on = belongs_on - 1", "another's"),
    "a leg's day in the books": (
        "UPDATE leg SET posted_on = posted_on - 1 WHERE account = 'revenue'",
        "balance",
    ),
    "a leg's day and month": (
        (
            "WITH gone AS (DELETE FROM leg WHERE account = 'refunds' OR n = 0 RETURNING *) "
            "INSERT INTO leg SELECT entry, n, agency, belongs_on, posted_on - 31, account, stream, line, amount_vnd, "
            "party, document, due_on, quantity, reference FROM gone WHERE posted_on - 31 >= date '2026-12-01'"
        ),
        "hash",
    ),
    "a leg that is gone": ("DELETE FROM leg WHERE account = 'output_vat'", "hash"),
    "a leg of no entry": (
        (
            "INSERT INTO leg SELECT gen_random_uuid(), 0, agency, belongs_on, posted_on, account, stream, line, "
            "amount_vnd, party, document, due_on, quantity, reference FROM leg LIMIT 1"
        ),
        "hash",
    ),
    "a day's part": ("UPDATE part SET amounts[1] = 7", "hash"),
    "a part's agency": ("UPDATE part SET agency = 'ktv'", "another's"),
    "an entry's agency": (
        "UPDATE entry SET agency = 'tcnt' WHERE agency = 'bkh' AND kind = 'refund'",
        "hash",
    ),
    "an entry's day": ("UPDATE entry SET belongs_on = belongs_on - 1", "hash"),
    "a recorded instant": ("UPDATE entry SET recorded_at = recorded_at + interval '1 second'", "hash"),
    "a kind": ("UPDATE entry SET kind = 'payment' WHERE kind = 'refund'", "hash"),
    "a version of the rules": ("UPDATE entry SET rules = 2", "hash"),
    "an entry's number": ("UPDATE entry SET number = number + 1000", "hash"),
    "an entry that is gone": (
        (
            "WITH gone AS (DELETE FROM entry WHERE kind = 'refund' RETURNING id) "
            "DELETE FROM leg USING gone WHERE entry = id"
        ),
        "decided",
    ),
    "the last entry of a book": (
        (
            "WITH gone AS (DELETE FROM entry WHERE (agency, year, number) IN (SELECT agency, year, number FROM book) "
            "RETURNING id) DELETE FROM leg USING gone WHERE entry = id"
        ),
        "book ends",
    ),
    "a rollup": ("UPDATE rollup SET debit_vnd = debit_vnd + 1 WHERE account = 'revenue'", "rollup"),
    "a rollup's stream": ("UPDATE rollup SET stream = stream || '.x' WHERE account = 'revenue'", "rollup"),
    "when a rollup was known": ("UPDATE rollup SET recorded_on = recorded_on - 400", "rollup"),
    "a rollup that is gone": ("DELETE FROM rollup WHERE account = 'revenue'", "rollup"),
    "a line's state": ("UPDATE line SET state = replace(state, '108001', '108002')", "last fact"),
    "what a line earns": ("UPDATE line SET amount_vnd = amount_vnd + 1", "last fact"),
    "until when a line is booked": ("UPDATE line SET through = through + 30", "last fact"),
    "a line that is gone": ("DELETE FROM line", "were changed"),
    "the day reached": ("UPDATE reached SET day = day + 10", "day reached"),
    "that no day is reached": ("DELETE FROM reached", "day reached"),
    "where a book ends": ("UPDATE book SET number = number - 1", "book ends"),
    "a fact's content": (
        "UPDATE archive SET body = convert_to(replace(convert_from(body, 'UTF8'), '43200', '43201'), 'UTF8')",
        "was archived",
    ),
    "whose a fact is": ("UPDATE archive SET agencies = ARRAY['ktv']", "was archived"),
    "when a fact was recorded": (
        "UPDATE archive SET recorded_at = recorded_at - interval '1 day'",
        "was archived",
    ),
    "what a fact led to": ("UPDATE archive SET outcome = ''", "was archived"),
    "a whole fact": (
        (
            "WITH gone AS (DELETE FROM archive WHERE seq = "
            "(SELECT min(seq) FROM archive WHERE seq > 1 AND outcome = '') RETURNING 1) SELECT 1 FROM gone"
        ),
        "one is missing",
    ),
    "the order of the facts": (
        (
            "UPDATE archive SET seq = CASE seq WHEN 2 THEN 1000003 ELSE 1000002 END WHERE seq IN (2, 3); "
            "UPDATE archive SET seq = seq - 1000000 WHERE seq > 1000000"
        ),
        "was archived",
    ),
    "an entry of no fact, at a number that nobody gave": (
        "UPDATE entry SET seq = 0 WHERE kind = 'refund'",
        "not in the archive",
    ),
    "a fact at a number that nobody gave": (
        "ALTER TABLE archive DROP CONSTRAINT archive_numbered; UPDATE archive SET seq = -4 WHERE seq = 1",
        "was archived",
    ),
    "what a month's partition is called": (
        (
            "ALTER TABLE leg_2026_12 RENAME TO leg_x2027_01; ALTER TABLE entry_2026_12 RENAME TO entry_x2027_01; "
            "UPDATE leg SET amount_vnd = amount_vnd * 10 WHERE posted_on < '2027-01-01'"
        ),
        "hash",
    ),
    "a part of nobody": (
        "UPDATE part SET lines = array_prepend(NULL::uuid, lines), amounts = array_prepend(NULL::bigint, amounts)",
        "hash",
    ),
    "an entry without a hash": (
        "ALTER TABLE entry ALTER hash DROP NOT NULL; UPDATE entry SET hash = NULL WHERE kind = 'refund'",
        "hash",
    ),
    "a rollup twice": (
        "ALTER TABLE rollup DROP CONSTRAINT rollup_pkey; INSERT INTO rollup SELECT * FROM rollup",
        "stands twice",
    ),
    "a policy that hides": (
        "CREATE POLICY hides ON rollup AS RESTRICTIVE FOR SELECT TO ledger_worker USING (account <> 'revenue')",
        "hides rows",
    ),
    "two agencies as one": (
        "UPDATE archive SET agencies = ARRAY['bkh,tcnt'] WHERE 'tcnt' = ANY(agencies)",
        "was archived",
    ),
    "an account code": ("UPDATE account_code SET code = '511' WHERE account = 'suspense'", "account code"),
    "a chart of accounts": (
        "INSERT INTO regime (agency, since, regime) VALUES ('bkh', '2026-01-01', '200/2014')",
        "the archive says otherwise",
    ),
}
"""By what is changed: how, and a word of what is found."""


@pytest.fixture
async def books(flats: Any, november: Any) -> Any:
    flat = await lived(flats, november)
    async with flat.tx() as tx:
        found = await proof.verify(tx)
    assert found.findings == ()
    assert found.entries > 40
    return flat


@pytest.mark.promise("L2")
@pytest.mark.parametrize("what", TAMPERED)
async def test_verification_names_what_was_altered_behind_the_databases_back(
    books: Any, stack: Any, what: str
) -> None:
    change, finding = TAMPERED[what]
    tamper(stack, *change.split("; "))
    async with books.tx() as tx:
        found = await proof.verify(tx)
    assert any(finding in text for text in found.findings), found.findings


def tamper(stack: Any, *changes: str) -> None:
    """As one who owns the database: no trigger fires, no right is asked."""
    with psycopg.connect(stack.admin_url("test_ledger"), autocommit=True) as all_powerful:
        all_powerful.execute("SET session_replication_role = replica")
        for change in changes:
            assert all_powerful.execute(change).rowcount != 0, change


@pytest.mark.promise("L2")
async def test_an_amount_that_is_forged_with_its_hash_and_its_rollup_breaks_the_chain(
    books: Any, stack: Any
) -> None:
    """The forger recomputes what covers the entry itself; what comes after it, and its fact, cover it too."""
    tamper(
        stack,
        "UPDATE leg SET amount_vnd = amount_vnd * 3 WHERE entry IN (SELECT id FROM entry WHERE kind = 'refund')",
    )
    tamper(
        stack,
        "UPDATE rollup SET debit_vnd = debit_vnd * 3, credit_vnd = credit_vnd * 3 WHERE account = 'unused_credits' "
        "AND debit_vnd > 0",
    )
    async with books.tx() as tx:
        entry = await entry_in(tx, "kind = 'refund'")
    with psycopg.connect(stack.admin_url("test_ledger"), autocommit=True) as all_powerful:
        all_powerful.execute("SET session_replication_role = replica")
        all_powerful.execute(
            "UPDATE entry SET hash = %s WHERE id = %s", (sealing.entry_hash(entry), entry.id)
        )
    async with books.tx() as tx:
        findings = (await proof.verify(tx)).findings
    assert not any(f"entry {entry.id}" in text for text in findings), "the entry itself fits"
    assert any("decided" in text for text in findings)
    assert any("does not follow the entry before it" in text for text in findings)


@pytest.mark.promise("L2")
async def test_the_rules_and_the_database_say_the_same_bytes_of_every_entry(books: Any) -> None:
    async with books.tx() as tx:
        rows = (await tx.execute(sa.text("SELECT id, hash FROM entry"))).all()
        for row in rows:
            assert sealing.entry_hash(await entry_in(tx, f"id = '{row.id}'")) == bytes(row.hash)


async def entry_in(tx: Any, where: str) -> sealing.Entry:
    """An entry out of its rows."""
    row = (await tx.execute(sa.text(f"SELECT * FROM entry WHERE {where}"))).one()
    legs = await tx.execute(
        sa.text(
            "SELECT account, stream, line, amount_vnd, party, document, due_on, quantity, reference "
            "FROM leg WHERE entry = :id ORDER BY n"
        ),
        {"id": row.id},
    )
    fields = {
        name: getattr(row, name) for name in sealing.Entry.__struct_fields__ if name not in ("legs", "parts")
    }
    parts = await tx.execute(
        sa.text(
            "SELECT stream, counter, lines, amounts FROM part WHERE entry = :id "
            'ORDER BY stream COLLATE "C", counter COLLATE "C"'
        ),
        {"id": row.id},
    )
    return sealing.Entry(
        **fields,
        legs=tuple(Leg(*leg) for leg in legs),
        parts=tuple(Part(p.stream, p.counter, digest_of(p.lines, p.amounts)) for p in parts),
    )


def digest_of(lines: list[Any], amounts: list[int]) -> bytes:
    pairs = zip(lines, amounts, strict=True)
    return hashlib.sha256(b"".join(line.bytes + vnd.to_bytes(8, signed=True) for line, vnd in pairs)).digest()


async def test_what_is_posted_while_the_books_are_proven_is_no_finding(books: Any) -> None:
    async with books.tx() as tx:
        chunks = proof._entry_chunks

        async def while_facts_come(tx: Any) -> Any:
            async for row in chunks(tx):
                yield row
            await books.receive(captured(a_line(77_000)))

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(proof, "_entry_chunks", while_facts_come)
            assert (await proof.verify(tx)).findings == ()
