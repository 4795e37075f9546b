"""The one plugin that gives all six services the same transaction, sign-in, errors, health, logs, metrics and docs."""

import asyncio
import contextlib
import string
from collections import Counter
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

import structlog
from litestar import Litestar
from litestar.config.app import AppConfig
from litestar.config.csrf import CSRFConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.enums import ScopeType
from litestar.plugins import InitPlugin
from litestar.routes import ASGIRoute
from litestar.types import ASGIApp, Message, Receive, Scope, Send
from sqlalchemy.ext.asyncio import AsyncSession

from shared import address, agencies, api_page, auth, clock, observe, outbox, revocations, web
from shared.calendar import local_day
from shared.consume import Consumer
from shared.db import ACTS_AT, Tx, enter, for_money
from shared.errors import BadInput, NotSignedIn, Unavailable
from shared.gate import Gate, buying, crowded
from shared.head import answering_head
from shared.http import AWAY, StrictRequest, problem
from shared.jobs import Jobs, repeating
from shared.kit import Kit
from shared.request import Request
from shared.settings import Settings

ANSWERED_S = 20.0
"""How long a request may take until its answer begins, counted from the last that was heard of it."""

REFRESH_S = 2.0
"""A revocation holds within five seconds: a fact takes one at most, this look two."""

MAX_BODY_BYTES = 8 * 1024 * 1024
"""Uploads included; JSON has its own, smaller limit."""


class Service(InitPlugin):
    """Wire a service: `Litestar(route_handlers=[…], plugins=[Service("ads", settings, consumer, jobs)])`.

    An app may be started again after it has stopped: each start reads `app.state.settings` and has a kit of its own.
    """

    def __init__(
        self, name: str, settings: Settings, consumer: Consumer | None = None, jobs: Jobs[Kit] | None = None
    ) -> None:
        consumer = consumer or Consumer(name)
        agencies.listen(consumer)
        auth.Verifier(
            settings
        )  # an app without public keys is refused here, in a sentence, and not while it starts
        self.name = name
        self.settings = settings
        self.consumer = consumer
        self.jobs = jobs or Jobs[Kit](name)

    def on_app_init(self, app_config: AppConfig) -> AppConfig:
        app_config.state = State({"settings": self.settings})
        app_config.request_class = StrictRequest
        app_config.dependencies = {"tx": Provide(provide_tx), **app_config.dependencies}
        app_config.exception_handlers = {Exception: problem_of, **app_config.exception_handlers}
        app_config.middleware = [address.checked, *app_config.middleware]
        app_config.lifespan = [self._lifespan, *app_config.lifespan]
        app_config.template_config = web.template_config(Path(_folder(self.name)))
        app_config.csrf_config = CSRFConfig(
            secret=self.settings.csrf_secret,
            cookie_name="__Host-nt_csrf" if self.settings.secure else "nt_csrf",
            cookie_secure=self.settings.secure,
            cookie_httponly=True,
            # Programs send keys, never cookies; a gateway's call is proven by its own signature.
            exclude=["^/api/", "^/gateway/", "^/health", "^/metrics", "^/b/"],
        )
        app_config.openapi_config = None
        app_config.route_handlers += [*observe.routes, api_page.routes(self.name), web.static_router()]
        app_config.logging_config = None
        return app_config

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Litestar) -> AsyncIterator[None]:
        settings: Settings = app.state.settings
        app.state.kit = kit = Kit(self.name, settings, self.consumer, self.jobs)
        app.state.verifier = auth.Verifier(settings)
        app.state.streams = Counter()
        app.state.parameters = address.parameters(app)
        # Litestar reads this off the app itself and passes over what a plugin's configuration says.
        app.request_max_body_size = MAX_BODY_BYTES
        # Around the router, since Litestar's middleware never sees what no route or method fits.
        router = app.asgi_handler
        app.asgi_handler = answering_head(Caller(app))
        await kit.start()
        try:
            async with repeating(partial(refresh, kit, app.state.verifier), REFRESH_S):
                yield
        finally:
            await kit.stop()
            app.asgi_handler = router


async def refresh(kit: Kit, verifier: auth.Verifier) -> None:
    """Read the set of revoked keys, when it has changed."""
    if await kit.database.version(revocations.VERSION) == verifier.revocations:
        return
    async with kit.database.worker_tx() as tx:
        await verifier.refresh(tx)


class Caller:
    """Finds out who calls, gives the request its id and its room, and counts the answer.

    Raw ASGI: it runs on the hot paths too.
    """

    def __init__(self, app: Litestar) -> None:
        self.app = app.asgi_handler
        self.service_app = app
        self.gate = Gate(app.state.settings.requests_at_once, buying(app))
        self.direct = {
            route.path: Direct(app, route)
            for route in app.routes
            if isinstance(route, ASGIRoute) and route.route_handler.opt.get("direct")
        }
        self.verifier: auth.Verifier = app.state.verifier
        self.cookie = auth.PAGE_COOKIE if not app.state.settings.secure else f"__Host-{auth.PAGE_COOKIE}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != ScopeType.HTTP:
            await self.app(scope, receive, send)
            return
        headers = {name: value for name, value in scope["headers"] if name in _READ}
        request_id = headers.get(b"x-request-id", b"").decode("latin-1")[:64] or clock.new_secret()
        outbox.correlation.set(request_id)
        if not scope["query_string"].isascii():
            # Litestar cannot even refuse what a careless client left unquoted.
            scope["query_string"] = quote(scope["query_string"], safe=_QUERY).encode()
        scope["user"] = self._principal(scope, headers)
        app: ASGIApp = self.direct.get(scope["path"]) or partial(self._in_time, self.app)
        if not address.is_host(headers.get(b"host", b"").decode("latin-1")):
            app = self._refuse_host
        room = self.gate.room_of(scope["method"], scope["path"])
        if room.is_full:
            observe.SENT_AWAY.labels(room.name).inc()
            await observe.measured(self._refuse_crowd, scope, receive, send, request_id)
            return
        pool = for_money.set(room is self.gate.money)
        room.inside += 1
        try:
            await observe.measured(app, scope, receive, send, request_id)
        finally:
            room.inside -= 1
            for_money.reset(pool)

    async def _refuse_crowd(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["litestar_app"] = self.service_app
        await _answer_problem(scope, receive, send, crowded())

    async def _in_time(self, app: ASGIApp, scope: Scope, receive: Receive, send: Send) -> None:
        """Give up a request that is not answered in time, whatever it waits for; an answer that has begun may go on."""
        begun = False

        async def hear() -> Any:
            message = await receive()
            if not begun and not limit.expired():
                limit.reschedule(asyncio.get_running_loop().time() + ANSWERED_S)
            return message

        async def tell(message: Message) -> None:
            nonlocal begun
            if not begun and not limit.expired():
                limit.reschedule(None)
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(ANSWERED_S) as limit:
                await app(scope, hear, tell)
        except TimeoutError:
            if begun or not limit.expired():
                raise
            scope["litestar_app"] = self.service_app
            await _answer_problem(scope, receive, send, Unavailable(AWAY, retry_after_s=2))

    async def _refuse_host(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Refuse a `Host` of which no address can be made, not even that of the page that says so."""
        scope["litestar_app"] = self.service_app
        others = [header for header in scope["headers"] if header[0] != b"host"]
        scope["headers"] = [*others, (b"host", b"localhost")]
        await _answer_problem(scope, receive, send, BadInput("The header `Host` names no host."))

    def _principal(self, scope: Scope, headers: dict[bytes, bytes]) -> auth.Principal:
        bearer = headers.get(b"authorization", b"").decode("latin-1")
        token = bearer.removeprefix("Bearer ") if bearer.startswith("Bearer ") else ""
        # Cookies count on pages only, so that no other site's form can reach the API with them.
        if not token and not scope["path"].startswith("/api/"):
            token = _cookie(headers.get(b"cookie", b"").decode("latin-1"), self.cookie)
        if not token:
            return auth.NOBODY
        try:
            return self.verifier.principal(token)
        except NotSignedIn as refusal:
            scope["nguonthu_refusal"] = refusal.sentence  # type: ignore[typeddict-unknown-key]
            return auth.NOBODY


class Direct:
    """Calls a raw ASGI handler with `opt={"direct": True}` without Litestar's layers, which would cost more than it.

    `opt["parameters"]` names what it reads from the query, which no signature tells.

    Such a handler changes nothing by a cookie's right, so that it needs no protection against other sites' forms.
    """

    def __init__(self, app: Litestar, route: ASGIRoute) -> None:
        self.app, self.path, self.handler = app, route.path, route.route_handler.fn
        self.parameters: tuple[str, ...] = route.route_handler.opt.get("parameters", ())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["litestar_app"] = self.app
        scope["path_template"] = self.path
        try:
            # Plainer than for the others, and much cheaper: these answer in one piece, and nobody uploads here.
            async with asyncio.timeout(ANSWERED_S):
                address.check_address(scope)
                address.check_parameters(scope, self.parameters)
                await self.handler(scope, receive, send)
        except TimeoutError:
            await _answer_problem(scope, receive, send, Unavailable(AWAY, retry_after_s=2))
        except Exception as error:  # noqa: BLE001 - what Litestar would do with it
            await _answer_problem(scope, receive, send, error)


async def _answer_problem(scope: Scope, receive: Receive, send: Send, error: Exception) -> None:
    request: Request = StrictRequest(scope, receive, send)
    answer = problem_of(request, error).to_asgi_response(app=None, request=request)
    await answer(scope, receive, send)


_QUERY = string.punctuation
"""What stays in a query as it is."""

_READ = {b"authorization", b"cookie", b"host", b"x-request-id"}


def _cookie(header: str, name: str) -> str:
    for part in header.split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            return value
    return ""


async def provide_tx(request: Request) -> AsyncIterator[Tx]:
    """The request's one transaction: it commits before the answer goes out, and rolls back when anything raised.

    It reaches what the rights among the route's guards reach together: the agencies where the caller holds them, with
    what these have absorbed, and what is the caller's own. A route with `opt={"worker": True}` (a gateway's call,
    proven by its signature) sees all.
    """
    kit: Kit = request.app.state.kit
    worker = bool(request.route_handler.opt.get("worker"))
    engine = kit.database.worker if worker else kit.database.web
    async with AsyncSession(engine, expire_on_commit=False) as tx:
        if not worker:
            await enter_as(tx, auth.reach_of(request))
        yield tx
        await tx.commit()


transaction = contextlib.asynccontextmanager(provide_tx)
"""The same transaction for a handler that has something slow to do before it or after it, as `async with`."""


async def enter_as(tx: Tx, reach: auth.Reach) -> None:
    """Let a transaction act where a right is held, and see what the agencies there have absorbed by today."""
    tx.info[ACTS_AT] = reach.agencies
    codes = list(reach.agencies)
    if codes:
        codes = (await agencies.lineage(tx)).with_predecessors(codes, local_day(clock.now()))
    await enter(tx, codes, *sorted(reach.own))


def problem_of(request: Request, error: Exception) -> Any:
    answer = problem(request, error)
    if answer.status_code == 500:  # noqa: PLR2004
        structlog.get_logger().error("fault", path=request.url.path, exc_info=error)
    return answer


def _folder(name: str) -> str:
    return str(Path(__file__).parent.parent / "services" / name)


__all__ = ["Service", "enter_as", "provide_tx", "refresh", "transaction"]
