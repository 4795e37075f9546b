"""The second step of staff: TOTP, its enrolment, recovery codes, and what replaces a lost number."""

from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts import queries, rules
from services.accounts.actions import audit, messages, people, sessions
from services.accounts.actions.challenges import (
    Browser,
    Outcome,
    Tries,
    asker_for,
    let_in,
    open_challenge,
)
from services.accounts.actions.secrets import (
    Shown,
    recovery_code,
    seal,
    seal_name,
    short_digest,
    short_digests,
    totp_step,
    unseal,
)
from services.accounts.tables import PersonRow, RecoveryCodeRow, SessionRow, TotpResetRow
from shared import clock, limits, strangers
from shared.auth import Principal
from shared.db import Tx, check_acts_at, locked, unseen
from shared.errors import NotFound
from shared.jobs import Batch
from shared.kit import Kit
from shared.settings import Settings


async def enter_totp(tx: Tx, kit: Kit, secret: str, code: str, browser: Browser) -> Outcome:
    """Check the second step: six digits of the authenticator, each once, or a recovery code.

    Digits can be guessed, so that their tries are counted; a recovery code cannot, and is always taken.
    """
    row = await open_challenge(tx, secret, "totp")
    if row is None or row.person is None:
        return Outcome("expired")
    person = await locked(tx, PersonRow, row.person)
    if person.totp_secret is None:
        return Outcome("expired")
    asker = await asker_for(tx, person, browser)
    tries = Tries(kit, f"totp:{person.id}", asker, rules.TOTP_TRIES_A_DAY, 86_400)
    given, left = code.strip().lower().replace(" ", ""), await tries.spend()
    secret = unseal(kit.settings, person.totp_secret)
    step = totp_step(secret, given, clock.now(), person.totp_step) if left else None
    if step is None and not await _use_recovery_code(tx, kit.settings, person, given):
        if not left and not await limits.take(kit, f"told:totp:{person.id}", 1, 86_400):
            await messages.tell_of_change(tx, person, "tried")
        return Outcome("wrong" if left else "locked", next=row.next)
    if step is not None:
        person.totp_step = step
        await _end_resets(tx, person.id, f"person:{person.id}")
    if left:
        await tries.give_back()
    return await let_in(tx, person, row, browser, two_step=True)


async def enrolment(tx: Tx, settings: Settings, secret: str) -> tuple[str, str] | None:
    """The TOTP secret that is being enrolled and the e-mail it is for; None when the step is over."""
    row = await open_challenge(tx, secret, "enrol")
    if row is None or row.person is None or row.totp_secret is None:
        return None
    person = await tx.get_one(PersonRow, row.person)
    return unseal(settings, row.totp_secret), person.email or person.phone or ""


async def enrol_totp(tx: Tx, settings: Settings, secret: str, code: str, browser: Browser) -> Outcome:
    """Finish enrolment with a first code; gives the recovery codes, which are shown once."""
    row = await open_challenge(tx, secret, "enrol")
    if row is None or row.person is None or row.totp_secret is None:
        return Outcome("expired")
    row.tries += 1
    step = totp_step(unseal(settings, row.totp_secret), code.strip().replace(" ", ""), clock.now(), 0)
    if step is None:
        return Outcome("wrong", next=row.next)
    person = await locked(tx, PersonRow, row.person)
    if person.totp_secret is not None:
        return Outcome("expired")
    person.totp_secret, person.totp_step = row.totp_secret, step
    codes = await new_recovery_codes(tx, settings, person.id)
    await audit.note(
        tx, agency=person.agency, actor=f"person:{person.id}", action="totp.enrol", subject=person.id
    )
    await messages.tell_of_change(tx, person, "totp")
    done = await let_in(tx, person, row, browser, two_step=True)
    return msgspec.structs.replace(done, recovery_codes=codes)


async def new_recovery_codes(tx: Tx, settings: Settings, person: UUID) -> tuple[str, ...]:
    """Replace a person's recovery codes; the old ones no longer work."""
    await tx.execute(sa.delete(RecoveryCodeRow).where(RecoveryCodeRow.person == person))
    codes = tuple(recovery_code() for _ in range(rules.RECOVERY_CODES))
    tx.add_all(
        RecoveryCodeRow(person=person, code_hash=short_digest(settings, code, person), used_at=None)
        for code in codes
    )
    return codes


class Holder(msgspec.Struct, frozen=True):
    """Of whoever is signed in: what an old password is held against, and what a new one must not be made of."""

    hashed: str | None
    totp: bool
    about: tuple[str | None, ...]


async def holder(tx: Tx, principal: Principal) -> Holder:
    """Raises NotSignedIn where the session has ended."""
    _, person = await sessions.current(tx, principal)
    about = person.email, person.name, person.phone
    return Holder(person.password_hash, person.totp_secret is not None, about)


async def change_password(tx: Tx, kit: Kit, principal: Principal, old: Shown, hashed: str) -> str | None:
    """Set a password; other devices are signed out. Returns this session's fresh secret, None if `old` is wrong.

    Whoever has none yet has signed in just now, or shows the second step as `old`. Raises NotSignedIn where the
    session has ended.
    """
    row, person = await _current(tx, principal)
    has_one = person.password_hash is not None
    if not (await _shows(kit, person, old) if has_one else await _is_proven(kit, row, person, old)):
        return None
    person.password_hash = hashed
    await sessions.end_sessions(tx, person.id, keep=row.id)
    await audit.note(tx, agency=person.agency, actor=principal, action="password.change", subject=person.id)
    await messages.tell_of_change(tx, person, "password")
    return await sessions.rotate(tx, row)


async def renew_recovery_codes(
    tx: Tx, kit: Kit, principal: Principal, proof: Shown
) -> tuple[tuple[str, ...], str] | None:
    """Fresh recovery codes and a fresh secret of this session; None where the second step was not shown again."""
    row, person = await _current(tx, principal)
    if not row.two_step or person.totp_secret is None or not await _is_proven(kit, row, person, proof):
        return None
    codes = await new_recovery_codes(tx, kit.settings, person.id)
    await audit.note(
        tx, agency=person.agency, actor=principal, action="totp.recovery.renew", subject=person.id
    )
    await messages.tell_of_change(tx, person, "recovery")
    return codes, await sessions.rotate(tx, row)


async def _current(tx: Tx, principal: Principal) -> tuple[SessionRow, PersonRow]:
    """The open session and its person, locked: what is shown counts once, against what the person has now."""
    row, _ = await sessions.current(tx, principal)
    return row, await locked(tx, PersonRow, row.person)


async def _is_proven(kit: Kit, row: SessionRow, person: PersonRow, proof: Shown) -> bool:
    """Whether it is still the person: signed in within five minutes, or showing password or second step again."""
    return clock.now() - row.created_at <= rules.PROOF_TTL or await _shows(kit, person, proof)


async def _shows(kit: Kit, person: PersonRow, proof: Shown) -> bool:
    """Whether this is the password or the second step of a person. Whoever holds a stolen session guesses seldom."""
    asker = strangers.Asker("", f"person:{person.id}")
    tries = Tries(kit, f"proof:{person.id}", asker, 1, 1)
    if not proof.typed or not await tries.spend():
        return False
    given = proof.typed.strip().replace(" ", "")
    step = (
        totp_step(unseal(kit.settings, person.totp_secret), given, clock.now(), person.totp_step)
        if person.totp_secret is not None
        else None
    )
    fit = step is not None or proof.is_still(person.password_hash)
    if fit:
        person.totp_step = step or person.totp_step
        await tries.give_back()
    return fit


async def ask_reset(tx: Tx, principal: Principal, person: UUID, agency: str, why: str) -> None:
    """Ask that a colleague's lost TOTP be removed; another administrator must approve within three days.

    Raises NotAllowed, NotFound, WorksElsewhere, and ResetNeedsAnother while an earlier request stands.
    """
    check_acts_at(tx, agency)
    if not await people.staff_roles(tx, person, agency):
        raise NotFound("There is no such colleague.")
    await _check_whole(tx, person)
    await locked(tx, PersonRow, person)
    earlier = await tx.scalars(sa.select(TotpResetRow).where(*_unapproved(person)))
    if any([await queries.stands(tx, asked) for asked in earlier]):
        raise rules.ResetNeedsAnother("This was asked for already: another administrator must approve it.")
    await _end_resets(tx, person, principal)
    row = TotpResetRow(
        id=clock.new_id(),
        person=person,
        agency=agency,
        why=why,
        asked_by=principal.id,
        asked_at=clock.now(),
        approved_by=None,
        approved_at=None,
    )
    tx.add(row)
    await audit.note(tx, agency=agency, actor=principal, action="totp.reset.ask", subject=person, why=why)


async def approve_reset(tx: Tx, principal: Principal, reset: UUID) -> None:
    """Remove a lost TOTP: its person is signed out and enrols anew at the next sign-in.

    Raises NotFound, WorksElsewhere, and ResetNeedsAnother for whoever asked or lost it, or once the request is old or
    its asker gone.
    """
    row = await locked(tx, TotpResetRow, reset)
    if row is None or row.approved_at is not None:
        raise NotFound("Nothing waits for approval here.")
    rules.check_second_person(row.asked_by, row.person, principal.id)
    if not await queries.stands(tx, row):
        raise rules.ResetNeedsAnother(
            "This was asked more than three days ago, or by somebody who is no administrator here any more: ask anew."
        )
    await _check_whole(tx, row.person)
    row.approved_by, row.approved_at = principal.id, clock.now()
    await tx.flush()
    person = await locked(tx, PersonRow, row.person)
    await _end_resets(tx, row.person, principal)
    person.totp_secret, person.totp_step = None, 0
    await tx.execute(sa.delete(RecoveryCodeRow).where(RecoveryCodeRow.person == row.person))
    await sessions.end_sessions(tx, row.person)
    await messages.tell_of_change(tx, person, "reset", agency=row.agency)
    await audit.note(
        tx, agency=row.agency, actor=principal, action="totp.reset.approve", subject=row.person, why=row.why
    )


def _unapproved(person: UUID) -> tuple[sa.ColumnElement[bool], ...]:
    return TotpResetRow.person == person, TotpResetRow.approved_at.is_(None)


async def _end_resets(tx: Tx, person: UUID, actor: Principal | str) -> None:
    """Drop what was asked for and never approved: it is too old, it was done, or the phone was found."""
    ended = sa.delete(TotpResetRow).where(*_unapproved(person)).returning(TotpResetRow.agency)
    for agency in list(await tx.scalars(ended)):
        await audit.note(tx, agency=agency, actor=actor, action="totp.reset.end", subject=person)


async def _check_whole(tx: Tx, person: UUID) -> None:
    """Raises WorksElsewhere unless the caller administers each agency that the person works for: all lose it."""
    works_at = await tx.scalars(sa.text("SELECT staff_agencies(:person)"), {"person": person})
    elsewhere = unseen(tx, works_at)
    if elsewhere:
        raise rules.WorksElsewhere(
            f"This colleague also works at {', '.join(elsewhere)}: only who administers each of these agencies too "
            "can do this, or their administrators take the roles there away first."
        )


async def _use_recovery_code(tx: Tx, settings: Settings, person: PersonRow, code: str) -> bool:
    used = await tx.execute(
        sa.update(RecoveryCodeRow)
        .where(
            RecoveryCodeRow.person == person.id,
            RecoveryCodeRow.code_hash.in_(short_digests(settings, code, person.id)),
            RecoveryCodeRow.used_at.is_(None),
        )
        .values(used_at=clock.now())
        .returning(RecoveryCodeRow.person)
    )
    if used.first() is None:
        return False
    await audit.note(
        tx, agency=person.agency, actor=f"person:{person.id}", action="totp.recovery", subject=person.id
    )
    await messages.tell_of_change(tx, person, "recovery-used")
    return True


async def seal_anew(tx: Tx, batch: Batch, settings: Settings) -> None:
    """Seal by the key of now what one of before has sealed, so that nothing depends on that one any more."""
    name = sa.func.substring(PersonRow.totp_secret, 1, len(seal_name(settings)))
    due = sa.select(PersonRow.id, PersonRow).where(name != seal_name(settings)).with_for_update()
    for _, person in await batch.take(tx, due):
        if person.totp_secret is not None:
            person.totp_secret = seal(settings, unseal(settings, person.totp_secret))
