"""Ads for readers: the decision, the beacons and the advertisers' files, answered from this worker's memory."""

from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, Self, cast
from urllib.parse import parse_qsl
from uuid import UUID

import msgspec
from litestar import Response, asgi, get
from litestar.exceptions import MethodNotAllowedException
from litestar.params import FromPath
from litestar.types import HTTPScope, Receive, Scope, Send

from services.ads.actions.beacons import COUNTED, Beacon
from services.ads.actions.serving import Server
from services.ads.queries import snapshot as reading
from services.ads.rules import decision, tokens, traffic
from shared import auth, clock, links
from shared.calendar import ZONE
from shared.contracts.roles import AD_STAFF
from shared.counters import own
from shared.errors import BadInput, NotAllowed, NotFound, TooLarge
from shared.http import check_body
from shared.openapi import Described
from shared.request import Request

LABEL = "Quảng cáo"
MAX_SLOTS = 20
HOUR_S = 3600
MAX_TEXT = 100
MAX_BODY = 16 * 1024

Headers = Mapping[bytes, bytes]


class Ask(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which slots of which page want an ad; `visitor` is any stable word for the visit, or nothing."""

    agency: str
    placements: list[str]
    section: str = ""
    visitor: str = ""
    language: str = "vi"
    device: str = ""
    url: str = ""
    explain: bool = False

    @classmethod
    def example(cls, _: date) -> Self:
        return cls(
            agency="bkh", placements=["article-mid", "section-top"], section="kinh-te", visitor="c0ffee"
        )


class Ad(msgspec.Struct, frozen=True):
    """What fills one slot: load `impression_url` once it is shown, `viewable_url` once half was seen for a second."""

    placement: str
    width: int
    height: int
    creative_url: str
    click_url: str
    impression_url: str
    viewable_url: str
    label: str
    alt: str


class Ads(msgspec.Struct, frozen=True):
    """The ads for the slots that were asked for, in their order."""

    ads: list[Ad]


may_ask_why = auth.Right(roles=AD_STAFF, scope="ads:serve")

_ask = msgspec.json.Decoder(Ask)
_encode = msgspec.json.Encoder().encode
_PURPOSES = (b"sec-purpose", b"purpose", b"x-purpose", b"x-moz")
_JSON = [
    (b"content-type", b"application/json"),
    (b"cache-control", b"no-store"),
    (b"access-control-allow-origin", b"*"),
]


_PARAMETERS = ("agency", "p", "section", "v", "lang", "explain")


_DECIDE = {
    "direct": True,
    "parameters": _PARAMETERS,
    "described": Described("post", data=Ask, answer=Ads),
}


@asgi(["/api/ads/v1/decide", "/b/decide"], copy_scope=False, opt=_DECIDE)
async def decide(scope: Scope, receive: Receive, send: Send) -> None:
    """Fill the slots of a page: POST JSON for programs, GET for `ads.js`."""
    headers = dict(scope["headers"])
    ask = await _read_ask(cast("HTTPScope", scope), receive)
    if not 0 < len(ask.placements) <= MAX_SLOTS:
        raise BadInput(f"Ask for 1 to {MAX_SLOTS} placements.")
    if max(map(len, (ask.visitor, ask.section, *ask.placements))) > MAX_TEXT:
        raise BadInput(f"Names and the visitor have at most {MAX_TEXT} characters.")
    server: Server = scope["litestar_app"].state.server
    now = clock.now()
    page, key = await _page_of(server, ask, headers, now)
    chosen = decision.decide(server.snapshot, server.lent, page, server.draw)
    body: dict[str, Any] = {"ads": _hand_out(server, page, chosen, now, key)}
    if ask.explain:
        body["why"] = _why(scope, server, page)
    await _answer(send, 200, _JSON, _encode(body))


async def _read_ask(scope: HTTPScope, receive: Receive) -> Ask:
    if scope["method"] == "GET":
        query = dict(parse_qsl(scope["query_string"].decode("latin-1")))
        return Ask(
            query.get("agency", ""),
            query.get("p", "").split(","),
            section=query.get("section", ""),
            visitor=query.get("v", ""),
            language=query.get("lang", "vi"),
            explain=query.get("explain", "") == "1",
        )
    if scope["method"] != "POST":
        raise MethodNotAllowedException(
            "Use POST with JSON, or GET with `agency`, `section` and `p`.", headers={"Allow": "GET, POST"}
        )
    body = b""
    while True:
        message = cast("dict[str, Any]", await receive())
        body += message.get("body", b"")
        if len(body) > MAX_BODY:
            raise TooLarge(f"The body is larger than {MAX_BODY} bytes.")
        if not message.get("more_body"):
            break
    check_body(body)
    try:
        return _ask.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise BadInput(f"The body cannot be read: {error}") from error


async def _page_of(server: Server, ask: Ask, headers: Headers, now: datetime) -> tuple[decision.Page, str]:
    """The page to decide about, and the visitor's hash of counters where caps matter."""
    hour, today = _hour_and_day(int(now.timestamp()) // HOUR_S)
    key, seen = "", None
    if ask.visitor and server.snapshot.capped:
        key = own("ads", f"cap:{today}:{ask.visitor}")
        seen = await server.caps.seen(key)
    agent = headers.get(b"user-agent", b"").decode("latin-1")
    return (
        decision.Page(
            agency=ask.agency,
            placements=ask.placements,
            section=ask.section,
            device=ask.device or traffic.device_of(agent),
            language=ask.language,
            hour=hour,
            seen=seen,
        ),
        key,
    )


@lru_cache(maxsize=2)
def _hour_and_day(hours: int) -> tuple[int, str]:
    """The hour in Viet Nam and its day, of an hour since 1970: its zone is whole hours from UTC."""
    local = datetime.fromtimestamp(hours * HOUR_S, ZONE)
    return local.hour, f"{local:%y%m%d}"


def _hand_out(
    server: Server,
    page: decision.Page,
    chosen: list[decision.Choice | None],
    now: datetime,
    cap_hash: str,
) -> list[Ad]:
    """Take what was chosen off this worker's lease and sign it; what the lease no longer holds stays empty."""
    ads, capped = [], []
    second = int(now.timestamp())
    for choice in chosen:
        if choice is None or not server.take(choice.line):
            continue
        line, creative, place = choice.line, choice.creative, choice.placement
        bucket = 0 if line.tier == decision.HOUSE_TIER else server.bucket
        nonce = UUID(hex=clock.new_secret(128))
        shown = tokens.Shown(second, bucket, line.id, creative.id, nonce, place.code, page.section)
        token = tokens.seal(server.key, shown)
        if line.cap_day and cap_hash:
            capped.append(decision.cap_key(line.id))
        ads.append(
            Ad(
                place.code,
                place.width,
                place.height,
                f"{server.creatives_url}/creatives/{creative.file}",
                f"{server.base_url}/b/c/{token}",
                f"{server.base_url}/b/i/{token}",
                f"{server.base_url}/b/v/{token}",
                LABEL,
                LABEL,
            )
        )
    if capped:
        server.caps.add(cap_hash, capped, new=not page.seen)
    return ads


def _why(scope: Scope, server: Server, page: decision.Page) -> list[dict[str, str]]:
    """Why each line lost; for the agency's ad operations and its own keys only."""
    principal = cast("auth.Principal", scope.get("user") or auth.NOBODY)
    if page.agency not in may_ask_why.agencies(principal):
        raise NotAllowed(
            "Only the agency's ad operations and its own server key with `ads:serve` may ask why."
        )
    return [
        {"placement": code, "line": str(line.id), "name": line.name, "lost": reason}
        for code in page.placements
        for line, reason in decision.explain(server.snapshot, server.lent, page, code)
    ]


# A mount, since Litestar 2.25 loses the handler of an ASGI route that has a path parameter.
@asgi("/b", is_mount=True, copy_scope=False)
async def beacon(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001 - Litestar asks for all three
    """Count an impression, a viewable impression or a click, once; a click leads to the stored target."""
    server: Server = scope["litestar_app"].state.server
    kind, _, token = scope["path"].strip("/").partition("/")
    if kind not in tokens.KINDS:
        raise NotFound("There is nothing here.")
    shown = server.shown(token)
    if shown is None:
        server.flusher.rejected["", kind, "forged"] += 1
        raise NotFound("There is nothing here: the address is not one of ours.")
    target = await _target(server, shown.creative) if kind == "c" else ""
    headers = dict(scope["headers"])
    agent = headers.get(b"user-agent", b"").decode("latin-1")
    purpose = b" ".join(headers.get(name, b"") for name in _PURPOSES).decode("latin-1")
    reason = traffic.invalid(agent, purpose, tools_count=server.tools_count)
    if not reason and tokens.expired(shown, kind, clock.now().timestamp()):
        reason = "expired"
    if reason:
        server.flusher.rejected[server.agency_of(shown.line), kind, reason] += 1
    else:
        reason = await server.flusher.count(Beacon(kind, shown))
    told = [
        (b"x-counted", b"yes" if reason == COUNTED else f"no; {reason}".encode()),
        (b"cache-control", b"no-store"),
        (b"access-control-allow-origin", b"*"),
    ]
    if kind == "c":
        where = (b"location", target.encode("ascii", "xmlcharrefreplace"))
        await _answer(send, 302, [*told, where, (b"referrer-policy", b"origin")], b"")
    else:
        await _answer(send, 204, told, b"")


async def _target(server: Server, creative: UUID) -> str:
    """The stored address of a creative. Raises NotFound for one that was stopped."""
    known = server.targets.get(creative)
    if known is None:
        async with server.kit.database.worker_tx() as tx:
            known = await reading.click_target(tx, creative)
    if known is None:
        raise NotFound("This advertisement is no longer shown.")
    return known


async def _answer(send: Send, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
    if status != 204:  # noqa: PLR2004 - an answer without content has no length
        headers = [*headers, (b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


_SCRIPT = (Path(__file__).parent.parent / "static" / "ads.js").read_bytes()
_SCRIPT_HEADERS = {
    "cache-control": "public, max-age=300",
    "x-content-type-options": "nosniff",
    "cross-origin-resource-policy": "cross-origin",
}
_FILE_HEADERS = {
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; sandbox",
    "cross-origin-resource-policy": "cross-origin",
}


@get("/ads.js", include_in_schema=False, sync_to_thread=False, opt={"exclude_from_csrf": True})
def show_script() -> Response[bytes]:
    """The script that fills the slots of a newspaper's page."""
    return Response(_SCRIPT, media_type="text/javascript", headers=_SCRIPT_HEADERS)


@get("/creatives/{name:str}", include_in_schema=False, opt={"exclude_from_csrf": True})
async def show_creative(request: Request, name: FromPath[str]) -> Response[bytes]:
    """An advertiser's image: to everybody while it is in flight, else to who has a signed address."""
    server: Server = request.app.state.server
    public = name in server.snapshot.files
    if not public:
        links.opened(server.settings, request.url.path, request.url.query)
    content = await server.file(name)
    kind = "image/png" if content.startswith(b"\x89PNG") else "image/jpeg"
    cache = "public, max-age=31536000, immutable" if public else "private, max-age=600"
    return Response(content, media_type=kind, headers={**_FILE_HEADERS, "cache-control": cache})


routes = [decide, beacon, show_script, show_creative]
