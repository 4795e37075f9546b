"""Advertisers introduce themselves: they begin in the sandbox, and leave it by an invitation to their address."""

from services.accounts import rules
from services.accounts.actions import keys, people
from shared.contracts import sandbox
from shared.db import Tx
from shared.settings import Settings


async def register_advertiser(
    tx: Tx, settings: Settings, *, agency: str, name: str, tax_code: str, email: str, contact_name: str
) -> keys.Registered:
    """Take in a new advertiser: its organisation, a key for the sandbox, and an invitation to its contact.

    Raises Unprocessable for a wrong tax code or e-mail, NotFound or AgencyClosed for the agency.
    """
    organisation = await people.register_organisation(
        tx,
        kind="advertiser",
        agency=agency,
        name=name,
        tax_code=tax_code,
        email=email,
        contact_name=contact_name,
        actor="nobody:",
    )
    if organisation.sandbox is None:
        raise ValueError("An organisation has its double in the sandbox.")
    made = await keys.make_key(
        tx,
        agency=sandbox.of(agency),
        organisation=organisation.sandbox,
        name=rules.FIRST_KEY,
        scopes=rules.SANDBOX_SCOPES,
        actor="nobody:",
    )
    await people.invite(
        tx,
        settings,
        agency=agency,
        email=organisation.email,
        name=contact_name,
        roles=[],
        actor="nobody:",
        organisation=organisation.id,
    )
    return keys.Registered(
        organisation=organisation.sandbox,
        agency=made.agency,
        name=name,
        tax_code=organisation.tax_code,
        key_id=made.id,
        scopes=made.scopes,
        created_at=made.created_at,
        expires_at=made.expires_at,
    )
