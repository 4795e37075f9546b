"""Agencies and who stands in their place."""

from datetime import date
from typing import Literal

import sqlalchemy as sa

from services.accounts import queries
from services.accounts.actions import audit
from services.accounts.rules import AgencyClosed, AgencyKnown, check_agency_code
from shared import agencies, clock
from shared.contracts.accounts import AgencyRegistered, AgencySucceeded
from shared.db import Tx
from shared.errors import NotFound
from shared.outbox import emit

Kind = Literal["newspaper", "broadcaster", "magazine", "converged"]


async def register_agency(tx: Tx, code: str, name: str, kind: Kind, active_from: date, actor: str) -> None:
    """Let an agency exist from a day on. Raises AgencyKnown, or Unprocessable for a code that is none."""
    check_agency_code(code)
    if await queries.agency(tx, code) is not None:
        raise AgencyKnown(f"There is an agency {code} already.")
    fact = AgencyRegistered(agency=code, name=name, kind=kind, active_from=active_from)
    await agencies.keep_agency(fact, tx)
    await emit(tx, fact)
    await audit.note(
        tx,
        agency=code,
        actor=actor,
        action="agency.register",
        subject=code,
        after={"name": name, "kind": kind},
    )


async def succeed_agency(tx: Tx, code: str, successor: str, on: date, actor: str) -> None:
    """Put another agency in this one's place; its staff keep their roles there.

    Raises NotFound for an unknown agency, AgencyClosed where it was succeeded before.
    """
    old, new = await queries.agency(tx, code), await queries.agency(tx, successor)
    if old is None or new is None:
        raise NotFound(f"There is no agency {code if old is None else successor}.")
    if old.successor or code == successor:
        raise AgencyClosed(f"{code} cannot be succeeded by {successor}.")
    fact = AgencySucceeded(agency=code, successor=successor, on=on)
    await agencies.keep_succession(fact, tx)
    await emit(tx, fact)
    await tx.execute(
        sa.text(
            "INSERT INTO person_role (person, agency, role, granted_at) "
            "SELECT person, :successor, role, :now FROM person_role WHERE agency = :code ON CONFLICT DO NOTHING"
        ),
        {"code": code, "successor": successor, "now": clock.now()},
    )
    await audit.note(
        tx, agency=code, actor=actor, action="agency.succeed", subject=code, after={"successor": successor}
    )
