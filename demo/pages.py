"""Pages of the sample newspaper."""

from datetime import timedelta
from typing import Any

from litestar import Request, Response, get
from litestar.datastructures import Cookie
from litestar.params import FromPath
from litestar.response import Template

from demo import pictures, queries
from demo.gateways import AGENCY, House
from demo.legal import LEGAL
from shared import calendar, clock
from shared.auth import PAGE_COOKIE
from shared.errors import NotFound
from shared.web import N_, page

DEVICE_COOKIE = "nt_device"
DEVICE_S = int(timedelta(days=400).total_seconds())
WEEKDAYS = (
    N_("Thứ Hai"),
    N_("Thứ Ba"),
    N_("Thứ Tư"),
    N_("Thứ Năm"),
    N_("Thứ Sáu"),
    N_("Thứ Bảy"),
    N_("Chủ Nhật"),
)
PICTURE_CACHE = "public, max-age=86400"


def paper(request: Request[Any, Any, Any], template: str, *, section: str = "", **context: Any) -> Template:
    """A page with the newspaper's masthead."""
    today = calendar.local_day(clock.now())
    return page(
        request,
        template,
        brand="Báo Khánh Hòa",
        nav=[(f"/chuyen-muc/{slug}", name) for slug, name in queries.SECTIONS.items()],
        today=today,
        weekday=WEEKDAYS[today.weekday()],
        agency=AGENCY,
        section=section,
        **context,
    )


@get("/", include_in_schema=False, sync_to_thread=False)
def show_front(request: Request[Any, Any, Any]) -> Template:
    newest = list(queries.articles().values())
    sections = [(slug, name, queries.of_section(slug)) for slug, name in queries.SECTIONS.items()]
    return paper(request, "front.html", top=newest[0], second=newest[1:4], latest=newest[4:10], sections=sections)


@get("/chuyen-muc/{slug:str}", include_in_schema=False, sync_to_thread=False)
def show_section(request: Request[Any, Any, Any], slug: FromPath[str]) -> Template:
    if slug not in queries.SECTIONS:
        raise NotFound(f"There is no section {slug!r} in this newspaper.")
    name = queries.SECTIONS[slug]
    return paper(request, "section.html", section=slug, name=name, articles=queries.of_section(slug))


@get("/bai/{slug:str}", include_in_schema=False)
async def show_article(request: Request[Any, Any, Any], slug: FromPath[str]) -> Template:
    article = queries.articles().get(slug)
    if article is None:
        raise NotFound("This article does not exist or was moved.")
    house: House = request.app.state.house
    access = await house.access(
        article, request.cookies.get(DEVICE_COOKIE), request.cookies.get(PAGE_COOKIE)
    )
    offers = access.offers_url if access.offers_url.startswith("/") else "/subscribe"
    answer = paper(
        request,
        "article.html",
        section=article.section,
        article=article,
        # The template never sees what the browser may not: there is nothing to leak by mistake.
        blocks=article.blocks if access.allowed else article.teaser,
        access=access,
        offers=offers,
        related=queries.related(article),
    )
    if access.device:
        answer.set_cookie(
            Cookie(
                key=DEVICE_COOKIE,
                value=access.device,
                max_age=DEVICE_S,
                httponly=True,
                samesite="lax",
                secure=request.app.state.settings.secure,
            )
        )
    return answer


@get("/su-kien", include_in_schema=False, sync_to_thread=False)
def show_events(request: Request[Any, Any, Any]) -> Template:
    return paper(request, "happenings.html", articles=queries.of_section("the-thao"))


@get("/legal/{name:str}", include_in_schema=False, sync_to_thread=False)
def show_legal(request: Request[Any, Any, Any], name: FromPath[str]) -> Template:
    if name not in LEGAL:
        raise NotFound("There is no such legal page.")
    title, paragraphs = LEGAL[name]
    return paper(request, "legal.html", title=title, paragraphs=paragraphs)


@get("/rss.xml", include_in_schema=False, sync_to_thread=False)
def show_feed(request: Request[Any, Any, Any]) -> Template:
    """Aggregators get the lead of each article and no more."""
    answer = paper(
        request,
        "rss.xml",
        articles=queries.articles().values(),
        base=request.app.state.settings.base_url,
        section_names=queries.SECTIONS,
    )
    answer.media_type = "application/rss+xml"
    return answer


@get("/anh/{slug:str}", include_in_schema=False, sync_to_thread=False)
def show_picture(slug: FromPath[str]) -> Response[str]:
    article = queries.articles().get(slug.removesuffix(".svg"))
    if article is None:
        raise NotFound("There is no such picture.")
    return Response(
        pictures.draw(article.picture, article.slug),
        media_type="image/svg+xml",
        headers={"cache-control": PICTURE_CACHE},
    )


PAGES = [show_front, show_section, show_article, show_events, show_legal, show_feed, show_picture]
