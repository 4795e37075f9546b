"""Advertisers introduce themselves: they begin in the sandbox, and leave it by an invitation to their address."""

import sqlalchemy as sa

from services.accounts import rules
from services.accounts.actions import keys, messages, people
from services.accounts.tables import MemberRow, OrganisationRow
from shared import clock, identity
from shared.contracts import sandbox
from shared.db import Tx
from shared.settings import Settings

SHOWN_ONCE = (
    "The key was in the first answer and is not shown again. If that was lost: follow the letter to the given "
    "address and make a key at /account/keys."
)
MAILED_AGAIN = (
    "This organisation is registered and waits for its invitation, which was mailed once more to the given address. "
    "Nothing was made anew, and no key is shown: follow the letter, and make one at /account/keys."
)


async def register_advertiser(
    tx: Tx, settings: Settings, *, agency: str, name: str, tax_code: str, email: str, contact_name: str
) -> keys.Registered:
    """Take in a new advertiser: its organisation, a key for the sandbox, and an invitation to its contact.

    One that waits for its invitation already gets the letter once more, and nothing is made anew: who asks again
    may be somebody else, so that neither the organisation nor a key of it is shown.
    Raises Unprocessable for a wrong tax code or e-mail, NotFound or AgencyClosed for the agency.
    """
    await messages.one_at_a_time(tx, identity.mailbox(identity.email(email)))
    waiting = await _waiting(tx, agency, identity.tax_code(tax_code), identity.email(email))
    if waiting is not None:
        await _invite(tx, settings, waiting)
        return keys.Registered(
            organisation=None,
            agency=sandbox.of(agency),
            name=waiting.name,
            tax_code=waiting.tax_code,
            scopes=[],
            created_at=clock.now(),
            expires_at=clock.now(),
            note=MAILED_AGAIN,
        )
    organisation = await people.register_organisation(
        tx,
        kind="advertiser",
        agency=agency,
        name=name,
        tax_code=tax_code,
        email=email,
        contact_name=contact_name,
        actor=rules.STRANGER,
    )
    if organisation.sandbox is None:
        raise ValueError("An organisation has its double in the sandbox.")
    made = await keys.make_key(
        tx,
        agency=sandbox.of(agency),
        organisation=organisation.sandbox,
        name=rules.FIRST_KEY,
        scopes=rules.SANDBOX_SCOPES,
        actor=rules.STRANGER,
    )
    await _invite(tx, settings, organisation)
    return keys.Registered(
        organisation=organisation.sandbox,
        agency=made.agency,
        name=organisation.name,
        tax_code=organisation.tax_code,
        key_id=made.id,
        scopes=made.scopes,
        created_at=made.created_at,
        expires_at=made.expires_at,
        note=SHOWN_ONCE,
    )


async def _waiting(tx: Tx, agency: str, tax_code: str, email: str) -> OrganisationRow | None:
    """The advertiser of this tax code and address that nobody has answered for yet."""
    joined = sa.exists().where(MemberRow.organisation == OrganisationRow.id)
    return await tx.scalar(
        sa.select(OrganisationRow)
        .where(
            OrganisationRow.agency == agency,
            OrganisationRow.tax_code == tax_code,
            OrganisationRow.email == email,
            OrganisationRow.kind == "advertiser",
            OrganisationRow.sandbox.is_not(None),
            ~joined,
        )
        .limit(1)
    )


async def _invite(tx: Tx, settings: Settings, organisation: OrganisationRow) -> None:
    await people.invite(
        tx,
        settings,
        agency=organisation.agency,
        email=organisation.email,
        name=organisation.contact_name,
        roles=[],
        actor=rules.STRANGER,
        organisation=organisation.id,
    )
