"""Sessions: a sign-in that lasts, renewed by page tokens of five minutes, ended by its person or by resting."""

from datetime import datetime
from uuid import UUID

import msgspec
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert

from services.accounts import queries, rules
from services.accounts.actions import messages
from services.accounts.actions.secrets import digest
from services.accounts.tables import DeviceRow, PersonRow, SessionRow
from shared import clock, revocations
from shared.auth import Principal
from shared.contracts.accounts import SessionEnded
from shared.db import Tx
from shared.errors import NotSignedIn
from shared.outbox import emit


class Opened(msgspec.Struct, frozen=True):
    """A new session: what the browser keeps, and who it is now."""

    session_secret: str
    principal: Principal
    ends_at: datetime


async def open_session(
    tx: Tx, person: PersonRow, *, two_step: bool, device_secret: str, device: str
) -> Opened:
    """Open a session under a fresh secret, and remember the browser as one of the person's."""
    now = clock.now()
    secret = clock.new_secret(256)
    roles = await queries.roles_of(tx, person.id)
    row = SessionRow(
        id=clock.new_id(),
        person=person.id,
        secret_hash=digest(secret),
        two_step=two_step,
        organisation=None,
        browser=digest(device_secret),
        device=device,
        created_at=now,
        seen_at=now,
        expires_at=rules.session_ends([r for held in roles.values() for r in held], now),
        ended_at=None,
    )
    tx.add(row)
    await tx.flush()
    await _remember_browser(tx, person, row)
    return Opened(secret, await queries.principal(tx, row, person), row.expires_at)


async def _remember_browser(tx: Tx, person: PersonRow, row: SessionRow) -> None:
    """Keep a browser as one of the person's; a new one after other sign-ins is told of in a letter."""
    earlier = sa.select(sa.exists().where(SessionRow.person == person.id, SessionRow.id != row.id))
    added = await tx.execute(
        insert(DeviceRow)
        .values(person=person.id, secret_hash=row.browser, since=row.created_at)
        .on_conflict_do_nothing()
        .returning(DeviceRow.person)
    )
    if added.first() is not None and await tx.scalar(earlier):
        await messages.tell_of_change(tx, person, "device", device=row.device)


async def renew(tx: Tx, session_secret: str) -> Opened | None:
    """What the next page token of a session says; None when the session ended, expired or rested too long."""
    now = clock.now()
    row = await tx.scalar(
        sa.select(SessionRow).where(SessionRow.secret_hash == digest(session_secret)).with_for_update()
    )
    if row is None or row.ended_at is not None or row.expires_at <= now:
        return None
    person = await tx.get_one(PersonRow, row.person)
    principal = await queries.principal(tx, row, person)
    if now - row.seen_at > rules.idle_limit([r for held in principal.roles.values() for r in held]):
        row.ended_at = now
        return None
    row.seen_at = now
    return Opened(session_secret, principal, row.expires_at)


async def current(tx: Tx, principal: Principal) -> tuple[SessionRow, PersonRow]:
    """The open session behind a page token, for what a token alone must not do. Raises NotSignedIn."""
    try:
        row = await tx.get(SessionRow, UUID(principal.session))
    except ValueError:
        row = None
    over = row is None or row.ended_at is not None or row.expires_at <= clock.now()
    if row is None or over or row.person != principal.id:
        raise NotSignedIn("This session has ended.")
    return row, await tx.get_one(PersonRow, row.person)


async def end_session(tx: Tx, session_secret: str) -> None:
    """Sign out."""
    await _end(tx, SessionRow.secret_hash == digest(session_secret))


async def end_sessions(tx: Tx, person: UUID, *, keep: UUID | None = None, only: UUID | None = None) -> None:
    """Sign a person out everywhere, everywhere but in one session, or in one session only.

    The browsers of those sessions, and all that were ever known before, are strangers again: one of a thief too.
    Raises NoResultFound for somebody whom the caller does not see: row-level security would end nothing, and say so
    to nobody.
    """
    (await tx.execute(sa.select(PersonRow.id).where(PersonRow.id == person))).scalar_one()
    which = [SessionRow.person == person]
    if keep is not None:
        which.append(SessionRow.id != keep)
    if only is not None:
        which.append(SessionRow.id == only)
    await _end(tx, *which)
    await _forget_browsers(tx, person, keep, only)


async def _forget_browsers(tx: Tx, person: UUID, keep: UUID | None, only: UUID | None) -> None:
    named = DeviceRow.secret_hash.in_(sa.select(SessionRow.browser).where(SessionRow.id == (only or keep)))
    forgotten = sa.delete(DeviceRow).where(DeviceRow.person == person)
    await tx.execute(forgotten.where(named if only else ~named))


async def _end(tx: Tx, *which: sa.ColumnElement[bool]) -> None:
    """End sessions of one person, here and, by a fact, for every page token of theirs in every service."""
    ended = (
        await tx.execute(
            sa.update(SessionRow)
            .where(*which, SessionRow.ended_at.is_(None))
            .values(ended_at=clock.now())
            .returning(SessionRow.id, SessionRow.person)
        )
    ).all()
    if not ended:
        return
    person = await tx.get_one(PersonRow, ended[0].person)
    fact = SessionEnded(agency=person.agency, sessions=tuple(row.id for row in ended))
    await revocations.keep_sessions(fact, tx)
    await emit(tx, fact)


async def rotate(tx: Tx, row: SessionRow) -> str:
    """Give a session a fresh secret, after something that raises what it is worth; returns the secret."""
    secret = clock.new_secret(256)
    row.secret_hash = digest(secret)
    await tx.flush()
    return secret


async def act_for(tx: Tx, principal: Principal, organisation: UUID) -> None:
    """Act for another of the person's organisations from now on. Raises NotSignedIn."""
    row, _ = await current(tx, principal)
    mine = [found.id for found in await queries.organisations(tx, row.person)]
    if organisation in mine:
        row.organisation = organisation
