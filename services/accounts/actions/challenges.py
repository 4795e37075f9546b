"""Sign-ins half done: the cookie of a step, the tries that were counted, and who is let in."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts import queries, rules
from services.accounts.actions import audit, sessions
from services.accounts.actions.secrets import digest, new_totp_secret, seal
from services.accounts.tables import ChallengeRow, DeviceRow, PersonRow
from shared import clock, identity, limits, strangers
from shared.db import Tx
from shared.kit import Kit
from shared.settings import Settings

Answer = Literal["in", "totp", "enrol", "sent", "wrong", "locked", "expired", "known"]

ENROLMENT_TRIES = 10


class Browser(msgspec.Struct, frozen=True):
    """What is known of a browser: its device cookie's secret, its name, network and language, the session it had."""

    device_secret: str
    label: str
    network: str
    lang: str = "vi"
    session_secret: str = ""


class Outcome(msgspec.Struct, frozen=True):
    """Where a step led: in, on to the next step (with its cookie), or a reason why not."""

    answer: Answer
    next: str = "/account"
    challenge_secret: str = ""
    opened: sessions.Opened | None = None
    tries_left: int = 0
    recovery_codes: tuple[str, ...] = ()


def challenge(
    kind: str,
    secret: str,
    identifier: str,
    person: UUID | None,
    agency: str,
    next_path: str,
    *,
    known: bool = False,
    later: bool = False,
) -> ChallengeRow:
    """A step that waits ten minutes for its answer."""
    now = clock.now()
    return ChallengeRow(
        id=clock.new_id(),
        secret_hash=digest(secret),
        kind=kind,
        identifier=identifier,
        mailbox=identity.mailbox(identifier),
        person=person,
        code_hash="",
        totp_secret=None,
        tries=0,
        known_device=known,
        later=later,
        agency=agency,
        next=next_path,
        created_at=now,
        expires_at=now + rules.CODE_TTL,
        used_at=None,
    )


async def open_challenge(tx: Tx, secret: str, kind: str) -> ChallengeRow | None:
    """The step of a browser, locked, while it may still be answered."""
    row = await tx.scalar(
        sa.select(ChallengeRow).where(ChallengeRow.secret_hash == digest(secret)).with_for_update()
    )
    if row is None or row.kind != kind or row.used_at is not None or row.expires_at <= clock.now():
        return None
    if row.tries >= (rules.CODE_TRIES if kind == "code" else ENROLMENT_TRIES):
        return None
    return row


async def was_going(tx: Tx, secret: str) -> str:
    """Where the person of a step wanted to go, also when its time is over; nothing for a secret that is not ours."""
    found = await tx.scalar(sa.select(ChallengeRow.next).where(ChallengeRow.secret_hash == digest(secret)))
    return found or ""


async def code_comes(tx: Tx, secret: str) -> Literal["at-once", "later", "to-a-phones-e-mail"]:
    """How the code of a step reaches its person, and so which kind it is: six digits only where it comes at once.

    The same for every phone, whether it has an account or not.
    """
    sent = sa.select(ChallengeRow.identifier, ChallengeRow.later)
    row = (await tx.execute(sent.where(ChallengeRow.secret_hash == digest(secret)))).one_or_none()
    if row is not None and identity.is_phone(row.identifier):
        return "to-a-phones-e-mail"
    return "later" if row is not None and row.later else "at-once"


async def second_step(
    tx: Tx, settings: Settings, person: PersonRow, next_path: str, browser: Browser
) -> Outcome:
    """Let a person in after the first step, or ask staff for the second: TOTP, or its enrolment where none is."""
    roles = await queries.roles_of(tx, person.id)
    secret = clock.new_secret(256)
    target = next_path if next_path != "/account" or not queries.is_staff(roles) else "/desk"
    kind: Literal["totp", "enrol"] = "totp" if person.totp_secret is not None else "enrol"
    row = challenge(kind, secret, str(person.id), person.id, person.agency, target)
    if person.totp_secret is None and not queries.is_staff(roles):
        return await let_in(tx, person, row, browser, two_step=False)
    if kind == "enrol":
        row.totp_secret = seal(settings, new_totp_secret())
    tx.add(row)
    return Outcome(kind, next=target, challenge_secret=secret)


async def let_in(
    tx: Tx, person: PersonRow, row: ChallengeRow, browser: Browser, *, two_step: bool
) -> Outcome:
    """Open the session; the step that led here and the browser's last session are over.

    Sign-ins with two steps are in the audit trail.
    """
    row.used_at = clock.now()
    await sessions.end_session(tx, browser.session_secret)
    opened = await sessions.open_session(
        tx, person, two_step=two_step, device_secret=browser.device_secret, device=browser.label
    )
    if two_step:
        await audit.note(
            tx,
            agency=person.agency,
            actor=f"person:{person.id}",
            action="session.open",
            subject=opened.principal.session,
            after={"device": browser.label},
        )
    return Outcome("in", next=row.next, opened=opened)


async def find_person(tx: Tx, kind: str, value: str) -> PersonRow | None:
    column = PersonRow.email if kind == "email" else PersonRow.phone
    return await tx.scalar(sa.select(PersonRow).where(column == value))


async def is_known(tx: Tx, person: UUID, browser: Browser) -> bool:
    """Whether the person has signed in from this browser before."""
    return await tx.get(DeviceRow, (person, digest(browser.device_secret))) is not None


async def asker_for(tx: Tx, person: PersonRow | None, browser: Browser) -> strangers.Asker:
    """Who tries to get into an account: a browser that its person was in from, or a stranger of a network.

    Known is only what this person's own sign-ins made known: an account of one's own costs nothing.
    """
    if person is not None and await is_known(tx, person.id, browser):
        return strangers.Asker(browser.network, digest(browser.device_secret).hex())
    return strangers.Asker(browser.network)


class Tries(msgspec.Struct, frozen=True):
    """Tries on one account: each asker's own, and all strangers' together. What was right is given back."""

    kit: Kit
    account: str
    asker: strangers.Asker
    together: int
    per_s: int

    async def spend(self, cost: int = 1) -> bool:
        """Spend one; False where none is left to this asker."""
        budget = self.kit.settings.budget_tries
        if await strangers.spend(self.kit, f"tries:{self.account}", budget, self.asker, cost):
            return False
        if self.asker.known:
            return True
        return not await limits.take(self.kit, f"tries:{self.account}", self.together, self.per_s, cost)

    async def give_back(self) -> None:
        await self.spend(-1)


async def sweep(tx: Tx) -> None:
    """Drop steps that no longer say anything."""
    now = clock.now()
    await tx.execute(
        sa.delete(ChallengeRow).where(ChallengeRow.created_at < now - rules.A_DAY - timedelta(hours=1))
    )
