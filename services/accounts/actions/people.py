"""People and organisations: accounts, invitations, roles, memberships."""

from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.accounts import queries, rules
from services.accounts.actions import audit, keys, messages, sessions
from services.accounts.actions.challenges import Browser, Outcome, find_person, second_step
from services.accounts.actions.secrets import digest
from services.accounts.tables import (
    InvitationRow,
    MemberRow,
    OrganisationRow,
    PersonRoleRow,
    PersonRow,
    SessionRow,
)
from shared import agencies, clock, identity
from shared.auth import Principal
from shared.calendar import local_day
from shared.contracts import sandbox
from shared.contracts.acts import Act
from shared.contracts.roles import STAFF
from shared.db import Tx, check_acts_at, enter
from shared.errors import NotAllowed, NotFound, TooMany, Unprocessable
from shared.links import LinkExpired
from shared.settings import Settings
from shared.texts import clean_name
from shared.waiting import arrived


def person_row(
    agency: str, *, email: str | None, name: str = "", phone: str | None = None, lang: str = "vi"
) -> PersonRow:
    return PersonRow(
        id=clock.new_id(),
        agency=agency,
        name=name,
        email=email,
        phone=phone,
        lang=lang,
        password_hash=None,
        totp_secret=None,
        totp_step=0,
        bounced_at=None,
        created_at=clock.now(),
    )


async def create_reader(tx: Tx, email: str, agency: str, lang: str) -> PersonRow:
    """A reader's account, made by the first code that fits."""
    row = person_row(agency, email=email, lang=lang)
    tx.add(row)
    await tx.flush()
    tx.add(PersonRoleRow(person=row.id, agency=agency, role="reader", granted_at=row.created_at))
    arrived(tx, f"person:{row.id}")
    return row


async def create_readers(tx: Tx, agency: str, readers: list[tuple[str, str]]) -> list[UUID]:
    """Readers' accounts by (e-mail, name), many at once."""
    if not readers:
        return []
    rows = [person_row(agency, email=email, name=name) for email, name in readers]
    tx.add_all(rows)
    await tx.flush()
    tx.add_all(
        PersonRoleRow(person=r.id, agency=agency, role="reader", granted_at=r.created_at) for r in rows
    )
    await tx.flush()
    return [row.id for row in rows]


async def register_organisation(
    tx: Tx, *, kind: str, agency: str, name: str, tax_code: str, email: str, contact_name: str, actor: str
) -> OrganisationRow:
    """Keep an advertiser or sponsor, and the same organisation in the agency's sandbox.

    Raises Unprocessable for a wrong tax code or e-mail, NotFound or AgencyClosed for the agency.
    """
    found = await queries.agency(tx, agency)
    if found is None:
        raise NotFound(f"There is no agency {agency}.")
    today = local_day(clock.now())
    successor = (await agencies.lineage(tx)).successor_on(agency, today)
    rules.check_agency_open(found.name, found.active_from, successor, today)
    said = {
        "kind": kind,
        "name": clean_name(name),
        "tax_code": identity.tax_code(tax_code),
        "email": identity.email(email),
        "contact_name": clean_name(contact_name),
        "created_at": clock.now(),
    }
    twin = OrganisationRow(id=clock.new_id(), agency=sandbox.of(agency), sandbox=None, **said)
    tx.add(twin)
    await tx.flush()
    row = OrganisationRow(id=clock.new_id(), agency=agency, sandbox=twin.id, **said)
    tx.add(row)
    await tx.flush()
    arrived(tx, f"person:{row.id}", f"person:{twin.id}")
    act: Act = "advertiser.register" if kind == "advertiser" else "sponsor.register"
    await audit.note(tx, agency=agency, actor=actor, action=act, subject=row.id)
    return row


async def register_own(
    tx: Tx,
    person: PersonRow,
    session: SessionRow,
    *,
    kind: str,
    agency: str,
    name: str,
    tax_code: str,
    contact_name: str,
) -> OrganisationRow:
    """Register an organisation for which the person acts from now on, in this session at once.

    Raises as `register_organisation`, Unprocessable for a person without an e-mail, and TooMany for a fourth in a day:
    what newcomers may hold unpaid is counted by organisation too.
    """
    if not person.email:
        raise Unprocessable("An organisation needs a contact with an e-mail address.")
    await messages.one_at_a_time(tx, person.email)
    if len(await _made_lately(tx, person.id)) >= rules.ORGANISATIONS_A_DAY:
        raise TooMany(
            "You registered enough organisations today: register the next tomorrow.", retry_after_s=86_400
        )
    # The organisation belongs to an agency that the person does not work for: its rows are entered by its code.
    await enter(tx, [agency, sandbox.of(agency)], person.id)
    row = await register_organisation(
        tx,
        kind=kind,
        agency=agency,
        name=name,
        tax_code=tax_code,
        email=person.email,
        contact_name=contact_name,
        actor=f"person:{person.id}",
    )
    await join(tx, person.id, row)
    session.organisation = row.id
    return row


async def _made_lately(tx: Tx, person: UUID) -> list[UUID]:
    """The organisations of a person that were registered within a day."""
    mine = sa.select(MemberRow.organisation).where(MemberRow.person == person)
    found = sa.select(OrganisationRow.id).where(
        OrganisationRow.id.in_(mine), OrganisationRow.created_at > clock.now() - rules.A_DAY
    )
    return list(await tx.scalars(found))


async def join(tx: Tx, person: UUID, organisation: OrganisationRow) -> None:
    """Let a person act for an organisation; with the first of them its trial in the sandbox begins anew."""
    is_first = not await tx.scalar(sa.select(sa.exists().where(MemberRow.organisation == organisation.id)))
    await tx.execute(
        insert(MemberRow)
        .values(organisation=organisation.id, person=person, agency=organisation.agency, since=clock.now())
        .on_conflict_do_nothing()
    )
    if is_first:
        await keys.end_trial(tx, organisation, person)


async def invite(
    tx: Tx,
    settings: Settings,
    *,
    agency: str,
    email: str,
    name: str,
    roles: list[str],
    actor: Principal | str,
    organisation: UUID | None = None,
    lang: str = "vi",
) -> str:
    """Open a door for one e-mail for a day and mail its link; returns the link.

    Raises NotAllowed for staff of an agency that the caller does not administer, Unprocessable for an e-mail or role
    that is none.
    """
    if organisation is None:
        check_acts_at(tx, agency)
        if not roles or set(roles) - set(STAFF):
            raise Unprocessable("Choose at least one staff role.")
    address = identity.email(email)
    by_stranger = actor == rules.STRANGER
    if by_stranger:
        await _check_letters_of_strangers(tx, address)
    token, now = clock.new_secret(256), clock.now()
    row = InvitationRow(
        id=clock.new_id(),
        token_hash=digest(token),
        agency=agency,
        email=address,
        mailbox=identity.mailbox(address),
        name=clean_name(name),
        roles=sorted(set(roles)),
        organisation=organisation,
        invited_by=actor if isinstance(actor, str) else actor.subject,
        created_at=now,
        expires_at=now + rules.INVITATION_TTL,
        accepted_at=None,
    )
    tx.add(row)
    link = f"{settings.base_url}/account/join?token={token}"
    await messages.queue(
        tx,
        agency=agency,
        recipient=None,
        address=address,
        lang=lang,
        template="invitation",
        # What a stranger types never reaches a mailbox that nobody has shown to be theirs.
        params={"name": "" if by_stranger else clean_name(name), "link": link},
    )
    await audit.note(
        tx, agency=agency, actor=actor, action="person.invite", subject=row.id, after={"roles": row.roles}
    )
    return link


async def _check_letters_of_strangers(tx: Tx, address: str) -> None:
    """Raises TooMany where strangers had enough letters sent to a mailbox today; it signs in with a code meanwhile."""
    mailbox = identity.mailbox(address)
    await messages.one_at_a_time(tx, mailbox)
    sent = await tx.scalar(
        sa.text("SELECT strangers_letters(:mailbox, :since)"),
        {"mailbox": mailbox, "since": clock.now() - rules.A_DAY},
    )
    if sent >= rules.STRANGERS_LETTERS_A_DAY:
        raise TooMany(
            "This address was sent enough invitations today. Sign in with it and register there, or try tomorrow.",
            retry_after_s=86_400,
        )


async def invitation(tx: Tx, token: str) -> InvitationRow:
    """The invitation behind a link, locked. Raises LinkExpired for a closed door.

    To staff roles it is open while whoever sent it may still give them.
    """
    row: InvitationRow | None = await tx.scalar(
        sa.select(InvitationRow).where(InvitationRow.token_hash == digest(token)).with_for_update()
    )
    over = row is None or row.accepted_at is not None or row.expires_at <= clock.now()
    if row is None or over or (row.roles and not await queries.may_still_give(tx, row)):
        raise LinkExpired("This invitation was used or has expired; ask for a new one.")
    return row


async def newcomer(tx: Tx, token: str) -> tuple[str, bool] | None:
    """For whom an invitation makes an account: the e-mail, and whether with TOTP; None where there is one already.

    Raises LinkExpired.
    """
    row = await invitation(tx, token)
    known = await find_person(tx, "email", row.email)
    return None if known else (row.email, bool(row.roles))


async def accept(
    tx: Tx, settings: Settings, token: str, name: str, hashed: str | None, browser: Browser
) -> Outcome:
    """Walk through the door of an invitation; staff go on to the second step, a new buyer to the first key.

    Whoever has an account already keeps its password and must sign in with it: a link alone opens no account.
    A newcomer gets the hashed one. Raises LinkExpired for a closed door.
    """
    row = await invitation(tx, token)
    person = await find_person(tx, "email", row.email)
    if person is None:
        person = person_row(row.agency, email=row.email, name=clean_name(name), lang=browser.lang)
        person.password_hash = hashed
        tx.add(person)
        await tx.flush()
        arrived(tx, f"person:{person.id}")
        fresh = True
    else:
        fresh = False
    row.accepted_at = clock.now()
    for role in row.roles:
        await grant(tx, person.id, row.agency, role, actor=row.invited_by)
    target = "/account" if row.roles else "/advertise"
    if row.organisation is not None:
        organisation = await tx.get_one(OrganisationRow, row.organisation)
        await join(tx, person.id, organisation)
        if not fresh:
            target = "/account"  # where one chooses for whom to act; a key is made when its owner is there to see it
        elif made := await keys.first_key(tx, organisation, person.id):
            target = f"/account/keys?made={made}"
    if not fresh:
        return Outcome("known", next=target)
    return await second_step(tx, settings, person, target, browser)


async def grant(
    tx: Tx, person: UUID, agency: str, role: str, *, actor: Principal | str, why: str = ""
) -> None:
    """Give a person a role at an agency. Raises NotAllowed for an administrator of another agency."""
    check_acts_at(tx, agency)
    before = await staff_roles(tx, person, agency)
    await tx.execute(
        insert(PersonRoleRow)
        .values(person=person, agency=agency, role=role, granted_at=clock.now())
        .on_conflict_do_nothing()
    )
    if role not in before:
        await audit.note(
            tx,
            agency=agency,
            actor=actor,
            action="role.grant",
            subject=person,
            before=before,
            after=sorted([*before, role]),
            why=why,
        )


async def set_roles(
    tx: Tx, principal: Principal, person: UUID, agency: str, roles: list[str], why: str
) -> None:
    """Make these the staff roles of a person at an agency; sessions with more than that end.

    Raises NotFound for a person whom the agency does not employ, NotAllowed for oneself or another agency,
    Unprocessable for a role that is none.
    """
    check_acts_at(tx, agency)
    if set(roles) - set(STAFF):
        raise Unprocessable("There is no such staff role.")
    before = await staff_roles(tx, person, agency)
    if not before:
        raise NotFound("There is no such colleague.")
    if person == principal.id:
        raise NotAllowed("Another administrator must change your own roles.")
    gone = set(before) - set(roles)
    if gone:
        # First, because without the roles the agency may not see the person any more, nor the sessions.
        await sessions.end_sessions(tx, person)
    line = await _line(tx, agency)
    await tx.execute(
        sa.delete(PersonRoleRow).where(
            PersonRoleRow.person == person, PersonRoleRow.agency.in_(line), PersonRoleRow.role.in_(gone)
        )
    )
    for role in sorted(set(roles) - set(before)):
        tx.add(PersonRoleRow(person=person, agency=agency, role=role, granted_at=clock.now()))
    await audit.note(
        tx,
        agency=agency,
        actor=principal,
        action="role.set",
        subject=person,
        before=before,
        after=sorted(roles),
        why=why,
    )


async def save_profile(tx: Tx, row: PersonRow, name: str, lang: str, phone: str) -> None:
    """Change how a person is greeted, in which language, and the phone that signs in beside the e-mail.

    Raises Unprocessable for what is no phone, PhoneTaken for somebody else's.
    """
    number, before = identity.phone(phone) if phone else None, row.phone
    try:
        async with tx.begin_nested():
            row.name, row.lang, row.phone = clean_name(name), lang, number
            await tx.flush()
    except sa.exc.IntegrityError as error:
        raise rules.PhoneTaken("Another account signs in with this phone number.", field="phone") from error
    if number != before:
        await messages.tell_of_change(tx, row, "phone")


async def staff_roles(tx: Tx, person: UUID, agency: str) -> list[str]:
    """The staff roles of a person at an agency, those given at what it has absorbed included."""
    found = await tx.scalars(
        sa.select(PersonRoleRow.role).where(
            PersonRoleRow.person == person,
            PersonRoleRow.agency.in_(await _line(tx, agency)),
            PersonRoleRow.role.in_(STAFF),
        )
    )
    return sorted(set(found))


async def _line(tx: Tx, agency: str) -> list[str]:
    return (await agencies.lineage(tx)).with_predecessors([agency], local_day(clock.now()))
