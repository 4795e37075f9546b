"""What each service knows of agencies: their names and lineage, as accounts told it, and revoked keys."""

import sqlalchemy as sa

from shared import clock
from shared.consume import Consumer
from shared.contracts import sandbox
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded, KeyRevoked
from shared.db import Tx


def listen(consumer: Consumer) -> None:
    """Register the handlers that every service has; a consumer serves several apps of one process, as in tests."""
    if AgencyRegistered in consumer.handlers:
        return
    consumer.on(keep_agency)
    consumer.on(keep_succession)
    consumer.on(keep_revocation)


async def keep_agency(fact: AgencyRegistered, tx: Tx) -> None:
    await tx.execute(
        sa.text(
            "INSERT INTO agency (code, name, kind, active_from) VALUES (:code, :name, :kind, :active_from) "
            "ON CONFLICT (code) DO UPDATE SET name = excluded.name, kind = excluded.kind, "
            "active_from = excluded.active_from"
        ),
        {"code": fact.agency, "name": fact.name, "kind": fact.kind, "active_from": fact.active_from},
    )


async def keep_succession(fact: AgencySucceeded, tx: Tx) -> None:
    await tx.execute(
        sa.text(
            "INSERT INTO agency (code, successor, succeeded_on) VALUES (:code, :successor, :on) "
            "ON CONFLICT (code) DO UPDATE SET successor = excluded.successor, "
            "succeeded_on = excluded.succeeded_on"
        ),
        {"code": fact.agency, "successor": fact.successor, "on": fact.on},
    )


async def keep_revocation(fact: KeyRevoked, tx: Tx) -> None:
    await tx.execute(
        sa.text("INSERT INTO revoked_key (key, revoked_at) VALUES (:key, :now) ON CONFLICT DO NOTHING"),
        {"key": fact.key, "now": clock.now()},
    )


_WITH_PREDECESSORS = sa.text(
    "WITH RECURSIVE line AS (SELECT unnest(CAST(:codes AS text[])) AS code "
    "UNION SELECT agency.code FROM agency JOIN line ON agency.successor = line.code) SELECT code FROM line"
)


async def with_predecessors(tx: Tx, codes: list[str]) -> list[str]:
    """The agencies themselves and all that they absorbed, over several steps."""
    return sorted(await tx.scalars(_WITH_PREDECESSORS, {"codes": codes}))


async def name_of(tx: Tx, code: str) -> str:
    """The agency's name, or its code while the name has not arrived; a sandbox goes by its agency's name."""
    real = sandbox.real(code)
    name = await tx.scalar(sa.text("SELECT name FROM agency WHERE code = :code"), {"code": real}) or real
    return f"{name} · {sandbox.LABEL}" if sandbox.is_sandbox(code) else name
