"""The desk: how subscriptions stand, and who has which."""

from uuid import UUID

from litestar import get
from litestar.di import NamedDependency
from litestar.params import FromQuery
from litestar.response import Template

from services.subscriptions.pages.rights import may_see_desk
from services.subscriptions.pages.words import DESK, GROUPS, STANDINGS, tabs_of
from services.subscriptions.queries import subscriptions
from shared.db import Tx
from shared.lists import decode_cursor, page_of
from shared.request import Request
from shared.web import N_, language_of, page, translate

SHOWN = 50
YES, NO = N_("Có"), N_("Không")


@get(DESK, guards=[may_see_desk], include_in_schema=False)
async def show_desk(request: Request, tx: NamedDependency[Tx], cursor: FromQuery[str] = "") -> Template:
    """Figures of the month and the newest subscriptions."""
    found = await subscriptions.listed(tx, person=None, before=decode_cursor(cursor, UUID), limit=SHOWN)
    listed, lang = page_of(found, SHOWN), language_of(request)
    rows = [
        {
            "id": s.id,
            "title": s.title_en if lang == "en" else s.title,
            "person": str(s.person)[-8:],
            "group": translate(lang, GROUPS[s.reader_group]),
            "standing": (translate(lang, STANDINGS[s.standing][0]), STANDINGS[s.standing][1]),
            "reads_until": s.reads_until,
            "renewal": translate(lang, YES if s.renewal else NO),
            "paid_vnd": sum(i.total_vnd - i.credited_vnd for i in s.invoices if i.collection == "paid"),
        }
        for s in listed.items
    ]
    return page(
        request,
        "subscriptions_desk.html",
        figures=await subscriptions.figures(tx),
        rows=rows,
        tabs=tabs_of(request),
        next_page=listed.next and f"?cursor={listed.next}",
    )


routes = [show_desk]
