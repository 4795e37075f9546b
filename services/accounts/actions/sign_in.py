"""Signing in: a code by e-mail, or a password. Failures answer and never raise, so that tries count."""

import sqlalchemy as sa

from services.accounts import queries, rules
from services.accounts.actions import messages, people
from services.accounts.actions.challenges import (
    Browser,
    Outcome,
    challenge,
    count_failure,
    failure_key,
    find_person,
    forget_failures,
    is_known,
    is_locked,
    open_challenge,
    second_step,
)
from services.accounts.actions.secrets import fits, password_fits, short_digest, six_digits
from services.accounts.tables import ChallengeRow, PersonRow
from shared import clock
from shared.db import Tx
from shared.settings import Settings


async def ask_code(
    tx: Tx, settings: Settings, identifier: str, next_path: str, browser: Browser, agency: str = ""
) -> Outcome:
    """Send a code to an e-mail; the answer is the same whether it has an account or not.

    Raises Unprocessable for what is neither e-mail nor phone.
    """
    kind, value = rules.identifier(identifier)
    # One at a time for each box: codes asked for at once would each find the day's number not yet reached.
    await tx.execute(sa.text("SELECT pg_advisory_xact_lock(hashtextextended(:box, 0))"), {"box": value})
    now = clock.now()
    person = await find_person(tx, kind, value)
    known = person is not None and await is_known(tx, person.id, browser)
    asked = (
        await tx.execute(
            sa.select(
                sa.func.count().filter(ChallengeRow.created_at > now - rules.QUARTER_HOUR),
                sa.func.count(),
            ).where(
                ChallengeRow.identifier == value,
                ChallengeRow.kind == "code",
                ChallengeRow.known_device == known,
                ChallengeRow.created_at > now - rules.A_DAY,
            )
        )
    ).one()
    if asked[0] >= rules.CODES_A_QUARTER_HOUR or asked[1] >= rules.CODES_A_DAY:
        return Outcome("too-many")
    code, secret = six_digits(), clock.new_secret(256)
    home = person.agency if person else agency or await queries.reader_agency(tx)
    row = challenge("code", secret, value, person.id if person else None, home, next_path, known=known)
    address = person.email if person else value if kind == "email" else None
    if address:
        row.code_hash = short_digest(settings, code, row.id)
        await messages.queue(
            tx,
            agency=home,
            recipient=person.id if person else None,
            address=address,
            lang=person.lang if person else browser.lang,
            template="code",
            params={"code": code},
        )
    tx.add(row)
    return Outcome("sent", challenge_secret=secret)


async def enter_code(tx: Tx, settings: Settings, secret: str, code: str, browser: Browser) -> Outcome:
    """Check a code; a new e-mail gets its account here. Five tries, then a new code is needed."""
    row = await open_challenge(tx, secret, "code")
    if row is None:
        return Outcome("expired")
    row.tries += 1
    if not fits(settings, code.strip().replace(" ", ""), row.id, row.code_hash):
        return Outcome("wrong", next=row.next, tries_left=rules.CODE_TRIES - row.tries)
    row.used_at = clock.now()
    person = (
        await tx.get(PersonRow, row.person) if row.person else await find_person(tx, "email", row.identifier)
    )
    if person is None:
        person = await people.create_reader(tx, row.identifier, row.agency, browser.lang)
    person.bounced_at = None
    return await second_step(tx, settings, person, row.next, browser)


async def enter_password(
    tx: Tx, settings: Settings, identifier: str, password: str, next_path: str, browser: Browser
) -> Outcome:
    """Sign in by password. Failures lock the account for strangers' browsers, never for one that was in before.

    Raises Unprocessable for what is neither e-mail nor phone.
    """
    kind, value = rules.identifier(identifier)
    person = await find_person(tx, kind, value)
    key = await failure_key(tx, value, person, browser)
    if await is_locked(tx, key):
        return Outcome("locked")
    hashed = person.password_hash if person else None
    fit = await password_fits(password[: rules.PASSWORD_MAX], hashed)
    if person is None or not fit:
        return Outcome("locked" if await count_failure(tx, key) else "wrong")
    await forget_failures(tx, key)
    return await second_step(tx, settings, person, next_path, browser)
