"""One search and one card, put together in the browser: each flat answers with its own rows, by its own rights.

A row of one flat never passes through another, and names travel in no fact: what a person may see, their browser joins.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime
from http import HTTPStatus
from typing import Any, TypeVar
from uuid import UUID

import msgspec
from litestar.response import Template

from shared.auth import principal_of
from shared.errors import Unprocessable
from shared.limits import limited
from shared.request import Request
from shared.sought import Sought, sought
from shared.web.doors import DOORS, SEARCHED
from shared.web.page import address, language_of, page
from shared.web.words import N_, translate

T = TypeVar("T")

SHOWN = 20
"""How many rows of a kind are shown; who wants others types more, for nobody pages through people."""

MOST = SHOWN + 1
"""How many rows a flat reads at most: one more than is shown says that there are others."""

ASKED = "x-part"
"""The header by which our script asks for the part alone, and by which the answer says that it is one."""

finds = limited("desk-find", per_minute=60, burst=30)
"""As often as a person types; a script that reads names out is stopped."""

COLUMNS = (
    ("title", N_("Số hoặc tên"), "text"),
    ("note", N_("Nội dung"), "text"),
    ("at", N_("Lúc"), "moment"),
    ("amount_vnd", N_("Số tiền"), "money"),
    ("mark", N_("Tình trạng"), "badge"),
)


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One thing of one flat: what it is called, and whose it is."""

    title: str
    note: str = ""
    at: datetime | None = None
    amount_vnd: int | None = None
    mark: tuple[str, str] | None = None
    buyer: UUID | None = None
    """Whose card it leads to."""
    href: str = ""
    """Its own page on the flat's desk, for those whom that lets in."""


class Part(msgspec.Struct, frozen=True):
    """Rows of one kind under their heading; `more` where there are others that are not shown."""

    heading: str
    rows: list[Row]
    more: bool


def part(heading: str, found: list[T], row: Callable[[T], Row]) -> Part:
    """A part of what was read with `LIMIT MOST`."""
    return Part(heading, [row(one) for one in found[:SHOWN]], len(found) > SHOWN)


def asked(q: str) -> tuple[Sought | None, str]:
    """What is searched for, or else what is missing; nothing is where nobody has typed yet."""
    try:
        return sought(q), ""
    except Unprocessable as refusal:
        return None, refusal.sentence if q.strip() else ""


async def answer_find(
    request: Request, desk: str, q: str, look: Callable[[Sought], Awaitable[list[Part]]]
) -> Template:
    """What a flat finds; too short a question is answered with what is missing."""
    wanted, error = asked(q)
    if wanted is None:
        return _answer(request, desk, [], q=q, error=error)
    return _answer(request, desk, await look(wanted), q=q, looked=True)


def answer_card(request: Request, desk: str, buyer: UUID, parts: list[Part]) -> Template:
    """What a flat has of one buyer."""
    return _answer(request, desk, parts, buyer=buyer, looked=True)


def searched_by(request: Request) -> list[tuple[str, str]]:
    """Desk and title of each flat in which whoever asks may search."""
    principal = principal_of(request)
    return [(desk, title) for desk, (title, right) in SEARCHED.items() if right.agencies(principal)]


def _answer(
    request: Request,
    desk: str,
    parts: list[Part],
    *,
    q: str = "",
    error: str = "",
    buyer: UUID | None = None,
    looked: bool = False,
) -> Template:
    lang, alone = language_of(request), ASKED not in request.headers
    opens = desk not in DOORS or bool(DOORS[desk].agencies(principal_of(request)))
    shown = page(
        request,
        "found.html",
        status_code=HTTPStatus.UNPROCESSABLE_ENTITY if error else HTTPStatus.OK,
        layout="base.html" if alone else "part.html",
        desk=desk,
        heading=SEARCHED[desk][0],
        parts=[_table(lang, each, buyer, opens=opens) for each in parts if each.rows],
        limit=SHOWN,
        q=q,
        error=error,
        buyer=buyer,
        whole=f"/desk/card/{buyer}" if buyer else address("/desk/find", {"q": q}),
        looked=looked,
    )
    return as_part(shown, alone=alone)


def as_part(shown: Template, *, alone: bool = False) -> Template:
    """Say whether an answer is a part for our script, or `alone` a page; no cache shows one for the other."""
    shown.headers["vary"] = f"Cookie, {ASKED}"
    shown.headers[ASKED] = "0" if alone else "1"
    return shown


def _table(lang: str, shown: Part, buyer: UUID | None, *, opens: bool) -> dict[str, Any]:
    """A part as `ui.table` takes it: without the columns that no row fills."""
    rows = [
        {**msgspec.structs.asdict(row), "to": _way(row, buyer, opens=opens), "note": row.note or None}
        for row in shown.rows
    ]
    filled = [column for column in COLUMNS if any(row[column[0]] is not None for row in rows)]
    return {
        "heading": translate(lang, shown.heading),
        "columns": [(name, translate(lang, label), kind) for name, label, kind in filled],
        "rows": rows,
        "more": shown.more,
    }


def _way(row: Row, buyer: UUID | None, *, opens: bool) -> str:
    """To the card of whose it is; on that card itself, to the thing's own page."""
    if row.buyer is not None and row.buyer != buyer:
        return f"/desk/card/{row.buyer}"
    return row.href if opens else ""
