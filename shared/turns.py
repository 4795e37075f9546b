"""When each job last ended a turn: noted by who leads, so that everybody can tell of a job that has not run."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import sqlalchemy as sa

from shared.bulk import ForRows
from shared.db import Tx

NOTED_S = 30.0
"""How often turns are noted."""

LATE_AFTER = timedelta(minutes=5)
"""Beside three times its pace: so long may a turn take that has much to do."""

LEAD = "lead"
"""Under this name stands when somebody last began to lead: what was not led before is not late."""

_NOTE = ForRows(
    "INSERT INTO turn (job, ended_at) SELECT job, ended_at FROM given ORDER BY job "
    "ON CONFLICT (job) DO UPDATE SET ended_at = excluded.ended_at",
    job=str,
    ended_at=datetime,
)


async def ended(tx: Tx) -> dict[str, datetime]:
    """The ends of the last turns that were noted."""
    return {row.job: row.ended_at for row in await tx.execute(sa.text("SELECT job, ended_at FROM turn"))}


async def begin(tx: Tx, now: datetime) -> dict[str, datetime]:
    """Note that somebody begins to lead; returns when each job had last ended a turn before."""
    before = await ended(tx)
    before.pop(LEAD, None)
    await note(tx, {LEAD: now})
    return before


async def note(tx: Tx, turns: Mapping[str, datetime]) -> None:
    """Write down when turns ended."""
    if turns:
        await _NOTE.run(tx, [{"job": job, "ended_at": at} for job, at in turns.items()])


def rested_s(turns: Mapping[str, datetime], every_s: Mapping[str, float], now: datetime) -> dict[str, float]:
    """For how long each job has ended no turn while somebody led, by the job's name."""
    led = turns.get(LEAD)
    if led is None:
        return {}
    return {job: (now - max(turns.get(job, led), led)).total_seconds() for job in every_s}


def late(rested: Mapping[str, float], every_s: Mapping[str, float]) -> list[str]:
    """Jobs that have ended no turn for far longer than their pace."""
    return [job for job, s in rested.items() if s > 3 * every_s[job] + LATE_AFTER.total_seconds()]
