"""Agencies and who stands in their place."""

from datetime import date

from services.accounts import queries
from services.accounts.actions import audit
from services.accounts.rules import AgencyClosed, AgencyKnown, check_agency_code
from shared import agencies
from shared.contracts.accounts import AgencyKind, AgencyRegistered, AgencySucceeded
from shared.db import Tx
from shared.errors import NotFound, Unprocessable
from shared.outbox import emit
from shared.texts import clean_name


async def register_agency(
    tx: Tx, code: str, name: str, kind: AgencyKind, active_from: date, actor: str
) -> None:
    """Let an agency exist from a day on. Raises AgencyKnown, or Unprocessable for a code or name that is none."""
    check_agency_code(code)
    name = clean_name(name)
    if not name:
        raise Unprocessable("An agency has a name.", field="name")
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
    """Put another agency in this one's place from a day on; what roles its people hold, they hold there from then.

    Raises NotFound for an unknown agency, AgencyClosed where a successor is known already, or would come back to it.
    """
    old, new = await queries.agency(tx, code), await queries.agency(tx, successor)
    if old is None or new is None:
        raise NotFound(f"There is no agency {code if old is None else successor}.")
    if old.successor:
        raise AgencyClosed(f"{code} is succeeded by {old.successor} already.")
    if code in (await agencies.lineage(tx)).line_of(successor, date.max):
        raise AgencyClosed(f"{code} stands in the place of {successor}, which cannot succeed it.")
    fact = AgencySucceeded(agency=code, successor=successor, on=on)
    await agencies.keep_succession(fact, tx)
    await emit(tx, fact)
    after = {"successor": successor, "on": on}
    await audit.note(tx, agency=code, actor=actor, action="agency.succeed", subject=code, after=after)
