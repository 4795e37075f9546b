"""The sample newspaper: a seventh app that reaches the house only by its public addresses."""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import structlog
from litestar import Litestar, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.response import Template
from litestar.types import ASGIApp, Receive, Scope, Send

from demo.gateways import Wall
from demo.pages import PAGES, masthead
from shared.gate import Gate, crowded
from shared.head import answering_head
from shared.http import problem
from shared.request import Request
from shared.settings import Settings
from shared.web import static_router, template_config


def create_app(settings: Settings) -> Litestar:
    """Wire the newspaper."""
    return Litestar(
        route_handlers=[*PAGES, live, ready, static_router()],
        template_config=template_config(Path(__file__).parent),
        exception_handlers={Exception: show_problem},
        lifespan=[_wall],
        state=State({"settings": settings}),
        openapi_config=None,
        logging_config=None,
    )


@contextlib.asynccontextmanager
async def _wall(app: Litestar) -> AsyncIterator[None]:
    app.asgi_handler = answering_head(not_too_many(app))
    app.state.wall = Wall(app.state.settings)
    try:
        yield
    finally:
        await app.state.wall.close()


def not_too_many(app: Litestar) -> ASGIApp:
    """The newspaper, which a crowd finds full, and those who look after it do not."""
    router, gate = app.asgi_handler, Gate(app.state.settings.requests_at_once)

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        room = gate.room_of(scope["method"], scope["path"]) if scope["type"] == ScopeType.HTTP else gate.looks
        if room.is_full:
            scope["litestar_app"] = app
            request: Request = Request(scope, receive, send)
            refusal = show_problem(request, crowded()).to_asgi_response(app=None, request=request)
            await refusal(scope, receive, send)
            return
        room.inside += 1
        try:
            await router(scope, receive, send)
        finally:
            room.inside -= 1

    return answer


def show_problem(request: Request, error: Exception) -> Any:
    answer = problem(request, error)
    if isinstance(answer, Template):
        answer.context.update(masthead(request))
    if answer.status_code == 500:  # noqa: PLR2004
        structlog.get_logger().error("fault", path=request.url.path, exc_info=error)
    return answer


@get("/health/live", include_in_schema=False, sync_to_thread=False)
def live() -> dict[str, str]:
    return {"status": "live"}


@get("/health/ready", include_in_schema=False, sync_to_thread=False)
def ready() -> dict[str, Any]:
    """The paper needs nobody: without the house it shows what its fallback allows."""
    return {"status": "ready", "waits_for": []}
