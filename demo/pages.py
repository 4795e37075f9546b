"""Pages of the sample newspaper."""

import base64
from datetime import timedelta
from email.utils import format_datetime
from typing import Any

import msgspec
from litestar import Response, get
from litestar.datastructures import Cookie
from litestar.params import FromPath
from litestar.response import Redirect, Template

from demo import pictures, queries
from demo.gateways import AGENCY, Wall
from demo.legal import LEGAL
from shared import calendar, clock
from shared.auth import PAGE_COOKIE
from shared.errors import NotFound
from shared.request import Request
from shared.web import N_, page

DEVICE_COOKIE = "nt_meter"
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


def masthead(request: Request) -> dict[str, Any]:
    """What the head of each of the newspaper's pages shows."""
    today = calendar.local_day(clock.now())
    return {
        "layout": "paper.html",
        "brand": "Báo Khánh Hòa",
        "nav": [(f"/chuyen-muc/{slug}", name) for slug, name in queries.SECTIONS.items()],
        "today": today,
        "weekday": WEEKDAYS[today.weekday()],
        "person": reader_token(request),
        "agency": AGENCY,
        "section": "",
    }


def paper(request: Request, template: str, **context: Any) -> Template:
    """A page of the newspaper."""
    return page(request, template, **{**masthead(request), **context})


def reader_token(request: Request) -> str | None:
    """The signed-in reader's page token, passed on unread: only the house can say whether it holds."""
    prefix = "__Host-" if request.app.state.settings.secure else ""
    return request.cookies.get(prefix + PAGE_COOKIE)


def expired(token: str) -> bool:
    """Whether a page token says that its time is over; whether it is genuine is not asked here."""
    try:
        payload = token.split(".")[1]
        claims = msgspec.json.decode(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        return int(claims["exp"]) < clock.now().timestamp()
    except (IndexError, KeyError, TypeError, ValueError, msgspec.MsgspecError):
        return False


@get("/", include_in_schema=False, sync_to_thread=False)
def show_front(request: Request) -> Template:
    newest = list(queries.articles().values())
    above = newest[:4]
    sections = [
        (slug, name, [a for a in queries.of_section(slug) if a not in above])
        for slug, name in queries.SECTIONS.items()
    ]
    latest = newest[4:10]
    return paper(request, "front.html", top=above[0], second=above[1:], latest=latest, sections=sections)


@get("/chuyen-muc/{slug:str}", include_in_schema=False, sync_to_thread=False)
def show_section(request: Request, slug: FromPath[str]) -> Template:
    if slug not in queries.SECTIONS:
        raise NotFound(f"There is no section {slug!r} in this newspaper.")
    name = queries.SECTIONS[slug]
    return paper(request, "section.html", section=slug, name=name, articles=queries.of_section(slug))


@get("/bai/{slug:str}", include_in_schema=False)
async def show_article(request: Request, slug: FromPath[str]) -> Template | Redirect:
    article = queries.articles().get(slug)
    if article is None:
        raise NotFound("This article does not exist or was moved.")
    wall: Wall = request.app.state.wall
    token = reader_token(request)
    access = await wall.access(article, request.cookies.get(DEVICE_COOKIE), token)
    if not access.allowed and token and expired(token):
        # A subscriber who left the paper open overnight is signed in again unasked; others come back as nobody.
        return Redirect(
            "/account/renew", query_params={"optional": "1", "next": article.address}, status_code=303
        )
    offers = access.offers_url if access.offers_url.startswith("/subscribe") else "/subscribe"
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
        ld=structured_data(article, request.app.state.settings.base_url),
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


def structured_data(article: queries.Article, base_url: str) -> dict[str, Any]:
    """What search engines read: it says honestly which part is not free, and holds no text of it."""
    data: dict[str, Any] = {
        "@context": "https://schema.org",
        "@type": "NewsArticle",
        "headline": article.title,
        "description": article.lead,
        "datePublished": article.published_at.isoformat(),
        "author": {"@type": "Person", "name": article.author},
        "image": f"{base_url}/anh/{article.slug}.svg",
        "mainEntityOfPage": base_url + article.address,
        "isAccessibleForFree": not article.premium,
    }
    if article.premium:
        data["hasPart"] = {
            "@type": "WebPageElement",
            "isAccessibleForFree": False,
            "cssSelector": ".paywalled",
        }
    return data


@get("/su-kien", include_in_schema=False, sync_to_thread=False)
def show_events(request: Request) -> Template:
    return paper(request, "happenings.html", articles=queries.of_section("the-thao"))


@get("/legal/{name:str}", include_in_schema=False, sync_to_thread=False)
def show_legal(request: Request, name: FromPath[str]) -> Template:
    if name not in LEGAL:
        raise NotFound("There is no such legal page.")
    title, paragraphs = LEGAL[name]
    return paper(request, "legal.html", title=title, paragraphs=paragraphs)


@get("/rss.xml", include_in_schema=False, sync_to_thread=False)
def show_feed(request: Request) -> Template:
    """Aggregators get the lead of each article and no more."""
    answer = paper(
        request,
        "rss.xml",
        items=[(a, format_datetime(a.published_at)) for a in queries.articles().values()],
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
