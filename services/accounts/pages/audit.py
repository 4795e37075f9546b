"""The audit trail with its chain, as administrators and auditors read it."""

from datetime import date, timedelta
from operator import attrgetter, itemgetter
from typing import Annotated, Any

import msgspec
from litestar import Response, get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from services.accounts import queries
from services.accounts.pages.acts import ACTS, SUBJECTS, changes, is_opaque, shortened
from services.accounts.pages.rights import may_read_trail
from services.accounts.pages.words import people_tabs
from services.accounts.queries import audit, heads
from services.accounts.queries.find import people
from shared import auth
from shared.calendar import start_of
from shared.db import Tx
from shared.errors import BadInput, NotFound
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import language_of, page, translate
from shared.web.found import MOST, asked

PAGE = 20
HEADS = 5
Number = Annotated[int, msgspec.Meta(ge=1, le=2**63 - 1)]


@get("/desk/audit", include_in_schema=False, guards=[may_read_trail])
async def show_audit(
    request: Request,
    tx: NamedDependency[Tx],
    agency: FromQuery[str | None] = None,
    cursor: FromQuery[str] = "",
    who: FromQuery[str] = "",
    act: FromQuery[str] = "",
    day: FromQuery[str] = "",
) -> Template:
    """The trail of one agency, of one person, deed or day where asked, and whether its chain is whole."""
    principal = auth.principal_of(request)
    codes = await agencies_of_trail(tx, principal)
    code = agency if agency in codes else codes[0]
    wanted, error = await _wanted(tx, who, act, day)
    found = await audit.entries(tx, code, decode_cursor(cursor, Number), PAGE + 1, wanted)
    listed = page_of(found, PAGE, attrgetter("number"))
    known = await audit.names_of(tx, [who for e in listed.items for who in (e.actor, f"person:{e.subject}")])
    lang = language_of(request)
    names = {a.code: a.name for a in await queries.agencies(tx)}
    return page(
        request,
        "accounts_audit.html",
        status_code=422 if error else 200,
        entries=[_told(lang, entry, known) for entry in listed.items],
        code=code,
        agency_name=names.get(code, code),
        agencies=[(f"/desk/audit?agency={each}", names.get(each, each)) for each in codes],
        broken=await audit.broken_entries(tx, [code]),
        heads=await heads.newest(tx, HEADS),
        next=listed.next,
        who=who,
        who_error=error,
        act=act,
        acts=sorted(((act, translate(lang, word)) for act, word in ACTS.items()), key=itemgetter(1)),
        day=day,
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


async def _wanted(tx: Tx, who: str, act: str, day: str) -> tuple[audit.Wanted, str]:
    """What the form asks for, and what is missing where a name is too short to tell. Raises BadInput."""
    sought, error = asked(who)
    on = _day(day)
    return audit.Wanted(
        actors=[f"person:{each.id}" for each in await people(tx, sought, MOST)] if sought else None,
        action=act or None,
        since=start_of(on) if on else None,
        until=start_of(on + timedelta(days=1)) if on else None,
    ), error


def _day(text: str) -> date | None:
    """The day that is asked for; an empty field is none. Raises BadInput."""
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise BadInput(f"{text!r} is no day; write it as 2026-11-30.") from error


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
        "who": known.get(entry.actor) or nobodies.get(entry.actor) or _unnamed(entry.actor),
        "action": translate(lang, ACTS[entry.action]) if entry.action in ACTS else entry.action,
        **_subject(lang, entry, known),
        "changes": changes(lang, entry.before, _without(entry.after, entry.subject)),
        "why": entry.why,
    }


def _unnamed(actor: str) -> str:
    """Somebody whose name this reader may not see, or who is no person."""
    _, _, opaque = actor.rpartition(":")
    return shortened(opaque) if is_opaque(opaque) else actor


def _subject(lang: str, entry: audit.Entry, known: dict[str, str]) -> dict[str, str]:
    """What an act is about: its kind, the name or a short form of its id, and where the desk finds it."""
    name, is_id = known.get(f"person:{entry.subject}", ""), is_opaque(entry.subject)
    kind, is_found = SUBJECTS.get(entry.action.partition(".")[0], ("", False))
    found = f"/desk/find?q={entry.subject}" if is_found and is_id else ""
    return {
        "kind": translate(lang, kind) if kind and is_id and not name else "",
        "subject": name or (shortened(entry.subject) if is_id else entry.subject),
        "href": f"/desk/card/{entry.subject}" if name else found,
    }


def _without(told: Any, subject: str) -> Any:
    """What an act told, without what it is about said twice."""
    return {k: v for k, v in told.items() if v != subject} if isinstance(told, dict) else told


async def agencies_of_trail(tx: Tx, principal: auth.Principal) -> list[str]:
    """Agencies whose trail this person may read; what they absorbed is read with them."""
    return await queries.lineage(tx, sorted(may_read_trail.agencies(principal)))


routes = [show_audit, export_audit]
