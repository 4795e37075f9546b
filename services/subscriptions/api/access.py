"""May this reader read this article? Answered from memory, or with one Redis round trip for the meter.

The single check is a raw ASGI handler, since Litestar's own path costs more than the decision (see `bench/`). The
batch form beside it is an ordinary handler, documents the same Structs and shares one round trip for all.
"""

import asyncio
import hmac
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from typing import Annotated, Any, Self, cast
from urllib.parse import parse_qs, quote
from uuid import UUID

import msgspec
from litestar import Litestar, asgi, post
from litestar.exceptions import MethodNotAllowedException
from litestar.params import JSONBody
from litestar.types import Receive, Scope, Send

from services.subscriptions.actions.meter import FLUSH_S, Meter, Spend
from services.subscriptions.queries.access import POLL_S, Snapshot
from services.subscriptions.rules.access import Ask, Reason, after_meter, explain, look
from shared import clock
from shared.auth import Principal, Right, Verifier
from shared.calendar import local_day
from shared.contracts.scopes import Scope as KeyScope
from shared.errors import BadInput, NotAllowed, NotSignedIn, TooLarge
from shared.http import check_body
from shared.jobs import repeating
from shared.kit import Kit
from shared.links import signature, signatures
from shared.openapi import Described
from shared.request import Request

SCOPE: KeyScope = "subscriptions:access"
MAX_BYTES = 16 * 1024
READING_GRACE_S = 12 * 3600
"""A page token lives five minutes and is renewed on the house's own pages, so that who only reads goes on with an old
one; after half a day the paper has to send them by `/account/renew`. Nothing but reading is granted on such a token."""

may_check_access = Right(scope=SCOPE)


class Answer(msgspec.Struct, frozen=True):
    """What the newsroom's server does now: show the article, or the teaser with a link to the offers."""

    allowed: bool
    reason: Reason
    remaining: int | None
    limit: int | None
    device: str
    """Keep it in a first-party cookie and send it with the next question."""
    offers_url: str


class ExplainedAnswer(Answer, frozen=True):
    """The answer with its reasons, for `?explain=1`."""

    explain: list[str]


class Batch(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Up to fifty questions at once."""

    asks: Annotated[list[Ask], msgspec.Meta(min_length=1, max_length=50)]

    @classmethod
    def example(cls, today: date) -> Self:
        return cls(asks=[Ask.example(today)])


class Answers(msgspec.Struct, frozen=True):
    """Answers in the order of the questions."""

    answers: list[Answer]


class Doorkeeper:
    """One worker's memory and meter behind the access door; it lives at `app.state.doorkeeper`."""

    def __init__(self, kit: Kit, verifier: Verifier) -> None:
        self.snapshot = Snapshot()
        self.meter = Meter(kit)
        self._kit = kit
        self._verifier = verifier

    async def refresh(self) -> None:
        """Read what changed; while the database is away the last knowledge serves."""
        await self.snapshot.refresh(self._kit.database)

    async def answer(self, ask: Ask, *, explained: bool = False) -> Answer:
        """Decide and count."""
        version, policy = self.snapshot.policy(ask.agency)
        person = self._person(ask.person_token)
        device = self._device(ask.device)
        proved = device is not None
        device = device or clock.new_secret(128)
        held = self.snapshot.entitlements(person)
        verdict = look(
            policy, ask, person, held, self.snapshot.lineage(ask.agency), proved, local_day(clock.now())
        )
        if verdict.allowed is None:
            mine = f"d:{device}"
            spend = Spend(
                ask.agency, f"p:{person}" if person else mine, mine, ask.article, verdict.limit or 0
            )
            verdict = after_meter(policy, ask, await self.meter.spend(spend))
        address = policy.article_path.replace("{article}", quote(ask.article, safe=""))
        fields = (
            bool(verdict.allowed),
            verdict.reason,
            verdict.remaining,
            verdict.limit,
            self._token(device),
            f"/subscribe?agency={quote(ask.agency)}&next={quote(address, safe='')}",
        )
        if not explained:
            return Answer(*fields)
        known: dict[str, object] = {
            "person": "signed in" if person else "not signed in",
            "device": "known" if proved else "new",
            "periods": len(held),
        }
        return ExplainedAnswer(*fields, explain(policy, version, ask, verdict, known))

    def _person(self, token: str | None) -> UUID | None:
        """Who reads; a forged or long expired token is nobody and no error."""
        if not token:
            return None
        try:
            found = self._verifier.principal(token, grace_s=READING_GRACE_S)
        except NotSignedIn:
            return None
        return found.id if found.kind == "person" else None

    def _device(self, token: str | None) -> str | None:
        """The device of a token that is ours; none for any other."""
        if token is None:
            return None
        device, _, given = token.partition(".")
        ours = signatures(self._kit.settings, "device", device)
        fits = given.isascii() and any(hmac.compare_digest(_mark(one), given) for one in ours)
        return device if fits else None

    def _token(self, device: str) -> str:
        return f"{device}.{_mark(signature(self._kit.settings, 'device', device))}"


def _mark(signature: str) -> str:
    """As much of a device's signature as its token bears."""
    return signature[:32]


@asynccontextmanager
async def doorkeeping(app: Litestar) -> AsyncIterator[None]:
    """Keep the memory fresh and the meter written for as long as the service runs."""
    keeper = Doorkeeper(app.state.kit, app.state.verifier)
    app.state.doorkeeper = keeper
    try:
        async with repeating(keeper.refresh, POLL_S), repeating(keeper.meter.flush, FLUSH_S):
            yield
    finally:
        await keeper.meter.flush()


_decode = msgspec.json.Decoder(Ask).decode
_encode = msgspec.json.Encoder().encode


_ACCESS = {
    "direct": True,
    "parameters": ("explain",),
    "described": Described("post", data=Ask, answer=Answer, scope=SCOPE, parameters=("explain",)),
}


@asgi("/api/subscriptions/v1/access", copy_scope=False, opt=_ACCESS)
async def check_access(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer one question. The key needs the scope, and its agency asks for itself alone."""
    if scope["method"] != "POST":  # type: ignore[typeddict-item]
        raise MethodNotAllowedException("POST a question here.", headers={"Allow": "POST"})
    principal = cast("Principal", scope["user"])
    _check_key(principal)
    ask = await _question(receive)
    _check_agency(principal, ask.agency)
    query = scope["query_string"]
    explained = bool(query) and parse_qs(query.decode("latin-1")).get("explain") == ["1"]
    body = _encode(await scope["litestar_app"].state.doorkeeper.answer(ask, explained=explained))
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
        (b"cache-control", b"no-store"),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body, "more_body": False})


async def _question(receive: Receive) -> Ask:
    body = b""
    while True:
        message = cast("dict[str, Any]", await receive())
        body += message.get("body", b"")
        if len(body) > MAX_BYTES:
            raise TooLarge(f"The body is larger than {MAX_BYTES} bytes.")
        if not message.get("more_body"):
            break
    check_body(body)
    try:
        return _decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise BadInput(f"The body cannot be read: {error}") from error


def _check_key(principal: Principal) -> None:
    if principal.kind != "key":
        raise NotSignedIn("Send a server key as `Authorization: Bearer …`.")
    may_check_access.check(principal)


def _check_agency(principal: Principal, agency: str) -> None:
    if agency not in may_check_access.agencies(principal):
        raise NotAllowed("A key asks for its own agency alone.")


@post("/api/subscriptions/v1/access/batch", guards=[may_check_access], status_code=200)
async def check_access_batch(request: Request, data: JSONBody[Batch]) -> Answers:
    """Answer up to fifty questions, counted in one round trip."""
    for ask in data.asks:
        _check_agency(request.user, ask.agency)
    keeper: Doorkeeper = request.app.state.doorkeeper
    return Answers(list(await asyncio.gather(*[keeper.answer(ask) for ask in data.asks])))


routes = [check_access, check_access_batch]
