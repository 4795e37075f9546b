"""Sign-ins half done: the cookie of a step, the tries that were counted, and who is let in."""

from datetime import timedelta
from typing import Literal
from uuid import UUID

import msgspec
import sqlalchemy as sa

from services.accounts import queries, rules
from services.accounts.actions import audit, sessions
from services.accounts.actions.secrets import digest, new_totp_secret, seal
from services.accounts.tables import ChallengeRow, DeviceRow, FailureRow, PersonRow
from shared import clock
from shared.db import Tx
from shared.settings import Settings

Answer = Literal["in", "totp", "enrol", "sent", "wrong", "locked", "expired", "too-many", "known"]

ENROLMENT_TRIES = 10


class Browser(msgspec.Struct, frozen=True):
    """What a browser says of itself: the secret of its device cookie, its name, its language."""

    device_secret: str
    label: str
    lang: str = "vi"


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
) -> ChallengeRow:
    """A step that waits ten minutes for its answer."""
    now = clock.now()
    return ChallengeRow(
        id=clock.new_id(),
        secret_hash=digest(secret),
        kind=kind,
        identifier=identifier,
        person=person,
        code_hash="",
        totp_secret=None,
        tries=0,
        known_device=known,
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
    """Open the session; the step that led here is over. Sign-ins with two steps are in the audit trail."""
    row.used_at = clock.now()
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


async def failure_key(tx: Tx, account: str, person: PersonRow | None, browser: Browser) -> str:
    """What failures are counted by: the account, and its own browser or all strangers' browsers together."""
    if person is not None and await is_known(tx, person.id, browser):
        return f"{account}|{digest(browser.device_secret).hex()}"
    return f"{account}|stranger"


async def is_locked(tx: Tx, key: str) -> bool:
    row = await tx.get(FailureRow, key)
    return row is not None and row.locked_until is not None and row.locked_until > clock.now()


async def count_failure(tx: Tx, key: str) -> bool:
    """Count a failed try; returns whether that locked. Failures of more than a lock's length ago are forgotten."""
    now = clock.now()
    count: int = await tx.scalar(
        sa.text(
            "INSERT INTO failure (key, failures, failed_at) VALUES (:key, 1, :now) ON CONFLICT (key) DO UPDATE "
            "SET failures = CASE WHEN failure.failed_at < :old THEN 1 ELSE failure.failures + 1 END, failed_at = :now "
            "RETURNING failures"
        ),
        {"key": key, "now": now, "old": now - rules.LOCK},
    )
    until = rules.locked_until(count, now)
    await tx.execute(
        sa.text("UPDATE failure SET locked_until = :until WHERE key = :key"), {"until": until, "key": key}
    )
    return until is not None


async def forget_failures(tx: Tx, key: str) -> None:
    await tx.execute(sa.delete(FailureRow).where(FailureRow.key == key))


async def sweep(tx: Tx) -> None:
    """Drop steps and counts that no longer say anything."""
    now = clock.now()
    await tx.execute(
        sa.delete(ChallengeRow).where(ChallengeRow.created_at < now - rules.A_DAY - timedelta(hours=1))
    )
    await tx.execute(sa.delete(FailureRow).where(FailureRow.failed_at < now - rules.A_DAY))
