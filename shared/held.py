"""What a service holds back of facts, by state and in words: metrics, readiness and the doctor say the same."""

from collections.abc import Mapping
from typing import Final

import sqlalchemy as sa

from shared.db import Tx
from shared.waiting import VERSION

WORDS: Final = {
    "retry": "tries {} facts again that have failed",
    "waiting": "lets {} facts wait for what has not come",
    "parked": "has parked {} facts that it could not handle",
    VERSION: "keeps {} facts of a version newer than its own",
    "aside": "has set {} facts aside that NATS does not take",
    "dropped": "keeps {} facts that were dropped, and handles them no more",
}
"""What becomes of a fact in each state; the service is named before."""

COUNTS: Final = (
    f"SELECT CASE WHEN waits_for = '{VERSION}' THEN '{VERSION}' ELSE state END AS state, "  # noqa: S608 - our word
    "count(*) AS n "
    "FROM retry GROUP BY 1 UNION ALL SELECT 'aside', count(*) FROM outbox WHERE aside <> ''"
)


async def counts(tx: Tx) -> dict[str, int]:
    """How many facts are held in each state."""
    return {row.state: row.n for row in await tx.execute(sa.text(COUNTS))}


def words(held: Mapping[str, int]) -> list[str]:
    """What is held, a sentence's end for each state in which there is anything."""
    return [said.format(held[state]) for state, said in WORDS.items() if held.get(state)]
