"""What each service knows of agencies: their names and lineage, as accounts told it."""

from collections.abc import Iterable
from datetime import date

import msgspec
import sqlalchemy as sa

from shared import revocations
from shared.consume import Consumer
from shared.contracts import sandbox
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded
from shared.db import Tx


class Lineage(msgspec.Struct, frozen=True):
    """Which agency stands in whose place, and from which local day on."""

    successions: dict[str, tuple[str, date]] = {}

    def successor_on(self, code: str, on: date) -> str | None:
        """Who has stepped into an agency's place by a day; None while it is open."""
        heir, since = self.successions.get(code, ("", date.max))
        return heir if since <= on and heir else None

    def open_on(self, code: str, on: date) -> bool:
        """Whether nobody has stepped into the agency's place."""
        return self.successor_on(code, on) is None

    def line_of(self, code: str, on: date) -> list[str]:
        """The agency and, step by step, those who stand in its place. A ring, which accounts refuses, ends too."""
        line = [code]
        while (heir := self.successor_on(line[-1], on)) is not None and heir not in line:
            line.append(heir)
        return line

    def heir_of(self, code: str, on: date) -> str:
        """Who stands in an agency's place at last: itself while nobody does."""
        return self.line_of(code, on)[-1]

    def with_predecessors(self, codes: Iterable[str], on: date) -> list[str]:
        """The agencies themselves and all that they have absorbed by a day."""
        own = set(codes)
        return sorted(own | {code for code in self.successions if own & {*self.line_of(code, on)}})


def listen(consumer: Consumer) -> None:
    """Register the handlers that every service has; a consumer serves several apps of one process, as in tests."""
    if AgencyRegistered in consumer.handlers:
        return
    consumer.on(keep_agency)
    consumer.on(keep_succession)
    consumer.on(revocations.keep_key)
    consumer.on(revocations.keep_sessions)


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


async def lineage(tx: Tx) -> Lineage:
    """The lineage as this service knows it."""
    rows = await tx.execute(
        sa.text("SELECT code, successor, succeeded_on FROM agency WHERE successor IS NOT NULL")
    )
    return Lineage({row.code: (row.successor, row.succeeded_on) for row in rows})


async def names_of(tx: Tx, codes: Iterable[str], word: str = sandbox.LABEL) -> dict[str, str]:
    """The names of several agencies by their codes."""
    return {code: await name_of(tx, code, word) for code in set(codes)}


async def name_of(tx: Tx, code: str, word: str = sandbox.LABEL) -> str:
    """The agency's name, or its code while the name has not arrived; a sandbox goes by its agency's name and a word."""
    real = sandbox.real(code)
    name = await tx.scalar(sa.text("SELECT name FROM agency WHERE code = :code"), {"code": real}) or real
    return sandbox.called(code, name, word)
