"""A service that exists for tests alone: the ledger's name and rights, one table, and handlers of its own."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import msgspec
import psycopg
import pytest
import sqlalchemy as sa

from ops.embedded import Stack, bootstrap_databases
from ops.streams import lay_out
from shared import clock
from shared.bus import Bus
from shared.consume import Consumer
from shared.contracts.ads import InvoiceWithdrawn
from shared.contracts.payments import InvoiceClosed
from shared.db import Tx, flat_ddl, secure_ddl
from shared.errors import Waits
from shared.jobs import Jobs
from shared.kit import Kit


@dataclass
class Sample:
    """A flat whose handlers do as they are told: `fail` by reason, wait for a key until it is `here`."""

    kit: Kit
    seen: list[Any] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)
    here: set[str] = field(default_factory=set)

    async def rows(self, sql: str) -> list[Any]:
        async with self.kit.database.worker_tx() as tx:
            return list((await tx.execute(sa.text(sql))).all())


def withdrawn(reason: str = "hold-expired") -> InvoiceWithdrawn:
    return InvoiceWithdrawn(agency="bkh", invoice=clock.new_id(), reason=reason)


@pytest.fixture
async def sample(stack: Stack) -> AsyncIterator[Sample]:
    settings = msgspec.structs.replace(stack.settings("ads"), background=False, database_prefix="sample_")
    bootstrap_databases(stack.admin_url("postgres"), stack.settings(), ["sample_ads"])
    with psycopg.connect(stack.admin_url("sample_ads"), autocommit=True) as connection:
        connection.execute("SET ROLE ads_owner")
        for sql in [
            "DROP SCHEMA public CASCADE",
            "CREATE SCHEMA public",
            "GRANT USAGE ON SCHEMA public TO ads_web, ads_worker",
            *flat_ddl("ads"),
            "CREATE TABLE thing (id uuid PRIMARY KEY, agency text NOT NULL, person uuid)",
            *secure_ddl("ads", "thing", person="person"),
        ]:
            connection.execute(sql)
    consumer = Consumer("ads")
    kit = Kit("ads", settings, consumer, Jobs("ads"))
    made = Sample(kit)

    @consumer.on
    async def note(fact: InvoiceWithdrawn | InvoiceClosed, tx: Tx) -> None:
        made.seen.append(fact)
        reason = getattr(fact, "reason", "")
        if reason in made.failing:
            raise RuntimeError(f"cannot handle {reason}")
        if reason.startswith("after-") and reason not in made.here:
            raise Waits(reason)
        await tx.execute(
            sa.text("INSERT INTO thing (id, agency) VALUES (:id, :agency)"),
            {"id": fact.id, "agency": fact.agency},
        )

    yield made
    await kit.stop()


@pytest.fixture
async def line(sample: Sample, stack: Stack) -> AsyncIterator[tuple[Sample, Bus, Bus]]:
    """The sample with NATS between what it says and what it hears, and the operator's way there."""
    operator = Bus(stack.settings(), "operator")
    await operator.connect()
    for stream in await operator.js.streams_info():
        await operator.js.delete_stream(str(stream.config.name))
    await lay_out(stack.settings(), [sample.kit.consumer])
    bus = sample.kit.bus
    await bus.connect()
    yield sample, bus, operator
    await bus.close()
    await operator.close()
