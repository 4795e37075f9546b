"""The audit trail with its chain, as administrators and auditors read it."""

from operator import attrgetter
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from services.accounts import queries
from services.accounts.pages.acts import ACTS, changes
from services.accounts.pages.rights import may_read_trail
from services.accounts.pages.words import people_tabs
from services.accounts.queries import audit
from shared import auth
from shared.db import Tx
from shared.errors import NotFound
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import language_of, page, translate

PAGE = 50
Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


@get("/desk/audit", include_in_schema=False, guards=[may_read_trail])
async def show_audit(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str | None] = None,
    cursor: FromQuery[str] = "",
) -> Template:
    """The trail of one agency, with the answer whether its chain is whole."""
    principal = auth.principal_of(request)
    codes = await agencies_of_trail(tx, principal)
    code = agency if agency in codes else codes[0]
    found = await audit.entries(tx, code, decode_cursor(cursor, Number), limit=PAGE + 1)
    listed = page_of(found, PAGE, attrgetter("number"))
    known = await audit.names_of(tx, [who for e in listed.items for who in (e.actor, f"person:{e.subject}")])
    lang = language_of(request)
    names = {a.code: a.name for a in await queries.agencies(tx)}
    return page(
        request,
        "accounts_audit.html",
        entries=[_told(lang, entry, known) for entry in listed.items],
        code=code,
        agency_name=names.get(code, code),
        agencies=[(f"/desk/audit?agency={each}", names.get(each, each)) for each in codes],
        broken=await audit.broken_entries(tx, [code]),
        next=listed.next and f"/desk/audit?agency={code}&cursor={listed.next}",
        tabs=people_tabs(request, principal),
    )


@get(
    "/desk/audit/export", include_in_schema=False, guards=[may_read_trail], media_type="application/x-ndjson"
)
async def export_audit(request: Request, tx: NamedDependency[Tx], agency: FromQuery[str]) -> Response[str]:
    """The whole trail of one agency, a line an entry with its hash: it can be checked without us."""
    codes = await agencies_of_trail(tx, auth.principal_of(request))
    if agency not in codes:
        raise NotFound("There is no such trail.")
    name = f'attachment; filename="audit-{agency}.ndjson"'
    headers = {"content-disposition": name, "cache-control": "no-store"}
    return Response(await audit.exported(tx, agency), headers=headers, media_type="application/x-ndjson")


def _told(lang: str, entry: audit.Entry, known: dict[str, str]) -> dict[str, Any]:
    """An audit entry as a row: names instead of ids where this reader may see them."""
    nobodies = {
        "nobody:": translate(lang, "Khách chưa đăng nhập"),
        "operator:": translate(lang, "Người vận hành (dòng lệnh)"),
        "simulation:": translate(lang, "Mô phỏng"),
    }
    return {
        "number": entry.number,
        "at": entry.at,
        "who": known.get(entry.actor) or nobodies.get(entry.actor, entry.actor),
        "action": translate(lang, ACTS[entry.action]) if entry.action in ACTS else entry.action,
        "subject": known.get(f"person:{entry.subject}") or entry.subject,
        "changes": changes(lang, entry.before, entry.after),
        "why": entry.why,
    }


async def agencies_of_trail(tx: Tx, principal: auth.Principal) -> list[str]:
    """Agencies whose trail this person may read; what they absorbed is read with them."""
    return await queries.lineage(tx, sorted(may_read_trail.agencies(principal)))


routes = [show_audit, export_audit]
