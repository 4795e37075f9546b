"""Codes by mail: six digits at once, or, where many are asked for, a long one in the next of few letters.

Strangers can ask in anybody's name, so that asking must neither fill a mailbox nor use up its owner's codes.
"""

from datetime import datetime
from typing import Any

import sqlalchemy as sa

from services.accounts import rules
from services.accounts.actions import messages
from services.accounts.actions.challenges import Browser
from services.accounts.actions.secrets import recovery_code, short_digest, six_digits
from services.accounts.tables import ChallengeRow, MessageRow
from shared import clock, identity, strangers
from shared.db import Tx
from shared.kit import Kit
from shared.settings import Settings
from shared.web.formats import moment

LETTER: messages.Own = "codes"


async def at_once(tx: Tx, kit: Kit, mailbox: str, asker: strangers.Asker) -> bool:
    """Whether a code leaves now: the asker has some left, and strangers together, or the person's browsers, too."""
    if await strangers.spend(kit, f"codes:{mailbox}", kit.settings.budget_codes, asker):
        return False
    return await _asked_today(tx, mailbox, known=bool(asker.known)) < rules.CODES_A_DAY


async def _asked_today(tx: Tx, mailbox: str, *, known: bool) -> int:
    """How many codes that leave at once were asked for in a day; each with six digits may be guessed at five times."""
    count = await tx.scalar(
        sa.select(sa.func.count()).where(
            ChallengeRow.mailbox == mailbox,
            ChallengeRow.kind == "code",
            ChallengeRow.known_device.is_(known),
            ChallengeRow.later.is_(False),
            ChallengeRow.created_at > clock.now() - rules.A_DAY,
        )
    )
    return count or 0


async def send(
    tx: Tx, settings: Settings, row: ChallengeRow, browser: Browser, letter: dict[str, Any], *, shared: bool
) -> None:
    """Make the code of a step and put it in a letter; `letter` says to whom and in which language.

    Six digits are few enough to be counted: by e-mail at once. All others are long, and a `shared` one is that of
    another step where its letter still waits: only who reads the letter has it, and any browser may have asked.
    """
    code = recovery_code() if row.later or identity.is_phone(row.identifier) else six_digits()
    if row.later:
        code, leaves_at = await _into_the_next_letter(tx, letter, _line(code, browser), shared=shared)
        row.expires_at = leaves_at + rules.CODE_TTL
    else:
        await messages.queue(tx, **letter, template="code", params={"code": code})
    row.code_hash = short_digest(settings, code, row.id)


def _line(code: str, browser: Browser) -> dict[str, str]:
    return {"code": code, "device": browser.label, "asked_at": moment(clock.now())}


async def _into_the_next_letter(
    tx: Tx, letter: dict[str, Any], line: dict[str, str], *, shared: bool
) -> tuple[str, datetime]:
    """Add a line to the letter that waits for an address, share its last, or open the next one.

    Returns the code, and when the letter leaves.
    """
    await messages.one_at_a_time(tx, identity.mailbox(letter["address"]))
    now = clock.now()
    of_address = (MessageRow.address == letter["address"], MessageRow.template == LETTER)
    waiting = await tx.scalar(
        sa.select(MessageRow)
        .where(*of_address, MessageRow.state == "queued", MessageRow.attempts == 0, MessageRow.next_at > now)
        .with_for_update()
    )
    if waiting is not None and shared:
        return waiting.params["codes"][-1]["code"], waiting.next_at
    if waiting is not None:
        waiting.params = {"codes": [*waiting.params["codes"], line]}
        return line["code"], waiting.next_at
    last = await tx.scalar(sa.select(sa.func.max(MessageRow.created_at)).where(*of_address))
    leaves_at = rules.later_at(last, now)
    await messages.queue(tx, **letter, template=LETTER, params={"codes": [line]}, next_at=leaves_at)
    return line["code"], leaves_at
