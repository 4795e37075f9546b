"""Signing in: a code by e-mail, or a password. Failures answer and never raise, so that tries count."""

from uuid import UUID

import msgspec

from services.accounts import queries, rules
from services.accounts.actions import codes, messages, people
from services.accounts.actions.challenges import (
    Browser,
    Outcome,
    Tries,
    asker_for,
    challenge,
    find_person,
    open_challenge,
    second_step,
)
from services.accounts.actions.secrets import Shown, fits
from services.accounts.tables import PersonRow
from shared import clock, identity, strangers
from shared.db import Tx, locked
from shared.kit import Kit
from shared.settings import Settings


async def ask_code(
    tx: Tx, kit: Kit, identifier: str, next_path: str, browser: Browser, agency: str = ""
) -> Outcome:
    """Send a code to an e-mail; the answer is the same whether it has an account or not.

    Whoever asked for many gets theirs later, in a letter that all of them share; nobody's asking uses up another's.
    Where a whole network asked for many, its steps share a code of that letter too: a neighbour's asking keeps nobody
    out. Only further addresses of one mailbox, and a phone, then get nothing; the answer is the same.
    A phone is counted by itself, so that nothing ties it to an e-mail. Raises Unprocessable for what is neither e-mail
    nor phone.
    """
    kind, value = identity.identifier(identifier)
    person = await find_person(tx, kind, value)
    mailbox = identity.mailbox(value)
    # One at a time for each: codes asked for at once would each find the day's number not yet reached.
    await messages.one_at_a_time(tx, mailbox)
    asker = await asker_for(tx, person, browser)
    later = not await codes.at_once(tx, kit, mailbox, asker)
    over = later and await strangers.spend(kit, f"later:{mailbox}", kit.settings.budget_codes, asker)
    secret = clock.new_secret(256)
    home = person.agency if person else agency or await queries.reader_agency(tx)
    row = challenge(
        "code",
        secret,
        value,
        person.id if person else None,
        home,
        next_path,
        known=bool(asker.known),
        later=later,
    )
    address = person.email if person else value if kind == "email" else None
    further = kind == "phone" or (person is None and value != mailbox)
    if address and not (over and further):
        letter = {
            "agency": home,
            "recipient": person.id if person else None,
            "address": address,
            "lang": person.lang if person else browser.lang,
        }
        await codes.send(tx, kit.settings, row, browser, letter, shared=bool(over))
    tx.add(row)
    return Outcome("sent", challenge_secret=secret)


async def enter_code(tx: Tx, settings: Settings, secret: str, code: str, browser: Browser) -> Outcome:
    """Check a code; a new e-mail gets its account here. Five tries, then a new code is needed."""
    row = await open_challenge(tx, secret, "code")
    if row is None:
        return Outcome("expired")
    row.tries += 1
    if not fits(settings, code.strip().lower().replace(" ", ""), row.id, row.code_hash):
        return Outcome("wrong", next=row.next, tries_left=rules.CODE_TRIES - row.tries)
    row.used_at = clock.now()
    person = (
        await tx.get(PersonRow, row.person) if row.person else await find_person(tx, "email", row.identifier)
    )
    if person is None:
        person = await people.create_reader(tx, row.identifier, row.agency, browser.lang)
    person.bounced_at = None
    return await second_step(tx, settings, person, row.next, browser)


class Attempt(msgspec.Struct, frozen=True):
    """A password is being tried: on whom, held against which hash, and what was spent on it until it is right."""

    person: UUID | None
    hashed: str | None
    tries: Tries


async def try_password(tx: Tx, kit: Kit, identifier: str, browser: Browser) -> Attempt | None:
    """Begin to sign in by password; None where no tries are left, and the way is the slower one, a code by mail.

    Wrong ones are counted by who tries, never by whose account it is alone. Raises Unprocessable for what is neither
    e-mail nor phone.
    """
    kind, value = identity.identifier(identifier)
    person = await find_person(tx, kind, value)
    asker = await asker_for(tx, person, browser)
    tries = Tries(kit, value, asker, rules.PASSWORD_TRIES_AN_HOUR, 3600)
    if not await tries.spend() or await _spend_over_all(tries, 1):
        return None
    return Attempt(person.id, person.password_hash, tries) if person else Attempt(None, None, tries)


async def enter_password(
    tx: Tx, settings: Settings, attempt: Attempt, shown: Shown, next_path: str, browser: Browser
) -> Outcome:
    """Go on with a password that was held against the hash; what was wrong asks the database nothing more."""
    # Locked, so that a password that is being changed signs nobody in any more.
    person = await locked(tx, PersonRow, attempt.person) if shown.fits else None
    if person is None or not shown.is_still(person.password_hash):
        return Outcome("wrong")
    await attempt.tries.give_back()
    await _spend_over_all(attempt.tries, -1)
    return await second_step(tx, settings, person, next_path, browser)


async def _spend_over_all(tries: Tries, cost: int) -> float:
    """What an asker spends on passwords of whichever account."""
    kit = tries.kit
    return await strangers.spend(kit, "passwords", kit.settings.budget_passwords, tries.asker, cost)
