"""Heads of the books that the ledger signed: accounts is their witness."""

from services.accounts.tables import HeadRow
from shared import clock
from shared.bulk import insert_many
from shared.contracts.ledger import HeadSigned
from shared.db import Tx


async def keep(tx: Tx, fact: HeadSigned) -> None:
    """Keep a head as it was heard; nobody changes or removes it."""
    row = {
        "id": fact.id,
        "seq": fact.seq,
        "hash": fact.hash,
        "signed_at": fact.signed_at,
        "key": fact.key,
        "signature": fact.signature,
        "heard_at": clock.now(),
    }
    await insert_many(tx, HeadRow, [row])
