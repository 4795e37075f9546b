"""The log of messages, and the inbox at /dev/mail.

Letters land in the inbox while no SMTP server is set. A house that others reach has none.
"""

from uuid import UUID

import msgspec
from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.accounts import queries, rules
from services.accounts.pages.audit import agencies_of_trail
from services.accounts.pages.rights import may_read_trail
from services.accounts.pages.words import people_tabs, state_of
from shared import auth
from shared.db import Tx
from shared.errors import NotFound
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import page

PAGE = 50

# Letters to people without an account are nobody's rows; the inbox is for development and shows them all.
UNSCOPED = {"worker": True}


@get("/desk/messages", include_in_schema=False, guards=[may_read_trail])
async def show_messages(request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = "") -> Template:
    principal = auth.principal_of(request)
    codes = await agencies_of_trail(tx, principal)
    listed = page_of(await queries.messages(tx, codes, PAGE + 1, decode_cursor(cursor, UUID)), PAGE)
    return page(
        request,
        "accounts_messages.html",
        messages=[
            {
                **msgspec.structs.asdict(m),
                "address": rules.masked(m.address),
                "state": state_of(request, m.state),
            }
            for m in listed.items
        ],
        next=listed.next and f"/desk/messages?cursor={listed.next}",
        tabs=people_tabs(request, principal),
    )


@get("/dev/mail", include_in_schema=False, opt=UNSCOPED)
async def show_inbox(
    request: Request,
    tx: NamedDependency[Tx],
    to: FromQuery[str | None] = None,
    cursor: FromQuery[str] = "",
) -> Template:
    _check_embedded(request)
    address = (to or "").strip().lower()
    listed = page_of(await queries.inbox(tx, address, PAGE + 1, decode_cursor(cursor, UUID)), PAGE)
    return page(
        request,
        "accounts_inbox.html",
        letters=listed.items,
        to=address,
        next=listed.next,
    )


@get("/dev/mail/{letter:uuid}", include_in_schema=False, opt=UNSCOPED)
async def show_letter(request: Request, tx: NamedDependency[Tx], letter: FromPath[UUID]) -> Template:
    _check_embedded(request)
    found = await queries.message(tx, letter)
    if found is None:
        raise NotFound("There is no such letter.")
    return page(request, "accounts_letter.html", letter=found)


def _check_embedded(request: Request) -> None:
    settings = request.app.state.settings
    if settings.smtp_url or settings.exposed:
        raise NotFound("There is nothing here: letters go out by SMTP.")


routes = [show_messages, show_inbox, show_letter]
