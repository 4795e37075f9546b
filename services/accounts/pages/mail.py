"""The inbox at /dev/mail: where letters land while no SMTP server is set. A house that others reach has none."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from litestar.response import Template

from services.accounts import queries
from shared.db import Tx
from shared.errors import NotFound
from shared.request import Request
from shared.web import page

PAGE = 50

# Letters to people without an account are nobody's rows; the inbox is for development and shows them all.
UNSCOPED = {"worker": True}


@get("/dev/mail", include_in_schema=False, opt=UNSCOPED)
async def show_inbox(
    request: Request,
    tx: NamedDependency[Tx],
    to: FromQuery[str | None] = None,
    before: FromQuery[UUID | None] = None,
) -> Template:
    _check_embedded(request)
    address = (to or "").strip().lower()
    found = await queries.inbox(tx, address, PAGE + 1, before)
    return page(
        request,
        "accounts_inbox.html",
        letters=found[:PAGE],
        to=address,
        next=found[PAGE - 1].id if len(found) > PAGE else None,
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


routes = [show_inbox, show_letter]
